"""HubSpot's contacts as they are written, a hundred a request, and looked up.

HubSpot knows no idempotency keys. What makes it safe to send a creation again is a property with unique values:
the e-mail address, or one that a connection's settings name (``key_property``). A contact with neither is sent
once. Not here: what a body holds (``mapping``), and how contacts are read (``pull``).
"""

import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from adapters.hubspot.api import BATCH, BatchAnswer, HubSpotApi
from adapters.hubspot.pull import Objects
from adapters.hubspot.related import read_id
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.errors import ConfigurationError, NotFoundError, ProviderError
from unified.kit.streams import Page, RawRecord
from unified.kit.writing.batched import BatchOutcome, BatchTarget, Lane, Refused
from unified.kit.writing.changes import CUSTOM, Write, Written

_KIND = "contacts"
_MISSING, _CONFLICT = "OBJECT_NOT_FOUND", "CONFLICT"
# The words in which HubSpot names the contact that a new one is in conflict with; it does so nowhere else.
_EXISTING = re.compile(r"Existing ID: (\d+)")
_FOUND_BY = {"phone": ("phone", "mobilephone")}
# A search body has 3,000 characters at most, and a list of values 100.
_MOST_CHARACTERS, _MOST_VALUES = 2_000, 100


class _Answered(msgspec.Struct, rename="camel"):
    """What a result says about the input that it answers."""

    id: str = ""
    object_write_trace_id: str | None = None
    properties: dict[str, str | None] = {}


_ANSWERED = msgspec.json.Decoder(_Answered)


class HubSpotWriter(BatchTarget):
    """Writes and looks up contacts."""

    size = BATCH

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Use a connected adapter.

        Its settings may name a property of contacts with unique values (``key_property``), which takes a creation's
        idempotency key.
        """
        super().__init__(adapter)
        self._api = HubSpotApi(adapter.http)
        self._contacts = Objects(adapter, stream)
        self._key_property: str | None = adapter.config.key_property

    # Changes ------------------------------------------------------------------------------------------

    def lane(self, write: Write) -> Lane:
        """A creation may be sent again only where a property with unique values takes its key."""
        if write.operation != "create":
            return Lane("update" if write.operation == "update" else "archive", is_repeatable=True)
        return Lane("upsert" if self._key_property else "create", is_repeatable=bool(self._key_property))

    async def look_up(self, writes: Sequence[Write]) -> list[Written]:
        """By e-mail address; of a contact without one nothing can be said."""
        unsure: dict[str, list[Write]] = defaultdict(list)
        for write in writes:
            unsure[_email(write)].append(write)
        reason = "it was sent without an answer, and has no e-mail address to look it up by"
        outcomes = [Written(write, "unknown", reason=reason, is_final=True) for write in unsure.pop("", ())]
        for raw in await self._api.batch_read(_KIND, list(unsure), self._contacts.properties, by="email"):
            there = _read(raw)
            same = unsure.pop((there.properties.get("email") or "").lower(), ())
            outcomes += [_compared(write, there, raw) for write in same]
        return outcomes

    async def send(self, lane: Lane, writes: Sequence[Write]) -> BatchOutcome:
        """One request; HubSpot gives its results in any order."""
        inputs = [self._input(lane.action, write, str(number)) for number, write in enumerate(writes)]
        answer = await self._api.batch_write(
            _KIND, lane.action, inputs, effect="repeatable" if lane.is_repeatable else "once"
        )
        if lane.action == "archive":
            # It says nothing about contacts that were in the bin before, or never existed.
            return BatchOutcome([Written(write, "applied", write.source_id) for write in writes])
        left = {str(number): write for number, write in enumerate(writes)}
        settled, unmatched = [], 0
        for raw in answer.results:
            answered = _read(raw)
            trace = answered.object_write_trace_id or _trace_of(answered, left)
            if trace in left and answered.id:
                settled.append(
                    Written(left.pop(trace), "applied", answered.id, RawRecord(answered.id, bytes(raw)))
                )
            else:
                unmatched += 1
        return BatchOutcome(settled, list(_refusals(answer, left)), unmatched)

    def _input(self, action: str, write: Write, trace: str) -> dict[str, Any]:
        if action == "archive":
            return {"id": write.source_id}
        # An empty text empties a property.
        properties = {name: value or "" for name, value in write.body["properties"].items()}
        content = {"properties": properties, "objectWriteTraceId": trace}
        if action == "upsert":
            return {"id": write.idempotency_key, "idProperty": self._key_property, **content}
        return content if action == "create" else {"id": write.source_id, **content}

    async def refusal(self, write: Write, error: ProviderError) -> Refused:
        """Of a 404: is it the record, or the path? The latter fails here as well, and ends it all."""
        if not isinstance(error, NotFoundError):
            return Refused(write, error.code or "", str(error))
        if not write.source_id or await self._api.batch_read(_KIND, [write.source_id], ()):
            raise error
        return Refused(write, _MISSING, str(error))

    async def settle(self, refused: Sequence[Refused]) -> list[Written]:
        """A contact that exists is read, for it may be what an earlier attempt created."""
        outcomes: list[Written] = []
        rivals: list[tuple[str, Refused]] = []
        for one in refused:
            write, existing = one.write, _EXISTING.search(one.reason)
            if one.category == _CONFLICT and write.operation == "create" and existing:
                rivals.append((existing[1], one))
            elif one.category == _CONFLICT and write.operation == "create":
                outcomes.append(Written(write, "conflict", reason=one.reason))
            elif one.category == _MISSING and write.operation == "update":
                outcomes.append(Written(write, "missing", write.source_id, reason=one.reason))
            else:
                outcomes.append(Written(write, "refused", write.source_id, reason=one.reason))
        ids = list(dict.fromkeys(contact_id for contact_id, _ in rivals))
        found = {
            read_id(raw): raw for raw in await self._api.batch_read(_KIND, ids, self._contacts.properties)
        }
        for contact_id, one in rivals:
            if contact_id in found:
                raw = found[contact_id]
                outcomes.append(_compared(one.write, _read(raw), raw, one.reason))
            else:
                outcomes.append(Written(one.write, "conflict", contact_id, reason=one.reason))
        return outcomes

    # Look-ups -----------------------------------------------------------------------------------------

    async def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Contacts that have a value; see :meth:`unified.kit.adapter.BaseAdapter.find`.

        A main e-mail address is a key, and what it finds is up to date. All else is searched for, with a lag of
        some seconds (https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm).
        """
        wanted = list(dict.fromkeys(value.lower() for value in values if value))
        if field == "email":
            found = await self._api.batch_read(_KIND, wanted, ("email",), by="email")
            ids = [record_id for raw in found if (record_id := read_id(raw))]
        else:
            ids = [one for name in _properties_of(field) for one in await self._search(name, wanted)]
        async for page in self._contacts.fetch(list(dict.fromkeys(ids))):
            yield replace(page, tombstones=())

    async def _search(self, name: str, values: Sequence[str]) -> list[str]:
        ids: list[str] = []
        for some in _fitting(values):
            after, more = 0, True
            while more:
                filters = ((name, "IN", some), ("hs_object_id", "GT", after))
                answer = await self._api.search(_KIND, filters, ("hs_object_id",))
                found = [record_id for raw in answer.results if (record_id := read_id(raw))]
                ids += found
                more = bool(found) and len(found) < answer.total
                after = max(map(int, found), default=after)
        return ids


