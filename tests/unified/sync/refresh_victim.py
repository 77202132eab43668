"""A process to stop or kill: takes a connection's access token, refreshed where need be.

    python -m tests.unified.sync.refresh_victim '{"url": …, "connection": "acme/crm", "stop": …, "tasks": 1}'

It stops itself (SIGSTOP) at a point that it was told, and goes on if it is told to: ``leasing`` (the attempt is not
committed), ``leased`` (it is, and nothing was sent), ``answered`` (the new pair is in memory only), ``stored``. At the
end it prints what it got, as a hash.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
from typing import Any

from tests.unified.sync.victim import MASTER_KEY
from unified.kit.errors import AdapterError
from unified.kit.oauth import TokenEndpoint
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets.authorizations import Authorizations
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.secrets.opening import StoredConnections
from unified.sync.access.authorization import ConnectionTokens


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def stop_at(point: str | None) -> None:
    """Make the process stop at a point."""

    def stopping(method: Any, *, after: bool = False, only: str | None = None) -> Any:
        async def run(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs) if after else None
            if only is None or only in args:
                os.kill(os.getpid(), signal.SIGSTOP)
            return result if after else await method(*args, **kwargs)

        return run

    match point:
        case "leasing":
            Authorizations._note = stopping(Authorizations._note, after=True, only="oauth.attempt")  # type: ignore[method-assign]
        case "leased":
            TokenEndpoint.refresh = stopping(TokenEndpoint.refresh)  # type: ignore[method-assign]
        case "answered":
            Authorizations.store = stopping(Authorizations.store)  # type: ignore[method-assign]
        case "stored":
            Authorizations.store = stopping(Authorizations.store, after=True)  # type: ignore[method-assign]


async def main(url: str, connection: str, stop: str | None, tasks: int) -> None:
    stop_at(stop)
    async with Database.open(url) as db:
        registry = Registry(db)
        credentials = CredentialStore(db, LocalKeyProvider([os.environ[MASTER_KEY]]))
        found = await registry.find(connection)
        stored = StoredConnections(registry, credentials, actor="victim")
        opened = await stored.open_connection(found.workspace_id, found.id, purpose="test")
        refreshers = [ConnectionTokens(db, credentials, opened, actor="victim") for _ in range(tasks)]
        print("ready", flush=True)  # noqa: T201 - the test reads it
        sys.stdin.readline()
        try:
            tokens = await asyncio.gather(*(one.current() for one in refreshers))
        except AdapterError as error:
            print(f"{type(error).__name__}: {error}", flush=True)  # noqa: T201
        else:
            print(" ".join(sorted({digest(token.reveal()) for token in tokens})), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
