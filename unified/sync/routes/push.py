"""Push: from one connection's customers into another, along a route.

    changes since the cursor ──▶ plan ──▶ intents, cursor: one commit ──▶ send ──▶ links: one commit

What is about to be sent is committed to the outbox before, together with the cursor, and taken out with its
outcome. A run may be killed anywhere: the next one first asks for the outcome of the intents that it finds, each by its
idempotency key, so nothing is sent twice. Planning and sending run side by side, some thousand records apart. Who may
run a route, and how it is recorded, is in :mod:`unified.sync.routes.run`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass

from unified.kit.errors import AdapterError
from unified.kit.writing.changes import Write, Written
from unified.store.database import Database
from unified.store.records import changes, lookups
from unified.store.routes import cursors, links, outbox
from unified.store.routes.cursors import RouteCursor
from unified.store.routes.outbox import Entry
from unified.store.routes.rows import Route
from unified.store.routes.runs import LONGEST_ABSENCE
from unified.store.routes.sides import SIDES, Side, other
from unified.sync.routes.end import RouteEnd
from unified.sync.routes.plan import Plan
from unified.sync.routes.planner import Planner
from unified.sync.routes.settlement import Settlement, due

CHUNK = 1_000
"""Records planned together. Two chunks may be on their way while a third is planned; that is all in memory."""
_AT_ONCE = 2
_LOG_ROWS = 50
_SETTLED_TOGETHER = 100


@dataclass(slots=True)
class RouteResult:
    """What a run did. Every record looked at is in exactly one of the counts from ``created`` to ``left_out``.

    Attributes:
        route: Its key.
        looked_at: Records looked at.
        created: Created on the other side.
        updated: Changed on the other side.
        deleted: Archived or deleted on the other side.
        unchanged: Both sides agree already.
        refused: The other side does not take it; it is tried again when it changes.
        waiting: Waits for a person, or for the outcome of its last push.
        left_out: Filtered, skipped, or without a counterpart.
        recovered: Pushes of an earlier run whose outcome was found out; not among those looked at.
            Those of which it was not are, and wait.
        is_complete: Whether it reached the end, or stopped at its time limit.
        seconds: How long it took.
        requests: HTTP requests to both systems, retries included.
        rate_limit_waited: Seconds spent waiting for a turn, added up over concurrent requests.
    """

    route: str
    looked_at: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    refused: int = 0
    waiting: int = 0
    left_out: int = 0
    recovered: int = 0
    is_complete: bool = False
    seconds: float = 0.0
    requests: int = 0
    rate_limit_waited: float = 0.0

    def counts(self) -> dict[str, int]:
        """The counts alone."""
        return {name: one for name, one in asdict(self).items() if type(one) is int}


OnProgress = Callable[[RouteResult], None]


async def work(
    db: Database, route: Route, opened: Mapping[Side, RouteEnd]
) -> AsyncGenerator[tuple[Side, list[str], RouteCursor | None], None]:
    """What a run has to look at: side, ids, and the side's cursor that holds once these are dealt with.

    First what changed on each side that changes travel from, at the start all that there is; then what is due again.
    """
    for side in SIDES if route.settings.direction == "two_way" else SIDES[:1]:
        async with aclosing(_changed(db, route, opened[side])) as changed:
            async for ids, cursor in changed:
                yield side, ids, cursor
    after = ("", "")
    while True:
        async with db.workspace(route.workspace_id) as conn:
            due = await outbox.in_state(conn, route, "due", after=after, limit=CHUNK)
        if not due:
            return
        after = (due[-1].side, due[-1].record_id)
        for side in SIDES:
            if ids := [entry.record_id for entry in due if entry.side == side]:
                yield side, ids, None


async def _changed(
    db: Database, route: Route, end: RouteEnd
) -> AsyncGenerator[tuple[list[str], RouteCursor | None], None]:
    """Ids of a side's records that changed since its cursor; all of them where it has none or was away for too long."""
    now = (await db.clock())()
    async with db.workspace(route.workspace_id) as conn:
        cursor = await cursors.load(conn, route, end.side)
        if cursor is None or (cursor.scanned_to is None and now - cursor.as_of > LONGEST_ABSENCE):
            cursor = RouteCursor(await changes.horizon(conn), now, scanned_to="")
    while cursor.scanned_to is not None:
        async with db.workspace(route.workspace_id) as conn:
            ids = await lookups.ids_after(conn, end.key, cursor.scanned_to, limit=CHUNK)
        is_last = len(ids) < CHUNK
        cursor = RouteCursor(cursor.position, cursor.as_of, None if is_last else ids[-1])
        yield ids, cursor
    while True:
        async with db.workspace(route.workspace_id) as conn:
            found, position = await changes.read(
                conn, end.connection.id, end.stream, cursor.position, limit=_LOG_ROWS
            )
        ids = list(dict.fromkeys(one for change in found for one in change.source_ids))
        is_last = len(found) < _LOG_ROWS
        cursor = RouteCursor(position, now if is_last else cursor.as_of)
        for at in range(0, len(ids), CHUNK):
            yield ids[at : at + CHUNK], cursor if at + CHUNK >= len(ids) else None
        if not ids:
            yield [], cursor
        if is_last:
            return


