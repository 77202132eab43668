"""A line for each sync that ended, whichever process did it: what `unified dev` says while it runs.

What a sync did in detail is in `unified connections history` and in Dagster.
"""

import time
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Self

import psycopg

from unified.cli.output import say
from unified.store.records import history
from unified.store.records.history import FinishedSync
from unified.store.sessions import link_settings

if TYPE_CHECKING:
    from uuid import UUID

LOOK_SECONDS = 3.0
# A sync's end has its time before others see it.
_LATE = timedelta(seconds=15)


class SyncLines:
    """Looks at the syncs that ended, and says each once."""

    def __init__(self, url: str, *, every: float = LOOK_SECONDS) -> None:
        """Look at the database of ``url``, every so many seconds."""
        self._url = url
        self._every = every
        self._conn: psycopg.Connection[Any] | None = None
        self._looked_at = time.monotonic()
        self._seen_at = self._looked_at
        self._seen: set[UUID] = set()

    def __enter__(self) -> Self:
        """Begin with the syncs that end from now on."""
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        """Give up the connection."""
        if self._conn is not None:
            self._conn.close()

    def follow(self) -> None:
        """Look, where it is time to; call it as often as you like."""
        if time.monotonic() - self._looked_at >= self._every:
            for one in self._look():
                say(line(one))

    def _look(self) -> list[FinishedSync]:
        """Those that were not seen yet."""
        self._looked_at = time.monotonic()
        try:
            if self._conn is None or self._conn.closed:
                self._conn = psycopg.connect(self._url, autocommit=True, **link_settings(self._url))
            found = history.finished(self._conn, timedelta(seconds=self._looked_at - self._seen_at) + _LATE)
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
