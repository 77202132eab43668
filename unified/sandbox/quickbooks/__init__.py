"""A stand-in for QuickBooks Online: `api` serves it, `records` generates a company's data."""

from unified.sandbox.quickbooks.api import QuickBooksSandbox

__all__ = ["QuickBooksSandbox"]
