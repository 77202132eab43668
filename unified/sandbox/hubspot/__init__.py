"""A stand-in for HubSpot's API: contacts, companies, invoices, line items and what connects them, read and written."""

from unified.sandbox.hubspot.api import HubSpotLimits, HubSpotSandbox, PortalSpec
from unified.sandbox.hubspot.portal import HubSpotPortal

__all__ = ["HubSpotLimits", "HubSpotPortal", "HubSpotSandbox", "PortalSpec"]
