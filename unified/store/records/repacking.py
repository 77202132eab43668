"""Which form a workspace's raw records have, and what is stored already brought into it, some rows at a time.

A row says by itself which form it has, so everything reads on meanwhile, a run that was interrupted goes on where it
ended, and the way back is the same. No record changes by it. The forms: :mod:`unified.store.records.raw`.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql

from unified.schema.entities import ENTITIES
from unified.store import audit
from unified.store.connections.rows import SUMMARIES, ConnectionSummary
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.records.raw import forms, json_text, shapes
from unified.store.records.raw.forms import Compressed, Compressor
from unified.store.records.traces import Traces
from unified.store.rows import fetch

# Rows of a transaction, at most, and bytes as they are kept; a few rows come at a time, as each may be large.
_CHUNK = 1000
_BYTES = 4 * 1024 * 1024
_STEP = 20
_IS_JSON = sql.SQL("raw_data IS NOT NULL")
_IS_COMPRESSED = sql.SQL("raw_compressed IS NOT NULL")
_HAS_DICTIONARY = sql.SQL("substring(raw_compressed FOR 8) = int8send({})")
_FIRST = UUID(int=0)

_READ = sql.SQL(
    """
    SELECT source_id, {unique}, {kept} FROM {table}
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

# No sync, drain, deletion of a person's data or other choice is under way in the connection then: no two wait for each
# other's rows, and no dictionary is removed that is just used.
_LOCK = "SELECT FROM connector_configs WHERE id = %s FOR NO KEY UPDATE"

# Of rows that can't be opened: then the next full sync takes them for changed.
_READ_AGAIN = sql.SQL(
    """
    UPDATE {table} AS t SET content_hash = 0
    WHERE t.connection_id = %(connection)s AND t.source_system = %(connector)s AND t.stream = %(stream)s
        AND t.source_id = ANY(%(source_ids)s) AND t.{unique} = ANY(%(ids)s) AND t.content_hash <> 0
    """
)

_Form = Callable[[bytes], bytes]
_Place = tuple[str, UUID]


class ChosenOtherwiseError(StoreError):
    """The other form was chosen while what is stored was brought into one."""

    def __init__(self) -> None:
        super().__init__(
            "the workspace's raw records are to be stored in the other form since a moment ago, so this stopped; "
            "repeat `unified raw compress` or `unified raw expand`, whichever is wanted"
        )


@dataclass(slots=True)
class Repacked:
    """What was brought into the other form.

    Attributes:
        connection: Of which connection, as ``workspace/name``.
        records: How many, former states included.
        before: Bytes of them as they were.
        after: Bytes of them as they are.
        refused: How many stay compressed, because PostgreSQL does not take what the source sent for JSON, or because
            they can't be opened.
    """

    connection: str
    records: int = 0
    before: int = 0
    after: int = 0
    refused: int = 0


async def choose(db: Database, workspace_id: UUID, *, compressed: bool, actor: str) -> None:
    """Have a workspace's raw records compressed from now on, or not.

    Args:
        db: The database.
        workspace_id: The workspace.
        compressed: Which.
        actor: Who chose it, for the audit log.
    """
    async with db.workspace(workspace_id) as conn:
        # Each commit of a sync or drain locks its connection before it asks: those under way are stored first.
        await conn.execute("SELECT FROM connector_configs ORDER BY id FOR NO KEY UPDATE")
        changed = await conn.execute(
            "UPDATE workspaces SET compresses_raw = %(to)s WHERE id = %(id)s AND compresses_raw <> %(to)s",
            {"to": compressed, "id": workspace_id},
        )
        if changed.rowcount:
            await audit.record(
                conn,
                workspace_id,
                actor=actor,
                action="raw.compress" if compressed else "raw.expand",
                subject=f"workspace {workspace_id}",
                outcome="allowed",
            )


async def repack(db: Database, workspace_id: UUID, *, compressed: bool) -> AsyncIterator[Repacked]:
    """Bring all that is stored of a workspace into one form, each thousand rows in a transaction of their own.

    Args:
        db: The database.
        workspace_id: The workspace.
        compressed: Which form.

    Yields:
        What was done, connection by connection.

    Raises:
        ChosenOtherwiseError: If the other form is chosen meanwhile.
    """
    async with db.workspace(workspace_id) as conn:
        connections = await fetch(conn, ConnectionSummary, SUMMARIES + " ORDER BY c.name")
    for connection in connections:
        done = Repacked(connection.key)
        async with db.workspace(workspace_id) as conn:
            parts = [part async for part in _parts(conn, connection)]
        for part in parts:
            place: _Place | None = ("", _FIRST)
            while place is not None:
                async with db.workspace(workspace_id) as conn:
                    place = await _repack_some(conn, part, place, done, compressed=compressed)
        yield done


async def forget_dictionaries(
    conn: AsyncConnection[Any], connection: ConnectionSummary, traces: Traces
) -> int:
    """Remove dictionaries of a connection that name a person, and compress without one what they were for.

    A name of a field that half of the records had may have been an id of theirs.

    Args:
        conn: A transaction of the workspace, which nobody stores records beside.
        connection: The connection.
        traces: What the person is recognised by.

    Returns:
        How many there were.
    """
    rows = await conn.execute(
        "SELECT id, body FROM raw_dictionaries WHERE connector_config_id = %s", (connection.id,)
    )
    named = [one for one, body in await rows.fetchall() if traces.are_in(shapes.names(body))]
    for one in named:
        condition = _HAS_DICTIONARY.format(sql.Literal(one))
        async for part in _parts(conn, connection):
            place: _Place | None = ("", _FIRST)
            while place is not None:
                found = await part.read(conn, condition, place)
                await part.write(conn, found, Compressor())
                place = found.next
        await conn.execute("DELETE FROM raw_dictionaries WHERE id = %s", (one,))
    return len(named)


