"""A stand-in for HubSpot's API: contacts, companies, invoices, line items and what connects them, read and written."""

from sandbox.hubspot.api import HubSpotLimits, HubSpotSandbox, PortalSpec
from sandbox.hubspot.portal import HubSpotPortal

__all__ = ["HubSpotLimits", "HubSpotPortal", "HubSpotSandbox", "PortalSpec"]
