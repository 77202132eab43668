"""A stand-in for HubSpot's API: reading contacts, companies, invoices, line items and what connects them."""

from sandbox.hubspot.api import HubSpotLimits, HubSpotSandbox, PortalSpec
from sandbox.hubspot.portal import HubSpotPortal

__all__ = ["HubSpotLimits", "HubSpotPortal", "HubSpotSandbox", "PortalSpec"]
