"""Slack's Events API: what a change is announced as, and how a delivery is signed and repeated.

Source: https://docs.slack.dev/apis/events-api (envelope, retries),
https://docs.slack.dev/authentication/verifying-requests-from-slack, and the pages of events in
https://docs.slack.dev/reference/events.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

from unified.sandbox.slack.records import CHANNELS, USERS
from unified.sandbox.webhooks import Endpoint, Record, WebhookForm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unified.sandbox.tables.table import Table


def announced(change: str, table: Table, record: Record) -> Record:
    """The event of a change, in its envelope."""
    if table.name == USERS:
        event = {"type": "team_join" if change == "create" else "user_change", "user": record}
    elif table.name == CHANNELS:
        event = _of_channel(change, record)
    else:
        event = _of_message(change, record)
    return {"type": "event_callback", "event": event}


def _of_channel(change: str, record: Record) -> Record:
    if change == "delete":
        return {"type": "channel_deleted", "channel": record["id"]}
    shown = {name: record[name] for name in ("id", "name", "created")}
    return {"type": "channel_created" if change == "create" else "channel_rename", "channel": shown}


def _of_message(change: str, record: Record) -> Record:
    kind = "group" if record["channel"].startswith("G") else "channel"
    if change == "create":
        return {**record, "channel_type": kind}
    about = {
        "type": "message",
        "channel": record["channel"],
        "channel_type": kind,
        "hidden": True,
        "ts": record["ts"],
    }
    if change == "delete":
        return {**about, "subtype": "message_deleted", "deleted_ts": record["ts"]}
    message = {name: value for name, value in record.items() if name != "channel"}
    return {**about, "subtype": "message_changed", "message": message}


class SlackWebhooks(WebhookForm):
    """One event a delivery, signed together with its time; three retries."""

    batch = 1
    timeout = 3.0

    def pauses(self, key: str) -> Sequence[float]:
        """Nearly at once, after a minute, after five."""
        del key
        return (0, 60, 300)

    def body(self, events: Sequence[Record], attempt: int) -> bytes:
        """The envelope; a notice to the app has none."""
        del attempt
        (event,) = events
        if event["type"] == "event_callback":
            sent = {**event["event"], "event_ts": f"{event['event_time']}.000100"}
            return msgspec.json.encode({**event, "event": sent})
        return msgspec.json.encode({name: value for name, value in event.items() if name != "authorizations"})

    def headers(self, endpoint: Endpoint, body: bytes, now: float) -> dict[str, str]:
        """``v0=`` and the HMAC of version, time and body."""
        sent_at = str(int(now))
        signed = hmac.digest(endpoint.secret.encode(), b"v0:%b:%b" % (sent_at.encode(), body), hashlib.sha256)
        return {
            "content-type": "application/json",
            "x-slack-request-timestamp": sent_at,
            "x-slack-signature": f"v0={signed.hex()}",
        }
