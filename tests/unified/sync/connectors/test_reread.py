"""An upgraded document that reads otherwise: what it reads now is read anew, and what it does not need is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.fernet import Fernet

from tests.json_api import JsonApi, serving
from tests.unified.sync.connectors import desk
from tests.unified.sync.connectors.test_installing import install, upgrade
from unified.kit.factory import AdapterFactory
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.readers.query import ask
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.secrets.opening import StoredConnections
from unified.sync.connection import sync_stream
from unified.sync.connections.changing import Connections
from unified.sync.connections.wanted import NewConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import AddWorkspace
    from unified.store.database import Database

Stream = dict[str, Any]
PEOPLE = [
    {"id": 1, "state": "active", "person": {"id": 1, "state": "active", "name": "Ann"}},
    {"id": 2, "state": "left", "person": {"id": 2, "state": "left", "name": "Bob"}},
]


class _People(JsonApi):
    """A list by state; with a time, what changed since: nothing."""

    def get(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        found = [
            one
            for one in PEOPLE
            if one["state"] in query.get("state", [one["state"]]) and "since" not in query
        ]
        self.answer(200, {"data": found})


def document(version: str, change: Callable[[Stream], Any] = lambda _: None) -> dict[str, Any]:
    said = desk.said(version, test=None)
    del said["test"]
    people = said["streams"]["customers"]
    people |= {
        "parameters": {"state": "active"},
        "changes": {"parameter": "since"},
        "paging": {"kind": "none"},
    }
    people["mapping"].pop("tombstone")
    people["mapping"]["rules"] = [{"target": "name", "source": "name"}]
    people["record"] = ["person"]
    change(people)
    said["streams"] = {"customers": people}
    return said


def rule(people: Stream) -> None:
    people["mapping"]["rules"].append({"target": "custom_fields.state", "source": "state"})


def states(people: Stream) -> None:
    people["parameters"] = {}


def transformed(people: Stream) -> None:
    people["transformations"] = [{"do": "add", "path": ["name"], "value": "{{ record.name + '!' }}"}]


def divided(people: Stream) -> None:
    people["parameters"] = {"state": "{{ partition.state }}"}
    people["partition"] = {"values": ["active", "left"], "partition_field": "state"}


@pytest.mark.parametrize(
    ("change", "mode", "names"),
    [
        (rule, "incremental", ["Ann"]),
        (states, "full", ["Ann", "Bob"]),
        (transformed, "full", ["Ann!"]),
        (divided, "full", ["Ann", "Bob"]),
    ],
)
async def test_what_an_upgraded_document_reads_is_read_anew(
    database: Database,
    add_workspace: AddWorkspace,
    change: Callable[[Stream], None],
    mode: str,
    names: list[str],
) -> None:
    own = await add_workspace("own")
    await install(database, own, document("1.0.0"))
    credentials = CredentialStore(database, LocalKeyProvider([Fernet.generate_key().decode()]))
    factory = AdapterFactory(StoredConnections(Registry(database), credentials, actor="test"))
    with serving(_People) as url:
        settings = {"base_url": url, "allow_private_hosts": True}
        new = NewConnection(
            connector="desk", name="main", settings=settings, secrets={"api_key": Secret(desk.KEY)}
        )
        connection = (await Connections(database, credentials, actor="ann").add(own, new, test=False))[0]
        await sync_stream(database, factory, connection, "customers")
        assert (await sync_stream(database, factory, connection, "customers")).mode == "incremental"
        upgraded = await upgrade(database, own, document("1.1.0", change))
        assert bool(upgraded.difference.reread) == (mode == "full")
        assert (await sync_stream(database, factory, connection, "customers")).mode == mode
        rows = await ask(database, own, "SELECT name FROM unified_customers ORDER BY name", limit=10)
        assert [name for (name,) in rows[1]] == names
        assert (await sync_stream(database, factory, connection, "customers")).mode == "incremental"
