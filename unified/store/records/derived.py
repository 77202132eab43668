"""Tables of assets that users derive: one table per asset, the rows of one connection replaced as a whole.

The table is made from the values that are stored, as the owner, and isolated by workspace like every other. Its rows
go when their connection or workspace goes.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, errors, sql
from psycopg.types.json import Jsonb

from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.records.tables import READ_CHUNK, Column
from unified.store.records.views import data

# They hold counts of a unit, which ``item`` gives away without it.
_NUMPY_TIMES = ("datetime64", "timedelta64")
# NaT is a datetime as well, of the year 48113 to PostgreSQL.
_MISSING = ("NaTType", "NAType")
_LONGEST_NAME = 63
_KEYS = ("workspace_id", "connection_id")
# Each table has these as well: https://www.postgresql.org/docs/current/ddl-system-columns.html
_SYSTEM = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
# PostgreSQL takes 1,600, of which some are ours and some may have been dropped.
_MOST_COLUMNS = 1_500

_CREATE = (
    """
    CREATE TABLE {} (
        workspace_id uuid NOT NULL,
        connection_id uuid NOT NULL,
        FOREIGN KEY (workspace_id, connection_id) REFERENCES connector_configs (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ON {} (workspace_id, connection_id)",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO unified_app",
)

# Which type of column keeps a value. The order counts: a bool is an int as well, and a datetime a date.
_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),
    (int, "bigint"),
    (float, "double precision"),
    (Decimal, "numeric"),
    (str, "text"),
    (datetime, "timestamptz"),
    (date, "date"),
    (UUID, "uuid"),
    ((dict, list, tuple), "jsonb"),
)
# Beyond these, an integer needs a numeric.
_BIGINTS = range(-(2**63), 2**63)
# What else takes the values of a type, as they are.
_WIDER: Mapping[str | None, tuple[str, ...]] = {"bigint": ("double precision", "numeric")}


class DerivedTableError(StoreError):
    """An asset's key or columns make no table."""


def table_name(parts: Sequence[str]) -> str:
    """Name of the table of an asset key: ``derived_stripe__monthly_revenue``.

    Raises:
        DerivedTableError: If it is longer than PostgreSQL's 63 bytes.
    """
    name = data.DERIVED + "__".join(parts)
    if len(name.encode()) > _LONGEST_NAME:
        msg = f"the asset key {'/'.join(parts)} makes a table name longer than {_LONGEST_NAME} bytes; shorten it"
        raise DerivedTableError(msg)
    return name


async def replace(
    db: Database,
    table: str,
    connection: ConnectionSummary,
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> None:
    """Replace one connection's rows; others stay. A column that is no longer among ``names`` stays, empty.

    Args:
        db: The database.
        table: From :func:`table_name`.
        connection: Whose rows they are.
        names: Columns.
        rows: Their values: None, or Python's bool, int, float, Decimal, str, datetime (in UTC, if it does not say
            otherwise), date, UUID, dict and list. NumPy's scalars are taken for the Python values that they hold.

    Raises:
        DerivedTableError: If a column has a name that no table or this one can't have, its values are not of one type,
            or one can't be stored.
    """
    _check_names(names)
    rows = [tuple(map(_plain, row)) for row in rows]
    types = {name: _column_type(name, [row[place] for row in rows]) for place, name in enumerate(names)}
    async with db.owner() as conn:
        await _shape(conn, table, types)
    columns = (*_KEYS, *names)
    into = sql.SQL("INSERT INTO {} ({})").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    insert = f"{_verbatim(into)} VALUES ({', '.join(['%s'] * len(columns))})".encode()
    async with db.workspace(connection.workspace_id) as conn, conn.cursor() as cursor:
        await cursor.execute(
            sql.SQL("DELETE FROM {} WHERE connection_id = %s").format(sql.Identifier(table)), (connection.id,)
        )
        try:
            await cursor.executemany(
                insert, ((connection.workspace_id, connection.id, *map(_adapted, row)) for row in rows)
            )
        except (errors.DataError, UnicodeEncodeError) as error:
            reason = error.diag.message_primary if isinstance(error, errors.DataError) else error.reason
            msg = f"{table} can't hold one of the values: {reason or error}; nothing was stored"
            raise DerivedTableError(msg) from error


async def read_chunks(
    db: Database, table: str, connection: ConnectionSummary
) -> AsyncIterator[tuple[list[Column], list[tuple[Any, ...]]]]:
    """Read one connection's rows without the keys, some thousand at a time.

    Yields:
        Columns and rows. At least one chunk comes, so that the columns are known where there is no row; where the
        table does not exist yet there are none.
    """
    async with db.workspace(connection.workspace_id) as conn:
        columns = [column for column in await _columns(conn, table) if column.name not in _KEYS]
        if not columns:
            yield [], []
            return
        select = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(sql.Identifier(column.name) for column in columns), sql.Identifier(table)
        )
        query = f"{_verbatim(select)} WHERE connection_id = %s"
        async with conn.cursor("chunks") as cursor:
            await cursor.execute(query.encode(), (connection.id,))
            rows = await cursor.fetchmany(READ_CHUNK)
            yield columns, rows
            while rows := await cursor.fetchmany(READ_CHUNK):
                yield columns, rows


async def tables(conn: AsyncConnection[Any]) -> list[str]:
    """The names of all derived tables."""
    rows = await conn.execute(
        """
        SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
            AND starts_with(relname, %s) ORDER BY relname
        """,
        (data.DERIVED,),
    )
    return [row[0] for row in await rows.fetchall()]


async def with_rows(conn: AsyncConnection[Any]) -> list[str]:
    """Those that have a row of the workspace whose transaction this is."""
    found = []
    for table in await tables(conn):
        has_one = await conn.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(table)))
        found += [table] * has_one.rowcount
    return found


