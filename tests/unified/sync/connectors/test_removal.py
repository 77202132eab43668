"""A connector that is removed while a sync of it runs: the sync ends with the reason, and nothing of it stays."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet

from tests.unified.sync.connectors import desk
from tests.unified.sync.connectors.test_installing import install
from tests.waiting import LIMIT_SECONDS
from unified.kit.errors import ConfigurationError
from unified.kit.factory import AdapterFactory
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.readers.query import ask
from unified.store.removal import remove_connection
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.secrets.opening import StoredConnections
from unified.sync.connection import sync_stream
from unified.sync.connections.changing import Connections
from unified.sync.connections.wanted import NewConnection
from unified.sync.connectors import installing
from unified.sync.connectors.errors import InstallError
from unified.sync.errors import PullError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import AddWorkspace
    from unified.store.database import Database


@dataclass
class _Gate:
    """A list of two pages; the second one is asked for, and answered when it may be."""

    url: str = ""
    asked: Event = field(default_factory=Event)
    open: Event = field(default_factory=Event)

    @contextmanager
    def serving(self) -> Iterator[None]:
        gate = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_second = "page=" in self.path
                if is_second:
                    gate.asked.set()
                    gate.open.wait(LIMIT_SECONDS)
                page = {"data": desk.PEOPLE[1:]} if is_second else {"data": desk.PEOPLE[:1], "next": "p2"}
                text = json.dumps(page).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            self.url = f"http://127.0.0.1:{server.server_port}"
            yield
            self.open.set()
            server.shutdown()


async def test_a_connector_removed_in_mid_sync_ends_the_sync_and_leaves_nothing(
    database: Database, add_workspace: AddWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unified.sync.pull.BATCH_RECORDS", 1)
    own = await add_workspace("own")
    await install(database, own, desk.said())
    credentials = CredentialStore(database, LocalKeyProvider([Fernet.generate_key().decode()]))
    factory = AdapterFactory(StoredConnections(Registry(database), credentials, actor="test"))
    gate = _Gate()
    with gate.serving():
        settings = {"base_url": gate.url, "allow_private_hosts": True}
        secrets = {"api_key": Secret(desk.KEY)}
        new = NewConnection(connector="desk", name="main", settings=settings, secrets=secrets)
        connection = (await Connections(database, credentials, actor="ann").add(own, new, test=False))[0]
        sync = asyncio.create_task(sync_stream(database, factory, connection, "customers"))
        assert await asyncio.to_thread(gate.asked.wait, LIMIT_SECONDS)
        with pytest.raises(InstallError, match="is used by own/main; remove those first"):
            await installing.remove(database, own, "desk", actor="ann")
        await remove_connection(database, own, connection.id)
        await installing.remove(database, own, "desk", actor="ann")
        gate.open.set()
        with pytest.raises(PullError, match="own/main: customers: there is no connection"):
            await asyncio.wait_for(sync, LIMIT_SECONDS)
    with pytest.raises(ConfigurationError, match="there is no connector 'desk'"):
        get_adapter("desk")
    await install(database, own, desk.said())  # its leaves serve again, and are empty
    _, rows = (await ask(database, own, "SELECT count(*) FROM unified_customers", limit=1))[:2]
    assert [tuple(row) for row in rows] == [(0,)]
