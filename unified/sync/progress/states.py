"""How a sync that somebody waits for goes: asked for, begun, under way, ended. Dagster is not asked.

The store knows when a sync was asked for and which pulls began since then, not that a run has ended. It has ended once
each stream was pulled, or once nothing more began for some time: after a failure Dagster leaves out the streams that
depend on the one that failed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from unified.store.connections.rows import ConnectionSummary
from unified.store.records.history import SyncRun

State = Literal["queued", "starting", "running", "done", "failed", "unseen"]

ENDED: frozenset[State] = frozenset({"done", "failed", "unseen"})
"""States after which nothing more comes."""

_BETWEEN_STREAMS = timedelta(seconds=45)  # what Dagster takes to start the next step on a busy machine
_UNTIL_IT_BEGINS = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a sync goes.

    Attributes:
        state: ``queued`` until Dagster takes it up, ``starting`` until its first pull begins, ``running``; then
            ``done`` or ``failed``, or ``unseen`` where nothing has begun for a quarter of an hour.
        pulls: The newest pull of each stream, in the order in which they began.
    """

    state: State
    pulls: tuple[SyncRun, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes."""
        return self.state in ENDED


def awaited_since(connection: ConnectionSummary) -> datetime | None:
    """Since when a sync of a connection is under way or asked for; None where none is."""
    if connection.sync_requested_at is not None:
        return connection.sync_requested_at
    return connection.sync_started_at if connection.sync_status == "syncing" else None


def progress(
    connection: ConnectionSummary,
    streams: Collection[str],
    runs: Sequence[SyncRun],
    *,
    since: datetime,
    now: datetime,
) -> Progress:
    """How the sync goes that was asked for at a moment.

    Args:
        connection: As it is now.
        streams: Names of those that it reads.
        runs: Its pulls since then, in the order in which they began.
        since: The moment.
        now: The time by the same clock.
    """
    newest = {run.stream: run for run in runs}
    pulls = tuple(newest.values())
    if any(run.finished_at is None for run in pulls):
        return Progress("running", pulls)
    if connection.sync_requested_at is not None:
        return Progress("queued", pulls)
    if not pulls:
        return Progress("starting" if now - since < _UNTIL_IT_BEGINS else "unseen")
    last = max(run.finished_at for run in pulls if run.finished_at is not None)
    if newest.keys() < set(streams) and now - last < _BETWEEN_STREAMS:
        return Progress("running", pulls)
    return Progress("failed" if any(run.error_message for run in pulls) else "done", pulls)
