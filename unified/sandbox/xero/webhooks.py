"""Xero's webhooks: ids of what changed, signed, for all organisations that connected the app.

Source: https://developer.xero.com/documentation/guides/webhooks/overview.
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

    from unified.sandbox.tables.table import Table


def announced(change: str, table: Table, record: Record) -> Record | None:
    """Only ids: https://developer.xero.com/documentation/guides/webhooks/overview. Payments are not announced."""
    if table.name == "Payments":
        return None
    kind = "CREATE" if change == "create" else "UPDATE"
    return {"eventCategory": table.noun.upper(), "eventType": kind, "resourceId": record[table.id]}


class XeroWebhooks(WebhookForm):
    """Events of all organisations that connected the app, a hundred in a delivery, with a signature of the body."""

    batch = 100
    timeout = 5.0

    def pauses(self, key: str) -> Sequence[float]:
        """Again and again for a day, later each time; then the subscription is switched off."""
        del key
        return (60, 300, 900, 3600, 6 * 3600, 16 * 3600)

    def body(self, events: Sequence[Record], attempt: int) -> bytes:
        """The events, with their place in the sequence."""
        del attempt
        return msgspec.json.encode(
            {
                "events": [{name: value for name, value in one.items() if name != "id"} for one in events],
                "firstEventSequence": 1, "lastEventSequence": len(events), "entropy": "S0m3r4nd0mt3xt",
            }
        )  # fmt: skip

    def headers(self, endpoint: Endpoint, body: bytes, now: float) -> dict[str, str]:
        """``x-xero-signature``: HMAC-SHA256 of the body in base64."""
        del now
        digest = hmac.digest(endpoint.secret.encode(), body, hashlib.sha256)
        return {"content-type": "application/json", "x-xero-signature": base64.b64encode(digest).decode()}
