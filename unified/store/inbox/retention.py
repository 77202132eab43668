"""How long received events are kept, and the inbox's partitions, made ahead and dropped whole.

Nothing is dropped that was not applied. Whatever is not done now, because a lock is not to be had or another process
is at it, is done by the next call.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from unified.store.database import Database
from unified.store.errors import BusyError
from unified.store.identities.settings import GONE_KEPT
from unified.store.records import changes

KEPT = timedelta(days=14)
"""How long events can be replayed."""

# Twice as long, so that nothing in the inbox can be stored anew. Providers deliver again for 3 days at most.
_KEYS_KEPT = timedelta(days=28)
# From its last change on; a letter that waits is never deleted.
_LETTERS_KEPT = {"replayed": timedelta(days=30), "dead": timedelta(days=90)}

_DAYS_AHEAD = 3

# Attaching and dropping wait for readers, and who comes after waits for them. Better to try again later.
_LOCK_TIMEOUT = "2s"


@dataclass(frozen=True, slots=True)
class Tended:
    """What was done.

    Attributes:
        made: Days that got a partition.
        dropped: Days whose partition was dropped.
        held: Old days whose partition stays, because events of theirs wait to be applied.
        events: Old events deleted from partitions that stay.
        keys: Events' keys forgotten.
        letters: Dead letters deleted.
        changes: Entries of the log of changed customers deleted.
        identities: Identities that are no more, forgotten.
    """

    made: tuple[date, ...] = ()
    dropped: tuple[date, ...] = ()
    held: tuple[date, ...] = ()
    events: int = 0
    keys: int = 0
    letters: int = 0
    changes: int = 0
    identities: int = 0


async def tend(db: Database, now: datetime, *, kept: timedelta = KEPT) -> Tended:
    """Make partitions for the days to come, and drop what is old and applied: once a day, and then nothing.

    Args:
        db: Where.
        now: The time.
        kept: How long events are kept, in whole days, a week at least.

    Returns:
        What was done; nothing while another process is at it.

    Raises:
        UnreachableError: If the database can't be reached.
    """
    today = now.astimezone(UTC).date()
    days = await _days(db)
    missing = {today + timedelta(ahead) for ahead in range(_DAYS_AHEAD + 1)}.difference(days)
    old = [day for day in days if day < today - kept]
    if not missing and not old:
        return Tended()
    async with db.exclusive("inbox/tend") as is_ours:
        if not is_ours:
            return Tended()
        for day in sorted(missing):
            await _change(db, f"CALL create_inbox_partition('{day}')")
        held = [day for day in old if await _has_waiting(db, day)]
        for day in set(old).difference(held):
            await _change(db, f"DROP TABLE IF EXISTS webhook_inbox_{day:%Y%m%d}")
        left = await _days(db)
        return Tended(
            made=tuple(sorted(missing.intersection(left))),
            dropped=tuple(sorted(set(old).difference(left))),
            held=tuple(held),
            events=await _delete(db, _OLD_EVENTS, now - kept),
            keys=await _delete(db, _OLD_KEYS, now - _KEYS_KEPT),
            letters=sum(
                [await _delete(db, _OLD_LETTERS, now - age, state) for state, age in _LETTERS_KEPT.items()]
            ),
            changes=await _delete(db, _OLD_CHANGES, now - changes.KEPT),
            identities=await _delete(db, _OLD_IDENTITIES, now - GONE_KEPT),
        )


async def _days(db: Database) -> list[date]:
    """Days that have a partition, the oldest first."""
    async with db.owner() as conn:
        result = await conn.execute(
            """
            SELECT to_date(right(c.relname, 8), 'YYYYMMDD')
            FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'webhook_inbox'::regclass AND c.relname ~ '^webhook_inbox_\\d{8}$' ORDER BY 1
            """
        )
        return [day for (day,) in await result.fetchall()]


async def _has_waiting(db: Database, day: date) -> bool:
    """Whether a connection that still exists has events of that day that are not applied."""
    begin = datetime.combine(day, time(), UTC)
    async with db.scheduler() as conn:
        result = await conn.execute(
            """
            SELECT FROM connector_configs AS c
            LEFT JOIN inbox_cursors AS k ON (k.workspace_id, k.connection_id) = (c.workspace_id, c.id)
            WHERE EXISTS (
                SELECT FROM webhook_inbox AS i
                WHERE (i.workspace_id, i.connection_id) = (c.workspace_id, c.id)
                    AND (i.xid, i.id) > (coalesce(k.xid, '0'), coalesce(k.id, 0))
                    AND i.received_at >= %s AND i.received_at < %s
            )
            LIMIT 1
            """,
            (begin, begin + timedelta(days=1)),
        )
        return result.rowcount > 0


async def _change(db: Database, statement: str) -> None:
    """Run DDL as the owner. Where a lock is not to be had, the next call tries again."""
    with suppress(BusyError):
        async with db.owner() as conn:
            await conn.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            await conn.execute(statement.encode())


# Of days that have no partition of their own any more, or whose partition is held.
_OLD_EVENTS = """
    DELETE FROM webhook_inbox AS i WHERE received_at < %s AND NOT EXISTS (
        SELECT FROM connector_configs AS c
        LEFT JOIN inbox_cursors AS k ON (k.workspace_id, k.connection_id) = (c.workspace_id, c.id)
        WHERE (c.workspace_id, c.id) = (i.workspace_id, i.connection_id)
            AND (i.xid, i.id) > (coalesce(k.xid, '0'), coalesce(k.id, 0))
    )
"""
_OLD_KEYS = "DELETE FROM webhook_seen WHERE seen_at < %s"
_OLD_CHANGES = "DELETE FROM customer_changes WHERE changed_at < %s"
_OLD_IDENTITIES = "DELETE FROM gone_identities WHERE gone_at < %s"
_OLD_LETTERS = "DELETE FROM webhook_dead_letters WHERE updated_at < %s AND state = %s"


async def _delete(db: Database, statement: str, *values: object) -> int:
    """Delete as the scheduler, whose policies know no row that is not old."""
    async with db.scheduler() as conn:
        return (await conn.execute(statement.encode(), values)).rowcount
