"""Documents of connectors in the database: who sees them, what is noted of them, and the catalogue beside them."""

from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.conftest import AddWorkspace, connectors
from unified.store import audit
from unified.store.connections import changes
from unified.store.connections.rows import UnknownConnectorError
from unified.store.connectors import documents
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.connectors.documents import DocumentNotFoundError, NewDocument
from unified.store.database import Database
from unified.store.migrate import migrate, register_document, retire_documents
from unified.store.workspaces.rows import WorkspaceNotFoundError

DESK = ConnectorEntry("desk", "Desk", ("READ",), ("customers", "tickets"), ("tickets",), is_document=True)


def document(version: str = "1.0.0", **fields: Any) -> NewDocument:
    hashed = f"{version.replace('.', ''):0>64}"
    return NewDocument(connector="desk", version=version, hash=hashed, source="id: desk", **fields)


def catalogue(url: str) -> dict[str, bool]:
    with psycopg.connect(url) as conn:
        return dict(conn.execute("SELECT name, is_enabled FROM connectors").fetchall())


async def connect(database: Database, workspace: UUID) -> None:
    async with database.workspace(workspace) as conn:
        await changes.add(conn, workspace, "desk", "main", actor="test")


async def test_a_document_is_its_workspaces_alone(
    database: Database, database_url: str, add_workspace: AddWorkspace
) -> None:
    own, other = await add_workspace("own"), await add_workspace("other")
    register_document(database_url, DESK)
    with pytest.raises(UnknownConnectorError):  # in the catalogue, and seen by nobody
        await connect(database, own)
    await documents.add(database, own, document(), actor="ann")
    assert [one.version for one in await documents.seen_by(database, own)] == ["1.0.0"]
    assert await documents.seen_by(database, other) == []
    assert [one.workspace_id for one in await documents.installed(database)] == [own]
    with pytest.raises(
        UnknownConnectorError, match="there is no connector 'desk'; use one of: hubspot, stripe"
    ):
        await connect(database, other)
    await connect(database, own)


async def test_one_of_the_deployment_is_everybodys(
    database: Database, database_url: str, add_workspace: AddWorkspace
) -> None:
    own = await add_workspace("own")
    register_document(database_url, DESK)
    await documents.add(database, None, document(tier="project"), actor="cli")
    (seen,) = await documents.seen_by(database, own, "desk")
    assert (seen.workspace_id, seen.tier, seen.installed_by) == (None, "project", "cli")
    await connect(database, own)
    async with database.scheduler() as conn:
        (entry,) = await audit.deployment_entries(conn)
    assert (entry.action, entry.subject, entry.actor) == ("connector.install", "connector desk", "cli")


async def test_an_upgrade_and_a_removal_keep_what_there_was(
    database: Database, database_url: str, add_workspace: AddWorkspace
) -> None:
    own = await add_workspace("own")
    register_document(database_url, DESK)
    await documents.add(database, own, document("1.0.0"), actor="ann")
    await documents.add(database, own, document("1.1.0"), actor="bob")
    ended = await documents.remove(database, own, "desk", actor="cy")
    assert (ended.version, ended.state, ended.ended_by) == ("1.1.0", "removed", "cy")
    with pytest.raises(DocumentNotFoundError, match="no document of a connector 'desk' is installed here"):
        await documents.remove(database, own, "desk", actor="cy")
    kept = await documents.seen_by(database, own, history=True)
    assert {(one.version, one.state) for one in kept} == {("1.0.0", "replaced"), ("1.1.0", "removed")}
    assert await documents.installed(database) == []
    async with database.workspace(own) as conn:
        noted = await audit.entries(conn, subject="connector desk")
    assert [entry.action for entry in noted] == ["connector.remove", "connector.upgrade", "connector.install"]
    assert noted[1].detail["replaced"] == "1.0.0"
    with pytest.raises(WorkspaceNotFoundError):
        await documents.add(database, UUID(int=7), document(), actor="ann")


async def test_the_catalogue_follows_documents_beside_the_packages(
    database: Database, database_url: str, add_workspace: AddWorkspace
) -> None:
    own = await add_workspace("own")
    register_document(database_url, DESK)
    await documents.add(database, own, document(), actor="ann")
    with psycopg.connect(database_url) as conn:
        leaves = conn.execute(
            "SELECT relname FROM pg_class WHERE relname ~ '_desk$|^desk_' AND relkind IN ('r', 'v')"
        )
        made = {name for (name,) in leaves.fetchall()}
    assert {"unified_customers_desk", "unified_records_desk", "desk_tickets"} <= made
    migrate(database_url, connectors())  # knows the packages only
    assert catalogue(database_url) == {"desk": True, "hubspot": True, "stripe": True}
    await documents.remove(database, own, "desk", actor="ann")
    retire_documents(database_url)
    assert catalogue(database_url) == {"desk": False, "hubspot": True, "stripe": True}
