"""Stripe's customers as they are written and looked up, one request each.

A change carries its idempotency key, so that it may be sent again until Stripe has answered
(https://docs.stripe.com/api/idempotent_requests). Not here: what a body holds (``mapping``).
"""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from adapters.stripe.reading import stripe_list
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.errors import ConfigurationError, PermissionDeniedError, RequestRefusedError
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import Token
from unified.kit.reading.raw import found_once, id_of, raw_record
from unified.kit.streams import Page, RawRecord
from unified.kit.writing.changes import CUSTOM, Write, Written
from unified.kit.writing.one_by_one import OneByOne

_PATH = "/v1/customers"
_EMAIL = "email"
_MISSING = "resource_missing"
# Stripe may forget a key when it is 24 hours old, and would then create the customer once more.
_KEY_KEPT = timedelta(hours=23)
# https://docs.stripe.com/search#search-query-language: clauses of one query.
_CLAUSES = 10
# https://docs.stripe.com/api/pagination/search: a search names the next page by itself.
_SEARCH_PAGING = Token("page", ("next_page",))


_OBJECT = msgspec.json.Decoder(msgspec.Raw)


class StripeWriter:
    """Writes and looks up customers."""

    def __init__(self, adapter: BaseAdapter[Any], _: Stream) -> None:
        """Use a connected adapter, whose client has the limits ``customers``, ``customer`` and ``search``."""
        self._http = adapter.http
        self._clock = adapter.clock
        self._at_once = adapter.config.concurrency

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        one_by_one = OneByOne(
            self._send,
            self._clock,
            self._at_once,
            key_kept=_KEY_KEPT,
            is_missing=lambda error: error.code == _MISSING,
        )
        return one_by_one.write(writes)

    async def _send(self, write: Write) -> RawRecord | None:
        """One request; the answer to a delete says only that it was done."""
        path = _PATH if write.source_id is None else f"{_PATH}/{quote(write.source_id, safe='')}"
        limit = "customers" if write.source_id is None else "customer"
        if write.operation == "delete":
            await self._http.request("DELETE", path, _OBJECT, limit=limit, effect="repeatable")
            return None
        raw = await self._http.request(
            "POST",
            path,
            _OBJECT,
            form=dict(form(write.body)),
            headers={"idempotency-key": write.idempotency_key},
            limit=limit,
            effect="repeatable",
        )
        return raw_record(id_of(raw), raw)

    def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Customers that have a value; see :meth:`unified.kit.adapter.BaseAdapter.find`.

        Those with an e-mail address are listed, which is up to date and regards case
        (https://docs.stripe.com/api/customers/list): an address is looked for as it is and in lower case. Written in
        another way, a search finds it, which may be a minute old (https://docs.stripe.com/search); an account that
        has no search (in India) does without. Everything else is only searched for.
        """
        wanted = list(dict.fromkeys(value for value in values if value))
        searches = self._searches(field, wanted)
        if field == _EMAIL:
            listed = stripe_list(_PATH, limit="customers")
            spellings = dict.fromkeys(one for value in wanted for one in (value, value.lower()))
            queries = [partial(self._all, listed, (_EMAIL, one)) for one in spellings]
            queries += [partial(self._if_offered, *search) for search in searches]
        else:
            queries = [partial(self._all, *search) for search in searches]
        return found_once(queries, clock=self._clock, at_once=self._at_once)

    def _searches(self, field: str, values: Sequence[str]) -> list[tuple[ListEndpoint, tuple[str, str]]]:
        clauses = [f"{_search_field(field)}:{_quoted(value)}" for value in values]
        searched = replace(stripe_list(f"{_PATH}/search", limit="search"), paging=_SEARCH_PAGING)
        return [
            (searched, ("query", " OR ".join(clauses[at : at + _CLAUSES])))
            for at in range(0, len(clauses), _CLAUSES)
        ]

    async def _if_offered(self, searched: ListEndpoint, condition: tuple[str, str]) -> list[msgspec.Raw]:
        """What a search finds; nothing where the account has no search. The lists beside it stand by themselves."""
        try:
            return await self._all(searched, condition)
        except (PermissionDeniedError, RequestRefusedError):
            return []

    async def _all(self, listed: ListEndpoint, condition: tuple[str, str]) -> list[msgspec.Raw]:
        return [raw async for part in listed.pages(self._http, [condition]) for raw in part.items]


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
    if field in (_EMAIL, "phone"):
        return field
    if name == CUSTOM and key:
        return f"metadata[{_quoted(key)}]"
    msg = f"Stripe finds no customers by {field}; use email, phone or {CUSTOM}.<key>"
    raise ConfigurationError(msg)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
