"""One commit of a sync: rows, deletions, rejects, cursor and counts, all together or not at all.

Rows go by binary COPY into a temporary staging table, and one statement merges those that changed. Order does
not matter: each record carries ``observed_at``, and the newest observation wins whichever comes first.
Nothing is lost from the count: read = inserted + updated + unchanged + rejected.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.types.json import Jsonb

from store.connections import ConnectionNotFoundError
from store.database import Database
from store.errors import RecordError
from store.rows import copy_types, row_encoder
from store.tables import StreamKey, UnifiedTable
from unified_schema import UnifiedBase, connection_namespace, unified_id

# Written by the merge itself, the same for the whole batch.
_BATCH_COLUMNS = ("workspace_id", "connection_id", "source_system", "schema_version")
_KEY_COLUMNS = ("workspace_id", "connection_id", "source_id", "source_system")

# PostgreSQL's toaster leaves rows of up to this many bytes whole, so that staging neither compresses nor
# splits them.
_STAGED_WHOLE = 8160


@dataclass(frozen=True, slots=True)
class Row:
    """A record to store.

    Attributes:
        record: The unified record.
        raw: The JSON text that it was mapped from.
        content_hash: Signed 64-bit hash of ``raw`` and of the mapping's version; equal means nothing changed.
    """

    record: UnifiedBase
    raw: bytes | memoryview
    content_hash: int

    @property
    def source_id(self) -> str:
        """The record's id in its source."""
        return self.record.source_id

    @property
    def observed_at(self) -> datetime:
        """When the source was in this state."""
        return self.record.observed_at


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A record that was read and is stored already with this very content.

    Attributes:
        source_id: Its id in its source.
        content_hash: As stored.
        observed_at: When the source was seen to be still in that state.
    """

    source_id: str
    content_hash: int
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record that its source deleted or archived.

    Attributes:
        source_id: Its id in its source.
        deleted_at: When the source did so, as closely as it says.
        observed_at: When the source was known to lack it.
    """

    source_id: str
    deleted_at: datetime
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Reject:
    """A raw record that could not become a unified one.

    Attributes:
        source_id: Its id in its source, or None where it has no readable one.
        raw: The bytes as received.
        error: Why, without any of its values.
        observed_at: When it was read.
    """

    source_id: str | None
    raw: bytes | memoryview
    error: str
    observed_at: datetime

    @property
    def key(self) -> str:
        """What the reject is known by: its source id, or a hash of its bytes."""
        return self.source_id or f"sha256:{sha256(self.raw).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one commit stores.

    Attributes:
        observed_at: When the newest of it was observed.
        rows: Records that are new or may have changed.
        confirmed: Records known to be stored unchanged; they only count.
        rejects: Raw records that could not be mapped.
        deletions: Records that are gone.
        cursor: Where the stream goes on from; None leaves it where it is.
        refresh_started_at: Set on every batch of a full refresh: when that refresh began.
        refresh_done: True on its last one: what it never met is deleted.
        history_id: The row of ``sync_history`` whose counts go up.
    """

    observed_at: datetime
    rows: Sequence[Row] = ()
    confirmed: Sequence[Confirmed] = ()
    rejects: Sequence[Reject] = ()
    deletions: Sequence[Deletion] = ()
    cursor: Mapping[str, Any] | None = None
    refresh_started_at: datetime | None = None
    refresh_done: bool = False
    history_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What became of the records of some batches; ``deleted`` counts live ones that became tombstones."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    deleted: int = 0

    @property
    def read(self) -> int:
        """Records that came in; each is in exactly one of the four counts that add up to this."""
        return self.inserted + self.updated + self.unchanged + self.rejected

    def __add__(self, other: "MergeCounts") -> "MergeCounts":
        return MergeCounts(*map(sum, zip(astuple(self), astuple(other), strict=True)))


async def known_hashes(
    connection: AsyncConnection[Any], key: StreamKey, ids: Sequence[str]
) -> dict[str, int]:
    """The content hashes of those records that are stored and not deleted, to leave out what did not change.

    Args:
        connection: A transaction of the key's workspace.
        key: Which stream.
        ids: Source ids to look up.

    Returns:
        Hashes by source id; ids that are not stored are missing.
    """
    query = sql.SQL(
        "SELECT source_id, content_hash FROM {} "
        "WHERE connection_id = %s AND source_id = ANY(%s) AND deleted_at IS NULL AND schema_version = %s"
    ).format(key.leaf)
    rows = await (
        await connection.execute(query, (key.connection_id, list(ids), key.table.version))
    ).fetchall()
    return dict(rows)


async def commit(database: Database, key: StreamKey, batch: Batch) -> MergeCounts:
    """Store a batch in one transaction.

    Args:
        database: Where.
        key: Which stream of which connection.
        batch: What. Where it has several states of one record, the newest is stored and the others count as
            unchanged.

    Returns:
        What became of it.

    Raises:
        RecordError: If PostgreSQL can't hold a value; nothing was stored.
        ConnectionNotFoundError: If the connection was removed meanwhile; nothing was stored.
        UnreachableError, BusyError: If the server fails; nothing was stored.
        ValueError: If it has deletions of a log: what happened can't be deleted.
    """
    if batch.deletions and key.table.is_log:
        msg = f"{key.stream} are a log; what happened can't be deleted"
        raise ValueError(msg)
    async with database.workspace(key.workspace_id) as connection:
        merge = _Merge(connection.cursor(), key, batch)
        await merge.prepare()
        inserted, updated = await merge.store_rows()
        await merge.confirm(all_rows_merged=inserted + updated == len(batch.rows))
        deleted = await merge.delete()
        await merge.store_rejects()
        deleted += await merge.follow_refresh()
        await merge.move_cursor()
        counts = MergeCounts(
            inserted=inserted,
            updated=updated,
            unchanged=len(batch.rows) + len(batch.confirmed) - inserted - updated,
            rejected=len(batch.rejects),
            deleted=deleted,
        )
        await merge.count(counts)
    return counts


class _Merge:
    """The statements of one commit, in one transaction."""

    def __init__(self, cursor: AsyncCursor[Any], key: StreamKey, batch: Batch) -> None:
        self._cursor = cursor
        self._key = key
        self._batch = batch
        # A record may be met changed and, in a later page, as it is stored: then nothing changed.
        met: list[Row | Confirmed] = [*batch.rows, *batch.confirmed]
        self._rows = [item for item in _newest(met) if isinstance(item, Row)]
        self._parameters = key.parameters() | {"version": key.table.version, "floor": None}

    async def _execute(self, query: str, **parameters: Any) -> AsyncCursor[Any]:
        statement = sql.SQL(query).format(leaf=self._key.leaf, **_statement_parts(self._key.table))
        try:
            return await self._cursor.execute(statement, self._parameters | parameters)
        except psycopg.errors.ForeignKeyViolation:
            raise ConnectionNotFoundError(self._key.connection_id) from None  # removed in mid-sync

    async def prepare(self) -> None:
        """Fix the plans, and read the floor: the last full refresh, which confirmed all that is stored."""
        # Without statistics the planner takes thousands of ids for few, and would compare each with each.
        await self._cursor.execute("SELECT set_config('enable_nestloop', 'off', true)")
        await self._execute(
            "SELECT refreshed_at FROM cursors "
            "WHERE connector_config_id = %(connection)s AND stream = %(stream)s"
        )
        if row := await self._cursor.fetchone():
            self._parameters["floor"] = row[0]

    async def store_rows(self) -> tuple[int, int]:
        """Stage the rows and merge them; how many were inserted and updated."""
        if not self._rows:
            return 0, 0
        await self._execute("CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ({definitions}) {options}")
        await self._stage()
        await self._execute(
            """
            INSERT INTO {leaf} AS t (workspace_id, connection_id, source_system, schema_version, {columns})
            SELECT %(workspace)s, %(connection)s, %(connector)s, %(version)s, {columns} FROM {staging}
            ON CONFLICT (workspace_id, connection_id, source_id, source_system) DO UPDATE SET {assignments}
            WHERE (t.content_hash, t.schema_version, t.deleted_at)
                    IS DISTINCT FROM (excluded.content_hash, excluded.schema_version, excluded.deleted_at)
                AND (t.observed_at = excluded.observed_at
                     OR excluded.observed_at >= greatest(t.observed_at, %(floor)s::timestamptz))
            RETURNING xmax = 0
            """
        )
        inserted = [is_new for (is_new,) in await self._cursor.fetchall()]
        return inserted.count(True), inserted.count(False)

    async def _stage(self) -> None:
        table = self._key.table
        columns = _staged_columns(table)
        encode = row_encoder(table, columns[:-2])
        statement = sql.SQL("COPY {staging} ({columns}) FROM STDIN (FORMAT BINARY)").format(
            **_statement_parts(table)
        )
        row = self._rows[0]
        try:
            async with self._cursor.copy(statement) as copy:
                copy.set_types([*copy_types(table, columns[:-2]), "bytea", "bigint"])
                for row in self._rows:
                    values = encode(row.record)
                    values += (row.raw, row.content_hash)
                    await copy.write_row(values)
        except (ValueError, OverflowError) as error:
            raise _bad_value(row, None, type(error).__name__) from None
        except psycopg.DataError as error:
            place = _COPY_PLACE.search(error.diag.context or "")
            if place is None:
                raise
            raise _bad_value(self._rows[int(place[1]) - 1], place[2], error.diag.message_primary) from None

    async def confirm(self, *, all_rows_merged: bool) -> None:
        """Note that stored content was seen again, so that an older state that comes late can't replace it.

        Not in a full refresh: its end confirms all records at once, as ``refreshed_at``.
        """
        seen: list[Row | Confirmed] = [*self._batch.confirmed, *(() if all_rows_merged else self._rows)]
        if seen and self._batch.refresh_started_at is None:
            await self._execute(
                """
                UPDATE {leaf} AS t SET observed_at = s.observed_at
                FROM unnest(%(ids)s::text[], %(hashes)s::bigint[], %(observed)s::timestamptz[])
                    AS s (source_id, content_hash, observed_at)
                WHERE t.connection_id = %(connection)s AND t.source_id = ANY(%(ids)s)
                    AND (t.source_id, t.content_hash) = (s.source_id, s.content_hash)
                    AND t.deleted_at IS NULL AND t.observed_at < s.observed_at
                """,
                ids=[row.source_id for row in seen],
                hashes=[row.content_hash for row in seen],
                observed=[row.observed_at for row in seen],
            )

    async def delete(self) -> int:
        """Make tombstones; for unknown records too, or an older state that comes late would raise them."""
        deletions = _newest(self._batch.deletions)
        if not deletions:
            return 0
        namespace = connection_namespace(self._key.workspace_id, self._key.connection_id, self._key.stream)
        await self._execute(
            """
            WITH alive AS (
                SELECT source_id FROM {leaf}
                WHERE connection_id = %(connection)s AND source_id = ANY(%(ids)s) AND deleted_at IS NULL
            ), buried AS (
                INSERT INTO {leaf} AS t (workspace_id, connection_id, source_system, source_id, unified_id,
                    schema_version, content_hash, observed_at, synced_at, deleted_at, is_active)
                SELECT %(workspace)s, %(connection)s, %(connector)s, s.source_id, s.unified_id,
                    %(version)s, 0, s.observed_at, now(), s.deleted_at, false
                FROM unnest(%(ids)s::text[], %(unified_ids)s::uuid[], %(deleted)s::timestamptz[],
                    %(observed)s::timestamptz[]) AS s (source_id, unified_id, deleted_at, observed_at)
                ON CONFLICT (workspace_id, connection_id, source_id, source_system) DO UPDATE SET
                    deleted_at = excluded.deleted_at, is_active = false, observed_at = excluded.observed_at,
                    synced_at = excluded.synced_at
                WHERE excluded.observed_at >= greatest(t.observed_at, %(floor)s::timestamptz)
                    AND (t.deleted_at IS NULL OR t.observed_at < excluded.observed_at)
                RETURNING source_id
            )
            SELECT count(*) FROM buried JOIN alive USING (source_id)
            """,
            ids=_ids(deletions),
            unified_ids=[unified_id(namespace, deletion.source_id) for deletion in deletions],
            deleted=[deletion.deleted_at for deletion in deletions],
            observed=[deletion.observed_at for deletion in deletions],
        )
        return await self._count()

    async def store_rejects(self) -> None:
        """Set aside what could not be mapped, and drop rejects of records that are known in a later state."""
        solved: list[Row | Confirmed | Deletion]
        solved = [*self._rows, *self._batch.confirmed, *self._batch.deletions]
        if solved:
            await self._execute(
                """
                DELETE FROM rejects AS r USING unnest(%(solved)s::text[], %(observed)s::timestamptz[])
                    AS s (source_id, observed_at)
                WHERE r.connector_config_id = %(connection)s AND r.stream = %(stream)s
                    AND r.record_key = s.source_id AND r.observed_at <= s.observed_at
                """,
                solved=_ids(solved),
                observed=[item.observed_at for item in solved],
            )
        rejects = _newest(self._batch.rejects)
        if rejects:
            await self._execute(
                """
                INSERT INTO rejects AS r (workspace_id, connector_config_id, stream, record_key,
                    source_id, raw, error, observed_at)
                SELECT %(workspace)s, %(connection)s, %(stream)s, s.*
                FROM unnest(%(keys)s::text[], %(ids)s::text[], %(raws)s::bytea[], %(errors)s::text[],
                    %(observed)s::timestamptz[]) AS s (key, source_id, raw, error, observed_at)
                WHERE (
                    SELECT t.observed_at <= s.observed_at FROM {leaf} AS t
                    WHERE t.connection_id = %(connection)s AND t.source_id = s.source_id
                ) IS NOT FALSE
                ON CONFLICT (workspace_id, connector_config_id, stream, record_key) DO UPDATE SET
                    raw = excluded.raw, error = excluded.error, observed_at = excluded.observed_at,
                    last_seen_at = now()
                WHERE r.observed_at <= excluded.observed_at
                """,
                keys=[reject.key for reject in rejects],
                ids=[reject.source_id for reject in rejects],
                raws=[bytes(reject.raw) for reject in rejects],
                errors=[reject.error.replace("\0", "") for reject in rejects],
                observed=[reject.observed_at for reject in rejects],
            )

    async def follow_refresh(self) -> int:
        """Remember what a full refresh met; at its end bury, or no longer set aside, what it did not meet."""
        started_at = self._batch.refresh_started_at
        if started_at is None:
            return 0
        met = _ids(self._rows) + _ids(self._batch.confirmed) + _ids(self._batch.rejects)
        if met:
            await self._execute(
                """
                INSERT INTO refresh_seen
                    (workspace_id, connector_config_id, stream, refresh_started_at, source_ids)
                VALUES (%(workspace)s, %(connection)s, %(stream)s, %(started)s, %(met)s)
                """,
                started=started_at,
                met=met,
            )
        deleted = 0
        if self._batch.refresh_done:
            if not self._key.table.is_log:
                deleted = await self._delete_unmet(started_at)
            await self._execute(
                "DELETE FROM refresh_seen WHERE connector_config_id = %(connection)s AND stream = %(stream)s"
            )
            await self._execute(
                """
                DELETE FROM rejects WHERE connector_config_id = %(connection)s AND stream = %(stream)s
                    AND observed_at < %(started)s
                """,
                started=started_at,
            )
        return deleted

    async def _delete_unmet(self, started_at: datetime) -> int:
        await self._execute(
            """
            WITH met AS MATERIALIZED (
                SELECT unnest(source_ids) AS source_id FROM refresh_seen
                WHERE connector_config_id = %(connection)s AND stream = %(stream)s
                    AND refresh_started_at = %(started)s
            ), buried AS (
                UPDATE {leaf} AS t SET deleted_at = %(started)s, is_active = false, observed_at = %(started)s,
                    synced_at = now()
                WHERE connection_id = %(connection)s AND deleted_at IS NULL AND observed_at < %(started)s
                    AND NOT EXISTS (SELECT FROM met WHERE met.source_id = t.source_id)
                RETURNING 1
            )
            SELECT count(*) FROM buried
            """,
            started=started_at,
        )
        return await self._count()

    async def move_cursor(self) -> None:
        """Store where the stream goes on from."""
        if self._batch.cursor is not None:
            await self._execute(
                """
                INSERT INTO cursors AS c
                    (workspace_id, connector_config_id, stream, cursor, observed_at, refreshed_at)
                VALUES (%(workspace)s, %(connection)s, %(stream)s, %(cursor)s, %(observed)s, %(refreshed)s)
                ON CONFLICT (workspace_id, connector_config_id, stream) DO UPDATE SET
                    cursor = excluded.cursor, observed_at = greatest(c.observed_at, excluded.observed_at),
                    refreshed_at = coalesce(excluded.refreshed_at, c.refreshed_at), updated_at = now()
                """,
                cursor=Jsonb(self._batch.cursor),
                observed=self._batch.observed_at,
                refreshed=self._batch.refresh_started_at if self._batch.refresh_done else None,
            )

    async def count(self, counts: MergeCounts) -> None:
        """Add to the counts of the sync's history."""
        if self._batch.history_id is not None:
            await self._execute(
                """
                UPDATE sync_history SET
                    records_read = records_read + %(read)s, inserted = inserted + %(inserted)s,
                    updated = updated + %(updated)s, unchanged = unchanged + %(unchanged)s,
                    rejected = rejected + %(rejected)s, deleted = deleted + %(deleted)s
                WHERE id = %(history)s
                """,
                history=self._batch.history_id,
                read=counts.read,
                **asdict(counts),
            )

    async def _count(self) -> int:
        row = await self._cursor.fetchone()
        return int(row[0]) if row else 0