def _check_names(names: Sequence[str]) -> None:
    """See that a table can have columns of these names, each one.

    Raises:
        DerivedTableError: If it can't.
    """
    if taken := {*_KEYS, *_SYSTEM} & set(names):
        msg = f"a derived table has its own {' and '.join(sorted(taken))}; leave that column out of the frame"
        raise DerivedTableError(msg)
    if len(names) > _MOST_COLUMNS:
        msg = f"a derived table has at most {_MOST_COLUMNS} columns, and the frame has {len(names)}"
        raise DerivedTableError(msg)
    for name in names:
        if not name or "\0" in name or len(name.encode(errors="replace")) > _LONGEST_NAME:
            msg = f"{name[:80]!r} is not a column's name: use 1 to {_LONGEST_NAME} bytes, without U+0000"
            raise DerivedTableError(msg)
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        msg = f"the frame has several columns {', '.join(repeated)}; give each a name of its own"
        raise DerivedTableError(msg)


def _verbatim(statement: sql.Composable) -> str:
    """The beginning of a statement with parameters, in whose names a percent sign is nothing but that."""
    return statement.as_string().replace("%", "%%")


def _column_type(name: str, values: Sequence[Any]) -> str | None:
    """The type that holds all values of a column; None where there are none."""
    found = {_value_type(name, kind) for kind in {type(value) for value in values} - {type(None)}}
    if "bigint" in found and any(isinstance(value, int) and value not in _BIGINTS for value in values):
        found = found - {"bigint"} | {"numeric"}
    if not found:
        return None
    for widest in found:
        if all(other == widest or widest in _WIDER.get(other, ()) for other in found):
            return widest
    msg = f"column {name} mixes {' and '.join(sorted(found))}; make its values of one type"
    raise DerivedTableError(msg)


def _value_type(name: str, kind: type) -> str:
    for types, column_type in _TYPES:
        if issubclass(kind, types):
            return column_type
    msg = (
        f"column {name} holds {kind.__name__} objects, which no column keeps; turn them into text or numbers"
    )
    raise DerivedTableError(msg)


def _plain(value: Any) -> Any:
    """What a scalar or an array of NumPy's holds, None for what pandas calls missing; any other value as it is.

    NumPy's times are left to be refused.
    """
    kind = type(value)
    if kind.__name__ in _MISSING and kind.__module__.startswith("pandas."):
        return None
    return value.tolist() if kind.__module__ == "numpy" and kind.__name__ not in _NUMPY_TIMES else value


def _adapted(value: Any) -> Any:
    return Jsonb(value, dumps=_dumps) if isinstance(value, (dict, list, tuple)) else value


def _encodable(value: Any) -> Any:
    """What stands for a value in JSON that Python's encoder does not know."""
    plain = value.tolist() if type(value).__module__ == "numpy" and hasattr(value, "tolist") else str(value)
    return str(plain) if type(plain) is type(value) else plain


_dumps = partial(json.dumps, default=_encodable)


async def _columns(conn: AsyncConnection[Any], table: str) -> list[Column]:
    """A table's columns in their order; none where there is no such table."""
    found = await conn.execute(
        """
        SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
        WHERE attrelid = to_regclass(quote_ident(%s)) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        """,
        (table,),
    )
    names = {"timestamp with time zone": "timestamptz"}
    return [Column(name, names.get(kind, kind)) for name, kind in await found.fetchall()]


async def _shape(conn: AsyncConnection[Any], table: str, types: Mapping[str, str | None]) -> None:
    """Make the table, add the columns that it lacks, widen those that are too narrow."""
    # Keeps two first runs apart.
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (table,))
    present = {column.name: column.type for column in await _columns(conn, table)}
    if not present:
        await _create(conn, table)
    changes = {
        name: change for name, wanted in types.items() if (change := _change(present.get(name), wanted))
    }
    if present and not changes:
        return
    # No column changes its type under a view.
    await conn.execute(data.drop(table))
    for name, change in changes.items():
        wanted = types[name]
        parts = {
            "table": sql.Identifier(table),
            "column": sql.Identifier(name),
            "type": sql.SQL(wanted or "text"),
        }
        try:
            await conn.execute(sql.SQL(change).format(**parts))
        except errors.DataError as error:
            msg = (
                f"{table} holds {present[name]} in its column {name} and can't take {wanted} now; "
                "give that column another name, or make its values of one type"
            )
            raise DerivedTableError(msg) from error
    columns = [column.name for column in await _columns(conn, table)]
    await conn.execute(data.of_derived(table, columns).make())


def _change(there: str | None, wanted: str | None) -> str | None:
    """The statement that makes a column of one type take values of another; None where it takes them as it is.

    What needs no change gets none: altering a table waits for all who read it.
    """
    if there is None:
        return "ALTER TABLE {table} ADD COLUMN {column} {type}"
    if wanted in (None, there) or there in _WIDER.get(wanted, ()):
        return None
    if wanted in _WIDER.get(there, ()):
        return "ALTER TABLE {table} ALTER COLUMN {column} TYPE {type}"
    # A column that never had a value may become anything. This fails at the first value, and keeps NULL.
    return "ALTER TABLE {table} ALTER COLUMN {column} TYPE {type} USING ('no ' || {column}::text)::uuid::text::{type}"


async def _create(conn: AsyncConnection[Any], table: str) -> None:
    for statement in _CREATE:
        await conn.execute(sql.SQL(statement).format(sql.Identifier(table)))
    for procedure in ("isolate_by_workspace", "let_readers_read"):
        await conn.execute(
            sql.SQL("CALL {}(quote_ident(%s)::regclass)").format(sql.Identifier(procedure)), (table,)
        )
