"""Records: searched page by page, one of them, and all that is known of one customer."""

from collections import defaultdict
from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import quote
from uuid import UUID

import msgspec
from pydantic import Field

from unified.api.mcp.agent import Agent, RefusedError
from unified.api.mcp.tool import DATA, MOST_ROWS, Answer, Arguments, ConnectionName, Tool, Values
from unified.schema.invoice import InvoiceKind, InvoiceStatus
from unified.store.lists.declared import LISTS, RecordList
from unified.store.records.tables import column_type

_USUAL_ROWS = 20
_SHOWN_INVOICES = 20
_API_PAGE = 1_000
_OWED = (InvoiceStatus.OPEN, InvoiceStatus.PARTIALLY_PAID)
_OF_INVOICE = (
    "source_id", "invoice_number", "status", "kind", "total", "amount_remaining", "currency", "issue_date", "due_date",
)  # fmt: skip

Listed = Literal["customers", "invoices", "events", "records", "identities"]
Stored = Literal["customers", "invoices", "events", "records"]
FieldNames = Annotated[
    list[str] | None,
    Field(
        description="Only these; by default all but lists and objects. unified://tables/{entity} names them."
    ),
]


class Search(Arguments):
    """Of `unified_search_records`."""

    entity: Listed
    filters: Annotated[
        dict[str, Values],
        Field(
            default_factory=dict,
            description='Such as {"status": ["open"], "total_min": "100.00", "connection": "main"}; '
            "a name that is not one is answered with those there are.",
        ),
    ]
    fields: FieldNames = None
    changed_since: Annotated[
        str | None,
        Field(
            description="A time with zone, or the changes_since of an earlier answer: only what changed after."
        ),
    ] = None
    deleted: Annotated[
        Literal["false", "true", "only"],
        Field(description="Whether records come that were deleted at their source."),
    ] = "false"
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = _USUAL_ROWS
    cursor: Annotated[str | None, Field(description="The next of the page before.")] = None


class Get(Arguments):
    """Of `unified_get_record`."""

    entity: Stored
    connection: ConnectionName
    source_id: Annotated[str, Field(max_length=1_000, description="The record's id in its source.")]
    stream: Annotated[str | None, Field(description="Where several streams use that id.")] = None
    fields: FieldNames = None
    add: Annotated[
        list[Literal["lines", "history", "raw"]],
        Field(
            default_factory=list,
            description="lines of an invoice; history: last syncs; raw: as the source sent it (records:raw).",
        ),
    ]


class OfCustomer(Arguments):
    """Of `unified_customer_360`."""

    customer: Annotated[
        str,
        Field(max_length=320, description="An e-mail address, an identity_id, or a record's unified_id."),
    ]


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next: str | None
    since: str


class _Invoice(msgspec.Struct):
    status: str | None
    kind: str | None
    amount_remaining: Decimal | None
    currency: str | None
    issue_date: str | None


class _IdentityRecord(msgspec.Struct):
    connection: str
    source_id: str


class _Identity(msgspec.Struct):
    identity_id: UUID
    golden: msgspec.Raw
    records: list[msgspec.Raw]


class _Named(msgspec.Struct):
    unified_id: UUID


def usual_fields(which: RecordList) -> list[str]:
    """Fields that come unless others are chosen: what is neither a list nor an object."""
    return [
        name
        for name in which.usual
        if column_type(which.item.model_fields[name].annotation) not in ("json", "jsonb", "text[]")
    ]


async def _search(agent: Agent, asked: Search) -> Answer:
    which = LISTS[asked.entity]
    if asked.filters.keys() - which.filters.keys():
        there = ", ".join(sorted(which.filters))
        raise RefusedError(f"There is a filter that {which.name} do not have; there are {there}.")
    query = [(name, value) for name, values in asked.filters.items() for value in values]
    query += [("fields", ",".join(asked.fields or usual_fields(which))), ("limit", str(asked.limit))]
    if which.entity:
        query.append(("include_deleted", asked.deleted))
    query += [
        (name, given)
        for name, given in (("updated_since", asked.changed_since), ("cursor", asked.cursor))
        if given is not None
    ]
    page = msgspec.json.decode(await agent.get(f"/api/{which.name}", query), type=_Page)
    content = {"note": DATA, "rows": page.items, "next": page.next, "changes_since": page.since}
    return Answer(content, len(page.items))


