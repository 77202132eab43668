"""One commit of a sync: rows, deletions, rejects, cursor and counts, all together or not at all.

Rows go into a temporary staging table (:mod:`unified.store.records.merge.staging`), and one statement merges those that
changed. Order does not matter: each record carries ``observed_at``, and the newest observation wins whichever comes
first.
Nothing is lost from the count: read = inserted + updated + unchanged + rejected.
"""

import asyncio
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from datetime import datetime
from functools import cache
from hashlib import sha256
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.types.json import Jsonb

from unified.kit.mapping.column_rules import Rules
from unified.schema import UnifiedBase
from unified.schema.entities import CUSTOMERS, INVOICES
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.database import Database
from unified.store.errors import AccountChangedError, ColumnsChangedError, RecordError, StartChangedError
from unified.store.plans import avoid_nested_loops
from unified.store.records import keys, suppressions, tables
from unified.store.records.merge import deletions, merge_sql, staging
from unified.store.records.merge.deletions import Deletion
from unified.store.records.merge.rows import row_encoder
from unified.store.records.raw import forms, json_text
from unified.store.records.tables import TABLES, StreamKey

_NAMELESS = "it can't be mapped, and names a person whose data were deleted on request; see the source"


# Tuples, as is all that is made once for each record: a frozen dataclass takes three times as long to make.
class Row(NamedTuple):
    """A record to store, encoded as binary COPY takes it.

    The record itself is let go: with it would stay its decoded raw record, hundreds of objects each, which Python's
    cycle collector walks over again and again while some thousand of them wait for their commit.

    Attributes:
        source_id: The record's id in its source.
        observed_at: When the source was in this state.
        encoded: Its own columns, from :func:`encode`.
        raw: The JSON text that it was mapped from.
        content_hash: Signed 64-bit hash of ``raw`` and of the mapping's version; equal means nothing changed.
        is_early: Whether it is from before the stream's start: then it is stored only where it is stored already.
    """

    source_id: str
    observed_at: datetime
    encoded: bytes
    raw: bytes | memoryview
    content_hash: int
    is_early: bool = False

    @classmethod
    def of(cls, record: UnifiedBase, raw: bytes | memoryview, content_hash: int) -> "Row":
        """The row of a unified record.

        Raises:
            RecordError: If PostgreSQL can't hold one of its values.
        """
        return cls(record.source_id, record.observed_at, encode(record), raw, content_hash)


IsStored = Callable[[bytes | memoryview, bytes, int], bool]
"""Whether a record's JSON text says what another one, that is stored with a hash, says, and was mapped as now."""


