"""Pages of a list: in its own order, or in the order of changes; and single records.

The list's own order is that of keys that never change, so that a reader who goes through it meets each row once,
whatever happens meanwhile. The order of changes is that of the transactions which changed rows last, up to the oldest
one that is still open (:mod:`unified.store.positions`): a row that commits late is behind no reader, and a row that
changes again comes again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection, errors, sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from unified.schema.versions import UnknownSchemaVersionError
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.errors import StoreError
from unified.store.lists.declared import Filter, RecordList
from unified.store.records.raw import forms
from unified.store.records.suppressions import emptied, erased
from unified.store.records.tables import TABLES

STATEMENT_SECONDS = 10
"""How long a page may take. What reads longer has no index to go by, and would be asked for again."""

Deleted = Literal["false", "true", "only"]
"""Whether tombstones come: not, as well, or nothing else."""


class TooSlowError(StoreError):
    """A page takes too long to find."""


class Place(NamedTuple):
    """A place in the order of changes: behind this row of this transaction."""

    xid: str
    id: UUID

    @classmethod
    def at(cls, xid: str) -> "Place":
        """Before all rows of that transaction."""
        return cls(xid, UUID(int=0))


@dataclass(frozen=True, slots=True)
class Start:
    """The state of the server as a page is begun.

    Attributes:
        horizon: The oldest transaction that is still open; all before it are seen.
        server: Whose transactions they are; 0 where the server does not say.
        changes_from: Nothing that was changed at the time asked for, or later, comes before this transaction.
    """

    horizon: str
    server: int
    changes_from: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a caller asks of a list.

    Attributes:
        fields: Names of fields, in the order in which they come.
        values: Of filters, by their names.
        deleted: Whether tombstones come.
        since: Only what was read from its source at this time or later.
        erased: Whether a row that holds nothing personal any more comes whatever a filter asks of what went: its reader
            may have had the row before.
    """

    fields: Sequence[str]
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    deleted: Deleted = "false"
    since: datetime | None = None
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a list.

    Attributes:
        fields: Values by name; what PostgreSQL keeps as JSON is JSON.
        key: Its place in the list's own order.
        place: Its place in the order of changes.
    """

    fields: dict[str, Any]
    key: tuple[Any, ...]
    place: Place


async def start(conn: AsyncConnection[Any], since: datetime | None = None) -> Start:
    """Begin to read in a transaction of the workspace, whose statements may take STATEMENT_SECONDS from here on.

    They take their order from an index: of rows behind a place the planner expects next to none, for it goes by the
    first column of the place, and would rather sort what are half a million.

    Args:
        conn: The transaction.
        since: A time from which on changes are wanted.
    """
    found = await conn.execute(
        """
        SELECT pg_snapshot_xmin(pg_current_snapshot())::text, coalesce(server_identifier(), 0), coalesce((
            SELECT changes_from::text FROM sync_history WHERE started_at <= %s ORDER BY started_at DESC LIMIT 1
        ), '0'), set_config('statement_timeout', %s, true), set_config('enable_sort', 'off', true)
        """,
        (since, f"{STATEMENT_SECONDS}s"),
    )
    row = await found.fetchone()
    assert row is not None  # noqa: S101 - SELECT of expressions gives one row
    return Start(*row[:3])


async def in_order(
    conn: AsyncConnection[Any], which: RecordList, wanted: Wanted, *, after: Sequence[Any] | None, limit: int
) -> list[Row]:
    """A page in the list's own order.

    Args:
        conn: A transaction of the workspace, after :func:`start`.
        which: The list.
        wanted: Of it.
        after: Key of the last row of the page before.
        limit: How many rows at most.

    Raises:
        ConnectionNotFoundError: If a filter names a connection that is not there.
        TooSlowError: If it is not found in time.
    """
    key = _columns(which.key)
    conditions = []
    values: dict[str, Any] = {"limit": limit}
    if after is not None:
        places = [sql.Placeholder(f"after_{name}") for name in which.key]
        conditions.append(sql.SQL("({}) > ({})").format(key, sql.SQL(", ").join(places)))
        values |= {f"after_{name}": value for name, value in zip(which.key, after, strict=True)}
    return await _read(conn, which, wanted, conditions, values, key)


async def in_order_of_changes(
    conn: AsyncConnection[Any], which: RecordList, wanted: Wanted, *, after: Place, before: str, limit: int
) -> list[Row]:
    """A page in the order of changes.

    Args:
        conn: A transaction of the workspace, after :func:`start`.
        which: The list.
        wanted: Of it.
        after: Place of the last row dealt with.
        before: The horizon.
        limit: How many rows at most.

    Raises:
        ConnectionNotFoundError: If a filter names a connection that is not there.
        TooSlowError: If it is not found in time.
    """
    order = _columns(("changed_xid", which.unique))
    conditions: list[sql.Composable] = [
        sql.SQL("({}) > (%(xid)s::text::xid8, %(id)s)").format(order),
        sql.SQL("t.changed_xid < %(before)s::text::xid8"),
    ]
    values: dict[str, Any] = {"xid": after.xid, "id": after.id, "before": before, "limit": limit}
    if wanted.since is not None:
        conditions.append(sql.SQL("{} >= %(since)s").format(sql.Identifier("t", which.stamp)))
        values["since"] = wanted.since
    return await _read(conn, which, wanted, conditions, values, order)


async def newest(
    conn: AsyncConnection[Any], which: RecordList, wanted: Wanted, *, by: str, limit: int
) -> list[Row]:
    """The newest rows of those that a look-up finds.

    Args:
        conn: A transaction of the workspace, after :func:`start`.
        which: The list.
        wanted: Of it, by a filter that looks up: all that it finds is sorted.
        by: Column with a time.
        limit: How many rows at most.

    Raises:
        ConnectionNotFoundError: If a filter names a connection that is not there.
        TooSlowError: If they are not found in time.
    """
    order = sql.SQL("{} DESC NULLS LAST, {}").format(sql.Identifier("t", by), _columns(which.key))
    return await _read(conn, which, wanted, [], {"limit": limit}, order)


async def of_key(
    conn: AsyncConnection[Any], which: RecordList, wanted: Wanted, key: Sequence[Any]
) -> Row | None:
    """The row of a key, if it is there and passes the filters.

    Args:
        conn: A transaction of the workspace, after :func:`start`.
        which: The list.
        wanted: Of it.
        key: As :attr:`Row.key`; ids may be text.
    """
    values = {**dict(zip(which.key, key, strict=True)), "limit": 1}
    found = await _read(conn, which, wanted, [_is(which.key)], values, _columns(which.key))
    return found[0] if found else None


async def single(
    conn: AsyncConnection[Any],
    which: RecordList,
    fields: Sequence[str],
    connection_id: UUID,
    source_id: str,
    *,
    stream: str | None = None,
) -> list[Row]:
    """The records of a connection that have an id, tombstones too: one, unless several streams use it.

    Args:
        conn: A transaction of the workspace, after :func:`start`.
        which: The list.
        fields: Names of fields.
        connection_id: The connection.
        source_id: The record's id in its source.
        stream: Only of this stream.
    """
    conditions = [sql.SQL("t.connection_id = %(connection_id)s AND t.source_id = %(source_id)s")]
    if stream is not None:
        conditions.append(sql.SQL("t.stream = %(stream)s"))
    values = {"connection_id": connection_id, "source_id": source_id, "stream": stream, "limit": 10}
    wanted = Wanted(fields=fields, deleted="true")
    return await _read(conn, which, wanted, conditions, values, _columns(which.key))


async def raw(conn: AsyncConnection[Any], which: RecordList, row: Row) -> dict[str, msgspec.Raw | None]:
    """What the source sent of a record, as it sent it: JSON by column. None where it was only known as deleted.

    None too where it can't be opened, which the log says.
    """
    if not which.raw:
        return {}
    columns = [
        forms.KEPT
        if name == "raw_data"
        else sql.SQL("convert_to({}::text, 'UTF8')").format(sql.Identifier(name))
        for name in which.raw
    ]
    statement = sql.SQL("SELECT {} FROM {} WHERE {}").format(
        sql.SQL(", ").join(columns), sql.Identifier(which.table), _is(which.key)
    )
    rows = await conn.execute(statement, dict(zip(which.key, row.key, strict=True)))
    found = await rows.fetchone() or (None,) * len(which.raw)
    kept = {name: body for name, body in zip(which.raw, found, strict=True) if body is not None}
    opened = dict(zip(kept, await forms.opened(conn, list(kept.values())), strict=True))
    return {name: msgspec.Raw(opened[name]) if opened.get(name) else None for name in which.raw}


async def connection_ids(conn: AsyncConnection[Any], names: Sequence[str]) -> list[UUID]:
    """Connections of the workspace by their names or ids; all of them where none is named.

    Raises:
        ConnectionNotFoundError: If one is not there.
    """
    found = await conn.execute(
        "SELECT id, name FROM connector_configs WHERE %(all)s OR name = ANY(%(names)s) OR id::text = ANY(%(names)s)",
        {"all": not names, "names": [name.lower() for name in names]},
    )
    ids = {}
    for connection_id, name in await found.fetchall():
        ids[str(connection_id)] = ids[name] = connection_id
    if not ids.keys() >= {name.lower() for name in names}:
        raise ConnectionNotFoundError("of that name or id")
    return list(dict.fromkeys(ids[name.lower()] for name in names)) or list(dict.fromkeys(ids.values()))


async def _read(
    conn: AsyncConnection[Any],
    which: RecordList,
    wanted: Wanted,
    conditions: list[Any],
    values: dict[str, Any],
    order: sql.Composable,
) -> list[Row]:
    looks_up = _looks_up(which, wanted)
    conditions = [*conditions, *await _conditions(conn, which, wanted, values, looks_up=looks_up)]
    if which.entity and wanted.deleted != "true":
        conditions.append(
            sql.SQL("t.deleted_at IS NULL" if wanted.deleted == "false" else "t.deleted_at IS NOT NULL")
        )
    version = sql.SQL("t.schema_version" if which.entity else "NULL")
    statement = sql.SQL(
        "SELECT {fields}, {key}, t.changed_xid::text, {unique}, {version} FROM {table} AS t"
        " WHERE {conditions} ORDER BY {order} LIMIT %(limit)s"
    ).format(
        fields=sql.SQL(", ").join(map(_field, wanted.fields)),
        key=_columns(which.key),
        unique=sql.Identifier("t", which.unique),
        version=version,
        table=sql.Identifier(which.table),
        conditions=sql.SQL(" AND ").join(conditions or [sql.SQL("true")]),
        order=order,
    )
    try:
        async with conn.cursor(binary=True) as cursor:
            set_json_loads(_as_json, cursor)
            if looks_up:  # by another index than that of the order: the few rows that it finds are sorted
                await conn.execute("SET LOCAL enable_sort = on")
            await cursor.execute(statement, values)
            found = await cursor.fetchall()
            if looks_up:
                await conn.execute("SET LOCAL enable_sort = off")
    except errors.QueryCanceled:
        raise TooSlowError(
            f"this page was not found within {STATEMENT_SECONDS} s; ask for less: filter by connection, or by a field "
            "that is looked up by an index"
        ) from None
    count, keys = len(wanted.fields), len(which.key)
    rows, former = [], []
    for row in found:
        key = row[count : count + keys]
        rows.append(Row(dict(zip(wanted.fields, row, strict=False)), key, Place(row[-3], row[-2])))
        if which.entity and row[-1] != TABLES[which.entity].version:
            former.append(rows[-1])
    for one in former:
        await _bring_up(conn, which, one)
    return rows


async def _conditions(
    conn: AsyncConnection[Any], which: RecordList, wanted: Wanted, values: dict[str, Any], *, looks_up: bool
) -> list[sql.Composable]:
    """Conditions of the filters; their values go into ``values``."""
    conditions: list[sql.Composable] = []
    goes = _goes(which, wanted)
    for name, given in wanted.values.items():
        if name != "connection":
            condition = _condition(which.filters[name], name, given, values)
            if which.entity and name in goes:
                condition = sql.SQL("({} OR {})").format(condition, erased(TABLES[which.entity]))
            conditions.append(condition)
    # An index that begins with the connection serves a look-up in all of a workspace's, connection by connection.
    if looks_up or "connection" in wanted.values:
        ids = await connection_ids(conn, wanted.values.get("connection", ()))
        conditions.append(_condition(which.filters["connection"], "connection", ids, values))
    return conditions


def _looks_up(which: RecordList, wanted: Wanted) -> bool:
    """Whether one of the filters finds its few rows by an index of its own."""
    goes = _goes(which, wanted)
    return any(which.filters[name].lookup and name not in goes for name in wanted.values)


def _goes(which: RecordList, wanted: Wanted) -> Mapping[str, str]:
    """The columns that a row may have lost with all that was personal, and comes whatever a filter asks of them."""
    return emptied(TABLES[which.entity]) if which.entity and wanted.erased else {}


def _condition(one: Filter, name: str, given: Sequence[Any], values: dict[str, Any]) -> sql.Composable:
    parameter = f"filter_{name}"
    if one.operator == "contains":
        values[parameter] = given[0]
        return sql.SQL("strpos(lower({}), lower({})) > 0").format(
            sql.SQL(one.column), sql.Placeholder(parameter)
        )
    column = sql.Identifier("t", one.column)
    value: sql.Composable = sql.Placeholder(parameter)
    if len(given) == 1:
        values[parameter] = given[0]
        if one.folded:
            value = sql.SQL("lower({})").format(value)
        return sql.SQL("{} {} {}").format(column, sql.SQL(one.operator), value)
    values[parameter] = list(given)
    if one.folded:
        value = sql.SQL("ARRAY(SELECT lower(v) FROM unnest({}::text[]) AS v)").format(value)
    return sql.SQL("{} = ANY({})").format(column, value)


async def _bring_up(conn: AsyncConnection[Any], which: RecordList, row: Row) -> None:
    """Show a row that an earlier release wrote as today's model has it; one of a later release as it is stored."""
    assert which.entity  # noqa: S101 - only they have versions
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            sql.SQL("SELECT * FROM {} WHERE {}").format(sql.Identifier(which.table), _is(which.key)),
            dict(zip(which.key, row.key, strict=True)),
        )
        stored = await cursor.fetchone()
    if stored is None:
        return
    try:
        record = TABLES[which.entity].read_row(stored)
    except (UnknownSchemaVersionError, ValueError):
        return
    own = record.model_dump(mode="json", include=set(row.fields))
    row.fields.update(own)


def _field(name: str) -> sql.Composable:
    if name == "connection":
        return sql.SQL("(SELECT c.name FROM connector_configs AS c WHERE c.id = t.connection_id)")
    return sql.Identifier("t", name)


def _columns(names: Any) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier("t", name) for name in names)


def _is(key: Mapping[str, Any]) -> sql.Composable:
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in key
    )


def _as_json(text: str | bytes) -> msgspec.Raw:
    return msgspec.Raw(text)
