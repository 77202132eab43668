"""A tick that stays and looks, as one comes every few seconds at best and costs more than many looks.

It only looks: what it saw is not marked anywhere, and if it fails nothing is lost.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from resources.store import DatabaseResource
from unified.store.database import Database

WATCH_SECONDS = 45.0
"""How long a tick looks. Dagster ends one after 60 s."""

# However many connections there are, looking takes a small part of the time.
_SHARE = 10

_Found = TypeVar("_Found")


def watch(
    database: DatabaseResource, look: Callable[[Database], Awaitable[_Found | None]], every: float
) -> _Found | None:
    """Look until something is found, or the tick has stayed long enough.

    Args:
        database: Opened once for all looks.
        look: Returns what it found, or None.
        every: Seconds between two looks, at least.
    """

    async def stay() -> _Found | None:
        until = time.monotonic() + WATCH_SECONDS
        async with database.open() as db:
            while True:
                started = time.monotonic()
                if (found := await look(db)) is not None:
                    return found
                pause = max(every, _SHARE * (time.monotonic() - started))
                if time.monotonic() + pause > until:
                    return None
                await asyncio.sleep(pause)

    return asyncio.run(stay())
