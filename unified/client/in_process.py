"""The API in this process: calls are answered by its own routes, before the database of this machine.

A thread of its own runs it, since a notebook's event loop runs already, and a client without ``await`` has none.
"""

import asyncio
import threading
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
from cryptography.fernet import Fernet

from unified.api.management.access.local import LocalAccess
from unified.api.management.app import ApiByNeed, open_services
from unified.api.settings import ManagementSettings, Settings
from unified.client.core import Answer, Call, Failure
from unified.client.errors import ClientError, NotFoundError
from unified.store.database import Database
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import WorkspaceNotFoundError

if TYPE_CHECKING:
    from concurrent.futures import Future

_ACTOR = "client"
_PERMISSIONS = frozenset({"connections:read", "records:read", "records:raw"})
_CONNECTIONS = 4
_RATE = 100_000  # nobody is to be kept from this one but its own user


class InProcess:
    """Sends calls to the routes."""

    def __init__(self, workspace: str, database: str | None) -> None:
        """Open the database, for one workspace; raises what :func:`unified.client.local` says."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="unified-client", daemon=True)
        self._thread.start()
        self._opened = AsyncExitStack()
        self._http: httpx.AsyncClient | None = None
        try:
            self._run(self._open(workspace, database)).result()
        except BaseException:
            self.close()
            raise

    def send(self, call: Call) -> Answer | Failure:
        """Send a call, and wait for what it is answered."""
        return self.submit(call).result()

    def submit(self, call: Call) -> "Future[Answer | Failure]":
        """Send a call; its answer comes in time."""
        if self._http is None:
            raise ClientError("the client is closed")
        return self._run(self._send(self._http, call))

    def close(self) -> None:
        """Close the database, and end the thread. Once more changes nothing."""
        if self._loop.is_closed():
            return
        self._http = None
        self._run(self._opened.aclose()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self, workspace: str, database: str | None) -> None:
        db = await self._opened.enter_async_context(Database.open(database, max_connections=_CONNECTIONS))
        try:
            found = await workspaces.find(db, workspace)
        except WorkspaceNotFoundError as error:
            raise NotFoundError(str(error)) from None
        settings = Settings(management=ManagementSettings(rate=_RATE, burst=_RATE))
        # No credential can be opened here, and reading records needs none: a key that has encrypted nothing will do.
        provider = LocalKeyProvider([Fernet.generate_key().decode()])
        services = replace(
            open_services(db, provider, settings), access=LocalAccess(db, found, _ACTOR, _PERMISSIONS)
        )
        transport = httpx.ASGITransport(ApiByNeed(services))
        client = httpx.AsyncClient(transport=transport, base_url="http://in-process")
        self._http = await self._opened.enter_async_context(client)

    async def _send(self, http: httpx.AsyncClient, call: Call) -> Answer | Failure:
        answer = await http.get(call.path, params=call.query)
        return Answer(answer.status_code, answer.headers, answer.content)


class AsyncInProcess:
    """The same, with ``await``."""

    def __init__(self, inner: InProcess) -> None:
        """Send calls by way of ``inner``."""
        self._inner = inner

    async def send(self, call: Call) -> Answer | Failure:
        """Send a call, and wait for what it is answered."""
        return await asyncio.wrap_future(self._inner.submit(call))

    async def close(self) -> None:
        """Close the database, and end the thread."""
        await asyncio.to_thread(self._inner.close)
