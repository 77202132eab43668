"""One commit of a sync: rows, deletions, rejects, cursor and counts, all together or not at all.

Rows go into a temporary staging table (:mod:`unified.store.records.merge.staging`), and one statement merges those that
changed. Order does not matter: each record carries ``observed_at``, and the newest observation wins whichever comes
first.
Nothing is lost from the count: read = inserted + updated + unchanged + rejected.
"""

from dataclasses import asdict
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.types.json import Jsonb

from unified.schema.entities import CUSTOMERS, INVOICES
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.database import Database
from unified.store.errors import AccountChangedError, ColumnsChangedError, StartChangedError
from unified.store.plans import avoid_nested_loops
from unified.store.records import keys
from unified.store.records.merge import comparing, deletions, left_out, merge_sql, staging
from unified.store.records.merge.contents import Batch, Confirmed, MergeCounts, Row, ids_of, newest
from unified.store.records.raw import forms, json_text
from unified.store.records.tables import StreamKey


async def commit(db: Database, key: StreamKey, batch: Batch) -> MergeCounts:
    """Store a batch in a transaction of its own; see :func:`merge`.

    Raises:
        UnreachableError, BusyError: If the server fails; nothing was stored.
    """
    async with db.workspace(key.workspace_id) as conn:
        return await merge(conn, key, batch)


async def merge(
    conn: AsyncConnection[Any], key: StreamKey, batch: Batch, is_stored: comparing.IsStored | None = None
) -> MergeCounts:
    """Store a batch as part of a transaction.

    Args:
        conn: A transaction of the key's workspace. After an error nothing of it can be committed.
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
    step = _Merge(conn, key, batch)
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

    def __init__(self, conn: AsyncConnection[Any], key: StreamKey, batch: Batch) -> None:
        self._conn = conn
        self._cursor = conn.cursor()
        self._key = key
        self._batch = batch
        # A record may be met changed and, in a later page, as it is stored: then nothing changed.
        met: list[Row | Confirmed] = [*batch.rows, *batch.confirmed]
        self._rows = [item for item in newest(met) if isinstance(item, Row)]
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
        await avoid_nested_loops(self._conn)
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
            self._rows, self._rejects, self._nameless, self.suppressed = await left_out.without_suppressed(
                self._conn, self._key, self._rows, self._rejects
            )
        self._rows = await left_out.without_early(self._execute, self._rows)

    async def store(self, is_stored: comparing.IsStored | None) -> tuple[int, int]:
        """Merge the rows, but those that are stored in other bytes; how many were inserted and updated.

        New ones are merged at once. Where one of them would replace something after all, that is taken back, and they
        are compared first.
        """
        if is_stored is None:
            return await self._store_rows()
        if self._batch.is_new:
            async with self._conn.transaction() as attempt:
                inserted, updated = await self._store_rows()
                if updated:
                    raise psycopg.Rollback(attempt)
            if not updated:
                return inserted, updated
        self._rows = await comparing.with_stored_hashes(self._conn, self._key, self._rows, is_stored)
        return await self._store_rows()

    async def _store_rows(self) -> tuple[int, int]:
        """Stage the rows and merge them; how many were inserted and updated."""
        if not self._rows:
            return 0, 0
        await self._execute(merge_sql.STAGING)
        await staging.copy(self._cursor, self._key.table, self._rows, await self._form())
        if self._nameless:
            await self._execute(merge_sql.EMPTY_STAGED, ids=self._nameless)
        await deletions.exclude_merges(self._execute, self._key)
        if not (self._batch.is_new and await self._insert()):
            await self._merge_staged()
        row = await self._cursor.fetchone()
        assert row is not None  # noqa: S101 - an aggregate without GROUP BY gives one row
        if self._key.entity is CUSTOMERS:
            await keys.keep(self._conn, self._key, ids_of(self._rows))
        await deletions.follow_merges(self._execute, self._key, ids_of(self._rows))
        return int(row[0]), int(row[1])

    async def _insert(self) -> bool:
        """Insert the staged rows, if none of these records is stored."""
        try:
            async with self._conn.transaction():
                await self._execute(merge_sql.INSERT)
        except psycopg.errors.UniqueViolation:
            return False
        return True

    async def _merge_staged(self) -> None:
        if self._keeps_history or (self._compresses and self._key.entity.history):
            self._parameters["same"] = await comparing.same_bytes(
                self._execute,
                self._key,
                self._rows,
                compresses=self._compresses,
                is_known=self._batch.is_known,
            )
        if self._keeps_history:
            await self._execute(merge_sql.MERGE_WITH_HISTORY, ids=ids_of(self._rows))
        else:
            await self._execute(merge_sql.MERGE)

    async def _form(self) -> forms.Form:
        """What raw records are stored as."""
        if not self._compresses:
            return json_text.stored
        nameless = set(self._nameless)
        named = (row for row in self._rows if row.source_id not in nameless)
        sample = staging.samples(self._key.table, named)
        return await forms.compressor(self._conn, self._key.connection_id, self._key.stream, sample)

    async def confirm(self, *, all_rows_merged: bool) -> None:
        """Note that stored content was seen again, so that an older state that comes late can't replace it.

        Not in a full refresh: its end confirms all records at once, as ``refreshed_at``.
        """
        seen = newest([*self._batch.confirmed, *(() if all_rows_merged else self._rows)])
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
        await deletions.bury_late(self._execute, ids_of(self._rows))
        return await deletions.bury(
            self._execute, self._key, self._batch.deletions, keep_unknown=self._batch.keep_unknown
        )

    async def store_rejects(self) -> None:
        """Set aside what could not be mapped, and drop rejects of records that are known in a later state."""
        solved: list[Row | Confirmed | deletions.Deletion] = [
            *self._rows,
            *self._batch.confirmed,
            *self._batch.deletions,
        ]
        # As a rule there is none, and then nothing has to be looked up for each record.
        if solved and (await self._execute(merge_sql.HAS_REJECTS)).rowcount:
            await self._execute(
                merge_sql.SOLVE, solved=ids_of(solved), observed=[item.observed_at for item in solved]
            )
        rejects = newest(self._rejects)
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
        met = ids_of([*self._rows, *self._batch.confirmed, *self._batch.rejects])
        met += self._batch.met
        if met:
            await self._execute(merge_sql.REMEMBER_MET, started=started_at, met=met)
        deleted = 0
        if self._batch.refresh_done:
            if not self._key.entity.is_log:
                buried = await self._execute(
                    merge_sql.BURY_UNMET, started=started_at, since=self._batch.since
                )
                row = await buried.fetchone()
                deleted = int(row[0]) if row else 0
            await self._execute(merge_sql.FORGET_MET)
            await self._execute(merge_sql.FORGET_WAITING)
            await self._execute(merge_sql.FORGET_UNKNOWN, started=started_at)
            await self._execute(merge_sql.DROP_UNMET_REJECTS, started=started_at)
        return deleted

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
                merge_sql.COUNT, history=self._batch.history_id, read=counts.read, **asdict(counts)
            )
