"""Approval: what waits for it is neither due nor used, however it came about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet

from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.connections import approval, turns
from unified.store.connections.approval import ConnectionNotApprovedError
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.errors import VersionConflictError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.workspaces import workspaces

if TYPE_CHECKING:
    from unified.store.connections.rows import Connection
    from unified.store.database import Database

PROVIDER = LocalKeyProvider([Fernet.generate_key().decode()])


async def connection(db: Database, *, requires_approval: bool) -> Connection:
    registry = Registry(db)
    made = await workspaces.create(db, "acme", requires_approval=requires_approval)
    added = await registry.add_connection(made.id, "stripe", "main", {"concurrency": 2})
    await CredentialStore(db, PROVIDER).put(
        made.id, added.id, "api_key", {"api_key": Secret("sk_test_fake_1")}
    )
    return added


async def may_be_used(db: Database, one: Connection) -> bool:
    """Whether the credential is released; due must be the same."""
    due = [found.id for found in await turns.due(db, datetime.now(UTC))]
    try:
        await CredentialStore(db, PROVIDER).reveal(one.workspace_id, one.id, actor="test", purpose="sync")
    except ConnectionNotApprovedError:
        assert due == []
        return False
    assert due == [one.id]
    return True


async def test_where_nobody_asks_for_it_a_connection_is_approved(database: Database) -> None:
    one = await connection(database, requires_approval=False)
    assert one.approval == "approved"
    assert await may_be_used(database, one)


async def test_a_new_connection_waits_until_somebody_approves_it(database: Database) -> None:
    one = await connection(database, requires_approval=True)
    assert one.approval == "pending"
    assert not await may_be_used(database, one)
    approved = await approval.decide(
        database, one.workspace_id, one.id, "approved", actor="user:ann", if_version=one.version
    )
    assert approved.version > one.version
    assert await may_be_used(database, approved)
    await approval.decide(database, one.workspace_id, one.id, "rejected", actor="user:ann")
    assert not await may_be_used(database, approved)
    async with database.workspace(one.workspace_id) as conn:
        logged = [(entry.action, entry.outcome) for entry in await audit.entries(conn)]
    assert logged[0] == ("credential.reveal", "denied")
    assert ("connection.approve", "allowed") in logged
    assert ("connection.reject", "allowed") in logged


async def test_other_settings_are_approved_anew_and_a_pause_is_not(database: Database) -> None:
    one = await connection(database, requires_approval=True)
    approved = await approval.decide(database, one.workspace_id, one.id, "approved", actor="test")
    registry = Registry(database)
    same = await registry.update_connection(
        one.workspace_id, one.id, settings={"concurrency": 2}, is_active=True
    )
    assert same.approval == "approved"
    changed = await registry.update_connection(one.workspace_id, one.id, settings={"concurrency": 3})
    assert changed.approval == "pending"
    assert changed.version > approved.version
    assert not await may_be_used(database, changed)


async def test_what_is_decided_on_is_what_was_looked_at(database: Database) -> None:
    one = await connection(database, requires_approval=True)
    await Registry(database).update_connection(one.workspace_id, one.id, settings={"concurrency": 9})
    with pytest.raises(VersionConflictError):
        await approval.decide(
            database, one.workspace_id, one.id, "approved", actor="test", if_version=one.version
        )
    assert not await may_be_used(database, one)
    with pytest.raises(ConnectionNotFoundError):
        await approval.decide(database, one.workspace_id, uuid4(), "approved", actor="test")


async def test_a_sync_changes_no_version(database: Database) -> None:
    one = await connection(database, requires_approval=False)
    registry = Registry(database)
    await registry.begin_sync(one.workspace_id, one.id)
    await registry.finish_sync(one.workspace_id, one.id)
    assert (await registry.get_connection(one.workspace_id, one.id)).version == one.version
