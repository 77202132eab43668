"""What of a batch is not stored: records from before the stream's start, and of persons whose data were deleted."""

from dataclasses import replace
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from unified.schema.entities import CUSTOMERS
from unified.store.records import suppressions
from unified.store.records.merge import merge_sql
from unified.store.records.merge.contents import Reject, Row
from unified.store.records.merge.deletions import Execute
from unified.store.records.tables import StreamKey

_NAMELESS = "it can't be mapped, and names a person whose data were deleted on request; see the source"


class Kept(NamedTuple):
    """What is stored although persons' data were deleted on request.

    Attributes:
        rows: All but the customers that are suppressed.
        rejects: All but those of suppressed customers; one that names such a person is without its bytes.
        nameless: Source ids of rows that name such a person: they are stored without personal columns.
        suppressed: How many records that concerns.
    """

    rows: list[Row]
    rejects: list[Reject]
    nameless: list[str]
    suppressed: int


async def without_suppressed(
    conn: AsyncConnection[Any], key: StreamKey, rows: list[Row], rejects: list[Reject]
) -> Kept:
    """Leave out customers whose data were deleted on request, and say what else names them."""
    traces = await suppressions.traces_of(conn, key.connection_id)
    if traces is None:
        return Kept(rows, rejects, [], 0)
    kept_rows, nameless = rows, []
    if key.entity is CUSTOMERS:
        kept_rows = [row for row in rows if not traces.names(key.stream, row.source_id)]
    else:
        nameless = [row.source_id for row in rows if traces.are_in(row.raw)]
    suppressed = len(rows) - len(kept_rows) + len(nameless)
    kept_rejects = []
    for reject in rejects:
        is_own = traces.names(key.stream, reject.source_id)
        if not is_own and not traces.are_in(reject.raw):
            kept_rejects.append(reject)
            continue
        suppressed += 1
        # One that only names the person may state money that misses, so that it fails stays known.
        if reject.source_id is not None and not is_own:
            kept_rejects.append(replace(reject, raw=b"", error=_NAMELESS))
    return Kept(kept_rows, kept_rejects, nameless, suppressed)


async def without_early(execute: Execute, rows: list[Row]) -> list[Row]:
    """Leave out records from before the stream's start that are not stored, nor known as deleted."""
    early = [row.source_id for row in rows if row.is_early]
    if not early:
        return rows
    stored = await execute(merge_sql.STORED_OF, ids=early)
    missing = set(early).difference(row[0] for row in await stored.fetchall())
    return [row for row in rows if row.source_id not in missing]
