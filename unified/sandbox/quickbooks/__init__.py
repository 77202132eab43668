"""A stand-in for QuickBooks Online: `api` serves it, `queries` reads what is asked, `records` generates its data."""

from unified.sandbox.quickbooks.api import QuickBooksSandbox

__all__ = ["QuickBooksSandbox"]