class Confirmed(NamedTuple):
    """A record that was read and is stored already with this very content.

    Attributes:
        source_id: Its id in its source.
        content_hash: The hash that it is stored with.
        observed_at: When the source was seen to be still in that state.
    """

    source_id: str
    content_hash: int
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
        unusable: How many of the rows have a field that could not be read.
        deletions: Records that are gone.
        keep_unknown: Whether those of them that were never stored get rows: something stored names them.
        cursor: Where the stream goes on from; None leaves it where it is.
        refresh_started_at: Set on every batch of a full refresh: when that refresh began.
        met: Ids that it knows to be there beside those.
        refresh_done: True on its last one: what it never met is deleted.
        since: Where that refresh began to ask: records that were made before were not to be met. None for all.
        history_id: The row of ``sync_history`` whose counts go up.
        scope: What the cursor was made with; None leaves that as it is.
        epoch: The connection's when its credentials were read; None stores whatever it is by now.
        columns: What was left out or hashed of it, of all the connection's streams; None stores it whatever the
            connection says by now.
        is_known: Whether it was mapped from what is stored: what was seen at the same time is the same state then.
        is_new: Whether, as a rule, nothing of it is stored yet: then each row is not looked up beforehand.
        begins_at: When the stream began as its early rows were marked; None where none was.
    """

    observed_at: datetime
    rows: Sequence[Row] = ()
    confirmed: Sequence[Confirmed] = ()
    rejects: Sequence[Reject] = ()
    unusable: int = 0
    deletions: Sequence[Deletion] = ()
    keep_unknown: bool = False
    cursor: Mapping[str, Any] | None = None
    refresh_started_at: datetime | None = None
    met: Sequence[str] = ()
    refresh_done: bool = False
    since: datetime | None = None
    history_id: UUID | None = None
    scope: str | None = None
    epoch: int | None = None
    columns: Rules | None = None
    is_known: bool = False
    is_new: bool = False
    begins_at: datetime | None = None

    def ids(self) -> list[str]:
        """Source ids of all records that this batch may change."""
        return _ids([*self.rows, *self.rejects, *self.deletions])


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """The outcomes of the records of some batches; ``deleted`` counts live ones that became tombstones.

    ``unusable`` counts records with a field that could not be read, ``suppressed`` those of a person whose data were
    deleted on request: left out, or stored without personal columns. Each is one of the others as well.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    deleted: int = 0
    unusable: int = 0
    suppressed: int = 0

    @property
    def read(self) -> int:
        """Records that came in; each is in exactly one of the four counts that add up to this."""
        return self.inserted + self.updated + self.unchanged + self.rejected

    def __add__(self, other: "MergeCounts") -> "MergeCounts":
        return MergeCounts(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def encode(record: UnifiedBase) -> bytes:
    """A record's own columns, as a :class:`Row` holds them.

    Raises:
        RecordError: If PostgreSQL can't hold one of its values.
    """
    try:
        return _encoder(type(record))(record)
    except (ValueError, struct.error) as error:
        raise _bad_value(record.source_id, None, type(error).__name__) from None


async def known_hashes(
    connection: AsyncConnection[Any], key: StreamKey, ids: Sequence[str], *, lock: bool = False
) -> dict[str, int]:
    """The hashes of those records that are stored and not deleted, to leave out what did not change.

    Args:
        connection: A transaction of the key's workspace.
        key: Which stream.
        ids: Source ids to look up.
        lock: Whether the rows stay as they are until the transaction ends.

    Returns:
        Hashes by source id; ids that are not stored are missing.
    """
    query = sql.SQL(
        "SELECT source_id, content_hash FROM {} "
        "WHERE connection_id = %(connection)s AND stream = %(stream)s AND source_id = ANY(%(ids)s) "
        "AND deleted_at IS NULL AND schema_version = %(version)s{}"
    ).format(key.leaf, sql.SQL(" ORDER BY source_id FOR NO KEY UPDATE" if lock else ""))
    values = key.parameters() | {"ids": list(ids), "version": key.table.version}
    rows = await (await connection.execute(query, values)).fetchall()
    return dict(rows)


async def commit(database: Database, key: StreamKey, batch: Batch) -> MergeCounts:
    """Store a batch in a transaction of its own; see :func:`merge`.

    Raises:
        UnreachableError, BusyError: If the server fails; nothing was stored.
    """
    async with database.workspace(key.workspace_id) as connection:
        return await merge(connection, key, batch)


async def merge(
    connection: AsyncConnection[Any], key: StreamKey, batch: Batch, is_stored: IsStored | None = None
) -> MergeCounts:
    """Store a batch as part of a transaction.

    Args:
        connection: A transaction of the key's workspace. After an error nothing of it can be committed.
        key: Which stream of which connection.
        batch: What. Where it has several states of one record, the newest is stored and the others count as
            unchanged.
        is_stored: Asked of a row whose hash is not the stored one: one that is stored in other bytes stays as it is.

    Returns:
        Its outcome, in counts.

    Raises:
        RecordError: If PostgreSQL can't hold a value.
        AccountChangedError: If the connection is another account's by now.
        ColumnsChangedError: If it leaves out other columns by now.
        StartChangedError: If the stream begins earlier by now.
        ConnectionNotFoundError: If the connection was removed meanwhile.
        ValueError: If it has deletions of a log: what happened can't be deleted.
    """
    if batch.deletions and key.entity.is_log:
        msg = f"{key.stream} are a log; what happened can't be deleted"
        raise ValueError(msg)
    step = _Merge(connection.cursor(), key, batch)
    await step.prepare()
    inserted, updated = await step.store(is_stored)
    await step.confirm(all_rows_merged=inserted + updated == len(batch.rows))
    deleted = await step.delete()
    await step.store_rejects()
    deleted += await step.follow_refresh()
    await step.move_cursor()
    counts = MergeCounts(
        inserted=inserted,
        updated=updated,
        unchanged=len(batch.rows) + len(batch.confirmed) - inserted - updated,
        rejected=len(batch.rejects),
        deleted=deleted,
        unusable=batch.unusable,
        suppressed=step.suppressed,
    )
    await step.count(counts)
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
        self._rejects = list(batch.rejects)
        # Rows that name a person whose data were deleted on request, and how many records that concerns.
        self._nameless: list[str] = []
        self.suppressed = 0
        self._keeps_history = False
        self._compresses = False
        self._parameters = key.parameters() | {
            "version": key.table.version,
            "floor": None,
            "is_known": batch.is_known,
            "same": [],
        }

    async def _execute(self, query: str, **parameters: Any) -> AsyncCursor[Any]:
        invoices = sql.Identifier(INVOICES.leaf(self._key.connector))
        statement = sql.SQL(query).format(
            leaf=self._key.leaf, invoices=invoices, **merge_sql.names(self._key.table)
        )
        try:
            return await self._cursor.execute(statement, self._parameters | parameters)
        except psycopg.errors.ForeignKeyViolation:
            raise ConnectionNotFoundError(self._key.connection_id) from None  # removed in mid-sync

    async def prepare(self) -> None:
        """Fix the plans, and read the floor: the last full refresh, which confirmed all that is stored."""
        await avoid_nested_loops(self._cursor.connection)
        await self._execute(merge_sql.LOCK)
        if locked := await self._cursor.fetchone():
            epoch, columns, keeps_history, begins_at = locked
            if self._batch.epoch not in (None, epoch):
                raise AccountChangedError
            if self._batch.columns not in (None, columns):
                raise ColumnsChangedError
            if self._batch.begins_at and (begins_at is None or begins_at < self._batch.begins_at):
                raise StartChangedError
            self._keeps_history = keeps_history and not self._key.entity.is_log
        await self._execute(merge_sql.FLOOR)
        row = await self._cursor.fetchone()
        assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
        self._parameters["floor"], has_suppressed, self._compresses = row
        if has_suppressed:
            await self._leave_out_suppressed()
        await self._leave_out_early()

    async def _leave_out_early(self) -> None:
        """Leave out records from before the stream's start that are not stored, nor known as deleted."""
        early = [row.source_id for row in self._rows if row.is_early]
        if early:
            await self._execute(merge_sql.STORED_OF, ids=early)
            missing = set(early).difference(row[0] for row in await self._cursor.fetchall())
            self._rows = [row for row in self._rows if row.source_id not in missing]

    async def _leave_out_suppressed(self) -> None:
        """Leave out customers whose data were deleted on request, and the personal columns of what names them."""
        traces = await suppressions.traces_of(self._cursor.connection, self._key.connection_id)
        if traces is None:
            return
        stream, found = self._key.stream, self._rows
        if self._key.entity is CUSTOMERS:
            self._rows = [row for row in found if not traces.names(stream, row.source_id)]
        else:
            self._nameless = [row.source_id for row in found if traces.are_in(row.raw)]
        self.suppressed = len(found) - len(self._rows) + len(self._nameless)
        for place, reject in reversed(list(enumerate(self._batch.rejects))):
            is_own = traces.names(stream, reject.source_id)
            if is_own or traces.are_in(reject.raw):
                self.suppressed += 1
                # One that only names the person may state money that misses, so that it fails stays known.
                kept = reject.source_id is not None and not is_own
                self._rejects[place : place + 1] = [replace(reject, raw=b"", error=_NAMELESS)] * kept

    async def store(self, is_stored: IsStored | None) -> tuple[int, int]:
        """Merge the rows, but those that are stored in other bytes; how many were inserted and updated.

        New ones are merged at once. Where one of them would replace something after all, that is taken back, and they
        are compared first.
        """
        if is_stored is None:
            return await self._store_rows()
        if self._batch.is_new:
            async with self._cursor.connection.transaction() as attempt:
                inserted, updated = await self._store_rows()
                if updated:
                    raise psycopg.Rollback(attempt)
            if not updated:
                return inserted, updated
        await self._compare(is_stored)
        return await self._store_rows()

    async def _compare(self, is_stored: IsStored) -> None:
        """Give rows that are stored in other bytes the hash of those, by which the merge leaves them as they are.

        What is stored is locked from the look on.
        """
        connection = self._cursor.connection
        stored = await known_hashes(connection, self._key, _ids(self._rows), lock=True) if self._rows else {}
        doubtful = [
            row.source_id
            for row in self._rows
            if row.content_hash != stored.get(row.source_id, row.content_hash)
        ]
        if not doubtful:
            return
        bodies = await tables.bodies(connection, self._key, doubtful)

        def settled(row: Row) -> Row:
            body = bodies.get(row.source_id)
            if body is None or not is_stored(row.raw, body, stored[row.source_id]):
                return row
            return row._replace(content_hash=stored[row.source_id])

        self._rows = await asyncio.to_thread(lambda: [settled(row) for row in self._rows])

    async def _store_rows(self) -> tuple[int, int]:
        """Stage the rows and merge them; how many were inserted and updated."""
        if not self._rows:
            return 0, 0
        await self._execute(merge_sql.STAGING)
        await self._stage()
        if self._nameless:
            await self._execute(merge_sql.EMPTY_STAGED, ids=self._nameless)
        await deletions.exclude_merges(self._execute, self._key)
        if self._keeps_history or (self._compresses and self._key.entity.history):
            self._parameters["same"] = await self._same()
        if self._keeps_history:
            await self._execute(merge_sql.MERGE_WITH_HISTORY, ids=_ids(self._rows))
        else:
            await self._execute(merge_sql.MERGE)
        row = await self._cursor.fetchone()
        assert row is not None  # noqa: S101 - an aggregate without GROUP BY gives one row
        if self._key.entity is CUSTOMERS:
            await keys.keep(self._cursor.connection, self._key, _ids(self._rows))
        await deletions.follow_merges(self._execute, self._key, _ids(self._rows))
        return int(row[0]), int(row[1])

    async def _stage(self) -> None:
        table = self._key.table
        form = await self._form()
        try:
            async with self._cursor.connection.transaction():
                await staging.copy(self._cursor, table, self._rows, form)
        except psycopg.DataError as error:
            place, column = await staging.find_unusable(self._cursor, table, self._rows, form)
            raise _bad_value(self._rows[place].source_id, column, error.diag.message_primary) from None

    async def _form(self) -> staging.Form:
        """What raw records are stored as."""
        if not self._compresses:
            return json_text.stored
        connection, key = self._cursor.connection, self._key
        return await forms.compressor(
            connection, key.connection_id, key.stream, [row.raw for row in self._rows]
        )

    async def _same(self) -> list[str]:
        """Which rows are stored in the same bytes already, of those where SQL does not see it; all are locked."""
        await self._execute(merge_sql.LOCK_STORED, ids=_ids(self._rows), compresses=self._compresses)
        unseen = [source_id for source_id, is_unseen in await self._cursor.fetchall() if is_unseen]
        if not unseen:
            return []
        bodies = await tables.bodies(self._cursor.connection, self._key, unseen)
        return [row.source_id for row in self._rows if bodies.get(row.source_id) == row.raw]

    async def confirm(self, *, all_rows_merged: bool) -> None:
        """Note that stored content was seen again, so that an older state that comes late can't replace it.

        Not in a full refresh: its end confirms all records at once, as ``refreshed_at``.
        """
        seen = _newest([*self._batch.confirmed, *(() if all_rows_merged else self._rows)])
        if seen and self._batch.refresh_started_at is None:
            await self._execute(
                merge_sql.CONFIRM,
                ids=[row.source_id for row in seen],
                hashes=[row.content_hash for row in seen],
                observed=[row.observed_at for row in seen],
            )

    async def delete(self) -> int:
        """Make tombstones, also of what was just stored as it was before its deletion."""
        if self._key.entity.is_log:
            return 0
        await deletions.bury_late(self._execute, _ids(self._rows))
        return await deletions.bury(
            self._execute, self._key, self._batch.deletions, keep_unknown=self._batch.keep_unknown
        )

    async def store_rejects(self) -> None:
        """Set aside what could not be mapped, and drop rejects of records that are known in a later state."""
        solved: list[Row | Confirmed | Deletion]
        solved = [*self._rows, *self._batch.confirmed, *self._batch.deletions]
        # As a rule there is none, and then nothing has to be looked up for each record.
        if solved and (await self._execute(merge_sql.HAS_REJECTS)).rowcount:
            await self._execute(
                merge_sql.SOLVE,
                solved=_ids(solved),
                observed=[item.observed_at for item in solved],
            )
        rejects = _newest(self._rejects)
        if rejects:
            await self._execute(
                merge_sql.SET_ASIDE,
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
        met += self._batch.met
        if met:
            await self._execute(
                merge_sql.REMEMBER_MET,
                started=started_at,
                met=met,
            )
        deleted = 0
        if self._batch.refresh_done:
            if not self._key.entity.is_log:
                deleted = await self._delete_unmet(started_at)
            await self._execute(merge_sql.FORGET_MET)
            await self._execute(merge_sql.FORGET_WAITING)
            await self._execute(merge_sql.FORGET_UNKNOWN, started=started_at)
            await self._execute(
                merge_sql.DROP_UNMET_REJECTS,
                started=started_at,
            )
        return deleted

    async def _delete_unmet(self, started_at: datetime) -> int:
        await self._execute(
            merge_sql.BURY_UNMET,
            started=started_at,
            since=self._batch.since,
        )
        return await self._count()

    async def move_cursor(self) -> None:
        """Store where the stream goes on from."""
        if self._batch.cursor is not None:
            await self._execute(
                merge_sql.MOVE_CURSOR,
                cursor=Jsonb(self._batch.cursor),
                scope=self._batch.scope,
                observed=self._batch.observed_at,
                refreshed=self._batch.refresh_started_at if self._batch.refresh_done else None,
            )

    async def count(self, counts: MergeCounts) -> None:
        """Add to the counts of the sync's history."""
        if self._batch.history_id is not None:
            await self._execute(
                merge_sql.COUNT,
                history=self._batch.history_id,
                read=counts.read,
                **asdict(counts),
            )

    async def _count(self) -> int:
        row = await self._cursor.fetchone()
        return int(row[0]) if row else 0


_Item = TypeVar("_Item", Row, Row | Confirmed, Reject)


def _newest(items: Sequence[_Item]) -> list[_Item]:
    """One item for each record, its newest, ordered by id so that two writers can't lock each other out."""
    newest: dict[str, _Item] = {}
    for item in sorted(items, key=attrgetter("observed_at")):
        newest[_key(item)] = item
    return [newest[key] for key in sorted(newest)]


def _key(item: Row | Confirmed | Reject) -> str:
    return item.key if isinstance(item, Reject) else item.source_id


def _ids(items: Sequence[Row | Confirmed | Deletion | Reject]) -> list[str]:
    return [item.source_id for item in items if item.source_id is not None]


@cache
def _encoder(model: type[UnifiedBase]) -> Callable[[UnifiedBase], bytes]:
    table = next(table for entity, table in TABLES.items() if entity.model is model)
    return row_encoder(table, merge_sql.staged_columns(table)[:-3])


def _bad_value(source_id: str, column: str | None, reason: str | None) -> RecordError:
    """Name the record and column of a value that can't be stored, and keep silent on the value."""
    msg = f"PostgreSQL can't hold the {column or 'values'} of record {source_id}: {reason}"
    return RecordError(msg, source_id=source_id, column=column)
