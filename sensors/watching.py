"""A tick that stays and looks, as one comes every few seconds at best and costs more than many looks.

It only looks: what it saw is not marked anywhere, and if it fails nothing is lost.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dagster._grpc.utils import default_sensor_grpc_timeout  # as the daemon asks it

from resources.store import DatabaseResource
from unified.store.connectors import installed
from unified.store.database import Database


def watch_seconds() -> float:
    """How long a tick may look: the rest is for its last look, and for its way there and back.

    It is reckoned from the time after which the daemon gives a tick up, so both are to be given the same
    ``DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS``.
    """
    return 0.75 * default_sensor_grpc_timeout()


WATCH_SECONDS = watch_seconds()
"""How long a tick looks."""

# As long as Dagster has not loaded connectors that were installed, removed or upgraded since: a tick of the definitions
# that come may know what to do with them.
_OUTDATED_SECONDS = 45.0

_Found = TypeVar("_Found")


class Watch:
    """A tick's time, and the pauses between its looks."""

    def __init__(self) -> None:
        """Begin now."""
        self._began = time.monotonic()

    def left(self) -> float:
        """How many seconds it goes on."""
        is_outdated = installed.are_others_than_loaded()
        seconds = min(WATCH_SECONDS, _OUTDATED_SECONDS) if is_outdated else WATCH_SECONDS
        return self._began + seconds - time.monotonic()

    async def pause(self, since: float, every: float, share: int = 10) -> bool:
        """Wait for the next look; False at once where the tick has looked long enough.

        Args:
            since: When the last look began, by the monotonic clock.
            every: Seconds to wait, at least.
            share: So many times what that look took, at least: however many connections there are, looking takes a
                small part of the time.
        """
        seconds = max(every, share * (time.monotonic() - since))
        if seconds > self.left():
            return False
        await asyncio.sleep(seconds)
        return True


def watch(
    database: DatabaseResource, look: Callable[[Database], Awaitable[_Found | None]], every: float
) -> _Found | None:
    """Look until something is found, or the tick has stayed long enough.

    Args:
        database: Asked.
        look: Returns what it found, or None. What blocks belongs into ``asyncio.to_thread``.
        every: Seconds between two looks, at least.
    """

    async def stay(db: Database) -> _Found | None:
        span = Watch()
        while True:
            started = time.monotonic()
            if (found := await look(db)) is not None:
                return found
            if not await span.pause(started, every):
                return None

    return database.ask(stay)