async def _get(agent: Agent, asked: Get) -> Answer:
    which = LISTS[asked.entity]
    query = [("fields", ",".join(asked.fields or usual_fields(which)))]
    if asked.add:
        query.append(("expand", ",".join(asked.add)))
    if asked.stream is not None:
        query.append(("stream", asked.stream))
    place = f"{quote(asked.connection, safe='')}/{quote(asked.source_id, safe='')}"
    found = await agent.get(f"/api/{which.name}/{place}", query)
    return Answer({"note": DATA, "row": msgspec.Raw(found)}, 1)


async def _customer_360(agent: Agent, asked: OfCustomer) -> Answer:
    reference = await _reference(agent, asked.customer)
    identity = msgspec.json.decode(await agent.get(f"/api/identities/{reference}"), type=_Identity)
    by_connection: dict[str, list[str]] = defaultdict(list)
    for raw in identity.records[:MOST_ROWS]:
        record = msgspec.json.decode(raw, type=_IdentityRecord)
        by_connection[record.connection].append(record.source_id)
    shown: list[tuple[str, str, msgspec.Raw]] = []
    owed: dict[str, Decimal] = defaultdict(Decimal)
    is_whole = len(identity.records) <= MOST_ROWS
    for connection, ids in by_connection.items():
        query = [("connection", connection), ("fields", ",".join(_OF_INVOICE)), ("limit", str(_API_PAGE))]
        body = await agent.get("/api/invoices", [*query, *(("customer_id", one) for one in ids)])
        page = msgspec.json.decode(body, type=_Page)
        is_whole = is_whole and page.next is None
        for raw in page.items:
            invoice = msgspec.json.decode(raw, type=_Invoice)
            shown.append((invoice.issue_date or "", connection, raw))
            if invoice.status in _OWED and invoice.kind != InvoiceKind.PAYABLE and invoice.amount_remaining:
                owed[str(invoice.currency)] += invoice.amount_remaining
    shown.sort(key=lambda one: one[:2], reverse=True)
    content = {
        "note": DATA,
        "identity_id": identity.identity_id,
        "golden": identity.golden,
        "records": identity.records[:MOST_ROWS],
        "invoices": len(shown),
        "owed_by_currency": {currency: str(amount) for currency, amount in sorted(owed.items())},
        "counts_all_invoices": is_whole,
        "newest_invoices": [
            {"connection": connection, "invoice": raw} for _, connection, raw in shown[:_SHOWN_INVOICES]
        ],
    }
    return Answer(content, len(identity.records[:MOST_ROWS]) + len(shown[:_SHOWN_INVOICES]))


async def _reference(agent: Agent, customer: str) -> UUID:
    """An id that leads to an identity."""
    try:
        return UUID(customer)
    except ValueError:
        pass
    query = [("email", customer), ("fields", "unified_id"), ("limit", "1")]
    page = msgspec.json.decode(await agent.get("/api/customers", query), type=_Page)
    if not page.items:
        raise RefusedError(
            "No customer has this e-mail address; look for them with unified_search_records, entity identities, "
            "filter search, and pass the identity_id."
        )
    return msgspec.json.decode(page.items[0], type=_Named).unified_id


_READS = frozenset({"records:read"})

TOOLS: tuple[Tool, ...] = (
    Tool(
        name="unified_search_records",
        description="Pages of customers, invoices, events, other records, or identities (one customer across systems), "
        f"by filters, {MOST_ROWS} rows at most. Amounts are exact decimals as text, beside their currency; times are "
        f"UTC. {DATA}",
        takes=Search,
        permissions=_READS,
        call=_search,
    ),
    Tool(
        name="unified_get_record",
        description=f"One record by its connection and its id there, also where it is deleted. {DATA}",
        takes=Get,
        permissions=_READS,
        call=_get,
    ),
    Tool(
        name="unified_customer_360",
        description="One customer across all systems: best values with where each is from, the records of each system "
        f"with why they belong together, what is owed by currency, and the newest invoices. {DATA}",
        takes=OfCustomer,
        permissions=_READS,
        call=_customer_360,
    ),
)
