"""A line for each sync that ended, whichever process did it: what `unified dev` says while it runs.

What a sync did in detail is in `unified connections history` and in Dagster.
"""

import time
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import psycopg

from unified.cli.output import say
from unified.cli.processes.kept import KeptConnection
from unified.store.records import history
from unified.store.records.history import FinishedSync

if TYPE_CHECKING:
    from uuid import UUID

LOOK_SECONDS = 3.0
# A sync's end has its time before others see it.
_LATE = timedelta(seconds=15)


class SyncLines:
    """Looks at the syncs that ended, and says each once."""

    def __init__(self, kept: KeptConnection, *, every: float = LOOK_SECONDS) -> None:
        """Begin with the syncs that end from now on, and look every so many seconds."""
        self._kept = kept
        self._every = every
        self._seen_at = time.monotonic()
        self._seen: set[UUID] = set()
        self._look()

    def follow(self) -> None:
        """Look, where it is time to; call it as often as you like."""
        if time.monotonic() - self._looked_at >= self._every:
            for one in self._look():
                say(line(one))

    def _look(self) -> list[FinishedSync]:
        """Those that were not seen yet."""
        self._looked_at = time.monotonic()
        try:
            found = history.finished(
                self._kept.open(), timedelta(seconds=self._looked_at - self._seen_at) + _LATE
            )
        except psycopg.Error:
            return []  # the next look finds them; what needs the database reports it
        unseen = [one for one in found if one.id not in self._seen]
        self._seen_at, self._seen = self._looked_at, {one.id for one in found}
        return unseen


def line(sync: FinishedSync) -> str:
    """A sync in a line: when it ended, of which connection and stream, what it brought or why it failed."""
    place = f"{sync.connection}: {sync.stream}"
    seconds = f"{(sync.finished_at - sync.started_at).total_seconds():.1f} s"
    counts = {
        "new": sync.inserted,
        "changed": sync.updated,
        "deleted": sync.deleted,
        "rejected": sync.rejected,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing new"
    if sync.error_message:
        outcome = f"failed after {seconds}: {sync.error_message.removeprefix(f'{place}: ')}"
    elif sync.is_complete:
        outcome = f"{sync.records_read:,} read in {seconds}: {told}"
    else:
        outcome = f"{sync.records_read:,} read in {seconds}: {told}; stopped at its time limit, the next sync goes on"
    mode = "" if sync.mode == "incremental" else f" ({sync.mode})"
    return f"{sync.finished_at.astimezone(UTC):%H:%M:%S} {place}{mode}: {outcome}"
