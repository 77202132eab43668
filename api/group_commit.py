"""Group commit: many deliveries, one statement, and nobody is answered before it is committed.

There is no timer. A write begins as soon as a writer is free, with whatever has come by then: under light load that
is one delivery, at once; the heavier the load, the more share a flush of the disk. What is written, and where:
`store.inbox`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from store.errors import BusyError, UnreachableError

# Providers wait 3 to 20 s for an answer. Past this one they are better told to come again.
WRITE_SECONDS = 2.5

_log = logging.getLogger(__name__)

_Row = TypeVar("_Row")


class FullError(Exception):
    """As many deliveries wait as may."""


class NotStoredError(Exception):
    """The database is away, too slow, or gave up. It may have stored the rows all the same."""


class UnstorableError(Exception):
    """The database refuses these very rows; the same again would fail again."""


class GroupCommit(Generic[_Row]):
    """Collects rows and writes them together."""

    def __init__(
        self,
        write: Callable[[Sequence[_Row]], Awaitable[object]],
        *,
        waiting: int,
        writers: int = 2,
        rows_per_write: int = 500,
    ) -> None:
        """Write by ``write``, which commits all of its rows or none.

        Args:
            write: Stores rows; the same rows again must change nothing.
            waiting: Most deliveries that may wait, besides those being written.
            writers: Writes at once; each takes a connection.
            rows_per_write: About how many rows go into one write.
        """
        self._write = write
        self._most_waiting = waiting
        self._free_writers = writers
        self._rows_per_write = rows_per_write
        self._waiting: deque[tuple[Sequence[_Row], asyncio.Future[None]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def commit(self, rows: Sequence[_Row]) -> None:
        """Return once all these rows are committed.

        Raises:
            FullError: If too many wait already; nothing was tried.
            NotStoredError: If the database does not answer in time.
            UnstorableError: If it refuses these rows.
        """
        if len(self._waiting) >= self._most_waiting:
            raise FullError
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((rows, done))
        if self._free_writers:
            self._free_writers -= 1
            # It starts when the loop comes round, and takes along what else came in this round.
            task = loop.create_task(self._write_all())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await done

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write_some(self._take())
        finally:
            self._free_writers += 1

    def _take(self) -> list[tuple[Sequence[_Row], asyncio.Future[None]]]:
        batch, size = [], 0
        while self._waiting and size < self._rows_per_write:
            batch.append(self._waiting.popleft())
            size += len(batch[-1][0])
        return batch

    async def _write_some(self, batch: Sequence[tuple[Sequence[_Row], asyncio.Future[None]]]) -> None:
        failure: type[Exception] | None = None
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._write([row for rows, _ in batch for row in rows])
        except (UnreachableError, BusyError, TimeoutError) as error:
            _log.warning("%d deliveries not stored, their senders are asked to come again: %s", len(batch), error)
            failure = NotStoredError
        except Exception:
            if len(batch) > 1:
                # One of them spoils it for all. Halving finds it in few writes, and stores the others.
                middle = len(batch) // 2
                await self._write_some(batch[:middle])
                await self._write_some(batch[middle:])
                return
            _log.exception("a delivery can't be stored")
            failure = UnstorableError
        for _, done in batch:
            if done.done():
                continue  # its request was cancelled
            if failure:
                done.set_exception(failure())
            else:
                done.set_result(None)
