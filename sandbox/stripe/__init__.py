"""A stand-in for Stripe's API: customers, read and written; invoices, their lines, events and the account, read."""

from sandbox.stripe.account import StripeAccount
from sandbox.stripe.api import AccountSpec, StripeLimits, StripeSandbox

__all__ = ["AccountSpec", "StripeAccount", "StripeLimits", "StripeSandbox"]
