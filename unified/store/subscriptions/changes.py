"""What a subscription hears of, in the order of changes: rows of its list, and identities that are no more.

A record that is deleted stays in its list as a tombstone. A golden customer does not: what is left of its identity is
an id, kept for as long as `unified.store.identities.settings.GONE_KEPT` says.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from unified.store.lists import pages
from unified.store.lists.pages import Place, Row
from unified.store.subscriptions.rows import Subscription

# Not of one that is there again: it comes as a row of the list.
_GONE = """
    SELECT g.identity_id, g.gone_at AS deleted_at, a.identity_id AS merged_into, g.changed_xid::text
    FROM gone_identities AS g LEFT JOIN identity_aliases AS a ON a.alias_id = g.identity_id
    WHERE NOT EXISTS (SELECT FROM golden_customers AS c WHERE c.identity_id = g.identity_id)
"""
_IN_ORDER = f"""
    {_GONE} AND (g.changed_xid, g.identity_id) > (%(xid)s::text::xid8, %(id)s)
        AND g.changed_xid < %(before)s::text::xid8
        AND (%(since)s::timestamptz IS NULL OR g.gone_at >= %(since)s)
    ORDER BY g.changed_xid, g.identity_id LIMIT %(limit)s
"""
_OF_KEY = f"{_GONE} AND g.identity_id = %(id)s"


async def in_order(
    conn: AsyncConnection[Any],
    one: Subscription,
    *,
    after: Place,
    before: str,
    limit: int,
    since: datetime | None = None,
) -> list[Row]:
    """A page of what it hears of.

    Args:
        conn: A transaction of the workspace, after :func:`unified.store.lists.pages.start`.
        one: The subscription.
        after: Place of the last row dealt with.
        before: The horizon.
        limit: How many rows at most.
        since: Only what changed at this time or later.

    Raises:
        ConnectionNotFoundError: If a filter names a connection that is not there.
        InvalidSettingError: If a filter is not the list's.
        TooSlowError: If it is not found in time.
    """
    rows = await pages.in_order_of_changes(
        conn, one.followed, one.wanted(since), after=after, before=before, limit=limit
    )
    if not _may_go(one):
        return rows
    place = {"xid": after.xid, "id": after.id}
    gone = await _read(conn, _IN_ORDER, **place, before=before, since=since, limit=limit)
    return sorted([*rows, *gone], key=lambda row: (int(row.place.xid), row.place.id))[:limit]


async def of_key(conn: AsyncConnection[Any], one: Subscription, key: Sequence[Any]) -> Row | None:
    """The row of a key as it hears of it now; None where it has nothing to hear.

    Args:
        conn: A transaction of the workspace, after :func:`unified.store.lists.pages.start`.
        one: The subscription.
        key: As :attr:`unified.store.lists.pages.Row.key`; ids may be text.
    """
    row = await pages.of_key(conn, one.followed, one.wanted(), key)
    if row is None and _may_go(one):
        return next(iter(await _read(conn, _OF_KEY, id=key[0])), None)
    return row


def _may_go(one: Subscription) -> bool:
    """Whether rows of its list go without leaving a tombstone."""
    return one.followed.entity is None


async def _read(conn: AsyncConnection[Any], query: str, **values: Any) -> list[Row]:
    async with conn.cursor(binary=True) as cursor:
        found = await (await cursor.execute(query, values)).fetchall()
    return [
        Row(
            {"identity_id": identity_id, "deleted_at": gone_at, "merged_into": merged_into},
            (identity_id,),
            Place(xid, identity_id),
        )
        for identity_id, gone_at, merged_into, xid in found
    ]
