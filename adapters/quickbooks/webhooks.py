"""Intuit's webhooks: whose an event is, and what it means. They are verified by :mod:`unified.kit.webhooks.verifiers`.

https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks. An app has one URL for all companies that
connected it. An event names a record, which is read again; ``data`` may be missing.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from unified.kit.errors import MappingError, PayloadError
from unified.kit.streams import Origin
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.owners import Owner
from unified.kit.webhooks.payloads import fields_of, read_time
from unified.schema.event import UnifiedEvent

_STREAMS = {
    "customer": "customers", "vendor": "vendors", "invoice": "invoices", "creditmemo": "credit_memos",
    "payment": "payments",
}  # fmt: skip


class _Data(msgspec.Struct):
    deletedid: str | None = None


class _Event(msgspec.Struct):
    id: str
    type: str
    time: str
    intuitentityid: str
    intuitaccountid: str | None = None
    data: _Data | None = None

    @property
    def noun(self) -> str:
        """``invoice`` of ``qbo.invoice.updated.v1``."""
        return self.type.split(".")[1] if self.type.count(".") else ""


class _Scope(msgspec.Struct):
    intuitaccountid: str | None = None


_EVENT = msgspec.json.Decoder(_Event)
_SCOPE = msgspec.json.Decoder(_Scope)

LEADING = fields_of(_Event, _Data)
"""By what its events are known, dated and led to records; see :attr:`unified.kit.adapter.BaseAdapter.leading`."""


def subjects(event: ReceivedEvent) -> Iterator[Subject]:
    """The records that an event is about; see :meth:`unified.kit.adapter.BaseAdapter.subjects`.

    Of two that were merged the one that is left is read again, and the other one is gone: no answer of Intuit's says
    anywhere else which of the two holds it now.
    """
    said = _EVENT.decode(event.body)
    stream = _STREAMS.get(said.noun)
    if stream is None or not _is_id(said.intuitentityid):
        return
    yield Subject(stream, said.intuitentityid)
    loser = said.data.deletedid if said.data else None
    if loser and _is_id(loser):
        merged_at = read_time(said.time)
        yield Subject(stream, loser, deleted_at=merged_at, merged_into=said.intuitentityid)


def _is_id(text: str) -> bool:
    return text.isdecimal() and text.isascii()


def owner(event: ReceivedEvent) -> Owner:
    """The company that an event is of; see :meth:`unified.kit.adapter.BaseAdapter.owner`."""
    try:
        return Owner(_SCOPE.decode(event.body).intuitaccountid)
    except (msgspec.MsgspecError, UnicodeError):
        return Owner()


def to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    """Map an event under the key that :class:`unified.kit.webhooks.verifiers.IntuitVerifier` knows it by.

    Raises:
        MappingError: If it is not what Intuit documents.
    """
    try:
        event = msgspec.convert(raw, _Event)
        happened = read_time(event.time)
    except (msgspec.ValidationError, PayloadError) as error:
        raise MappingError(f"the event has an unexpected form: {error}") from None
    return UnifiedEvent(
        **origin.identify(f"{event.id}:{event.type}:{event.time}"),
        created_at=happened,
        custom_fields={"realm_id": event.intuitaccountid},
        raw_data=raw,
        event_type=event.type,
        event_category=event.noun or None,
        payload=raw,
        resource_type=event.noun or None,
        resource_id=event.intuitentityid,
        occurred_at=happened,
    )