_Item = TypeVar("_Item", Row, Row | Confirmed, Deletion, Reject)


def _newest(items: Sequence[_Item]) -> list[_Item]:
    """One item for each record, its newest, ordered by id so that two writers can't lock each other out."""
    newest: dict[str, _Item] = {}
    for item in sorted(items, key=attrgetter("observed_at")):
        newest[_key(item)] = item
    return [newest[key] for key in sorted(newest)]


def _key(item: Row | Confirmed | Deletion | Reject) -> str:
    return item.key if isinstance(item, Reject) else item.source_id


def _ids(items: Sequence[Row | Confirmed | Deletion | Reject]) -> list[str]:
    return [item.source_id for item in items if item.source_id is not None]


def _staged_columns(table: UnifiedTable) -> list[str]:
    """The columns that are copied: the record's own, then the raw record and its hash."""
    own = [column.name for column in table.columns if column.name not in (*_BATCH_COLUMNS, "raw_data")]
    return [*own, "raw_data", "content_hash"]


@cache
def _statement_parts(table: UnifiedTable) -> dict[str, sql.Composable]:
    """The names that the statements have in their braces."""
    columns = _staged_columns(table)
    types = {column.name: column.type for column in table.columns} | {"content_hash": "bigint"}
    changing = [name for name in (*columns, "schema_version") if name not in _KEY_COLUMNS]
    comma = sql.SQL(", ")
    return {
        "staging": sql.Identifier(f"staging_{table.name}"),
        "columns": comma.join(map(sql.Identifier, columns)),
        "definitions": comma.join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(types[name])) for name in columns
        ),
        "options": sql.SQL(f"WITH (toast_tuple_target = {_STAGED_WHOLE}) ON COMMIT DELETE ROWS"),
        "assignments": comma.join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in changing
        ),
    }


_COPY_PLACE = re.compile(r"COPY \w+, line (\d+)(?:, column (\w+))?")


def _bad_value(row: Row, column: str | None, reason: str | None) -> RecordError:
    """Name the record and column of a value that can't be stored, and keep silent on the value."""
    msg = f"PostgreSQL can't hold the {column or 'values'} of record {row.source_id}: {reason}"
    return RecordError(msg, source_id=row.source_id, column=column)
