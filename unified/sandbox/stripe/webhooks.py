"""Stripe's deliveries: https://docs.stripe.com/webhooks, signed as in https://docs.stripe.com/webhooks/signature."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

from unified.sandbox.webhooks import Endpoint, Record, WebhookForm

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOUR = 3600.0


def indented(body: bytes) -> bytes:
    """JSON as Stripe lays it out; what is not JSON, as a fault may leave it, as it is."""
    try:
        return msgspec.json.format(body, indent=2)
    except msgspec.MsgspecError:
        return body


class StripeWebhooks(WebhookForm):
    """One event a delivery.

    Live mode tries for three days, longer and longer apart; a test account gets three attempts more, within hours.
    """

    batch = 1
    timeout = 30.0

    def pauses(self, key: str) -> Sequence[float]:
        """The documentation names the span; the steps within it are the sandbox's."""
        if key.startswith(("sk_live", "rk_live")):
            return (
                300,
                1800,
                2 * _HOUR,
                5 * _HOUR,
                10 * _HOUR,
                12 * _HOUR,
                12 * _HOUR,
                12 * _HOUR,
                12 * _HOUR,
            )
        return (600, _HOUR, 3 * _HOUR)

    def body(self, events: Sequence[Record], attempt: int) -> bytes:  # noqa: ARG002 - it stays the same
        """The event."""
        return indented(msgspec.json.encode(events[0]))

    def headers(self, endpoint: Endpoint, body: bytes, now: float) -> dict[str, str]:
        """A fresh signature for each attempt."""
        sent_at = int(now)
        signature = hmac.new(endpoint.secret.encode(), b"%d.%b" % (sent_at, body), hashlib.sha256).hexdigest()
        return {
            "content-type": "application/json; charset=utf-8",
            "stripe-signature": f"t={sent_at},v1={signature}",
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
