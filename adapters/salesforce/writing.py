"""Accounts and contacts as they are written, two hundred a request, and looked up.

Salesforce knows no idempotency keys for what is written here. What makes it safe to send a creation again is a field
of the org that is an external id, made for this purpose (``key_field``): it takes the key. Without one, a creation that
had no answer is looked for among the records that were made since.

Not here: what a body holds (``mapping``), and how records are read (``pull``).
"""

import hashlib
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec

from adapters.salesforce.api import COLLECTION, Fault, Opened, SalesforceApi, Saved, listed
from adapters.salesforce.people import Accounts, Contacts
from adapters.salesforce.rows import written
from unified.kit.declarations import Stream
from unified.kit.errors import ConfigurationError, ProviderError
from unified.kit.streams import Page
from unified.kit.writing.batched import BatchOutcome, BatchTarget, Lane, Refused
from unified.kit.writing.changes import CUSTOM, Write, Written

# https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_concepts_core_data_objects.htm: what
# one record of a collection is refused for.
_DUPLICATE = "DUPLICATES_DETECTED"
_LOCKED = "UNABLE_TO_LOCK_ROW"
_DELETED = "ENTITY_IS_DELETED"
_UNKNOWN = "INVALID_CROSS_REFERENCE_KEY"

# Clocks of Salesforce's servers and ours differ by less.
_CLOCKS = timedelta(minutes=5)
# Values in one look-up, so that it fits into a URL.
_VALUES = 100
_KEY_DIGITS = 32
_CODES = ("CountryCode", "StateCode")

_FIELDS = msgspec.json.Decoder(dict[str, Any])


