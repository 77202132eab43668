"""Customers as they are written, one a request, and looked up.

Each write has a ``requestid``, with which Intuit repeats its first answer. For how long is not documented, but a name
is unique among customers, vendors and employees: a creation that comes again is refused for its name, and then
compared with the customer that has it. An update names the version that it is of (``SyncToken``), which is read before.

Source: https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/customer.
"""

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from adapters.quickbooks.mapping import customer_body, to_customer
from adapters.quickbooks.pull import Entity, quoted
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.errors import ConfigurationError, NotFoundError, RequestRefusedError
from unified.kit.streams import Page, RawRecord
from unified.kit.writing.changes import Write, Written
from unified.kit.writing.one_by_one import OneByOne

_STALE, _TAKEN = "5010", "6240"
_ATTEMPTS = 3
_KEY_DIGITS = 50
_VALUES = 30
_EVER = timedelta(days=36_500)
_FOUND_BY = {"email": "PrimaryEmailAddr", "name": "DisplayName"}


class _Customer(msgspec.Struct):
    id: str = msgspec.field(name="Id")
    token: str = msgspec.field(name="SyncToken", default="0")


class _Answer(msgspec.Struct):
    customer: msgspec.Raw = msgspec.field(name="Customer")


_HEAD = msgspec.json.Decoder(_Customer)
_ANSWER = msgspec.json.Decoder(_Answer)


class CustomerWriter:
    """Writes and looks up customers."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Use a connected adapter."""
        self._adapter = adapter
        self._stream = stream.name
        self._source = Entity("Customer", is_name=True)(adapter, stream)
        self._path = f"/v3/company/{adapter.config.realm_id}/customer"

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        sender = OneByOne(
            self._send,
            self._adapter.clock,
            self._adapter.config.concurrency,
            key_kept=_EVER,
            refused=self._refused,
        )
        return sender.write(writes)

    async def _send(self, write: Write) -> RawRecord | None:
        if write.operation == "create":
            return await self._posted(write, write.body, 0)
        for attempt in range(_ATTEMPTS):
            there = await self._source.some([write.source_id or ""])
            if not there:
                if write.operation == "delete":
                    return None
                raise NotFoundError(
                    f"{self._adapter.label}: there is no customer {write.source_id}, or it is inactive"
                )
            head = _HEAD.decode(there[0].body)
            body = {"Active": False} if write.operation == "delete" else write.body
            # Without ``sparse`` all that is left out would be emptied.
            whole = {**body, "Id": head.id, "SyncToken": head.token, "sparse": True}
            try:
                shown = await self._posted(write, whole, attempt)
            except RequestRefusedError as error:
                if error.code != _STALE or attempt == _ATTEMPTS - 1:
                    raise
            else:
                return None if write.operation == "delete" else shown
        raise AssertionError("unreachable")

    async def _posted(self, write: Write, body: Mapping[str, Any], attempt: int) -> RawRecord:
        """Send one change. Another attempt is another request, as the first one's answer would come again."""
        key = f"{write.idempotency_key}:{attempt}" if attempt else write.idempotency_key
        answer = await self._adapter.http.request(
            "POST",
            self._path,
            _ANSWER,
            params={"requestid": hashlib.sha256(key.encode()).hexdigest()[:_KEY_DIGITS]},
            json=dict(body),
            effect="repeatable",
        )
        return RawRecord(_HEAD.decode(answer.customer).id, bytes(answer.customer))

    async def _refused(self, write: Write, error: RequestRefusedError) -> Written | None:
        """A creation whose name is taken: carried out by an earlier run, or in conflict with that customer."""
        if error.code != _TAKEN or write.operation != "create":
            return None
        there = await self._having("DisplayName", [write.body.get("DisplayName") or ""])
        if not there:  # a vendor or an employee has it
            return None
        if write.sent_at is not None and self._holds(there[0], write.body):
            return Written(write, "applied", there[0].source_id, there[0])
        return Written(write, "conflict", there[0].source_id, there[0], str(error))

    def _holds(self, there: RawRecord, sent: Mapping[str, Any]) -> bool:
        now = self._adapter.clock()
        origin = self._adapter.origin(self._stream, now, now)
        holds = customer_body(to_customer(self._adapter.decode(there.body), origin))
        return all(holds.get(name) == value for name, value in sent.items() if value)

    async def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Active customers that have a value; see :meth:`unified.kit.adapter.BaseAdapter.find`."""
        if field not in _FOUND_BY:
            raise ConfigurationError(
                f"{self._adapter.label}: no customer is found by {field}; use {', '.join(_FOUND_BY)}"
            )
        observed_at = self._adapter.clock()
        yield Page(await self._having(_FOUND_BY[field], values), observed_at, None)

    async def _having(self, field: str, values: Sequence[str]) -> list[RawRecord]:
        wanted = list(dict.fromkeys(value for value in values if value))
        found: dict[str | None, RawRecord] = {}
        for at in range(0, len(wanted), _VALUES):
            listed = ", ".join(quoted(value) for value in wanted[at : at + _VALUES])
            living = self._source.living(await self._source.query(f"{field} IN ({listed})"))[0]
            found |= {record.source_id: record for record in living}
        return list(found.values())
