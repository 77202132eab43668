"""The raw records of one stream in one table, read and written some rows at a time.

Not here: which form they are brought into, and when (:mod:`unified.store.records.repacking`).
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, sql

from unified.schema.entities import ENTITIES
from unified.store.connections.rows import ConnectionSummary
from unified.store.records.raw import forms
from unified.store.records.raw.forms import Compressed, Form
from unified.store.records.raw.shapes import Sample

# Rows of a transaction, at most, and bytes as they are kept; a few rows come at a time, as each may be large.
_CHUNK = 1000
_BYTES = 4 * 1024 * 1024
_STEP = 20

Place = tuple[str, UUID]
"""A row: its source id, and what tells it from others of that."""

BEGINNING: Place = ("", UUID(int=0))

_READ = sql.SQL(
    """
    SELECT source_id, {unique}, {kept}, {person} FROM {table}
    WHERE connection_id = %(connection)s AND source_system = %(connector)s AND stream = %(stream)s
        AND source_id >= %(source_id)s AND (source_id, {unique}) > (%(source_id)s, %(id)s) AND {condition}
    ORDER BY source_id, {unique} LIMIT %(limit)s
    """
)
_WRITE = sql.SQL(
    """
    UPDATE {table} AS t SET raw_data = s.raw_data::json, raw_compressed = s.raw_compressed
    FROM unnest(%(ids)s::uuid[], %(texts)s::text[], %(compressed)s::bytea[]) AS s (id, raw_data, raw_compressed)
    WHERE t.connection_id = %(connection)s AND t.source_system = %(connector)s AND t.stream = %(stream)s
        AND t.source_id = ANY(%(source_ids)s) AND t.{unique} = s.id
    """
)
# Of rows that can't be opened: then the next full sync takes them for changed.
_READ_AGAIN = sql.SQL(
    """
    UPDATE {table} AS t SET content_hash = 0
    WHERE t.connection_id = %(connection)s AND t.source_system = %(connector)s AND t.stream = %(stream)s
        AND t.source_id = ANY(%(source_ids)s) AND t.{unique} = ANY(%(ids)s) AND t.content_hash <> 0
    """
)


@dataclass(frozen=True, slots=True)
class Found:
    """Some rows of a part.

    Attributes:
        keys: What they are.
        kept: Their raw records as they are kept.
        samples: The same as they were received, each with whom it is about.
        lost: Rows beside them that can't be opened.
        next: Where to go on; None behind the last.
    """

    keys: list[Place]
    kept: list[bytes]
    samples: list[Sample]
    lost: list[Place] = field(default_factory=list)
    next: Place | None = None

    def each(self) -> "Iterator[Found]":
        """Each row by itself."""
        return (
            Found([key], [kept], [sample])
            for key, kept, sample in zip(self.keys, self.kept, self.samples, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one stream in one table.

    Attributes:
        table: Of an entity, or of its former states.
        unique: The column that tells rows apart.
        person: The one that says whom a row is about, where one does.
        connection: Whose.
        stream: Which.
    """

    table: str
    unique: str
    person: str | None
    connection: ConnectionSummary
    stream: str

    @property
    def _values(self) -> dict[str, Any]:
        return {
            "connection": self.connection.id,
            "connector": self.connection.connector,
            "stream": self.stream,
        }

    async def read(self, conn: AsyncConnection[Any], condition: sql.Composable, after: Place) -> Found:
        """The next rows that meet a condition: a thousand, or some megabytes of them."""
        query = _READ.format(
            unique=sql.Identifier(self.unique),
            kept=forms.KEPT,
            person=sql.Identifier(self.person) if self.person else sql.NULL,
            table=sql.Identifier(self.table),
            condition=condition,
        )
        values = self._values | {"source_id": after[0], "id": after[1], "limit": _CHUNK}
        rows: list[tuple[str, UUID, bytes, str | None]] = []
        size = 0
        async with conn.cursor("rows_to_bring") as cursor:
            await cursor.execute(query, values)
            while size < _BYTES and (some := await cursor.fetchmany(_STEP)):
                rows += some
                size += sum(len(kept) for _, _, kept, _ in some)
        bodies = await forms.opened(conn, [kept for _, _, kept, _ in rows])
        found = [(row[:2], row[2], Sample(body, row[3])) for row, body in zip(rows, bodies, strict=True)]
        return Found(
            [key for key, _, sample in found if sample.raw],
            [kept for _, kept, sample in found if sample.raw],
            [sample for _, _, sample in found if sample.raw],
            [key for key, _, sample in found if not sample.raw],
            rows[-1][:2] if size >= _BYTES or len(rows) == _CHUNK else None,
        )

    async def read_again(self, conn: AsyncConnection[Any], rows: Sequence[Place]) -> None:
        """Have the next full sync store these rows anew, whatever it reads of them."""
        query = _READ_AGAIN.format(unique=sql.Identifier(self.unique), table=sql.Identifier(self.table))
        places = {"ids": [key[1] for key in rows], "source_ids": [key[0] for key in rows]}
        await conn.execute(query, self._values | places)

    async def write(self, conn: AsyncConnection[Any], rows: Found, form: Form) -> int:
        """Store the raw records of some rows in another form; how many bytes they are then."""
        if not rows.keys:
            return 0
        made = [form(sample.raw) for sample in rows.samples]
        query = _WRITE.format(unique=sql.Identifier(self.unique), table=sql.Identifier(self.table))
        values = self._values | {
            "ids": [key[1] for key in rows.keys],
            "source_ids": [key[0] for key in rows.keys],
            "texts": [None if isinstance(one, Compressed) else one.decode() for one in made],
            "compressed": [one if isinstance(one, Compressed) else None for one in made],
        }
        await conn.execute(query, values)
        return sum(map(len, made))


async def parts_of(conn: AsyncConnection[Any], connection: ConnectionSummary) -> AsyncIterator[Part]:
    """Whatever is stored of a connection, of streams too that its connector does not have any more."""
    for entity in ENTITIES:
        for table, unique in ((entity.table, "unified_id"), (entity.history, "state_id")):
            if table is None:
                continue
            query = sql.SQL("SELECT DISTINCT stream FROM {} WHERE connection_id = %s AND source_system = %s")
            rows = await conn.execute(
                query.format(sql.Identifier(table)), (connection.id, connection.connector)
            )
            for (stream,) in await rows.fetchall():
                yield Part(table, unique, forms.PERSON.get(entity), connection, stream)
