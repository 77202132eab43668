"""A Stripe account as Stripe's reference describes it: pages of lists, events, idempotent creations, searches."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from tests.unified.sync.stories.exchange import Answer, Record, Request, said


@dataclass
class Stripe:
    """One account: https://docs.stripe.com/api."""

    customers: dict[str, Record] = field(default_factory=dict)
    invoices: dict[str, Record] = field(default_factory=dict)
    events: list[Record] = field(default_factory=list)
    kept: dict[str, Answer] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def create(self, **fields: Any) -> Record:
        """A customer, and its event."""
        number = next(self.numbers)
        # Ids of one second have no order of their own, so no two customers are created in one second.
        customer = {
            "id": f"cus_Told{number:04}", "object": "customer", "created": int(time.time()) - 50_000 + number,
            "livemode": False, "email": None, "name": None, "phone": None, "address": None, "shipping": None,
            "metadata": {}, "description": None, "test_clock": None, **fields,
        }  # fmt: skip
        self.customers[customer["id"]] = customer
        self._happened("customer.created", customer)
        return customer

    def update(self, customer_id: str, **fields: Any) -> Record:
        self.customers[customer_id].update(fields)
        self._happened("customer.updated", self.customers[customer_id])
        return self.customers[customer_id]

    def invoice(self, lines: int, **fields: Any) -> Record:
        """An invoice of so many lines of one euro; https://docs.stripe.com/api/invoices/object."""
        number = next(self.numbers)
        made = {
            "id": f"in_Told{number:04}", "object": "invoice", "created": int(time.time()) - 50_000 + number,
            "livemode": False, "customer": "cus_Told0000", "currency": "eur", "status": "open",
            "number": f"T-{number}", "subtotal": lines * 100, "total": lines * 100, "amount_due": lines * 100,
            "amount_paid": 0, "amount_remaining": lines * 100, "due_date": None, "metadata": {},
            "status_transitions": {}, "total_taxes": [], "total_discount_amounts": [],
            "lines": [
                {
                    "id": f"il_{number}_{line}", "object": "line_item", "amount": 100, "currency": "eur",
                    "description": f"Part {line}", "quantity": 1, "invoice": f"in_Told{number:04}",
                    "period": {"start": 1_790_000_000, "end": 1_790_000_000}, "metadata": {},
                }
                for line in range(lines)
            ],
            **fields,
        }  # fmt: skip
        self.invoices[made["id"]] = made
        return made

    def _happened(self, kind: str, record: Record) -> None:
        number = next(self.numbers)
        self.events.insert(
            0,
            {
                "id": f"evt_Told{number:04}", "object": "event", "type": kind, "created": int(time.time()),
                "livemode": False, "data": {"object": dict(record)}, "request": None, "pending_webhooks": 0,
            },
        )  # fmt: skip

    def answer(self, asked: Request) -> Answer:
        match asked.path[1:]:
            case ["v1", "account"]:
                return said({"id": "acct_Told", "object": "account"})
            case ["v1", "customers", *rest]:
                return self._customers(asked, rest)
            case ["v1", "invoices", one, "lines"]:
                return self._page(asked, self.invoices[one]["lines"], newest_first=False)
            case ["v1", "invoices", one]:
                return said(self._shown(self.invoices[one])) if one in self.invoices else _missing(one)
            case ["v1", "invoices"]:
                return self._page(asked, [self._shown(one) for one in self.invoices.values()])
            case ["v1", "events"]:
                return self._page(asked, self.events)
        return self._page(asked, [])

    def _customers(self, asked: Request, rest: list[str]) -> Answer:
        match rest:
            case []:
                return (
                    self._created(asked)
                    if asked.method == "POST"
                    else self._page(asked, [*self.customers.values()])
                )
            case ["search"]:
                return self._search(dict(asked.query)["query"])
            case [one] if one in self.customers:
                return said(
                    self.update(one, **_form(asked)) if asked.method == "POST" else self.customers[one]
                )
        return _missing(rest[0])

    def _created(self, asked: Request) -> Answer:
        """The same idempotency key has the same answer: https://docs.stripe.com/api/idempotent_requests."""
        key = asked.headers.get("idempotency-key", "")
        if key not in self.kept:
            self.kept[key] = said(self.create(**_form(asked)))
        return self.kept[key] if key else self.kept.pop(key)

    def _shown(self, invoice: Record) -> Record:
        """At most ten lines come with an invoice, the others are a list of their own."""
        lines = invoice["lines"]
        url = f"/v1/invoices/{invoice['id']}/lines"
        return {
            **invoice,
            "lines": {"object": "list", "data": lines[:10], "has_more": len(lines) > 10, "url": url},
        }

    def _search(self, query: str) -> Answer:
        """Clauses joined by OR, which don't regard case: https://docs.stripe.com/search#search-query-language."""
        wanted = [
            (name, value.replace('\\"', '"').replace("\\\\", "\\").lower())
            for name, value in re.findall(r'(\w+):"((?:[^"\\]|\\.)*)"', query)
        ]
        found = [
            one
            for one in self.customers.values()
            if any((one.get(name) or "").lower() == value for name, value in wanted)
        ]
        return said({"object": "search_result", "data": found, "has_more": False, "next_page": None})

    def _page(self, asked: Request, rows: list[Record], *, newest_first: bool = True) -> Answer:
        """https://docs.stripe.com/api/pagination; ``email`` regards case."""
        named = dict(asked.query)
        types = [value for name, value in asked.query if name in ("type", "types[]")]
        if newest_first:
            rows = sorted(rows, key=lambda one: (one["created"], one["id"]), reverse=True)
        rows = [
            one
            for one in rows
            if (not types or one.get("type") in types)
            and ("email" not in named or one["email"] == named["email"])
            and ("test_clock" not in named)
            and all(
                holds(one["created"], int(named[f"created[{word}]"]))
                for word, holds in _BOUNDS.items()
                if f"created[{word}]" in named
            )
        ]
        ids = [one["id"] for one in rows]
        if (after := named.get("starting_after")) in ids:
            rows = rows[ids.index(after) + 1 :]
        limit = int(named.get("limit", 10))
        return said({"object": "list", "url": "/v1", "has_more": len(rows) > limit, "data": rows[:limit]})


_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gte": int.__ge__,
    "gt": int.__gt__,
    "lte": int.__le__,
    "lt": int.__lt__,
}


def _form(asked: Request) -> Record:
    """Fields of a form, nested by brackets."""
    found: Record = {}
    for name, value in parse_qsl(asked.body.decode(), keep_blank_values=True):
        first, *inner = name.replace("]", "").split("[")
        if inner:
            within = found.get(first) or {}
            found[first] = within | {inner[0]: value}
        else:
            found[first] = value or None
    return found


def _missing(one: str) -> Answer:
    error = {
        "code": "resource_missing",
        "message": f"No such customer: '{one}'",
        "param": "id",
        "type": "invalid_request_error",
    }
    return said({"error": error}, 404)
