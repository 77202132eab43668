"""The unified tables as code sees them: their columns, how a record becomes a row and a row a record.

Columns follow from the models (a migration test holds the SQL to them). How rows get into the tables is
:mod:`unified.store.records.merge.batches`; which workspace's rows are seen is decided by the transaction
(:mod:`unified.store.database`).
"""

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

from psycopg import AsyncConnection, sql
from pydantic import AwareDatetime, SkipValidation

from unified.kit.declarations import Stream
from unified.schema import UnifiedBase, UnifiedModel, versions
from unified.schema.entities import ENTITIES, Entity
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.records.raw import forms

READ_CHUNK = 2000
"""Rows that a reader holds in memory at once."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column that a model's field is stored in.

    Attributes:
        name: Name of the field and the column.
        type: PostgreSQL's name of its type.
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class StreamKey:
    """Which stream of which connection rows belong to.

    Attributes:
        workspace_id: The tenant.
        connection_id: Row of ``connector_configs``.
        connector: The connector's name; it and the entity decide the partition.
        entity: Where the stream lands.
        stream: The stream's name.
    """

    workspace_id: UUID
    connection_id: UUID
    connector: str
    entity: Entity
    stream: str

    @property
    def table(self) -> "UnifiedTable":
        """The unified table that the stream lands in."""
        return TABLES[self.entity]

    @property
    def leaf(self) -> sql.Identifier:
        """The connector's own partition of that table, e.g. ``unified_customers_stripe``."""
        return sql.Identifier(self.entity.leaf(self.connector))

    @classmethod
    def of(cls, connection: ConnectionSummary, stream: Stream) -> "StreamKey":
        """The key of one of a connection's streams."""
        return cls(connection.workspace_id, connection.id, connection.connector, stream.entity, stream.name)

    def parameters(self) -> dict[str, Any]:
        """The key as named query parameters: ``workspace``, ``connection``, ``connector``, ``stream``."""
        return {
            "workspace": self.workspace_id,
            "connection": self.connection_id,
            "connector": self.connector,
            "stream": self.stream,
        }


@dataclass(frozen=True)
class UnifiedTable:
    """An entity's table, derived from its model.

    Attributes:
        entity: What its rows are.
        columns: One for each field of the entity's model.
    """

    entity: Entity
    columns: tuple[Column, ...] = field(init=False)

    def __post_init__(self) -> None:
        fields = self.entity.model.model_fields.items()
        columns = tuple(Column(name, column_type(info.annotation, info.metadata)) for name, info in fields)
        object.__setattr__(self, "columns", columns)

    @property
    def version(self) -> str:
        """Schema version that rows are written with."""
        return self.entity.model.__schema_version__

    def read_row(self, row: Mapping[str, Any]) -> UnifiedBase:
        """Read one stored row as today's model, whatever release wrote it.

        Args:
            row: Column values by name, ``schema_version`` among them.

        Raises:
            unified.schema.versions.UnknownSchemaVersionError: If a newer release wrote it.
            pydantic.ValidationError: If it does not fit the model.
        """
        names = {column.name for column in self.columns}
        fields = {name: value for name, value in row.items() if name in names and value is not None}
        return versions.read(self.entity.model, fields, row["schema_version"])


@dataclass(frozen=True, slots=True)
class StoredRaw:
    """A stored raw record.

    Attributes:
        source_id: Its id in its source.
        body: JSON text as it was received; empty where it can't be opened, which no mapping takes.
        observed_at: When the source was in this state.
        synced_at: When it was read.
    """

    source_id: str
    body: bytes
    observed_at: datetime
    synced_at: datetime


_SCALARS: dict[type, str] = {
    str: "text",
    bool: "boolean",
    int: "bigint",
    Decimal: "numeric",
    AwareDatetime: "timestamptz",
    datetime: "timestamptz",
    UUID: "uuid",
}


def column_type(annotation: Any, metadata: Collection[Any] = ()) -> str:
    """PostgreSQL's name of the type of the column that a field of this type is stored in."""
    if SkipValidation in metadata:
        return "json"  # kept as the source sent it, byte for byte
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return column_type(arguments[0])
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return column_type(inner)
    if origin in (tuple, list) and column_type(arguments[0]) == "text":
        return "text[]"
    if origin in (tuple, dict) or issubclass(annotation, UnifiedModel):
        return "jsonb"
    return next(name for scalar, name in _SCALARS.items() if issubclass(annotation, scalar))


TABLES = {entity: UnifiedTable(entity) for entity in ENTITIES}


