"""The database that a process keeps open for the many short questions that ticks of sensors and schedules ask.

A tick that opened it for itself would have the server start three sessions, which costs a hundred times what the tick
asks. Runs, which work for longer, open their own (`resources.store`).
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

from unified.store.connectors import installed
from unified.store.database import Database
from unified.store.server.urls import database_url

_CLOSE_SECONDS = 5.0

_Answer = TypeVar("_Answer")


def ask(question: Callable[[Database], Awaitable[_Answer]]) -> _Answer:
    """Ask the kept database, and wait for the answer; any thread may, several at a time.

    Args:
        question: Awaited in the event loop of all questions: what blocks, such as a call of Dagster's, belongs into
            ``asyncio.to_thread``.

    Raises:
        StoreError: If the database can't be reached, is not migrated or is set up unsafely; the next question tries
            again.
    """
    kept = _kept()
    return kept.run(kept.answer(question, database_url()))


def close() -> None:
    """Give the database up; the next question opens it again."""
    if _one is not None:
        _one.close()


class _Kept:
    """An event loop in a thread of its own, and the database that was opened in it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._opening = asyncio.Lock()
        self._db: Database | None = None
        self._open = AsyncExitStack()
        threading.Thread(target=self._loop.run_forever, name="kept database", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def answer(self, question: Callable[[Database], Awaitable[_Answer]], url: str) -> _Answer:
        async with self._opening:
            if self._db is None or self._db.url != url:
                await self._forget()
                self._db = await self._opened(url)
        return await question(self._db)

    async def _opened(self, url: str) -> Database:
        db = await self._open.enter_async_context(Database.open(url))
        await self._open.enter_async_context(installed.followed(db))
        return db

    async def _forget(self) -> None:
        self._db = None
        await self._open.aclose()

    def close(self) -> None:
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._forget(), self._loop).result(_CLOSE_SECONDS)


_lock = threading.Lock()
_one: _Kept | None = None


def _kept() -> _Kept:
    global _one  # noqa: PLW0603 - one for the process
    with _lock:
        if _one is None:
            _one = _Kept()
        return _one


def _leave_to_parent() -> None:
    """In a forked child: the thread and its connections are the parent's."""
    global _one, _lock
    _one, _lock = None, threading.Lock()  # a thread of the parent's may hold it


os.register_at_fork(after_in_child=_leave_to_parent)
atexit.register(close)