def _email(write: Write) -> str:
    """The address that distinguishes a new contact from all others; empty where it has none."""
    return (write.body["properties"].get("email") or "").lower()


def _refusals(answer: BatchAnswer, left: dict[str, Write]) -> Iterator[Refused]:
    """The refused writes that an answer names, taken out of those that are left."""
    for error in answer.errors:
        ids = error.named("ids")
        named = error.named("objectWriteTraceId") or [
            trace for trace, write in left.items() if write.source_id in ids
        ]
        # An error that names nobody is meant for the only one that is left.
        for trace in named or (tuple(left) if len(left) == 1 else ()):
            if trace in left:
                yield Refused(left.pop(trace), error.category, error.reason)


def _trace_of(answered: _Answered, left: dict[str, Write]) -> str | None:
    """Which write a result answers that does not say so: by id, or for a new contact by its e-mail address."""
    email = (answered.properties.get("email") or "").lower()
    for trace, write in left.items():
        if write.source_id == answered.id or (write.source_id is None and email and _email(write) == email):
            return trace
    return None


def _read(raw: msgspec.Raw) -> _Answered:
    """A contact as far as it is readable: one without an id answers nothing."""
    try:
        return _ANSWERED.decode(raw)
    except msgspec.MsgspecError:
        return _Answered()


def _compared(write: Write, there: _Answered, raw: msgspec.Raw, reason: str | None = None) -> Written:
    """What a contact that exists says about its creation: one that holds all that was sent is the one."""
    record = RawRecord(there.id, bytes(raw))
    sent = write.body["properties"]
    if all((there.properties.get(name) or "") == (value or "") for name, value in sent.items()):
        return Written(write, "applied", there.id, record)
    return Written(write, "conflict", there.id, record, reason or "a contact with this e-mail address exists")


def _properties_of(field: str) -> tuple[str, ...]:
    name, _, key = field.partition(".")
    if field in _FOUND_BY:
        return _FOUND_BY[field]
    if name == CUSTOM and key:
        return (key,)
    msg = f"HubSpot finds no contacts by {field}; use email, phone or {CUSTOM}.<property>"
    raise ConfigurationError(msg)


def _fitting(values: Sequence[str]) -> Iterator[list[str]]:
    """Values in lists that fit into one search."""
    some: list[str] = []
    size = 0
    for value in values:
        if some and (size + len(value) + 3 > _MOST_CHARACTERS or len(some) == _MOST_VALUES):
            yield some
            some, size = [], 0
        some.append(value)
        size += len(value) + 3
    if some:
        yield some