async def read_chunks(
    database: Database, key: StreamKey, *, without: Collection[str] = ()
) -> AsyncIterator[tuple[list[str], list[tuple[Any, ...]]]]:
    """Read a stream's live rows as they are stored, some thousand at a time.

    Args:
        database: Where they are.
        key: Which stream.
        without: Columns to leave out, ``raw_data`` above all.

    Yields:
        Column names and rows. At least one chunk comes, so that the columns of an empty stream are known.
    """
    names = [column.name for column in key.table.columns if column.name not in without]
    place = names.index("raw_data") if "raw_data" in names else None
    query = sql.SQL(
        "SELECT {}, {} FROM {} WHERE connection_id = %(connection)s AND stream = %(stream)s AND deleted_at IS NULL"
    ).format(
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL("NULL" if place is None else "raw_compressed"),
        key.leaf,
    )
    async with database.workspace(key.workspace_id) as transaction, transaction.cursor("chunks") as cursor:
        await cursor.execute(query, key.parameters())
        rows = await cursor.fetchmany(READ_CHUNK)
        yield names, await _with_raw(transaction, place, rows)
        while rows := await cursor.fetchmany(READ_CHUNK):
            yield names, await _with_raw(transaction, place, rows)


async def read_raw(
    connection: AsyncConnection[Any], key: StreamKey, *, after: str = "", limit: int = READ_CHUNK
) -> list[StoredRaw]:
    """Read raw records back, to map them again.

    Args:
        connection: A transaction of the key's workspace.
        key: Which stream.
        after: Source id of the last one read so far.
        limit: How many at most.

    Returns:
        Live records by ascending source id, without those whose raw record was deleted with a person's data; fewer than
        ``limit`` means that these are the last.
    """
    query = sql.SQL(
        "SELECT source_id, {}, observed_at, synced_at FROM {} "
        "WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id > %(after)s "
        "AND deleted_at IS NULL AND {} ORDER BY source_id LIMIT %(limit)s"
    ).format(forms.KEPT, key.leaf, forms.HAS_RAW)
    values = key.parameters() | {"after": after, "limit": limit}
    rows = await (await connection.execute(query, values)).fetchall()
    found = await forms.opened(connection, [row[1] for row in rows])
    return [
        StoredRaw(source_id, body, *times) for (source_id, _, *times), body in zip(rows, found, strict=True)
    ]


async def bodies(connection: AsyncConnection[Any], key: StreamKey, ids: Collection[str]) -> dict[str, bytes]:
    """The JSON text of live records, as it was received, by source id; those without are left out.

    Args:
        connection: A transaction of the key's workspace.
        key: Which stream.
        ids: Source ids of a batch at most: all is held in memory.
    """
    query = sql.SQL(
        "SELECT source_id, {} FROM {} "
        "WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id = ANY(%(ids)s) "
        "AND deleted_at IS NULL AND {}"
    ).format(forms.KEPT, key.leaf, forms.HAS_RAW)
    rows = await (await connection.execute(query, key.parameters() | {"ids": list(ids)})).fetchall()
    found = await forms.opened(connection, [kept for _, kept in rows])
    return {source_id: body for (source_id, _), body in zip(rows, found, strict=True) if body}


async def body(connection: AsyncConnection[Any], key: StreamKey, source_id: str) -> bytes | None:
    """The JSON text of one record as it was received, a deleted one's too; None where none is stored.

    Empty where it can't be opened.

    Args:
        connection: A transaction of the key's workspace.
        key: Which stream.
        source_id: The record's id in its source.
    """
    query = sql.SQL(
        "SELECT {} FROM {} WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id = %(id)s AND {}"
    ).format(forms.KEPT, key.leaf, forms.HAS_RAW)
    rows = await connection.execute(query, key.parameters() | {"id": source_id})
    found = await forms.opened(connection, [kept for (kept,) in await rows.fetchall()])
    return found[0] if found else None


async def _with_raw(
    connection: AsyncConnection[Any], place: int | None, rows: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Rows without their last column, a compressed raw record: what it holds is at its place."""
    kept = {number: row[-1] for number, row in enumerate(rows) if row[-1] is not None}
    found = dict(zip(kept, await forms.opened(connection, list(kept.values())), strict=True))
    return [
        (*row[:place], _decoded(found[number]), *row[place + 1 : -1])
        if place is not None and number in found
        else row[:-1]
        for number, row in enumerate(rows)
    ]


def _decoded(body: bytes) -> Any:
    return json.loads(body) if body else None
