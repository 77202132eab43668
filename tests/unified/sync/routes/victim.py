"""A process to kill: runs a route, and stops for good at a point that it was told, after saying so.

Points: ``planned`` (nothing is committed), ``intended`` (intents are, nothing is sent), ``sent`` (all is, no answer is
kept), ``settling`` (answers are being committed), ``settled`` (the first answers are committed).
"""

import os
from typing import Any

import unified.sync.routes.push
from tests.unified.sync.victim import MASTER_KEY, stop_here
from unified.kit.factory import AdapterFactory
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.routes import outbox
from unified.store.routes.routes import Routes
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.secrets.opening import StoredConnections
from unified.sync.routes.push import Push
from unified.sync.routes.run import run_route
from unified.sync.routes.settlement import Settlement


def stop_at(point: str) -> None:
    """Make the process stop at a point."""
    settle, put = Push._settle, outbox.put

    async def settled(self: Push, *args: Any) -> None:
        await settle(self, *args)
        stop_here()

    async def put_first(conn: Any, route: Any, changed: Any) -> None:
        entries = list(changed)
        if any(entry.state == "sending" for entry in entries):
            stop_here()
        await put(conn, route, entries)

    match point:
        case "planned":
            outbox.put = put_first  # type: ignore[assignment]
        case "intended":
            Push._send = stop_here  # type: ignore[method-assign, assignment]
        case "sent":
            Push._settle = stop_here  # type: ignore[method-assign, assignment]
        case "settling":
            Settlement.add = stop_here  # type: ignore[method-assign, assignment]
        case "settled":
            Push._settle = settled  # type: ignore[method-assign]


async def main(url: str, route: str, stop: str) -> None:
    unified.sync.routes.push._SETTLED_TOGETHER = 5
    stop_at(stop)
    async with Database.open(url) as database:
        credentials = CredentialStore(database, LocalKeyProvider([os.environ[MASTER_KEY]]))
        factory = AdapterFactory(StoredConnections(Registry(database), credentials, actor="victim"))
        await run_route(database, factory, await Routes(database).find(route))
