"""Contacts as they are written, fifty a request, and looked up.

A contact's name is unique among those that are not archived, and a creation under a taken name may change the contact
that has it (https://github.com/XeroAPI/xero-php-oauth2/issues/191): so names are looked up before. For how long Xero
knows an idempotency key is not documented: a creation of an earlier run is looked up before it is sent again. There is
no version to write against: what an update or an archival is about is read before.

Not here: what a body holds (``mapping``).
"""

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import msgspec

from adapters.xero.lists import API, CONTACTS, IDS
from adapters.xero.mapping import customer_body, to_customer
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.errors import ConfigurationError, ProtocolError, ProviderError
from unified.kit.streams import Page, RawRecord
from unified.kit.writing.batched import BatchOutcome, BatchTarget, Lane, Refused
from unified.kit.writing.changes import CUSTOM, Write, Written

# Values in one look-up, so that it fits into a URL.
_VALUES = 15

# Fields that contacts are found by: https://developer.xero.com/documentation/api/accounting/contacts#optimised-use.
_FOUND_BY = {
    "email": "EmailAddress",
    "name": "Name",
    f"{CUSTOM}.account_number": "AccountNumber",
}
_TAKEN = "already assigned"


class _Contact(msgspec.Struct):
    id: str = msgspec.field(name="ContactID", default="")
    name: str = msgspec.field(name="Name", default="")
    status: str = msgspec.field(name="ContactStatus", default="ACTIVE")


class _Error(msgspec.Struct):
    message: str = msgspec.field(name="Message", default="")


class _Outcome(_Contact):
    errors: list[_Error] = msgspec.field(name="ValidationErrors", default_factory=list)


class _Contacts(msgspec.Struct):
    all: list[msgspec.Raw] = msgspec.field(name="Contacts")


_LIST = msgspec.json.Decoder(_Contacts)
_CONTACT = msgspec.json.Decoder(_Contact)
_OUTCOME = msgspec.json.Decoder(_Outcome)


