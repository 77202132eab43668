"""A process to kill: runs a route, and stops for good at a point that it was told, after saying so.

    python -m tests.sync.routes.victim '{"url": …, "route": "acme/crm", "stop": …}'

Points: ``planned`` (nothing is committed), ``intended`` (intents are, nothing is sent), ``sent`` (all is, no answer is
kept), ``settling`` (answers are being committed), ``settled`` (the first answers are committed).
"""

import asyncio
import json
import os
import sys
from typing import Any

import sync.push
from adapters.factory import AdapterFactory
from store import pushes
from store.credentials import CredentialStore
from store.database import Database
from store.keys import LocalKeyProvider
from store.registry import Registry
from store.routes import Routes
from store.stored_connections import StoredConnections
from sync.push import Push
from sync.route import run_route
from sync.settlement import Settlement
from tests.sync.victim import MASTER_KEY, stop_here


def stop_at(point: str) -> None:
    """Make the process stop at a point."""
    settle, put = Push._settle, pushes.put

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
            pushes.put = put_first  # type: ignore[assignment]
        case "intended":
            Push._send = stop_here  # type: ignore[method-assign, assignment]
        case "sent":
            Push._settle = stop_here  # type: ignore[method-assign, assignment]
        case "settling":
            Settlement.add = stop_here  # type: ignore[method-assign, assignment]
        case "settled":
            Push._settle = settled  # type: ignore[method-assign]


async def main(url: str, route: str, stop: str) -> None:
    sync.push._SETTLED_TOGETHER = 5
    stop_at(stop)
    async with Database.open(url) as database:
        credentials = CredentialStore(database, LocalKeyProvider([os.environ[MASTER_KEY]]))
        factory = AdapterFactory(StoredConnections(Registry(database), credentials, actor="victim"))
        await run_route(database, factory, await Routes(database).find(route))


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
