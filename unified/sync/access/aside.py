"""Asking other systems away from whatever else this process does.

The HTTP server asks providers and issuers in somebody's name while it takes webhooks. So that is done on event loops of
their own, in threads of their own: neither what is answered nor an adapter that blocks can hold up deliveries and
probes. What is used there belongs to that loop, a database's connections too.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Aside:
    """Threads for one purpose, each with an event loop of its own while it works."""

    def __init__(self, name: str, *, at_once: int) -> None:
        """Have so many threads at most; more work than that waits for one, within its own time."""
        self._threads = ThreadPoolExecutor(at_once, name)

    async def run(self, work: Callable[[], Coroutine[Any, Any, _Result]], *, seconds: float) -> _Result:
        """Do something there.

        Args:
            work: What; it is called and awaited in the thread.
            seconds: How long to wait for it.

        Returns:
            What it returns; what it raises is raised here.

        Raises:
            TimeoutError: If it did not end in time. It is cancelled there, unless it blocks.
        """

        async def within() -> _Result:
            async with asyncio.timeout(seconds):
                return await work()

        here = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            return await here.run_in_executor(self._threads, lambda: asyncio.run(within()))
