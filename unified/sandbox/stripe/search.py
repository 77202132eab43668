"""Stripe's search for customers, as far as the adapter's look-ups use it (https://docs.stripe.com/search)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.provider import Call, Reply
from unified.sandbox.stripe.query import Query, invalid

if TYPE_CHECKING:
    from unified.sandbox.stripe.account import StripeAccount

Record = dict[str, Any]

MAX_CLAUSES = 10
"""Clauses of one search."""
_CLAUSE = re.compile(
    r"""(phone|email|name|metadata)(?:\[(["'])((?:\\.|(?!\2).)*)\2\])?:(["'])((?:\\.|(?!\4).)*)\4"""
)


def search_customers(call: Call[StripeAccount]) -> Reply:
    """`GET /v1/customers/search`: clauses of equality, joined by OR, regardless of case."""
    query = Query(call.request, "query", "page")
    clauses = _clauses(query.get("query") or "")
    if not 1 <= len(clauses) <= MAX_CLAUSES:
        raise invalid(f"A query has 1 to {MAX_CLAUSES} clauses.", "query")

    def matches(record: Record) -> bool:
        return any(
            str(record["metadata"].get(key, "") if key else record[field] or "").lower() == value.lower()
            for field, key, value in clauses
        )

    customers = call.account.customers
    found = [index for index in customers.live() if matches(customers.get(index))]
    first = int(query.get("page") or 0)
    page, rest = found[first : first + query.limit], found[first + query.limit :]
    document = {
        "object": "search_result",
        "url": "/v1/customers/search",
        "has_more": bool(rest),
        "data": [msgspec.Raw(customers.encoded(index)) for index in page],
        "next_page": str(first + query.limit) if rest else None,
    }
    return Reply(msgspec.json.encode(document))


def _clauses(query: str) -> list[tuple[str, str, str]]:
    """Field, key of metadata (or empty) and value of each clause."""
    found, at = [], 0
    while at < len(query):
        match = _CLAUSE.match(query, at)
        if match is None:
            raise invalid(f"The query is not understood from character {at} on.", "query")
        found.append((match[1], _unescaped(match[3] or ""), _unescaped(match[5])))
        at = match.end() + (len(" OR ") if query.startswith(" OR ", match.end()) else 0)
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
