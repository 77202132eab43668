"""`/api/{customers,invoices,events,records,identities}`: what is stored, page by page, and single records.

The five are one declaration (:mod:`unified.store.lists.declared`): the routes are made of it, in a loop.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field, create_model

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import json_answer, unless_known
from unified.api.management.endpoints.connections.syncs import HistoryEntry, RecordReader, shown_entry
from unified.api.management.endpoints.records.asked import (
    CHANGES,
    HISTORY,
    RAW,
    Asked,
    AskedRecord,
    Mark,
    asked,
    asked_record,
    choices,
    expansions_of_record,
    parameters,
)
from unified.api.management.paging import Paging, marked, paged, scope_of
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.store.lists import pages
from unified.store.lists.declared import LISTS, RecordList
from unified.store.lists.pages import Place, Row, Start
from unified.store.records import history

LARGEST_PAGE = 1_000
_USUAL_PAGE = 100
_SYNCS = 20

_READ_RAW = Rule("records:raw", in_workspace=True)
_STREAM = {
    "name": "stream",
    "in": "query",
    "required": False,
    "description": "The stream, where several of the connection's streams have a record of this id.",
    "schema": {"type": "string", "maxLength": 100},
}

routes = router("/api", "Records")


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of a list.

    Attributes:
        items: In the list's order, or in that of changes.
        next: Cursor of the next page; None on the last one.
        since: For ``updated_since``: later gives what changed after this page, or, in the list's own order, after its
            first page was read.
    """

    items: list[Mapping[str, Any]]
    next: str | None
    since: str


def _page_model(which: RecordList) -> type[BaseModel]:
    return create_model(
        f"{which.item.__name__.removeprefix('Listed')}Page",
        items=(list[which.item], Field(description="In the list's order, or in that of changes.")),  # type: ignore[name-defined]
        next=(str | None, Field(description="Cursor of the next page; null on the last one.")),
        since=(
            str,
            Field(
                description="As `updated_since` later: what changed after this page, or, in the list's own order, "
                "after its first page was read."
            ),
        ),
    )


def _record_model(which: RecordList) -> type[BaseModel]:
    added: dict[str, Any] = {
        name: (Any, Field(default=None, description="As the source sent it.")) for name in which.raw
    }
    runs = Field(default=None, description=f"The last {_SYNCS} syncs of its stream, newest first.")
    return create_model(
        which.item.__name__.removeprefix("Listed"),
        __base__=which.item,
        history=(list[HistoryEntry] | None, runs),
        **added,
    )


def _add_list(which: RecordList) -> None:
    async def list_items(
        request: Request,
        caller: RecordReader,
        services: Use,
        page: Annotated[Paging, Depends(paged(_USUAL_PAGE, LARGEST_PAGE))],
    ) -> Response:
        found = await read_page(request, caller, services, which, page)
        since = marked(scope_of(request, CHANGES), found.since)
        shown = RecordPage([row.fields for row in found.rows], found.next, since)
        answer = json_answer(shown, headers=page.link(found.next))
        # The place in the order of changes moves on with every transaction; the former one is as good.
        return unless_known(request, answer, of=(shown.items, found.next is None))

    routes.add_api_route(
        f"/{which.name}",
        list_items,
        methods=["GET"],
        name=f"list_{which.name}",
        response_model=_page_model(which),
        summary=f"List {which.name}",
        description=f"{which.name.capitalize()} of all connections, those deleted at their source left out."
        if which.entity
        else "Golden customers: each identity with the best of what its records say.",
        openapi_extra={"parameters": parameters(which)},
    )