class SalesforceWriter(BatchTarget):
    """Writes and looks up the records of one object."""

    size = COLLECTION

    def __init__(self, adapter: Opened, stream: Stream) -> None:
        """Use a connected adapter."""
        super().__init__(adapter)
        self._api = SalesforceApi(adapter)
        self._is_contact = stream.name == "contacts"
        self._records = Contacts(adapter, stream) if self._is_contact else Accounts(adapter, stream)
        self._object = self._records.object
        self._key: str | None = adapter.config.key_field
        self._duplicates: bool = adapter.config.allow_duplicates
        self._clock = adapter.clock
        self._began = adapter.clock()

    # Changes

    def lane(self, write: Write) -> Lane:
        """A creation may be sent again only where an external id takes its key."""
        if write.operation != "create":
            return Lane(write.operation, is_repeatable=True)
        return Lane("upsert" if self._key else "create", is_repeatable=bool(self._key))

    async def send(self, lane: Lane, writes: Sequence[Write]) -> BatchOutcome:
        """One request; the outcomes are in the order of the records."""
        saved = await self._saved(lane, writes)
        if len(saved) != len(writes):
            raise self._api.fault(f"answered {len(writes)} records with {len(saved)} outcomes")
        settled, refused = [], []
        for write, one in zip(writes, saved, strict=True):
            if one.success:
                settled.append(Written(write, "applied", one.id or write.source_id))
            elif fault := _refusal(one):
                refused.append(Refused(write, fault.status_code, _words(one)))
        return BatchOutcome(settled, refused)

    async def _saved(self, lane: Lane, writes: Sequence[Write]) -> list[Saved]:
        if lane.action == "delete":
            return await self._api.delete([write.source_id or "" for write in writes])
        records = [await self._input(write) for write in writes]
        path = f"/{self._object.name}/{self._key}" if lane.action == "upsert" else ""
        return await self._api.save(
            "POST" if lane.action == "create" else "PATCH",
            path,
            records,
            effect="repeatable" if lane.is_repeatable else "once",
            duplicates=self._duplicates,
        )

    async def _input(self, write: Write) -> dict[str, Any]:
        record = {"attributes": {"type": self._object.name}, **await self._fitting(write.body)}
        if write.operation == "update":
            record["id"] = write.source_id
        elif self._key:
            record[self._key] = _digest(write)
        return record

    async def _fitting(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A body for this org: codes of states and countries only where it picks them from lists."""
        known = {one.name for one in (await self._object.described()).fields}
        return {
            name.removesuffix("Code") if name.endswith(_CODES) and name not in known else name: value
            for name, value in body.items()
        }

    async def refusal(self, write: Write, error: ProviderError) -> Refused:
        """A request with one record that was refused as a whole."""
        return Refused(write, error.code or "", str(error))

    async def settle(self, refused: Sequence[Refused]) -> list[Written]:
        """What a refusal means for its record."""
        outcomes = []
        for one in refused:
            write, is_gone = one.write, one.category in (_DELETED, _UNKNOWN)
            if is_gone and write.operation == "delete":
                outcomes.append(Written(write, "applied", write.source_id))
            elif is_gone and write.operation == "update":
                outcomes.append(Written(write, "missing", write.source_id, reason=one.reason))
            elif one.category == _DUPLICATE and write.operation == "create":
                outcomes.append(await self._conflict(one))
            else:
                outcomes.append(Written(write, "refused", write.source_id, reason=one.reason))
        return outcomes

    async def _conflict(self, refused: Refused) -> Written:
        """Which record a duplicate rule means is not said: it is looked for by e-mail address."""
        body = refused.write.body
        name = "Email" if self._is_contact else "Name"
        values = [body[name]] if body.get(name) else []
        found = [one async for page in self._having(name, values) for one in page.records]
        there = found[0] if len(found) == 1 else None
        return Written(refused.write, "conflict", there.source_id if there else None, there, refused.reason)

    async def look_up(self, writes: Sequence[Write]) -> list[Written]:
        """Among the records that were made since these were sent, those that hold all that was sent.

        Where two creations are the same in every value, each is one of the records.
        """
        since = min((write.sent_at or self._began for write in writes), default=self._began) - _CLOCKS
        field = "LastName" if self._is_contact else "Name"
        names = list(dict.fromkeys(write.body[field] for write in writes if write.body.get(field)))
        bodies = {write.idempotency_key: await self._fitting(write.body) for write in writes}
        left = {write.idempotency_key: write for write in writes}
        outcomes = []
        async for page in self._having(field, names, [f"CreatedDate >= {written(since)}"]):
            for record in page.records:
                there = _FIELDS.decode(record.body)
                same = next((key for key in left if _holds(there, bodies[key])), None)
                if same is not None:
                    outcomes.append(Written(left.pop(same), "applied", record.source_id, record))
        return outcomes

    # Look-ups

    async def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Records that have a value; see :meth:`unified.kit.adapter.BaseAdapter.find`.

        An index answers, and is up to date; text is compared without regard to case.
        """
        wanted = list(dict.fromkeys(value for value in values if value))
        met: set[str | None] = set()
        for name in await self._names_of(field):
            async with aclosing(self._having(name, wanted, await self._records.wanted())) as pages:
                async for page in pages:
                    new = [record for record in page.records if record.source_id not in met]
                    met.update(record.source_id for record in new)
                    yield replace(page, records=new)

    async def _having(
        self, name: str, values: Sequence[str], also: Iterable[str] = ()
    ) -> AsyncGenerator[Page, None]:
        for at in range(0, len(values), _VALUES):
            where = [f"{name} IN {listed(values[at : at + _VALUES])}", *also]
            async with aclosing(self._records.by_key(where)) as pages:
                async for rows, observed_at in pages:
                    found = await self._records.completed(list(zip(rows.heads, rows.records, strict=True)))
                    yield Page(found, observed_at, None)

    async def _names_of(self, field: str) -> list[str]:
        """The fields of the object that carry one of the model."""
        kind, _, key = field.partition(".")
        carried = {
            "email": ["Email", "PersonEmail"], "name": ["Name"],
            "phone": ["Phone", "MobilePhone", "PersonMobilePhone"], CUSTOM: [key],
        }.get(kind)  # fmt: skip
        known = [name for name in carried or () if await self._object.has(name)]
        if carried is None or (kind == CUSTOM and not known):
            raise ConfigurationError(
                f"{self.label}: no {self._object.name} is found by {field}; use email, name, phone or {CUSTOM}.<field>"
            )
        return known


def _digest(write: Write) -> str:
    """The key as an external id holds it: a text field of the org may be short."""
    return hashlib.sha256(write.idempotency_key.encode()).hexdigest()[:_KEY_DIGITS]


def _refusal(saved: Saved) -> Fault | None:
    """Why a record was not saved; None where only a lock was in the way, so that it may be sent again.

    A missing record is said with the same word as a reference to one; only the latter names its field.
    """
    fault = saved.errors[0] if saved.errors else Fault()
    if fault.status_code == _LOCKED:
        return None
    if fault.status_code == _UNKNOWN and any(name != "Id" for name in fault.fields):
        return Fault("INVALID_REFERENCE", fault.message, fault.fields)
    return fault


def _words(saved: Saved) -> str:
    return "; ".join(f"{one.message} ({one.status_code})" for one in saved.errors) or "no reason"


def _holds(there: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    """Whether a record has all that was sent."""
    return all((there.get(name) or None) == (value or None) for name, value in sent.items())
