"""A stand-in for Xero's accounting API; `api` serves it, `records` and `account` hold an organisation's data."""

from unified.sandbox.xero.api import XeroSandbox

__all__ = ["XeroSandbox"]
