"""Deliver what changes to the URLs that subscribed to it.

    what changed since ──▶ its state now ──▶ POST, some side by side ──▶ the place moves, what was not taken is kept

A subscription has a place in the order of its list's changes, as a reader of the records API has one. A batch of what
changed since is sent, each record once and in its present state, so nothing of a receiver that was down for a day is
held anywhere but in the tables. The place moves once the batch was answered: a delivery is repeated after a kill, under
the same id, and never left out. A record that changes again comes after its batch, so a receiver never sees an older
state of it later.

Where a receiver takes nothing, the subscription waits, longer each time. What it refuses while it takes others is kept
apart and sent again by itself.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from unified.store.database import Database
from unified.store.errors import NotMigratedError, RoleError, UnreachableError
from unified.store.lists import pages
from unified.store.lists.pages import Place, Row
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.subscriptions import changes, progress
from unified.store.subscriptions.due import due, passes_over
from unified.store.subscriptions.rows import Subscription, SubscriptionNotFoundError, read
from unified.store.subscriptions.subscriptions import Subscriptions
from unified.sync.bracket import reason_of
from unified.sync.subscriptions.sending import PARALLEL, Outcome, Receiver

LEASE = "deliveries"
"""The name of the lock (`Database.exclusive`) that whoever delivers holds."""

BATCH = 500
"""Records of one batch: their states are in memory until they are answered."""

# Between two looks for changes, or longer: looking takes a small part of the time.
POLL_SECONDS = 0.5
_SHARE = 4
# Subscriptions followed at once.
_TOGETHER = 8
# After the first failure; it doubles, up to the longest.
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=5), timedelta(hours=1)
# So often a refused record is sent, over about a day, before it is given up.
_MOST_ATTEMPTS = 12
_MOST_RETRIED = 100

_FOR_ALL = (UnreachableError, NotMigratedError, RoleError)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Deliveries:
    """What was done for one subscription.

    Attributes:
        workspace_id: Whose.
        name: Its name.
        taken: Records that were delivered.
        refused: Records that were not taken, while others were.
        error: Why it waits or ended.
    """

    workspace_id: UUID
    name: str
    taken: int = 0
    refused: int = 0
    error: str | None = None


async def deliver(
    db: Database, credentials: CredentialStore, *, linger: float = 0.0, time_limit: float = float("inf")
) -> list[Deliveries]:
    """Deliver what changed to all subscriptions of all workspaces. The caller has the lease.

    Args:
        db: Where.
        credentials: What decrypts the secrets that sign.
        linger: Seconds to wait for more once nothing is left; what changes in that time is delivered at once.
        time_limit: Seconds after which no further batch is begun.

    Returns:
        One result for each subscription that had something to deliver; one that waits for its receiver has none.

    Raises:
        UnreachableError: If the database fails. What was answered and committed is not sent again.
    """
    run = _Run(db, credentials, await db.clock(), time.monotonic() + time_limit)
    try:
        await run.follow_all(linger)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return list(run.results.values())


class _Run:
    """Follows subscriptions, each by itself: a receiver that hangs holds up no other."""

    def __init__(
        self, db: Database, credentials: CredentialStore, clock: Callable[[], datetime], deadline: float
    ) -> None:
        self.db = db
        self.credentials = credentials
        self.clock = clock
        self.deadline = deadline
        self.results: dict[UUID, Deliveries] = {}
        self._slots = asyncio.Semaphore(_TOGETHER)
        self._active: dict[UUID, asyncio.Task[None]] = {}
        self._busy_at = time.monotonic()

    async def follow_all(self, linger: float) -> None:
        """Follow until nothing has changed for a while, or the time is up."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                looked = time.monotonic()
                # One that is done with while this looks may have to wait by now.
                followed = set(self._active)
                found = await due(self.db, self.clock()) if looked < self.deadline else []
                for workspace_id, one in found:
                    if one not in followed:
                        self._active[one] = tasks.create_task(self._follow(workspace_id, one))
                pause = max(POLL_SECONDS, _SHARE * (time.monotonic() - looked))
                if self._active:
                    await asyncio.wait(self._active.values(), timeout=pause)
                # Each look follows all subscriptions anew, which takes no time where nothing changed.
                if linger and not self._active:
                    await asyncio.sleep(pause)
                if not self._active and time.monotonic() >= min(self._busy_at + linger, self.deadline):
                    return

    async def _follow(self, workspace_id: UUID, subscription_id: UUID) -> None:
        """Deliver one subscription's changes until there are none."""
        try:
            async with self._slots:
                async with self.db.workspace(workspace_id) as conn:
                    one = _Following(self, await read(conn, subscription_id))
                if await one.until_done():
                    self._busy_at = time.monotonic()
        except SubscriptionNotFoundError:
            pass
        finally:
            del self._active[subscription_id]


