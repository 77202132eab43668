"""`/records/…`: what is stored, looked up by what has an index, and a single record with what belongs to it.

Reading, cursors and permissions are those of the API's lists (`endpoints/records`). An identity is shown with each of
its customers.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from fastapi import Request, Response

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints.connections.syncs import RecordReader
from unified.api.management.endpoints.identities import IdentityDetail, read_identity
from unified.api.management.endpoints.records.asked import RAW, AskedRecord
from unified.api.management.endpoints.records.records import read_page, read_record
from unified.api.management.paging import AskedPage
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages.route import NO_SUCH_PAGE, refusal, router
from unified.api.pages.view import CONNECTIONS_SUGGESTED, render, see_other
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS, Entity
from unified.store.connections import rows as connections
from unified.store.identities.golden import IdentityNotFoundError
from unified.store.lists import pages
from unified.store.lists.declared import LISTS, RecordList
from unified.store.lists.pages import Wanted

COLUMNS: Mapping[Entity, tuple[str, ...]] = MappingProxyType(
    {
        CUSTOMERS: ("name", "email", "company"),
        INVOICES: ("invoice_number", "customer_id", "status", "total", "currency", "issue_date"),
        EVENTS: ("event_type", "resource_type", "resource_id", "occurred_at"),
        RECORDS: ("name", "stream"),
    }
)
"""What a list shows of a record, beside its id, its connection and when it was read."""

_OF_RECORDS = tuple(one for one in LISTS.values() if one.entity)
_INVOICES_SHOWN, _EVENTS_SHOWN, _LINES_SHOWN = 20, 20, 100
# What a page decides by itself, and the API's query leaves to its caller.
_OF_THE_PAGE = frozenset({"fields", "expand", "updated_since"})
# A refusal of what was searched for, which is best read above the search.
_SHOWN_IN_PLACE = frozenset({404, 410, 422})

routes = router()


@routes.get("/records")
async def begin(_caller: RecordReader) -> Response:
    """Go to the first list."""
    return see_other(f"/records/{_OF_RECORDS[0].name}")


@routes.get("/records/{name}")
async def list_records(
    request: Request, caller: RecordReader, services: Use, page: AskedPage, name: str
) -> Response:
    """A page of a list."""
    which = _list(name)
    given = request.query_params.multi_items()
    # A form sends fields that nobody filled in, too; the address without them says the same.
    filled = [(field, value.strip()) for field, value in given if value.strip() and field not in _OF_THE_PAGE]
    if filled != given:
        return see_other(f"/records/{name}?{urlencode(filled)}")
    found, problem = None, None
    try:
        found = await read_page(request, caller, services, which, page)
    except Exception as error:  # noqa: BLE001 - what is not shown here is raised again
        problem = refusal(error, _SHOWN_IN_PLACE)
    async with services.db.workspace(caller.workspace_id) as conn:
        known = await connections.names(conn, limit=CONNECTIONS_SUGGESTED)
    return render(
        request,
        "records.html",
        which=which,
        lists=_OF_RECORDS,
        columns=COLUMNS[_entity(which)],
        rows=[row.fields for row in found.rows] if found else [],
        address=address,
        first=f"/records/{name}?{urlencode([pair for pair in filled if pair[0] != 'cursor'])}",
        following=page.address(found.next) if found and found.next else None,
        searched=searched(which),
        query=dict(filled),
        connections=known,
        problem=problem,
    )


@routes.get("/records/{name}/{connection}/{source_id:path}")
async def show_record(
    request: Request,
    caller: RecordReader,
    services: Use,
    name: str,
    connection: str,
    source_id: str,
    stream: str | None = None,
    expand: str = "",
) -> Response:
    """One record; of a customer also its invoices, its events and its identity."""
    which = _list(name)
    wanted = AskedRecord(tuple(which.item.model_fields), stream, frozenset({RAW} & {expand}))
    try:
        record = await read_record(caller, services, which, connection, source_id, wanted)
    except Problem as problem:
        if problem.status != 422:  # noqa: PLR2004 - several streams have a record of this id
            raise
        return see_other(f"/records/{name}?{urlencode({'connection': connection, 'source_id': source_id})}")
    lines = _lines(record.pop("line_items", None))
    sent = {field: record.pop(field) for field in which.raw if field in record}
    beside = await _beside(caller, services, record) if which.entity is CUSTOMERS else {}
    return render(
        request,
        "record.html",
        which=which,
        record=record,
        address=address,
        lines=lines[:_LINES_SHOWN],
        more_lines=len(lines) - _LINES_SHOWN,
        columns={entity.name: columns for entity, columns in COLUMNS.items()},
        sent=sent,
        **{"invoices": None, "events": None, "identity": None, **beside},
    )


def searched(which: RecordList) -> list[str]:
    """Names of the filters that a search offers: those that an index serves."""
    return [name for name, one in which.filters.items() if one.lookup or name in which.key]


def address(name: str, connection: str, source_id: str, stream: str | None = None) -> str:
    """Path of a record's page, whatever characters its id has."""
    query = f"?{urlencode({'stream': stream})}" if stream else ""
    return f"/records/{name}/{quote(connection, safe='')}/{quote(source_id, safe='')}{query}"


async def _beside(caller: Caller, services: Services, customer: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to a customer: its newest invoices and events, and its identity, where it has one yet."""
    of_connection = {"connection": [str(customer["connection_id"])]}
    newest = (
        (INVOICES, "customer_id", "issue_date", _INVOICES_SHOWN),
        (EVENTS, "resource_id", "occurred_at", _EVENTS_SHOWN),
    )
    found: dict[str, Any] = {}
    async with services.db.workspace(caller.workspace_id) as conn:
        await pages.start(conn)
        for entity, by_customer, by, limit in newest:
            which = LISTS[entity.name]
            fields = ("connection", "stream", "source_id", "deleted_at", "synced_at", *COLUMNS[entity])
            values = {**of_connection, by_customer: [customer["source_id"]]}
            wanted = Wanted(fields=tuple(dict.fromkeys(fields)), values=values)
            rows = await pages.newest(conn, which, wanted, by=by, limit=limit)
            found[entity.name] = [row.fields for row in rows]
    found["identity"] = await _identity(caller, services, customer)
    return found


async def _identity(caller: Caller, services: Services, customer: Mapping[str, Any]) -> IdentityDetail | None:
    try:
        return await read_identity(services, caller.workspace_id, customer["unified_id"])
    except IdentityNotFoundError:  # it was read after the last run that resolves
        return None


def _lines(stored: Any) -> list[Mapping[str, Any]]:
    """An invoice's lines; amounts stay exact."""
    if isinstance(stored, msgspec.Raw):
        stored = json.loads(bytes(stored), parse_float=Decimal)
    return list(stored or ())


def _list(name: str) -> RecordList:
    which = LISTS.get(name)
    if which is None or which.entity is None:
        raise NO_SUCH_PAGE
    return which


def _entity(which: RecordList) -> Entity:
    assert which.entity  # noqa: S101 - `_list` lets no other pass
    return which.entity
