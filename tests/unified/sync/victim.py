"""A process to kill: syncs a stream, and stops for good at a point that it was told, after saying so.

Points: ``mapping`` (of the second batch), ``between`` (after the second commit), ``end`` (after the last one,
before the history is closed); with null it runs through, or until something outside holds it.
"""

import os
import threading
import time
from typing import Any, NoReturn

import unified.sync.connection
import unified.sync.pull
from unified.kit.factory import AdapterFactory
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.records import history
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.mapping import Mapping

MASTER_KEY = "VICTIM_MASTER_KEY"


def stop_here(*_: Any, **__: Any) -> NoReturn:
    """Say so, and hold the whole process."""
    print("stopped", flush=True)  # noqa: T201 - the test reads it
    while True:
        time.sleep(3600)


def stop_at(point: str | None) -> unified.sync.pull.OnProgress:
    """Make the process stop at a point; the callback that counts its commits."""
    commits, mapped = 0, 0
    has_committed = threading.Event()
    encode = Mapping.encode

    def progress(_: unified.sync.pull.PullResult) -> None:
        nonlocal commits
        commits += 1
        has_committed.set()
        if commits == 2 and point == "between":
            stop_here()

    def mapping(*asked: Any) -> Any:
        nonlocal mapped
        mapped += 1
        if mapped == 2:
            has_committed.wait()  # mapping may be ahead of the commit
            stop_here()
        return encode(*asked)

    if point == "mapping":
        Mapping.encode = mapping  # type: ignore[method-assign]
    if point == "end":
        history.finish = stop_here
    return progress


async def main(url: str, connection: str, stream: str, stop: str | None, full: bool) -> None:
    unified.sync.pull.BATCH_RECORDS = 50
    async with Database.open(url) as database:
        registry = Registry(database)
        credentials = CredentialStore(database, LocalKeyProvider([os.environ[MASTER_KEY]]))
        factory = AdapterFactory(AuthorizedConnections(database, credentials, actor="victim"))
        found = await registry.find(connection)
        await unified.sync.connection.sync_stream(
            database, factory, found, stream, full=full, on_progress=stop_at(stop)
        )
