"""A stand-in for Stripe's API: reading customers, invoices, their lines, events and the account."""

from sandbox.stripe.account import StripeAccount
from sandbox.stripe.api import AccountSpec, StripeLimits, StripeSandbox

__all__ = ["AccountSpec", "StripeAccount", "StripeLimits", "StripeSandbox"]