class XeroWriter(BatchTarget):
    """Writes and looks up contacts."""

    size = (
        50  # https://developer.xero.com/documentation/api/accounting/requests-and-responses#multiple-elements
    )

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Use a connected adapter."""
        super().__init__(adapter)
        self._stream = stream.name

    # Changes

    def lane(self, write: Write) -> Lane:
        """A creation is looked up before it is sent once more."""
        return Lane(write.operation, is_repeatable=write.operation != "create")

    async def send(self, lane: Lane, writes: Sequence[Write]) -> BatchOutcome:
        """Look up what is there, then one request for what is left; its outcomes are in the order of the contacts."""
        known = await (self._taken(writes) if lane.action == "create" else self._gone(writes))
        settled = [write for write, _ in known]
        left = [write for write in writes if write not in settled]
        outcomes = [written for _, written in known]
        if not left:
            return BatchOutcome(outcomes)
        answers = await self._posted(lane, left)
        refused = []
        for write, answer in zip(left, answers, strict=True):
            said = _OUTCOME.decode(answer)
            if said.errors:
                words = "; ".join(error.message for error in said.errors)
                refused.append(Refused(write, "taken" if _TAKEN in words else "", words))
            else:
                shown = None if write.operation == "delete" else RawRecord(said.id, bytes(answer))
                outcomes.append(Written(write, "applied", write.source_id or said.id, shown))
        return BatchOutcome(outcomes, refused)

    async def _posted(self, lane: Lane, writes: Sequence[Write]) -> list[msgspec.Raw]:
        answers: _Contacts = await self._adapter.http.request(
            "PUT" if lane.action == "create" else "POST",
            f"{API}/Contacts",
            _LIST,
            params={"summarizeErrors": "false"},
            json={"Contacts": [_element(write) for write in writes]},
            headers={"idempotency-key": _digest(writes)},
            effect="repeatable",
        )
        if len(answers.all) != len(writes):
            raise ProtocolError(
                f"{self.label}: Xero answered {len(writes)} contacts with {len(answers.all)} outcomes. The next run "
                "looks which were written"
            )
        return answers.all

    async def _taken(self, writes: Sequence[Write]) -> list[tuple[Write, Written]]:
        """Creations whose name another contact has."""
        there = await self._named(writes)
        reason = "Xero has a contact of that name, and names are unique"
        return [
            (write, Written(write, "conflict", found.source_id, found, reason))
            for write in writes
            if (found := there.get(_folded(write.body.get("Name")))) is not None
        ]

    async def _gone(self, writes: Sequence[Write]) -> list[tuple[Write, Written]]:
        """Updates of contacts that are not there or archived, which are missing, and archivals, which are done."""
        active: set[str] = set()
        ids = [write.source_id or "" for write in writes]
        for at in range(0, len(ids), IDS):
            asked = (("IDs", ",".join(ids[at : at + IDS])),)
            active |= {
                one.id for one in map(_CONTACT.decode, await self._listed(asked)) if one.status == "ACTIVE"
            }
        return [
            (write, Written(write, "applied" if write.operation == "delete" else "missing", write.source_id))
            for write in writes
            if write.source_id not in active
        ]

    async def refusal(self, write: Write, error: ProviderError) -> Refused:
        """A request with one contact that was refused as a whole."""
        return Refused(write, error.code or "", str(error))

    async def settle(self, refused: Sequence[Refused]) -> list[Written]:
        """What a refusal means for its contact: a taken name is a conflict with the contact that has it."""
        taken = [one.write for one in refused if one.category == "taken" and one.write.operation == "create"]
        there = await self._named(taken) if taken else {}
        outcomes = []
        for one in refused:
            if one.write in taken:
                found = there.get(_folded(one.write.body.get("Name")))
                source_id = None if found is None else found.source_id
                outcomes.append(Written(one.write, "conflict", source_id, found, one.reason))
            else:
                outcomes.append(Written(one.write, "refused", one.write.source_id, reason=one.reason))
        return outcomes

    async def look_up(self, writes: Sequence[Write]) -> list[Written]:
        """Creations that were carried out: a contact of that name holds all that was sent."""
        there = await self._named(writes)
        return [
            Written(write, "applied", found.source_id, found)
            for write in writes
            if (found := there.get(_folded(write.body.get("Name")))) is not None
            and self._holds(found, write.body)
        ]

    def _holds(self, there: RawRecord, sent: Mapping[str, Any]) -> bool:
        now = self._adapter.clock()
        raw = self._adapter.decode(there.body)
        holds = customer_body(to_customer(raw, self._adapter.origin(self._stream, now, now)))
        return all(holds.get(name) == value for name, value in sent.items() if value)

    # Look-ups

    async def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Contacts that have a value; see :meth:`unified.kit.adapter.BaseAdapter.find`."""
        if field not in _FOUND_BY:
            raise ConfigurationError(
                f"{self.label}: no contact is found by {field}; use {', '.join(_FOUND_BY)}"
            )
        observed_at = self._adapter.clock()
        yield Page(await self._having(_FOUND_BY[field], values), observed_at, None)

    async def _named(self, writes: Sequence[Write]) -> dict[str, RawRecord]:
        """Active contacts by their names, those of some creations."""
        found = await self._having("Name", [write.body.get("Name") or "" for write in writes])
        return {_folded(_CONTACT.decode(one.body).name): one for one in found}

    async def _having(self, field: str, values: Sequence[str]) -> list[RawRecord]:
        wanted = list(dict.fromkeys(value for value in values if value))
        found: dict[str, RawRecord] = {}
        for at in range(0, len(wanted), _VALUES):
            where = " OR ".join(f"{field}=={_quoted(value)}" for value in wanted[at : at + _VALUES])
            for raw in await self._listed((("where", where),)):
                contact = _CONTACT.decode(raw)
                if contact.status == "ACTIVE":
                    found[contact.id] = RawRecord(contact.id, bytes(raw))
        return list(found.values())

    async def _listed(self, asked: Sequence[tuple[str, str]]) -> list[msgspec.Raw]:
        """All contacts that fit, whole."""
        pages = CONTACTS.endpoint.pages(self._adapter.http, asked)
        return [item async for part in pages for item in part.items]


def _element(write: Write) -> dict[str, Any]:
    archived = {"ContactStatus": "ARCHIVED"} if write.operation == "delete" else {}
    return {**({"ContactID": write.source_id} if write.source_id else {}), **write.body, **archived}


def _digest(writes: Sequence[Write]) -> str:
    """The key of a request, of 128 characters at most; that of the very same contacts only."""
    return hashlib.sha256("\n".join(write.idempotency_key for write in writes).encode()).hexdigest()


def _folded(name: str | None) -> str:
    return (name or "").casefold()


def _quoted(value: str) -> str:
    doubled = value.replace('"', '""')
    return f'"{doubled}"'
