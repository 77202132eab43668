"""A stand-in for Stripe's API: customers, read and written; invoices, their lines, events and the account, read."""

from unified.sandbox.stripe.account import StripeAccount
from unified.sandbox.stripe.api import AccountSpec, StripeLimits, StripeSandbox

__all__ = ["AccountSpec", "StripeAccount", "StripeLimits", "StripeSandbox"]
