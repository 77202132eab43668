"""Jira's events: their form, the key that each is known by, and what one means.

Source: https://developer.atlassian.com/cloud/jira/platform/webhooks. The form is that of a delivery, which says of a
change its step in the changelog; a poll reads the same step. Keys are made of what an event says, not of the header
``X-Atlassian-Webhook-Identifier``, which no signature covers and each of several webhooks sets anew.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from unified.kit.errors import MappingError, PayloadError
from unified.kit.streams import Origin, RawRecord
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.payloads import Text, read_time
from unified.schema.event import UnifiedEvent
from unified.schema.reading import moment

Id = Text | int


class _Named(msgspec.Struct):
    id: Id | None = None


class _Comment(_Named):
    updated: str | None = None


class _Person(msgspec.Struct, rename="camel"):
    account_id: str | None = None


class Event(msgspec.Struct, rename="camel"):
    """What is read of an event."""

    webhook_event: Text
    timestamp: int
    issue: _Named | None = None
    changelog: _Named | None = None
    comment: _Comment | None = None
    user: _Person | None = None

    @property
    def key(self) -> str | None:
        """The same on every delivery and where the event is polled; None where nothing in it names it."""
        change = self.webhook_event.rpartition("_")[2]
        if self.webhook_event.startswith("comment_"):
            about, step = self.comment, moment(self.comment.updated) if self.comment else None
            suffix = f":{int(step.timestamp() * 1000)}" if step and change == "updated" else ""
            return _key("comment", about, f"{change}{suffix}")
        if not self.webhook_event.startswith("jira:issue_"):
            return None
        if change == "updated":
            return str(self.changelog.id) if self.changelog and self.changelog.id else None
        return _key("issue", self.issue, change)


def _key(kind: str, about: _Named | None, change: str) -> str | None:
    return None if about is None or about.id is None else f"{kind}:{about.id}:{change}"


_EVENT = msgspec.json.Decoder(Event)


def key_of(event: Event, whole: Any) -> str:
    """What an event is known by: its own key, or a hash of all that it says.

    Args:
        event: What is read of it.
        whole: It, decoded.
    """
    if event.key is not None:
        return event.key
    said = msgspec.json.encode(whole, order="deterministic")
    return f"{event.webhook_event}:{sha256(said).hexdigest()}"


def event_record(kind: str, happened: datetime, said: Mapping[str, Any]) -> RawRecord:
    """An event that was polled, as if it had been delivered."""
    body = msgspec.json.encode({"timestamp": int(happened.timestamp() * 1000), "webhookEvent": kind, **said})
    return RawRecord(_EVENT.decode(body).key, body)


def subjects(event: ReceivedEvent) -> Iterator[Subject]:
    """The records that an event is about; see :meth:`unified.kit.adapter.BaseAdapter.subjects`.

    Each is read again: a delivery may be late and out of order, and some prove no more than who sent them. An issue
    that was deleted is not found then.
    """
    said = _EVENT.decode(event.body)
    if said.issue is not None and said.issue.id is not None:
        yield Subject("issues", str(said.issue.id))
    if said.webhook_event.startswith("user_") and said.user is not None and said.user.account_id:
        for stream in ("customers", "staff"):
            yield Subject(stream, said.user.account_id)


def to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    """Map an event under its key, polled or delivered.

    Raises:
        MappingError: If it is not what Jira documents.
    """
    try:
        event = msgspec.convert(raw, Event)
        happened, key = read_time(event.timestamp, per_second=1000), key_of(event, raw)
    except (msgspec.ValidationError, PayloadError, ValueError) as error:
        raise MappingError(f"the event has an unexpected form: {error}") from None
    kind, about = ("issue", event.issue) if event.comment is None else ("comment", event.comment)
    issue = event.issue.id if event.issue and event.comment else None
    return UnifiedEvent(
        **origin.identify(key),
        created_at=happened,
        custom_fields={} if issue is None else {"issue_id": str(issue)},
        raw_data=raw,
        event_type=event.webhook_event,
        event_category=event.webhook_event.removeprefix("jira:").partition("_")[0],
        payload=raw,
        user_id=event.user.account_id if event.user else None,
        resource_type=None if about is None else kind,
        resource_id=None if about is None or about.id is None else str(about.id),
        occurred_at=happened,
    )