def _add_record(which: RecordList) -> None:
    async def show(
        request: Request,
        caller: RecordReader,
        services: Use,
        connection: Annotated[str, Path(max_length=100, description="Name or id of the connection.")],
        source_id: Annotated[str, Path(max_length=1_000, description="The record's id in its source.")],
    ) -> Response:
        wanted = asked_record(request, which)
        shown = await read_record(caller, services, which, connection, source_id, wanted)
        return unless_known(request, json_answer(shown))

    name = which.name.removesuffix("s")
    routes.add_api_route(
        f"/{which.name}/{{connection}}/{{source_id:path}}",
        show,
        methods=["GET"],
        name=f"show_{name}",
        response_model=_record_model(which),
        summary=f"Show {name}",
        description=f"One of {which.name} by its connection and its id there, also where it is deleted.",
        openapi_extra={"parameters": [_STREAM, *choices(which, expansions_of_record(which))]},
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A page that was read.

    Attributes:
        rows: In the list's order, or in that of changes.
        next: Cursor of the next page; None on the last one.
        since: Where the changes after this page begin.
    """

    rows: list[Row]
    next: str | None
    since: Mark


async def read_page(
    request: Request, caller: Caller, services: Services, which: RecordList, page: Paging
) -> Found:
    """The page of a list that a request's query asks for.

    Raises:
        Problem: 422 where the query or the cursor is not usable; 410 where its place means nothing any more.
        ConnectionNotFoundError: If it names a connection that is not there.
        TooSlowError: If no index finds what it asks for in time.
    """
    wanted = asked(request, which)
    async with services.db.workspace(caller.workspace_id) as conn:
        begun = await pages.start(conn, wanted.wanted.since)
        read = _in_order if wanted.changes is None else _in_order_of_changes
        return await read(conn, which, wanted, page, begun)


async def read_record(
    caller: Caller,
    services: Services,
    which: RecordList,
    connection: str,
    source_id: str,
    wanted: AskedRecord,
) -> dict[str, Any]:
    """A single record: the fields that are wanted and what is added, by name.

    Args:
        caller: Needs ``records:raw`` for what the source sent.
        services: Has the database.
        which: The list.
        connection: Name or id.
        source_id: The record's id in its source.
        wanted: Of it.

    Raises:
        Problem: 403 without that permission; 404 where there is no such record, 422 where there are several.
        ConnectionNotFoundError: If the connection is not there.
    """
    if RAW in wanted.expand:
        _READ_RAW.check(caller)
    async with services.db.workspace(caller.workspace_id) as conn:
        await pages.start(conn)
        (connection_id,) = await pages.connection_ids(conn, [connection])
        fields = dict.fromkeys((*wanted.fields, "stream"))
        found = await pages.single(conn, which, list(fields), connection_id, source_id, stream=wanted.stream)
        row = _only(found, which)
        shown = {name: row.fields[name] for name in wanted.fields}
        if RAW in wanted.expand:
            shown |= await pages.raw(conn, which, row)
        if HISTORY in wanted.expand:
            runs = await history.recent(conn, connection_id, stream=row.fields["stream"], limit=_SYNCS)
            dagster_url = services.settings.management.dagster_url
            shown["history"] = [shown_entry(run, dagster_url) for run in runs]
    return shown


async def _in_order(conn: Any, which: RecordList, wanted: Asked, page: Paging, begun: Start) -> Found:
    # What changes while somebody goes from page to page comes after the first of them, which the cursor remembers.
    kind: Any = tuple[int, tuple[tuple(which.key.values())]]  # type: ignore[misc]
    horizon, key = page.after(kind) or (int(begun.horizon), None)
    rows = await pages.in_order(conn, which, wanted.wanted, after=key, limit=page.fetch)
    shown = rows[: page.limit]
    more = page.cursor_after((horizon, shown[-1].key)) if len(rows) > page.limit else None
    return Found(shown, more, _mark(begun, Place.at(str(horizon))))


async def _in_order_of_changes(
    conn: Any, which: RecordList, wanted: Asked, page: Paging, begun: Start
) -> Found:
    mark = page.after(tuple[int, int, UUID])
    if mark is None:
        begin = wanted.changes
        mark = begin if isinstance(begin, tuple) else _mark(begun, Place.at(begun.changes_from))
    rows = await pages.in_order_of_changes(
        conn, which, wanted.wanted, after=_place(mark, begun), before=begun.horizon, limit=page.fetch
    )
    shown = rows[: page.limit]
    if len(rows) <= page.limit:
        return Found(shown, None, _mark(begun, Place.at(begun.horizon)))
    last = _mark(begun, shown[-1].place)
    return Found(shown, page.cursor_after(last), last)


def _mark(begun: Start, place: Place) -> Mark:
    return begun.server, int(place.xid), place.id


def _place(mark: Mark, begun: Start) -> Place:
    """The place that a mark means, if the server still counts as it did.

    Raises:
        Problem: If the database was restored into another server since: there, the place means nothing.
    """
    server, xid, row_id = mark
    if server != begun.server or xid > int(begun.horizon):
        raise Problem(
            410, "The database was restored since this place was given; read the list anew, without it."
        )
    return Place(str(xid), row_id)


def _only(found: list[Row], which: RecordList) -> Row:
    if not found:
        raise Problem(404, f"There is no such record among this connection's {which.name}.")
    if len(found) > 1:
        streams = ", ".join(sorted(row.fields["stream"] for row in found))
        raise Problem(422, f"Several streams have a record of this id: name one of {streams} by stream=.")
    return found[0]


for _list in LISTS.values():
    _add_list(_list)
    if _list.entity:
        _add_record(_list)
