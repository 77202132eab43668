"""Xero's webhooks: whose an event is, and what it means. They are verified by :mod:`unified.kit.webhooks.verifiers`.

https://developer.xero.com/documentation/guides/webhooks/overview. An app has one URL for all organisations that
connected it, and an event holds no more than an id: the record is read again. Its ``resourceUrl`` is never followed.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.xero.mapping import GUID
from unified.kit.errors import MappingError, PayloadError
from unified.kit.streams import Origin
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.owners import Owner
from unified.kit.webhooks.payloads import fields_of, read_time
from unified.schema.event import UnifiedEvent

_STREAMS = {"CONTACT": "contacts", "INVOICE": "invoices", "CREDITNOTE": "credit_notes"}


class _Event(msgspec.Struct, rename="camel"):
    resource_id: str
    tenant_id: str
    event_category: str
    event_type: str
    event_date_utc: str


class _Scope(msgspec.Struct, rename="camel"):
    tenant_id: str | None = None


_EVENT = msgspec.json.Decoder(_Event)
_SCOPE = msgspec.json.Decoder(_Scope)

LEADING = fields_of(_Event)
"""By what its events are known, dated and led to records; see :attr:`unified.kit.adapter.BaseAdapter.leading`."""


def subjects(event: ReceivedEvent) -> Iterator[Subject]:
    """The record that an event is about; see :meth:`unified.kit.adapter.BaseAdapter.subjects`."""
    said = _EVENT.decode(event.body)
    stream = _STREAMS.get(said.event_category)
    # What is not a GUID would make Xero refuse all ids that are asked for together.
    if stream and GUID.fullmatch(said.resource_id):
        yield Subject(stream, said.resource_id)


def owner(event: ReceivedEvent) -> Owner:
    """The organisation that an event is of; see :meth:`unified.kit.adapter.BaseAdapter.owner`."""
    try:
        return Owner(_SCOPE.decode(event.body).tenant_id)
    except (msgspec.MsgspecError, UnicodeError):
        return Owner()


def to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    """Map an event under the key that :class:`unified.kit.webhooks.verifiers.XeroVerifier` knows it by.

    Raises:
        MappingError: If it is not what Xero documents.
    """
    try:
        event = msgspec.convert(raw, _Event)
        happened = read_time(event.event_date_utc)
    except (msgspec.ValidationError, PayloadError) as error:
        raise MappingError(f"the event has an unexpected form: {error}") from None
    return UnifiedEvent(
        **origin.identify(":".join(msgspec.structs.astuple(event))),
        created_at=happened,
        custom_fields={"tenant_id": event.tenant_id},
        raw_data=raw,
        event_type=f"{event.event_category}.{event.event_type}",
        event_category=event.event_category.lower(),
        payload=raw,
        resource_type=event.event_category.lower(),
        resource_id=event.resource_id,
        occurred_at=happened,
    )
