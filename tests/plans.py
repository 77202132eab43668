"""How PostgreSQL carries out what the product asks: whether each statement on a large table has an index to go by.

Statements are not listed here: whatever is executed is explained, by the role and with the values of its transaction.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, AsyncCursor, AsyncServerCursor, sql
from psycopg.pq import TransactionStatus

# Tables that grow with a tenant's records, their partitions included.
LARGE = re.compile(
    r"unified_(customers|invoices|events|records)|webhook_(inbox|seen|dead_letters)|customer_(changes|keys)|"
    r"pushed_records|route_outbox|identity_(records|matches|keys|aliases|queue|decisions)|customer_identities|"
    r"golden_customers|gone_identities|rejects|(customers|invoices|records)_history|kept_sums|"
    r"merged_records|suppressed_records|undelivered_records|refresh_seen|audit_log|sync_history"
)
# Row level security keeps conditions of these from an index: none is leakproof.
LEAKY = re.compile(r"\b(lower|upper|right|left|split_part|regexp_\w+|strpos)\(|->>|#>>|@>|~~|::numeric")
# What reads all of a tenant's rows on purpose: a part of the statement, and why.
_RANGE = "a list's range of numbers: its page goes along the order of the list, and ends after ten seconds"
_PART = "a part of an identity's name, e-mail address or company: likewise"
ON_PURPOSE = {
    "_min)s": _RANGE,
    "_max)s": _RANGE,
    "(filter_least_records)s": _RANGE,
    "(filter_search)s": _PART,
    "custom_fields ->>": "a run under way whose route does not name the custom field any more; one reading a look-up",
}

# The first column of each index. A condition that does not begin with it reads the whole index.
_LEADING = (
    b"SELECT relname, pg_get_indexdef(oid, 1, true) FROM pg_class WHERE relname = ANY(%s) AND relkind = 'i'"
)
_ASKS = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


class Plans:
    """What was found while statements ran.

    Attributes:
        lacking: Statements without an index to go by, each with what its plan does instead.
        explained: Those that were looked at.
    """

    def __init__(self, known: set[str] | None = None) -> None:
        """Nothing was found so far; what is known is not looked at again."""
        self.lacking: dict[str, str] = {}
        self.explained: set[str] = set() if known is None else known

    async def look(self, conn: AsyncConnection[Any], query: Any, values: Any) -> None:
        """Explain a statement that is about to be executed, unless it was before."""
        text = query.as_string(conn) if isinstance(query, sql.Composable) else query
        text = text.decode() if isinstance(text, bytes) else str(text)
        in_transaction = conn.info.transaction_status == TransactionStatus.INTRANS
        if text in self.explained or not (in_transaction and _ASKS.match(text) and LARGE.search(text)):
            return
        self.explained.add(text)
        async with conn.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            # So that a plan without an index shows that there is none to use, however small the table.
            await _execute(cursor, b"SET LOCAL enable_seqscan = off")
            await _execute(cursor, f"EXPLAIN (FORMAT JSON) {text}".encode(), values, prepare=False)
            row = await cursor.fetchone()
            assert row is not None
            plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
            nodes = list(_nodes(plan[0]["Plan"]))
            await _execute(cursor, _LEADING, ([node.get("Index Name") for node in nodes],))
            leading = dict(await cursor.fetchall())
            await _execute(cursor, b"SET LOCAL enable_seqscan = on")
        for node in nodes:
            if (what := _lacks(node, leading)) and not any(part in text for part in ON_PURPOSE):
                self.lacking[text] = what


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def _lacks(node: Mapping[str, Any], leading: Mapping[str, str]) -> str | None:
    """What is wrong with one step of a plan."""
    place = str(node.get("Relation Name") or node.get("Index Name") or "")
    if not LARGE.match(place):
        return None
    filtered = f"{node.get('Filter', '')} {node.get('Recheck Cond', '')}"
    if leaky := LEAKY.search(filtered):
        return f"{place}: {leaky[0]} in {filtered}"
    is_scan = node["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan")
    if is_scan and "Index Cond" not in node:
        return f"{place}: {node['Node Type']} without a condition, filtered by {filtered}"
    if is_scan and (first := leading[node["Index Name"]]) not in node["Index Cond"]:
        return f"{place}: {node['Index Name']} begins with {first}, which {node['Index Cond']} leaves open"
    return None


_execute = AsyncCursor.execute


@contextmanager
def explained(known: set[str] | None = None) -> Iterator[Plans]:
    """Look at every statement that is executed within a block, but for those that are known; they become known."""
    plans = Plans(known)
    with pytest.MonkeyPatch.context() as patch:
        for kind in (AsyncCursor, AsyncServerCursor):
            patch.setattr(kind, "execute", _looking(kind.execute, plans))
        yield plans


def _looking(execute: Any, plans: Plans) -> Any:
    async def look_and_execute(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        await plans.look(self.connection, query, params)
        return await execute(self, query, params, **options)

    return look_and_execute