@dataclass(frozen=True, slots=True)
class _Found:
    """Some rows of a part.

    Attributes:
        keys: What they are.
        kept: Their raw records as they are kept.
        bodies: The same as they were received.
        lost: Rows beside them that can't be opened.
        next: Where to go on; None behind the last.
    """

    keys: list[_Place]
    kept: list[bytes]
    bodies: list[bytes]
    lost: list[_Place] = field(default_factory=list)
    next: _Place | None = None

    def each(self) -> "Iterator[_Found]":
        """Each row by itself."""
        return (
            _Found([key], [kept], [body])
            for key, kept, body in zip(self.keys, self.kept, self.bodies, strict=True)
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one stream in one table.

    Attributes:
        table: Of an entity, or of its former states.
        unique: The column that tells rows apart.
        connection: Whose.
        stream: Which.
    """

    table: str
    unique: str
    connection: ConnectionSummary
    stream: str

    @property
    def _values(self) -> dict[str, Any]:
        return {
            "connection": self.connection.id,
            "connector": self.connection.connector,
            "stream": self.stream,
        }

    async def read(self, conn: AsyncConnection[Any], condition: sql.Composable, after: _Place) -> _Found:
        """The next rows that meet a condition: a thousand, or some megabytes of them."""
        query = _READ.format(
            unique=sql.Identifier(self.unique),
            kept=forms.KEPT,
            table=sql.Identifier(self.table),
            condition=condition,
        )
        values = self._values | {"source_id": after[0], "id": after[1], "limit": _CHUNK}
        rows: list[tuple[str, UUID, bytes]] = []
        size = 0
        async with conn.cursor("rows_to_bring") as cursor:
            await cursor.execute(query, values)
            while size < _BYTES and (some := await cursor.fetchmany(_STEP)):
                rows += some
                size += sum(len(kept) for _, _, kept in some)
        bodies = await forms.opened(conn, [kept for _, _, kept in rows])
        found = [(*row, body) for row, body in zip(rows, bodies, strict=True)]
        return _Found(
            [(source_id, unique) for source_id, unique, _, body in found if body],
            [kept for _, _, kept, body in found if body],
            [body for body in bodies if body],
            [(source_id, unique) for source_id, unique, _, body in found if not body],
            rows[-1][:2] if size >= _BYTES or len(rows) == _CHUNK else None,
        )

    async def read_again(self, conn: AsyncConnection[Any], rows: Sequence[_Place]) -> None:
        """Have the next full sync store these rows anew, whatever it reads of them."""
        query = _READ_AGAIN.format(unique=sql.Identifier(self.unique), table=sql.Identifier(self.table))
        places = {"ids": [key[1] for key in rows], "source_ids": [key[0] for key in rows]}
        await conn.execute(query, self._values | places)

    async def write(self, conn: AsyncConnection[Any], rows: _Found, form: _Form) -> int:
        """Store the raw records of some rows in another form; how many bytes they are then."""
        if not rows.keys:
            return 0
        made = [form(body) for body in rows.bodies]
        query = _WRITE.format(unique=sql.Identifier(self.unique), table=sql.Identifier(self.table))
        values = self._values | {
            "ids": [key[1] for key in rows.keys],
            "source_ids": [key[0] for key in rows.keys],
            "texts": [None if isinstance(one, Compressed) else one.decode() for one in made],
            "compressed": [one if isinstance(one, Compressed) else None for one in made],
        }
        await conn.execute(query, values)
        return sum(map(len, made))


async def _parts(conn: AsyncConnection[Any], connection: ConnectionSummary) -> AsyncIterator[_Part]:
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
                yield _Part(table, unique, connection, stream)


async def _repack_some(
    conn: AsyncConnection[Any], part: _Part, after: _Place, done: Repacked, *, compressed: bool
) -> _Place | None:
    await conn.execute(_LOCK, (part.connection.id,))
    chosen = await conn.execute(
        "SELECT compresses_raw FROM workspaces WHERE id = %s", (part.connection.workspace_id,)
    )
    if await chosen.fetchone() != (compressed,):
        raise ChosenOtherwiseError
    rows = await part.read(conn, _IS_JSON if compressed else _IS_COMPRESSED, after)
    form: _Form = json_text.stored
    if compressed:
        of_each = dict(zip((source_id for source_id, _ in rows.keys), rows.bodies, strict=True))
        form = await forms.compressor(conn, part.connection.id, part.stream, of_each.values())
    await _store(conn, part, rows, form, done)
    if rows.lost:
        await part.read_again(conn, rows.lost)
        done.refused += len(rows.lost)
    return rows.next


async def _store(conn: AsyncConnection[Any], part: _Part, rows: _Found, form: _Form, done: Repacked) -> None:
    """Store rows in another form, and leave those as they are that PostgreSQL refuses."""
    try:
        async with conn.transaction():
            size = await part.write(conn, rows, form)
    except (psycopg.DataError, psycopg.errors.StatementTooComplex, UnicodeDecodeError):
        if len(rows.keys) == 1:
            done.refused += 1
            return
        for one in rows.each():
            await _store(conn, part, one, form, done)
        return
    done.records += len(rows.keys)
    done.before += sum(map(len, rows.kept))
    done.after += size
