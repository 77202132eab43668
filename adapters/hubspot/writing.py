"""HubSpot's contacts as they are written, a hundred a request, and looked up.

HubSpot knows no idempotency keys. What makes it safe to send a creation again is a property with unique values:
the e-mail address, or one that a connection's settings name (``key_property``). A contact with neither is sent
once. Not here: what a body holds (``mapping``), and how contacts are read (``pull``).
"""

import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import msgspec
import stamina

from adapters.hubspot.api import BATCH, BatchAnswer, HubSpotApi
from adapters.hubspot.pull import Objects
from adapters.hubspot.related import read_id
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.errors import (
    ConfigurationError,
    NotFoundError,
    ProviderError,
    RequestRefusedError,
    UndecidedError,
)
from unified.kit.streams import Page, RawRecord
from unified.kit.writing.changes import CUSTOM, Report, Write, Written, carry_out

_KIND = "contacts"
_MISSING, _CONFLICT = "OBJECT_NOT_FOUND", "CONFLICT"
# The words in which HubSpot names the contact that a new one is in conflict with; it does so nowhere else.
_EXISTING = re.compile(r"Existing ID: (\d+)")
_FOUND_BY = {"phone": ("phone", "mobilephone")}
# A search body has 3,000 characters at most, and a list of values 100.
_MOST_CHARACTERS, _MOST_VALUES = 2_000, 100
_LONGEST_WAIT = 30.0

_Action = Literal["create", "upsert", "update", "archive"]


class _Answered(msgspec.Struct, rename="camel"):
    """What a result tells of the input that it answers."""

    id: str = ""
    object_write_trace_id: str | None = None
    properties: dict[str, str | None] = {}


