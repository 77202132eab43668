"""Chargebee's webhooks: protected by basic authentication, one event each, and what an event means.

https://www.chargebee.com/docs/webhook_settings.html and https://apidocs.chargebee.com/docs/api/events. Nothing signs
the body or the time: a delivery proves that its sender knows the password, no more. So a payload is not believed: what
an event is about is read again, also where it says that it was deleted.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from unified.kit.webhooks.basic import BasicVerifier
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.payloads import Text, fields_of, read_json, read_time
from unified.kit.webhooks.signatures import PROBE_TYPE, Probe

# Which stream a resource of an event's content belongs to.
_STREAMS = {"customer": "customers", "invoice": "invoices"}


class _Envelope(msgspec.Struct):
    id: Text
    event_type: Text
    occurred_at: int


class _Event(msgspec.Struct):
    content: dict[str, Any]


_EVENT = msgspec.json.Decoder(_Event)

LEADING = fields_of(_Envelope, _Event)
"""By what its events are known, dated and led to records; see :attr:`unified.kit.adapter.BaseAdapter.leading`."""


class ChargebeeVerifier(BasicVerifier):
    """``Authorization: Basic``, with the user and password of the webhook's settings."""

    name = "chargebee"

    def probe_body(self, probe: Probe) -> bytes:
        """An event without content."""
        said = {"id": probe.id, "event_type": PROBE_TYPE, "occurred_at": probe.seconds, "content": {}}
        return msgspec.json.encode(said)

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """One event, known by its id, which is the same when it is polled."""
        event = read_json(delivery.body, _Envelope)
        return [ReceivedEvent(event.id, event.event_type, read_time(event.occurred_at), delivery.body)]


def subjects(event: ReceivedEvent) -> Iterator[Subject]:
    """The resources in an event's content; see :meth:`unified.kit.adapter.BaseAdapter.subjects`."""
    content = _EVENT.decode(event.body).content
    for noun, stream in _STREAMS.items():
        found = content.get(noun)
        record_id = found.get("id") if isinstance(found, dict) else None
        if isinstance(record_id, str) and record_id:
            yield Subject(stream, record_id)
