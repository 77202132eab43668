"""A process to kill: drains Stripe's inboxes for ever, a few events at a time.

python -m tests.sync.drain_victim postgresql://…
"""

import asyncio
import os
import sys

import sync.connection_drain
from adapters.factory import AdapterFactory
from store.credentials import CredentialStore
from store.database import Database
from store.keys import LocalKeyProvider
from store.registry import Registry
from store.stored_connections import StoredConnections
from sync.connection_drain import DrainResult
from tests.sync.victim import MASTER_KEY


def say(result: DrainResult) -> None:
    """Tell the test that a batch was committed."""
    print(result.events, flush=True)  # noqa: T201 - the test reads it


async def main(url: str) -> None:
    """Drain until killed."""
    sync.connection_drain.BATCH_EVENTS = 5
    async with Database.open(url) as database:
        credentials = CredentialStore(database, LocalKeyProvider([os.environ[MASTER_KEY]]))
        factory = AdapterFactory(StoredConnections(Registry(database), credentials, actor="victim"))
        await sync.drain.drain(database, factory, "stripe", linger=3600, on_progress=say)


if __name__ == "__main__":
    import sync.drain

    asyncio.run(main(sys.argv[1]))
