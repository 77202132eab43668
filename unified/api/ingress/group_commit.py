"""Group commit: many deliveries, one statement, and nobody is answered before it is committed.

There is no timer. A write begins as soon as a writer is free, with whatever has come by then: under light load that
is one delivery, at once; the heavier the load, the more of them share a flush of the disk. What is written, and
where, is `unified.store.inbox.events`'s affair.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from psycopg import DataError

from unified.store.errors import StoreError

# A second writer joins where this many wait. One alone makes larger writes, which cost everybody less; but where a
# flush takes long, several get more done.
_JOIN_AT = 64

# A write shares its flush among many long before it is as large as this.
_ROWS_PER_WRITE = 500
_BYTES_PER_WRITE = 4 * 1024 * 1024

_log = logging.getLogger(__name__)

_Row = TypeVar("_Row")


class FullError(Exception):
    """As many deliveries wait as may; nothing was tried."""


class NotStoredError(Exception):
    """The database is away, too slow, or gave up. It may have stored the rows all the same."""


class UnstorableError(Exception):
    """The database refuses these very rows; the same again would fail again."""


class _Delivery(NamedTuple, Generic[_Row]):
    rows: Sequence[_Row]
    size: int


_Batch = dict[asyncio.Future[None], _Delivery[_Row]]


class GroupCommit(Generic[_Row]):
    """Collects deliveries and writes them together."""

    def __init__(
        self, write: Callable[[Sequence[_Row]], Awaitable[object]], *, waiting: int, writers: int = 3
    ) -> None:
        """Write by ``write``, which commits all of its rows or none.

        Args:
            write: Stores rows in bounded time; the same rows again must change nothing. Raises psycopg's DataError for
                what can't be stored at all.
            waiting: Most deliveries that may wait, besides those being written.
            writers: Most writes at once; each takes a connection.
        """
        self._write = write
        self._most_waiting = waiting
        self._most_writers = writers
        self._waiting: _Batch[_Row] = {}
        self._writing: set[asyncio.Task[None] | None] = set()

    async def commit(self, rows: Sequence[_Row], size: int) -> None:
        """Return once all these rows are committed. A caller that is cancelled meanwhile leaves the queue.

        Args:
            rows: What one delivery brought.
            size: Its bytes.

        Raises:
            FullError, NotStoredError, UnstorableError: As their names say; none of them after a commit that is known.
        """
        if len(self._waiting) >= self._most_waiting:
            raise FullError
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting[done] = _Delivery(rows, size)
        if not self._writing or (len(self._waiting) >= _JOIN_AT and len(self._writing) < self._most_writers):
            # It starts when the loop comes round, and takes along what else came in this round.
            task = loop.create_task(self._write_all())
            self._writing.add(task)
        try:
            await done
        finally:
            self._waiting.pop(done, None)

    async def _write_all(self) -> None:
        try:
            while batch := self._take():
                await self._write_batch(batch)
        finally:
            # Not by a callback of the task: what comes before that runs would find a writer that has left.
            self._writing.discard(asyncio.current_task())

    def _take(self) -> _Batch[_Row]:
        batch: _Batch[_Row] = {}
        rows = size = 0
        for done, delivery in self._waiting.items():
            batch[done] = delivery
            rows += len(delivery.rows)
            size += delivery.size
            if rows >= _ROWS_PER_WRITE or size >= _BYTES_PER_WRITE:
                break
        for done in batch:
            del self._waiting[done]
        return batch

    async def _write_batch(self, batch: _Batch[_Row]) -> None:
        try:
            await self._write([row for delivery in batch.values() for row in delivery.rows])
        except DataError as error:
            if len(batch) > 1:
                # One of them spoils it for all. Halving finds it in few writes, and stores the others.
                halves = list(batch.items())
                for half in (halves[: len(halves) // 2], halves[len(halves) // 2 :]):
                    await self._write_batch(dict(half))
                return
            _log.warning("a delivery can't be stored: %s", error)
            _settle(batch, UnstorableError)
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            # What waits would have to wait as long again, and its senders do not.
            batch |= self._waiting
            self._waiting = {}
            is_ours = not isinstance(error, StoreError)
            _log.warning(
                "%d deliveries not stored, their senders come again: %s", len(batch), error, exc_info=is_ours
            )
            _settle(batch, NotStoredError)
        else:
            _settle(batch, None)


def _settle(batch: _Batch[_Row], failure: type[Exception] | None) -> None:
    for done in batch:
        if done.done():
            continue  # cancelled by its caller
        if failure:
            done.set_exception(failure())
        else:
            done.set_result(None)
