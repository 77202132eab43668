"""Stripe's customers as they are written and looked up, one request each.

A change carries its idempotency key, so that it may be sent again until Stripe has answered
(https://docs.stripe.com/api/idempotent_requests). Not here: what a body holds (``mapping``).
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from unified.kit.errors import ConfigurationError, NotFoundError, RequestRefusedError, UndecidedError
from unified.kit.http.client import HttpClient
from unified.kit.reading.windows import side_by_side
from unified.kit.streams import Page, RawRecord
from unified.kit.writing.changes import CUSTOM, Report, Write, Written, carry_out, report_unknown

_PATH = "/v1/customers"
_MISSING = "resource_missing"
_PAGE = "100"
# Stripe may forget a key when it is 24 hours old, and would then create the customer once more.
_KEY_KEPT = timedelta(hours=23)
# https://docs.stripe.com/search#search-query-language: clauses of one query.
_CLAUSES = 10


class _Head(msgspec.Struct):
    id: str


class _Found(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool = False
    next_page: str | None = None


_OBJECT = msgspec.json.Decoder(msgspec.Raw)
_HEAD = msgspec.json.Decoder(_Head)
_FOUND = msgspec.json.Decoder(_Found)


class StripeWriter:
    """Writes and looks up customers through a connection's HTTP client."""

    def __init__(self, http: HttpClient, clock: Callable[[], datetime], *, at_once: int) -> None:
        """Use an open client.

        Args:
            http: Has the limits ``customers``, ``customer`` and ``search``.
            clock: Tells how old an idempotency key is.
            at_once: Requests under way at most.
        """
        self._http = http
        self._clock = clock
        self._at_once = at_once

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        return carry_out((partial(self._write, write) for write in writes), at_once=self._at_once)

    async def _write(self, write: Write, report: Report) -> None:
        if (
            write.operation == "create"
            and write.sent_at is not None
            and self._clock() - write.sent_at > _KEY_KEPT
        ):
            reason = (
                "it was sent a day ago, and Stripe has forgotten its idempotency key; look the customer up"
            )
            report(Written(write, "unknown", reason=reason))
            return
        try:
            raw = await self._send(write)
        except UndecidedError as error:
            report_unknown([write], error, report)
            raise
        except NotFoundError as error:
            if error.code != _MISSING or write.source_id is None:
                raise
            report(Written(write, "missing", write.source_id, reason=str(error)))
        except RequestRefusedError as error:
            report(Written(write, "refused", write.source_id, reason=str(error)))
        else:
            report(_applied(write, raw))

    async def _send(self, write: Write) -> msgspec.Raw:
        """One request; the answer to a delete says only that it was done."""
        path = _PATH if write.source_id is None else f"{_PATH}/{quote(write.source_id, safe='')}"
        limit = "customers" if write.source_id is None else "customer"
        if write.operation == "delete":
            return await self._http.request("DELETE", path, _OBJECT, limit=limit, effect="repeatable")
        return await self._http.request(
            "POST",
            path,
            _OBJECT,
            form=dict(form(write.body)),
            headers={"idempotency-key": write.idempotency_key},
            limit=limit,
            effect="repeatable",
        )

    async def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Customers that have a value; see :meth:`unified.kit.adapter.BaseAdapter.find`.

        Those with an e-mail address are listed, which is up to date and regards case
        (https://docs.stripe.com/api/customers/list): an address is looked for as it is and in lower case.
        Everything else is searched for, and so may be a minute old (https://docs.stripe.com/search).
        """
        wanted = list(dict.fromkeys(value for value in values if value))
        if field == "email":
            spellings = dict.fromkeys(one for value in wanted for one in (value, value.lower()))
            queries = [(_PATH, "customers", ("email", one)) for one in spellings]
        else:
            clauses = [f"{_search_field(field)}:{_quoted(value)}" for value in wanted]
            queries = [
                (f"{_PATH}/search", "search", ("query", " OR ".join(clauses[at : at + _CLAUSES])))
                for at in range(0, len(clauses), _CLAUSES)
            ]
        for at in range(0, len(queries), self._at_once):
            observed_at = self._clock()
            found = await side_by_side([self._all(*query) for query in queries[at : at + self._at_once]])
            records = {_HEAD.decode(raw).id: bytes(raw) for some in found for raw in some}
            yield Page([RawRecord(one, body) for one, body in records.items()], observed_at, None)

    async def _all(self, path: str, limit: str, condition: tuple[str, str]) -> list[msgspec.Raw]:
        """Every page of a list or of a search; they name what follows in different ways."""
        found: list[msgspec.Raw] = []
        following: list[tuple[str, str]] = []
        while True:
            params = [("limit", _PAGE), condition, *following]
            page = await self._http.request("GET", path, _FOUND, params=params, limit=limit)
            found += page.data
            if not page.has_more or not page.data:
                return found
            after = (
                ("page", page.next_page) if page.next_page else ("starting_after", _HEAD.decode(found[-1]).id)
            )
            following = [after]


def _applied(write: Write, raw: msgspec.Raw) -> Written:
    try:
        customer_id = _HEAD.decode(raw).id
    except msgspec.MsgspecError:
        return Written(write, "unknown", write.source_id, reason="Stripe's answer names no customer")
    return Written(
        write,
        "applied",
        customer_id,
        None if write.operation == "delete" else RawRecord(customer_id, bytes(raw)),
    )


def form(body: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    """Nested parameters as a form: ``address[line1]``; None empties, as an empty text does.

    https://docs.stripe.com/api/metadata has the rule for single keys of metadata.
    """
    for name, value in body.items():
        key = f"{within}[{name}]" if within else name
        if isinstance(value, Mapping):
            yield from form(value, key)
        else:
            yield key, "" if value is None else str(value)


def _search_field(field: str) -> str:
    """The name of a field in a search: https://docs.stripe.com/search#query-fields-for-customers."""
    name, _, key = field.partition(".")
    if field == "phone":
        return "phone"
    if name == CUSTOM and key:
        return f"metadata[{_quoted(key)}]"
    msg = f"Stripe finds no customers by {field}; use email, phone or {CUSTOM}.<key>"
    raise ConfigurationError(msg)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
