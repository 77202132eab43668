"""A test delivery followed through: from the inbox to the row that its event becomes, or to where it stopped.

How one is made and signed is in `unified.kit.webhooks.probes`; sending it is the caller's.
"""

import asyncio
import time
from typing import Literal, NamedTuple

from unified.kit.declarations import Stream
from unified.kit.factory import AdapterFactory
from unified.kit.registry import get_adapter
from unified.kit.webhooks.deliveries import ReceivedEvent, is_wanted
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.inbox import dead_letters, events, progress
from unified.store.inbox.endpoints import Endpoint
from unified.store.records import lookups, rejects
from unified.store.records.tables import StreamKey
from unified.sync.drain import drain

PATIENCE_SECONDS = 10.0
"""How long an event may be another drain's, or behind a transaction that is open."""
_LOOK_SECONDS = 0.2

Stage = Literal["row", "applied", "left out", "lost", "waiting", "unusable", "dead letter", "rejected"]


class Followed(NamedTuple):
    """How far an event came.

    Attributes:
        stage: ``row`` is the end of the way; for a connection without a log of events ``applied`` is, and ``left out``
            for an endpoint that does not keep its type.
        said: Where its row is, or why it went no further.
    """

    stage: Stage
    said: str

    @property
    def is_through(self) -> bool:
        """Whether it came as far as it can."""
        return self.stage in ("row", "applied", "left out")


async def follow(
    db: Database,
    factory: AdapterFactory,
    connection: Connection,
    endpoint: Endpoint,
    event: ReceivedEvent,
    *,
    patience: float = PATIENCE_SECONDS,
) -> Followed:
    """Apply what waits in the inboxes of a source, and look how far an event came that was just delivered.

    Args:
        db: Where.
        factory: Makes the connections' adapters.
        connection: Whose event it is.
        endpoint: That answered that it has it.
        event: The event.
        patience: Seconds after which an event that waits is said to.

    Raises:
        StoreError: If the database fails.
    """
    if not is_wanted(event.event_type, endpoint.event_types):
        kept = ", ".join(endpoint.event_types)
        return Followed("left out", f"let in, and not kept, as the endpoint keeps {kept} alone")
    async with db.workspace(connection.workspace_id) as conn:
        if not await events.is_known(conn, connection, event.dedupe_key):
            said = (
                "let in, and not in the inbox: it counts as another account's (`unified webhooks list --json`), or "
                "that server works on another database"
            )
            return Followed("lost", said)
    until = time.monotonic() + patience
    while True:
        found = await _look(db, factory, connection, event.dedupe_key)
        if found.stage != "waiting" or time.monotonic() > until:
            return found
        await asyncio.sleep(_LOOK_SECONDS)


async def _look(db: Database, factory: AdapterFactory, connection: Connection, key: str) -> Followed:
    drained = await drain(db, factory, connection.connector)
    mine = next((one for one in drained if one.connection_id == connection.id), None)
    async with db.workspace(connection.workspace_id) as conn:
        trouble = (await progress.load(conn, connection)).trouble
    if trouble is not None:
        return Followed(
            "unusable", f"in the inbox, and waits until {trouble.retry_at:%H:%M:%S %Z}: {trouble.error}"
        )
    letters = await dead_letters.letters(db, connection)
    if reason := next((one.error for one in letters if one.event_key == key), None):
        return Followed("dead letter", f"a dead letter: {reason}")
    log = _log(connection)
    if log is not None:
        place = StreamKey.of(connection, log)
        async with db.workspace(connection.workspace_id) as conn:
            if await lookups.by_ids(conn, place, [key]):
                return Followed("row", f"a row of {log.entity.table}, source_id {key}")
            refused = await rejects.listed(conn, connection.id, stream=log.name)
        if reason := next((one.error for one in refused if one.source_id == key), None):
            return Followed("rejected", f"in the inbox, and can't be mapped: {reason}")
    if mine is not None and mine.held:
        return Followed("waiting", f"in the inbox, and can't be read yet; it waits for {mine.held_by}")
    if log is None:
        return Followed("applied", "applied; the connection keeps no events, so there is no row of it")
    return Followed("waiting", "in the inbox, and another drain has it")


def _log(connection: Connection) -> Stream | None:
    """The stream in which a connection keeps its events; None where it keeps none."""
    adapter = get_adapter(connection.connector)
    log = next((one for one in adapter.all_streams() if one.entity.is_log), None)
    is_polled = log in adapter.streams
    return None if is_polled and log not in adapter.chosen(connection.streams) else log