class Push:
    """One run of a route: plans chunk after chunk, and sends up to two that are planned."""

    def __init__(
        self,
        db: Database,
        route: Route,
        opened: Mapping[Side, RouteEnd],
        result: RouteResult,
        on_progress: OnProgress,
    ) -> None:
        self._db = db
        self._route = route
        self._ends = opened
        self._result = result
        self._on_progress = on_progress
        self._planner = Planner(db, route, opened)
        self._sending: dict[asyncio.Task[None], set[tuple[Side, str]]] = {}
        # Records whose last push this run could not find out about; they are counted once.
        self._unknown: set[tuple[Side, str]] = set()

    async def run(self, *, retry_refused: bool, until: float) -> None:
        """Recover what an earlier run left, then push until all is done or the time is up."""
        await self._recover()
        async with self._db.workspace(self._route.workspace_id) as conn:
            await outbox.release(conn, self._route)
            if retry_refused:
                await outbox.ask_again(conn, self._route)
        former: Side | None = None
        try:
            async with aclosing(work(self._db, self._route, self._ends)) as chunks:
                async for side, ids, cursor in chunks:
                    if time.monotonic() >= until:
                        break
                    # What one side's changes brought has to be known before the other side's are planned.
                    if side != former or cursor is None:
                        await self._wait(most=0)
                    former = side
                    await self._begin(side, ids, cursor)
                else:
                    self._result.is_complete = True
            await self._wait(most=0)
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    def note_traffic(self) -> None:
        """Take over what both adapters have sent."""
        clients = [end.adapter.http for end in self._ends.values()]
        self._result.requests = sum(http.traffic.requests for http in clients)
        self._result.rate_limit_waited = sum(http.traffic.waited for http in clients)

    async def _begin(self, side: Side, ids: Sequence[str], cursor: RouteCursor | None) -> None:
        """Plan a chunk, commit what is intended, and have it sent while the next one is planned."""
        about = {(side, one) for one in ids}
        if any(about & busy for busy in self._sending.values()):
            await self._wait(most=0)
        plans = await self._planner.plan(side, ids)
        async with self._db.workspace(self._route.workspace_id) as conn:
            await links.forget(
                conn, self._route, [plan.former.source.id for plan in plans if plan.former is not None]
            )
            rivals = await links.save(
                conn, self._route, [plan.link for plan in plans if plan.link is not None]
            )
            for plan in plans:
                if any(plan.link is rival for rival in rivals):
                    plan.give_way()
            entries = [push for plan in plans for push in plan.pushes]
            kept = [plan.entry for plan in plans if plan.entry is not None]
            staying = {(entry.side, entry.record_id) for entry in (*entries, *kept)}
            await outbox.take_out(conn, self._route, about - staying)
            # What a person skipped, or what was sent, is in the outbox as it is.
            news = [
                entry for entry in kept if entry.state in ("review", "refused", "due") and not entry.is_lost
            ]
            await outbox.put(conn, self._route, news)
            await outbox.suggest(conn, self._route, [e for e in news if e.state == "review" and e.other_id])
            await outbox.put(conn, self._route, entries)
            if cursor is not None:
                await cursors.move(conn, self._route, side, cursor)
        self._count(plans)
        await self._wait(most=_AT_ONCE - 1)
        if entries:
            task = asyncio.create_task(self._send_planned(plans, entries))
            self._sending[task] = about | {(entry.side, entry.record_id) for entry in entries}

    async def _wait(self, *, most: int) -> None:
        """Wait until no more than so many chunks are being sent.

        Raises:
            AdapterError, StoreError: If sending one failed.
        """
        while len(self._sending) > most:
            done, _ = await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                del self._sending[task]
                task.result()

    def _count(self, plans: Sequence[Plan]) -> None:
        for plan in plans:
            if (plan.side, plan.record_id) in self._unknown:
                continue
            self._result.looked_at += 1
            if plan.outcome != "write":
                setattr(self._result, plan.outcome, getattr(self._result, plan.outcome) + 1)

    async def _send_planned(self, plans: Sequence[Plan], entries: Sequence[Entry]) -> None:
        outcomes: dict[str, str] = {}
        try:
            await self._send(entries, outcomes)
        finally:
            self._planner.settled(plans)
            for plan in plans:
                if plan.pushes:
                    # Of two pushes of one record, the one that needs somebody's attention counts.
                    became = {outcomes.get(str(push.idempotency_key), "waiting") for push in plan.pushes}
                    order = ("refused", "waiting", "left_out", "created", "deleted", "updated")
                    name = next(name for name in order if name in became)
                    setattr(self._result, name, getattr(self._result, name) + 1)
            self.note_traffic()
            self._on_progress(self._result)

    async def _recover(self) -> None:
        """Find out the outcome of what an earlier run was about to send when it was cut off."""
        after = ("", "")
        while True:
            async with self._db.workspace(self._route.workspace_id) as conn:
                left = await outbox.in_state(conn, self._route, "sending", after=after, limit=CHUNK)
            if not left:
                return
            after = (left[-1].side, left[-1].record_id)
            settled: dict[str, str] = {}
            try:
                await self._send(left, settled)
            finally:
                known = {
                    (entry.side, entry.record_id) for entry in left if str(entry.idempotency_key) in settled
                } - self._unknown
                self._result.recovered += len(known)
                self._result.waiting += len(left) - len(known)
                self._result.looked_at += len(left) - len(known)
                self._unknown |= {(entry.side, entry.record_id) for entry in left} - known

    async def _send(self, entries: Sequence[Entry], outcomes: dict[str, str]) -> None:
        """Send intents, and commit what becomes of each.

        Args:
            entries: As the outbox has them.
            outcomes: Filled with the outcome of each, by idempotency key: the name of a count.

        Raises:
            AdapterError: If nothing more can be sent for now; what was not is due again.
            StoreError: If the database fails; the next run recovers.
        """
        open_entries = {str(entry.idempotency_key): entry for entry in entries}
        try:
            for side in SIDES:
                here = [entry for entry in entries if other(entry.side) == side]
                if here:
                    await self._write(self._ends[side], here, open_entries, outcomes)
        except AdapterError:
            unsent = [entry for entry in open_entries.values() if entry.sent_at is None]
            async with self._db.workspace(self._route.workspace_id) as conn:
                await outbox.put(conn, self._route, [due(entry) for entry in unsent])
            raise

    async def _write(
        self,
        end: RouteEnd,
        entries: Sequence[Entry],
        open_entries: dict[str, Entry],
        outcomes: dict[str, str],
    ) -> None:
        writes = [
            Write(
                entry.operation or "update",
                entry.other_id,
                entry.body or {},
                str(entry.idempotency_key),
                sent_at=entry.sent_at,
            )
            for entry in entries
        ]
        settling: asyncio.Task[None] | None = None
        answers: list[tuple[Entry, Written]] = []
        try:
            async with aclosing(end.write(writes)) as written:
                async for one in written:
                    answers.append((open_entries.pop(one.write.idempotency_key), one))
                    # In a task, so that requests go on being sent meanwhile.
                    if len(answers) >= _SETTLED_TOGETHER and (settling is None or settling.done()):
                        if settling is not None:
                            settling.result()
                        settling = asyncio.create_task(self._settle(end, answers, outcomes))
                        answers = []
        finally:
            if settling is not None:
                await settling
            if answers:
                await self._settle(end, answers, outcomes)

    async def _settle(
        self, end: RouteEnd, answers: Sequence[tuple[Entry, Written]], outcomes: dict[str, str]
    ) -> None:
        """Commit the outcomes of some pushes: links for those that were applied, else why they were not."""
        route = self._route
        now = end.adapter.clock()
        async with self._db.workspace(route.workspace_id) as conn:
            known: dict[tuple[Side, str], links.Link] = {}
            for side in SIDES:
                ids = [entry.record_id for entry, _ in answers if entry.side == side]
                if ids:
                    known |= {
                        (side, one): link for one, link in (await links.read(conn, route, side, ids)).items()
                    }
            created = [one.source_id for _, one in answers if one.outcome == "conflict" and one.source_id]
            taken = await links.read(conn, route, end.side, created) if created else {}
            settled = Settlement(end, now, self._route.settings.on_missing == "recreate", taken)
            for entry, one in answers:
                settled.add(entry, one, known.get((entry.side, entry.record_id)))
            await links.forget(conn, route, settled.forgotten)
            settled.give_way(await links.save(conn, route, settled.links))
            await outbox.put(conn, route, settled.entries)
            await outbox.take_out(conn, route, settled.done)
        self._unknown |= settled.unknown
        outcomes |= settled.outcomes
