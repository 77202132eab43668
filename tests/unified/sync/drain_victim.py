"""A process to kill: drains Stripe's inboxes for ever, a few events at a time.

python -m tests.unified.sync.drain_victim postgresql://…
"""

import asyncio
import os
import sys

import unified.sync.connection_drain
from tests.unified.sync.victim import MASTER_KEY
from unified.kit.factory import AdapterFactory
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.secrets.opening import StoredConnections
from unified.sync.connection_drain import DrainResult


def say(result: DrainResult) -> None:
    """Tell the test that a batch was committed."""
    print(result.events, flush=True)  # noqa: T201 - the test reads it


async def main(url: str) -> None:
    """Drain until killed."""
    unified.sync.connection_drain.BATCH_EVENTS = 5
    async with Database.open(url) as database:
        credentials = CredentialStore(database, LocalKeyProvider([os.environ[MASTER_KEY]]))
        factory = AdapterFactory(StoredConnections(Registry(database), credentials, actor="victim"))
        await unified.sync.drain.drain(database, factory, "stripe", linger=3600, on_progress=say)


if __name__ == "__main__":
    import unified.sync.drain

    asyncio.run(main(sys.argv[1]))
