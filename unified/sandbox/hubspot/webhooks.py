"""HubSpot's deliveries, signed in version 3.

Source: https://developers.hubspot.com/docs/api-reference/latest/webhooks/guide.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

from unified.sandbox.webhooks import Endpoint, Record, WebhookForm

if TYPE_CHECKING:
    from collections.abc import Sequence

_ATTEMPTS_AGAIN = 10
_RETRY_SPAN = 24 * 3600.0
# What HubSpot undoes in a URL before it signs it.
_DECODED = ("%3A", "%2F", "%3F", "%40", "%21", "%24", "%27", "%28", "%29", "%2A", "%2C", "%3B")


class HubSpotWebhooks(WebhookForm):
    """Up to a hundred events a delivery; ten more attempts within a day."""

    batch = 100
    timeout = 5.0

    def pauses(self, key: str) -> Sequence[float]:  # noqa: ARG002 - the same for all
        """Longer and longer, and a day together."""
        shares = range(1, _ATTEMPTS_AGAIN + 1)
        return [_RETRY_SPAN * share / sum(shares) for share in shares]

    def body(self, events: Sequence[Record], attempt: int) -> bytes:
        """The events, which say how often they were tried."""
        return msgspec.json.encode([{**event, "attemptNumber": attempt} for event in events])

    def headers(self, endpoint: Endpoint, body: bytes, now: float) -> dict[str, str]:
        """Method, URL, body and time in milliseconds are signed."""
        url, sent_at = endpoint.url, str(int(now * 1000))
        for escape in _DECODED:
            url = url.replace(escape, bytes.fromhex(escape[1:]).decode())
        message = b"POST" + url.encode() + body + sent_at.encode()
        signature = base64.b64encode(hmac.new(endpoint.secret.encode(), message, hashlib.sha256).digest())
        return {
            "content-type": "application/json",
            "user-agent": "HubSpot Connect 2.0 (http://dev.hubspot.com/) - WebHooks",
            "x-hubspot-request-timestamp": sent_at,
            "x-hubspot-signature-v3": signature.decode(),
        }