_ANSWERED = msgspec.json.Decoder(_Answered)


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why one write was not carried out."""

    write: Write
    category: str
    reason: str


class _Batch:
    """Writes that are sent together, until something is known of each.

    Attributes:
        waiting: By idempotency key, those of which nothing was reported.
        open: Keys of those that were sent without an answer, now or by an earlier run.
    """

    def __init__(self, writes: Sequence[Write], report: Report) -> None:
        self.waiting = {write.idempotency_key: write for write in writes}
        self.open = {write.idempotency_key for write in writes if write.sent_at is not None}
        self._report = report

    def settle(self, written: Written) -> None:
        del self.waiting[written.write.idempotency_key]
        self.open.discard(written.write.idempotency_key)
        self._report(written)

    def leave_open(self, writes: Sequence[Write]) -> None:
        self.open.update(write.idempotency_key for write in writes)

    def give_up(self, reason: str) -> None:
        """Report what stayed open. The others were not carried out, and are not reported."""
        for key in tuple(self.open):
            write = self.waiting[key]
            self.settle(Written(write, "unknown", write.source_id, reason=reason))


class HubSpotWriter:
    """Writes and looks up contacts."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Use a connected adapter.

        Its settings may name a property of contacts with unique values (``key_property``), which takes a creation's
        idempotency key.
        """
        self.api = HubSpotApi(adapter.http)
        self.contacts = Objects(adapter, stream)
        self.key_property: str | None = adapter.config.key_property
        self.attempts = adapter.config.retry_count + 1
        self.retry_delay = adapter.config.retry_delay
        self.at_once = adapter.config.concurrency

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        lanes: dict[tuple[_Action, bool], list[Write]] = defaultdict(list)
        for write in writes:
            lanes[self._lane(write)].append(write)
        return carry_out(
            (
                partial(self._write, lane, waiting[at : at + BATCH])
                for lane, waiting in lanes.items()
                for at in range(0, len(waiting), BATCH)
            ),
            at_once=self.at_once,
        )

    def _lane(self, write: Write) -> tuple[_Action, bool]:
        """What a write is sent as, and whether it may be sent again before somebody has looked."""
        if write.operation != "create":
            return ("update" if write.operation == "update" else "archive"), True
        return ("upsert", True) if self.key_property else ("create", False)

    async def _write(self, lane: tuple[_Action, bool], writes: Sequence[Write], report: Report) -> None:
        action, repeatable = lane
        batch = _Batch(writes, report)
        try:
            if repeatable:
                await self._send(action, writes, batch)
            else:
                await self._create(batch)
        except ProviderError as error:
            batch.give_up(str(error))
            raise

    # Changes ------------------------------------------------------------------------------------------

    async def _create(self, batch: _Batch) -> None:
        """Create contacts. Those of which no answer tells are looked up, and sent again where they are not."""
        async for attempt in stamina.retry_context(
            on=UndecidedError,
            attempts=self.attempts,
            timeout=None,
            wait_initial=self.retry_delay,
            wait_max=_LONGEST_WAIT,
            wait_jitter=self.retry_delay,
        ):
            with attempt:
                await self._look_up(batch)
                await self._send("create", tuple(batch.waiting.values()), batch)

    async def _look_up(self, batch: _Batch) -> None:
        """Find out what became of creations without an answer; what is not there was not carried out."""
        unsure: dict[str, list[Write]] = defaultdict(list)
        for key in batch.open:
            unsure[_email(batch.waiting[key])].append(batch.waiting[key])
        for write in unsure.pop("", ()):
            reason = "it was sent without an answer, and has no e-mail address to look it up by"
            batch.settle(Written(write, "unknown", reason=reason))
        for raw in await self.api.batch_read(_KIND, list(unsure), self.contacts.properties, by="email"):
            there = _read(raw)
            for write in unsure.pop((there.properties.get("email") or "").lower(), ()):
                batch.settle(_compared(write, there, raw))
        batch.open.clear()

    async def _send(self, action: _Action, writes: Sequence[Write], batch: _Batch) -> None:
        """Send writes in one request; in two halves where it is refused as a whole, down to the one at fault."""
        if not writes:
            return
        inputs = [self._input(action, write, str(number)) for number, write in enumerate(writes)]
        effect: Literal["once", "repeatable"] = "once" if action == "create" else "repeatable"
        try:
            answer = await self.api.batch_write(_KIND, action, inputs, effect=effect)
        except UndecidedError:
            batch.leave_open(writes)
            raise
        except (RequestRefusedError, NotFoundError) as error:
            await self._divide(action, writes, batch, error)
        else:
            await self._take(action, writes, answer, batch)

    def _input(self, action: _Action, write: Write, trace: str) -> dict[str, Any]:
        if action == "archive":
            return {"id": write.source_id}
        # An empty text empties a property.
        properties = {name: value or "" for name, value in write.body["properties"].items()}
        told = {"properties": properties, "objectWriteTraceId": trace}
        if action == "upsert":
            return {"id": write.idempotency_key, "idProperty": self.key_property, **told}
        return told if action == "create" else {"id": write.source_id, **told}

    async def _divide(
        self, action: _Action, writes: Sequence[Write], batch: _Batch, error: ProviderError
    ) -> None:
        if len(writes) > 1:
            middle = len(writes) // 2
            for half in (writes[:middle], writes[middle:]):
                await self._send(action, half, batch)
            return
        write = writes[0]
        if isinstance(error, NotFoundError):
            # Is it the record, or the path? The latter fails here as well, and ends it all.
            there = write.source_id and await self.api.batch_read(_KIND, [write.source_id], ())
            if there or not write.source_id:
                raise error
        category = _MISSING if isinstance(error, NotFoundError) else error.code or ""
        await self._refuse([_Refused(write, category, str(error))], batch)

    async def _take(
        self, action: _Action, writes: Sequence[Write], answer: BatchAnswer, batch: _Batch
    ) -> None:
        """Match an answer with the writes; HubSpot gives its results in any order."""
        if action == "archive":
            # It says nothing about contacts that were in the bin before, or never existed.
            for write in writes:
                batch.settle(Written(write, "applied", write.source_id))
            return
        left = {str(number): write for number, write in enumerate(writes)}
        unmatched = 0
        for raw in answer.results:
            told = _read(raw)
            trace = told.object_write_trace_id or _trace_of(told, left)
            if trace in left and told.id:
                batch.settle(Written(left.pop(trace), "applied", told.id, RawRecord(told.id, bytes(raw))))
            else:
                unmatched += 1
        await self._refuse(list(_refusals(answer, left)), batch)
        rest = tuple(left.values())
        if rest and (unmatched or len(writes) == 1):
            batch.leave_open(rest)
            fault = self.api.fault(f"did not say what became of {len(rest)} of {len(writes)} contacts")
            raise UndecidedError(str(fault))
        if len(rest) < len(writes):
            await self._send(action, rest, batch)
        else:
            await self._divide(action, rest, batch, self.api.fault("refused contacts without saying which"))

    async def _refuse(self, refused: Sequence[_Refused], batch: _Batch) -> None:
        """Report refusals; a contact that exists is read, for it may be what an earlier attempt created."""
        rivals: list[tuple[str, _Refused]] = []
        for one in refused:
            write, existing = one.write, _EXISTING.search(one.reason)
            if one.category == _CONFLICT and write.operation == "create" and existing:
                rivals.append((existing[1], one))
            elif one.category == _CONFLICT and write.operation == "create":
                batch.settle(Written(write, "conflict", reason=one.reason))
            elif one.category == _MISSING and write.operation == "update":
                batch.settle(Written(write, "missing", write.source_id, reason=one.reason))
            else:
                batch.settle(Written(write, "refused", write.source_id, reason=one.reason))
        ids = list(dict.fromkeys(contact_id for contact_id, _ in rivals))
        found = {read_id(raw): raw for raw in await self.api.batch_read(_KIND, ids, self.contacts.properties)}
        for contact_id, one in rivals:
            if contact_id in found:
                raw = found[contact_id]
                batch.settle(_compared(one.write, _read(raw), raw, one.reason))
            else:
                batch.settle(Written(one.write, "conflict", contact_id, reason=one.reason))

    # Look-ups -----------------------------------------------------------------------------------------

    async def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Contacts that have a value; see :meth:`unified.kit.adapter.BaseAdapter.find`.

        A main e-mail address is a key, and what it finds is up to date. All else is searched for, with a lag of
        some seconds (https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm).
        """
        wanted = list(dict.fromkeys(value.lower() for value in values if value))
        if field == "email":
            found = await self.api.batch_read(_KIND, wanted, ("email",), by="email")
            ids = [record_id for raw in found if (record_id := read_id(raw))]
        else:
            ids = [one for name in _properties_of(field) for one in await self._search(name, wanted)]
        async for page in self.contacts.fetch(list(dict.fromkeys(ids))):
            yield replace(page, tombstones=())

    async def _search(self, name: str, values: Sequence[str]) -> list[str]:
        ids: list[str] = []
        for some in _fitting(values):
            after, more = 0, True
            while more:
                filters = ((name, "IN", some), ("hs_object_id", "GT", after))
                answer = await self.api.search(_KIND, filters, ("hs_object_id",))
                found = [record_id for raw in answer.results if (record_id := read_id(raw))]
                ids += found
                more = bool(found) and len(found) < answer.total
                after = max(map(int, found), default=after)
        return ids


def _email(write: Write) -> str:
    """The address that tells a new contact from all others; empty where it has none."""
    return (write.body["properties"].get("email") or "").lower()


def _refusals(answer: BatchAnswer, left: dict[str, Write]) -> Iterator[_Refused]:
    """The refused writes that an answer names, taken out of those that are left."""
    for error in answer.errors:
        ids = error.named("ids")
        named = error.named("objectWriteTraceId") or [
            trace for trace, write in left.items() if write.source_id in ids
        ]
        # An error that names nobody is meant for the only one that is left.
        for trace in named or (tuple(left) if len(left) == 1 else ()):
            if trace in left:
                yield _Refused(left.pop(trace), error.category, error.reason)


def _trace_of(told: _Answered, left: dict[str, Write]) -> str | None:
    """Which write a result answers that does not say so: by id, or for a new contact by its e-mail address."""
    email = (told.properties.get("email") or "").lower()
    for trace, write in left.items():
        if write.source_id == told.id or (write.source_id is None and email and _email(write) == email):
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