class _Following:
    """One subscription, followed."""

    def __init__(self, run: _Run, subscription: Subscription) -> None:
        self._run = run
        self._of = subscription
        new = Deliveries(subscription.workspace_id, subscription.name)
        self._result = run.results.get(subscription.id, new)

    async def until_done(self) -> bool:
        """Deliver what changed, and what is owed; whether there was anything."""
        try:
            return await self._until_done()
        except (*_FOR_ALL, SubscriptionNotFoundError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, other subscriptions are followed
            self._run.results[self._of.id] = self._result
            await self._wait(Outcome("down", reason_of(error, f"subscription {self._of.id}")))
            return True

    async def _until_done(self) -> bool:
        # One, as long as it is not known whether the receiver takes anything.
        batch = await self._next(1 if self._of.failures else BATCH)
        owed = await self._owed()
        if not batch.rows and not owed:
            if batch.is_restored or batch.passed_over:
                await self._move((), batch.start, ())
            return False
        self._run.results[self._of.id] = self._result
        own = Subscriptions(self._run.db, self._run.credentials)
        while True:
            async with Receiver(self._of, await own.signing(self._of)) as receiver:
                if await self._changes(receiver, batch) and owed:
                    await self._again(receiver, owed)
            if receiver.serves(self._of):
                return True
            batch = await self._next(BATCH)

    async def _changes(self, receiver: Receiver, batch: "_Batch") -> bool:
        """Send what changed, batch by batch from this one on; whether the receiver can take more."""
        while batch.rows and self._of.is_active and time.monotonic() < self._run.deadline:
            async for rows, outcomes in _sent(receiver, batch.rows):
                if stop := _stops(outcomes):
                    await self._wait(stop)
                    return False
                await self._move(rows, batch.start, outcomes)
            if not receiver.serves(self._of):
                return False
            batch = await self._next(BATCH)
        return True

    async def _next(self, limit: int) -> "_Batch":
        """What changed since, up to the oldest transaction that is still open."""
        place, since = self._of.place, None
        async with self._run.db.workspace(self._of.workspace_id) as conn:
            start = await pages.start(conn)
            if start.server != self._of.server:
                # Restored into another cluster, whose transactions count anew: what was changed since is found by time.
                start = await pages.start(conn, self._of.moved_at)
                place, since = Place.at(start.changes_from), self._of.moved_at
            rows = await changes.in_order(
                conn, self._of, after=place, before=start.horizon, limit=limit, since=since
            )
            passed_over = not rows and await passes_over(conn, self._of, start)
        return _Batch(rows, start, since is not None, passed_over)

    async def _owed(self) -> list[progress.Undelivered]:
        async with self._run.db.workspace(self._of.workspace_id) as conn:
            return await progress.undelivered(conn, self._of, due=self._run.clock(), limit=_MOST_RETRIED)

    async def _again(self, receiver: Receiver, owed: Sequence[progress.Undelivered]) -> None:
        """Send again what was refused, as it is now. That the receiver takes others is known, or nothing changed."""
        async with self._run.db.workspace(self._of.workspace_id) as conn:
            await pages.start(conn)
            found = {one.row_id: await changes.of_key(conn, self._of, one.key) for one in owed}
            await progress.settle(conn, self._of, [row_id for row_id, row in found.items() if row is None])
        attempts = {one.row_id: one.attempts for one in owed}
        async for rows, outcomes in _sent(receiver, [row for row in found.values() if row is not None]):
            async with self._run.db.workspace(self._of.workspace_id) as conn:
                await self._note(conn, rows, outcomes, attempts)

    async def _move(self, rows: Sequence[Row], start: pages.Start, outcomes: Sequence[Outcome]) -> None:
        async with self._run.db.workspace(self._of.workspace_id) as conn:
            place = rows[-1].place if rows else Place.at(start.horizon)
            await progress.moved(conn, self._of, place, start.server)
            await self._note(conn, rows, outcomes, {})
            self._of = await read(conn, self._of.id)

    async def _note(
        self, conn: Any, rows: Sequence[Row], outcomes: Sequence[Outcome], attempts: Mapping[UUID, int]
    ) -> None:
        """Keep what was refused, and forget what was taken that was refused before."""
        taken, refused = [], []
        for row, outcome in zip(rows, outcomes, strict=True):
            if outcome.verdict == "taken":
                taken.append(row.place.id)
                continue
            tried = attempts.get(row.place.id, 0) + 1
            retry_at = None if tried >= _MOST_ATTEMPTS else self._run.clock() + _pause(tried - 1)
            refused.append((row, outcome.error, tried, retry_at))
        await progress.taken(conn, self._of, taken)
        await progress.keep(conn, self._of, refused)
        self._result.taken += len(taken)
        self._result.refused += len(refused)

    async def _wait(self, outcome: Outcome) -> None:
        """Let the subscription wait, or end it where the receiver wants no more."""
        waits = _pause(self._of.failures)
        if outcome.wait is not None:
            waits = min(max(timedelta(seconds=outcome.wait), _FIRST_WAIT), _LONGEST_WAIT)
        retry_at = None if outcome.verdict == "gone" else self._run.clock() + waits
        async with self._run.db.workspace(self._of.workspace_id) as conn:
            await progress.failed(conn, self._of, outcome.error, retry_at)
        self._result.error = outcome.error


@dataclass(frozen=True, slots=True)
class _Batch:
    """What changed since a place.

    Attributes:
        rows: In the order of changes.
        start: The state of the server when they were read.
        is_restored: Whether the place was another server's.
        passed_over: Whether other records changed, none of which passes the filters.
    """

    rows: Sequence[Row]
    start: pages.Start
    is_restored: bool
    passed_over: bool


async def _sent(
    receiver: Receiver, rows: Sequence[Row]
) -> AsyncGenerator[tuple[Sequence[Row], Sequence[Outcome]], None]:
    """Rows that were sent side by side, with their outcomes, until all are."""
    for at in range(0, len(rows), PARALLEL):
        part = rows[at : at + PARALLEL]
        yield part, await asyncio.gather(*map(receiver.send, part))


def _stops(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Why nothing more can be sent now: the receiver takes nothing, or wants no more."""
    verdicts = [one.verdict for one in outcomes]
    if "gone" in verdicts:
        return outcomes[verdicts.index("gone")]
    return outcomes[verdicts.index("down")] if "down" in verdicts and "taken" not in verdicts else None


def _pause(failures: int) -> timedelta:
    """How long to wait after so many failures before this one."""
    return min(_FIRST_WAIT * float(2 ** min(failures, 20)), _LONGEST_WAIT)
