"""What is stored of a workspace's raw records, brought into the form that it has chosen, some rows at a time.

A row says by itself which form it has, so everything reads on meanwhile, a run that was interrupted goes on where it
ended, and the way back is the same. No record changes by it. The forms: :mod:`unified.store.records.raw`. Which one is
chosen is the workspace's (:mod:`unified.store.workspaces.workspaces`).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql

from unified.store.connections.rows import SUMMARIES, ConnectionSummary
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.records.raw import forms, json_text, shapes
from unified.store.records.raw.forms import Compressor, Form
from unified.store.records.raw.parts import BEGINNING, Found, Part, Place, parts_of
from unified.store.records.traces import Traces
from unified.store.rows import fetch

_IS_JSON = sql.SQL("raw_data IS NOT NULL")
_IS_COMPRESSED = sql.SQL("raw_compressed IS NOT NULL")
_HAS_DICTIONARY = sql.SQL("substring(raw_compressed FOR 8) = int8send({})")
# No sync, drain, deletion of a person's data or other choice is under way in the connection then: no two wait for each
# other's rows, and no dictionary is removed that is just used.
_LOCK = "SELECT FROM connector_configs WHERE id = %s FOR NO KEY UPDATE"


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
            parts = [part async for part in parts_of(conn, connection)]
        for part in parts:
            place: Place | None = BEGINNING
            while place is not None:
                async with db.workspace(workspace_id) as conn:
                    place = await _repack_some(conn, part, place, done, compressed=compressed)
        yield done


async def forget_dictionaries(
    conn: AsyncConnection[Any], connection: ConnectionSummary, traces: Traces, customers: int
) -> int:
    """Remove dictionaries of a connection that hold what is a person's, and compress without one what they were for.

    A name of a field that half of the records had may have been an id of theirs. A person who is fifty customers, as a
    guest who is a new one at each order is, counted as fifty persons, so any dictionary may hold what is theirs alone.

    Args:
        conn: A transaction of the workspace, which nobody stores records beside.
        connection: The connection.
        traces: What the person is recognised by.
        customers: How many of the connection's the person is.

    Returns:
        How many there were.
    """
    rows = await conn.execute(
        "SELECT id, body FROM raw_dictionaries WHERE connector_config_id = %s", (connection.id,)
    )
    theirs = [
        one
        for one, body in await rows.fetchall()
        if customers >= shapes.PERSONS or traces.are_in(shapes.texts(body))
    ]
    for one in theirs:
        condition = _HAS_DICTIONARY.format(sql.Literal(one))
        async for part in parts_of(conn, connection):
            place: Place | None = BEGINNING
            while place is not None:
                found = await part.read(conn, condition, place)
                await part.write(conn, found, Compressor())
                place = found.next
        await conn.execute("DELETE FROM raw_dictionaries WHERE id = %s", (one,))
    return len(theirs)


async def _repack_some(
    conn: AsyncConnection[Any], part: Part, after: Place, done: Repacked, *, compressed: bool
) -> Place | None:
    await conn.execute(_LOCK, (part.connection.id,))
    chosen = await conn.execute(
        "SELECT compresses_raw FROM workspaces WHERE id = %s", (part.connection.workspace_id,)
    )
    if await chosen.fetchone() != (compressed,):
        raise ChosenOtherwiseError
    rows = await part.read(conn, _IS_JSON if compressed else _IS_COMPRESSED, after)
    form: Form = json_text.stored
    if compressed:
        of_each = dict(zip((source_id for source_id, _ in rows.keys), rows.samples, strict=True))
        form = await forms.compressor(conn, part.connection.id, part.stream, of_each.values())
    await _store(conn, part, rows, form, done)
    if rows.lost:
        await part.read_again(conn, rows.lost)
        done.refused += len(rows.lost)
    return rows.next


async def _store(conn: AsyncConnection[Any], part: Part, rows: Found, form: Form, done: Repacked) -> None:
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
