"""Deletions within one commit: tombstones, records that were never stored, and merges of one record into another.

- A tombstone keeps the time that was said first, whatever is said later.
- A record that was never stored gets no row. That it was deleted is remembered beside the table, so that an older
  state of it that comes late is stored as deleted.
- Invoices that name a record that was merged into another one go to that one.
- A customer that its source deleted for privacy is suppressed, and so is what is merged with a suppressed one: it is
  that person's as well. Both are emptied next.

The statements are in :mod:`unified.store.records.merge.merge_sql`; what else a commit does in
:mod:`unified.store.records.merge.batches`.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, AsyncCursor

from unified.kit.registry import get_adapter
from unified.schema import connection_namespace, unified_id
from unified.schema.entities import CUSTOMERS, INVOICES
from unified.store.records import suppressions
from unified.store.records.merge import merge_sql
from unified.store.records.tables import StreamKey

Execute = Callable[..., Awaitable[AsyncCursor[Any]]]
"""Runs one of the statements with further parameters, in the transaction of a commit."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record that its source deleted or archived.

    Attributes:
        source_id: Its id in its source.
        deleted_at: When the source did so, as closely as it says.
        observed_at: When the source was known to lack it.
        merged_into: The record that holds it now, where it was merged.
        erase: Whether that was for the sake of a person's privacy.
    """

    source_id: str
    deleted_at: datetime
    observed_at: datetime
    merged_into: str | None = None
    erase: bool = False


async def bury(
    execute: Execute, key: StreamKey, deletions: Sequence[Deletion], *, keep_unknown: bool = False
) -> int:
    """Make tombstones.

    Args:
        execute: Runs a statement.
        key: Which stream.
        deletions: Any number; what is said of one record several times is put together.
        keep_unknown: Whether records that were never stored get rows as well.

    Returns:
        How many were alive.
    """
    gone = _each_once(deletions)
    if not gone:
        return 0
    namespace = connection_namespace(key.workspace_id, key.connection_id, key.stream)
    told = {
        "ids": [one.source_id for one in gone],
        "deleted": [one.deleted_at for one in gone],
        "observed": [one.observed_at for one in gone],
    }
    unified_ids = [unified_id(namespace, one.source_id) for one in gone]
    made = await (await execute(merge_sql.BURY_UNKNOWN, unified_ids=unified_ids, **told)).fetchall()
    buried = await execute(merge_sql.BURY, **told)
    row = await buried.fetchone()
    await execute(merge_sql.CONFIRM_BURIED, **told)
    if made and not keep_unknown:
        await execute(merge_sql.REMEMBER_UNKNOWN, unknown=[source_id for (source_id,) in made])
    if key.entity is CUSTOMERS and (erased := [one.source_id for one in gone if one.erase]):
        await _suppress(buried.connection, key, erased)
    await _merge(execute, key, gone)
    return int(row[0]) if row else 0


async def bury_late(execute: Execute, ids: Collection[str]) -> None:
    """Bury those of the records just stored that are known to have been deleted since."""
    if ids and (await execute(merge_sql.HAS_UNKNOWN)).rowcount:
        await execute(merge_sql.BURY_LATE, ids=list(ids))


async def exclude_merges(execute: Execute, key: StreamKey) -> None:
    """Before invoices are stored: from here to the commit no merge moves those that are there."""
    if key.entity is INVOICES:
        await execute(merge_sql.EXCLUDE_MERGES)


async def follow_merges(execute: Execute, key: StreamKey, ids: Collection[str]) -> None:
    """Give invoices just stored to the customers that theirs were merged into."""
    if key.entity is not INVOICES or not ids:
        return
    streams = get_adapter(key.connector).all_streams()
    customers = next((one.customers for one in streams if one.name == key.stream), None)
    if customers and (await execute(merge_sql.HAS_MERGES, customers=customers)).rowcount:
        await execute(merge_sql.MOVE_THESE_INVOICES, ids=list(ids), customers=customers)


async def _merge(execute: Execute, key: StreamKey, gone: Sequence[Deletion]) -> None:
    """Note merges that are new, and move the invoices that are stored."""
    merged = {one.source_id: one.merged_into for one in gone if one.merged_into not in (None, one.source_id)}
    if not merged:
        return
    told = {"losers": list(merged), "winners": list(merged.values())}
    new = await (await execute(merge_sql.NEW_MERGES, **told)).fetchall()
    if not new:
        return
    await execute(merge_sql.EXCLUDE_INVOICES)
    told = {"losers": [loser for loser, _ in new], "winners": [winner for _, winner in new]}
    await execute(merge_sql.REMEMBER_MERGES, **told)
    await execute(merge_sql.FOLLOW_MERGES, losers=told["losers"])
    pairs = await execute(merge_sql.MERGED_WITH_SUPPRESSED, losers=told["losers"])
    if one_person := {source_id for pair in await pairs.fetchall() for source_id in pair}:
        await _suppress(pairs.connection, key, one_person)
    streams = [one.name for one in get_adapter(key.connector).all_streams() if one.customers == key.stream]
    if streams:
        await execute(merge_sql.MOVE_INVOICES, invoice_streams=streams)


async def _suppress(conn: AsyncConnection[Any], key: StreamKey, ids: Collection[str]) -> None:
    """Have nothing stored of some customers from now on; :mod:`unified.sync.privacy` empties what is there."""
    await suppressions.add(
        conn, key.workspace_id, key.connection_id, key.stream, sorted(ids), actor=key.connector
    )


def _each_once(deletions: Sequence[Deletion]) -> list[Deletion]:
    """One for each record, ordered by id so that two writers can't lock each other out."""
    found: dict[str, Deletion] = {}
    for one in deletions:
        other = found.get(one.source_id, one)
        found[one.source_id] = Deletion(
            one.source_id,
            min(one.deleted_at, other.deleted_at),
            max(one.observed_at, other.observed_at),
            one.merged_into or other.merged_into,
            one.erase or other.erase,
        )
    return [found[source_id] for source_id in sorted(found)]
