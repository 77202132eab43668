"""Syncs that are followed while they go on: one look a second in each workspace, however many follow.

Between looks nobody holds a session of the database. How a sync stands: :mod:`unified.sync.progress.states`.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from unified.kit.registry import discover_adapters
from unified.store.connections import rows
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.records import history
from unified.sync.progress.states import Progress, progress

MOST = 400
"""Followers at once in a process."""

MOST_OF_ONE_WORKSPACE = 150

_log = logging.getLogger(__name__)


class CrowdedError(Exception):
    """So many follow already that one more is not taken."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A sync that is followed.

    Attributes:
        connection_id: Of which connection.
        since: When it was asked for, or began.
    """

    connection_id: UUID
    since: datetime


_Found = dict[Followed, Progress | None]


@dataclass(slots=True)
class _Watch:
    """What is followed in one workspace, and the look that is under way or was the last."""

    followers: Counter[Followed] = field(default_factory=Counter)
    look: asyncio.Task[_Found] | None = None
    begun: float = 0.0


class Following:
    """The followers of one process."""

    def __init__(self, db: Database, *, seconds: float = 1.0) -> None:
        """Look into ``db`` each ``seconds`` while somebody follows."""
        self._db = db
        self._seconds = seconds
        self._watches: dict[UUID, _Watch] = {}
        self._is_over = asyncio.Event()

    def end(self) -> None:
        """Let all followers go, and take no more: the process is about to end."""
        self._is_over.set()

    async def follow(self, workspace_id: UUID, what: Followed) -> AsyncGenerator[Progress | None]:
        """How a sync goes, at each look: until it has ended, its connection is gone, or the process ends.

        Args:
            workspace_id: Whose.
            what: Which sync.

        Yields:
            How it stands; None where the database did not say.

        Raises:
            CrowdedError: If too many follow, or the process is about to end.
        """
        watch = self._watches.get(workspace_id) or _Watch()
        of_all = sum(one.followers.total() for one in self._watches.values())
        if self._is_over.is_set() or of_all >= MOST or watch.followers.total() >= MOST_OF_ONE_WORKSPACE:
            raise CrowdedError
        self._watches[workspace_id] = watch
        watch.followers[what] += 1
        try:
            while not self._is_over.is_set():
                found = await self._latest(workspace_id, watch)
                if found is None:
                    yield None
                elif what in found:  # or else the look had begun before it was followed
                    if (state := found[what]) is None:
                        return
                    yield state
                    if state.has_ended:
                        return
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._is_over.wait(), self._seconds)
        finally:
            watch.followers[what] -= 1
            if not +watch.followers:
                del self._watches[workspace_id]

    async def _latest(self, workspace_id: UUID, watch: _Watch) -> _Found | None:
        """What the latest look found, begun now if none is recent; None where it failed."""
        now = asyncio.get_running_loop().time()
        if watch.look is None or now - watch.begun >= self._seconds:
            watch.look, watch.begun = asyncio.create_task(self._look(workspace_id, [*+watch.followers])), now
        try:
            return await asyncio.shield(watch.look)  # others wait for it as well
        except StoreError as error:
            _log.warning("looking how syncs go: %s", error)
            return None

    async def _look(self, workspace_id: UUID, wanted: list[Followed]) -> _Found:
        earliest: dict[UUID, datetime] = {}
        for one in wanted:
            earliest[one.connection_id] = min(one.since, earliest.get(one.connection_id, one.since))
        async with self._db.workspace(workspace_id) as conn:
            connections = {one.id: one for one in await rows.some(conn, earliest)}
            runs = await history.since(conn, earliest)
        now, adapters = datetime.now(UTC), discover_adapters()
        found: _Found = {}
        for one in wanted:
            connection = connections.get(one.connection_id)
            if connection is None:
                found[one] = None
                continue
            adapter = adapters.get(connection.connector)
            found[one] = progress(
                connection,
                [stream.name for stream in adapter.chosen(connection.streams)] if adapter else (),
                [
                    run
                    for run in runs
                    if run.connector_config_id == connection.id and run.started_at >= one.since
                ],
                since=one.since,
                now=now,
            )
        return found
