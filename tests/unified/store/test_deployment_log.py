"""What belongs to no workspace is on record: removed workspaces, tokens of the deployment, master keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
from cryptography.fernet import Fernet
from psycopg import errors

from unified.store import audit, removal
from unified.store.connections.registry import Registry
from unified.store.secrets import data_keys
from unified.store.secrets.data_keys import MasterKeyInUseError
from unified.store.secrets.keys import FileKeyProvider, LocalKeyProvider, fingerprint
from unified.store.server.roles import OWNER_ROLE
from unified.store.workspaces import members, tokens, workspaces

if TYPE_CHECKING:
    from pathlib import Path

    from unified.store.audit import DeploymentEntry
    from unified.store.database import Database
    from unified.store.secrets.keys import KeyProvider


async def log_of(db: Database, workspace: UUID | None = None) -> list[DeploymentEntry]:
    """The deployment's log, the oldest first."""
    async with db.scheduler() as conn:
        return (await audit.deployment_entries(conn, workspace=workspace))[::-1]


async def use(db: Database, provider: KeyProvider, workspace: UUID) -> None:
    """Have a workspace make its data key."""
    async with db.workspace(workspace) as conn:
        await data_keys.current(conn, provider, workspace)


async def test_the_log_of_a_removed_workspace_stays_without_names(database: Database) -> None:
    acme = await workspaces.create(database, "acme", owner="ada@example.com", actor="user:root@example.com")
    await members.add(database, acme.id, "bob@example.com", "admin", actor="user:ada@example.com")
    await members.change_role(database, acme.id, "bob@example.com", "viewer", actor="user:ada@example.com")
    await Registry(database).add_connection(acme.id, "stripe", "shop-of-ada", actor="user:bob@example.com")
    async with database.workspace(acme.id) as conn:
        before = (await audit.entries(conn))[::-1]
    await removal.delete_workspace(database, acme.id, actor="user:root@example.com")

    *kept, removed = await log_of(database, acme.id)
    assert [(one.at, one.action, one.outcome, one.key_id) for one in kept] == [
        (one.at, one.action, one.outcome, one.key_id) for one in before
    ]
    assert (removed.action, removed.actor) == ("workspace.remove", "user:root@example.com")
    assert removed.detail == {"slug": "acme", "connections": 1}
    text = " ".join(f"{one.actor} {one.subject} {one.purpose} {one.detail}" for one in kept)
    for name in ("ada", "bob", "root", "@"):
        assert name not in text
    # Whose entries belong together can still be seen: as who did it, and as whom it was done to.
    create, ada_enters, bob_enters, bob_changes, connection = kept
    assert ada_enters.subject == bob_enters.actor == bob_changes.actor
    assert bob_enters.subject == bob_changes.subject == connection.actor
    assert len({create.actor, bob_enters.actor, connection.actor}) == 3
    assert connection.subject.startswith("connection ")


async def test_pseudonyms_of_two_workspaces_have_nothing_in_common(database: Database) -> None:
    actors = set()
    for slug in ("one", "two"):
        made = await workspaces.create(database, slug, owner="ada", actor="user:ada")
        await removal.delete_workspace(database, made.id)
        actors |= {entry.actor for entry in await log_of(database, made.id)}
    assert len(actors) == 3  # two people and who removed both


async def test_tokens_of_the_deployment_are_on_record(database: Database) -> None:
    made, token = await tokens.create(database, None, "of the scraper", ["metrics:read"], actor="user:root")
    for _ in range(2):  # once more changes nothing
        await tokens.revoke(database, None, made.id, actor="cli")
    created, revoked = await log_of(database)
    assert (created.actor, created.action, created.subject) == (
        "user:root",
        "token.create",
        f"token {made.id}",
    )
    assert created.detail == {"name": "of the scraper", "prefix": made.prefix, "scopes": ["metrics:read"]}
    assert (revoked.actor, revoked.action, revoked.subject) == ("cli", "token.revoke", f"token {made.id}")
    assert token.reveal() not in repr([created, revoked])


async def test_a_rotation_is_on_record(database: Database, workspace: UUID, tmp_path: Path) -> None:
    file = tmp_path / "master.keys"
    await use(database, FileKeyProvider(file), workspace)
    former = fingerprint(file.read_text().split()[0])
    report = await data_keys.rotate(database, FileKeyProvider(file), actor="cli")
    rotate, retire = await log_of(database)
    assert (rotate.actor, rotate.action, rotate.outcome) == ("cli", "keys.rotate", "allowed")
    assert (rotate.key_id, rotate.detail) == (report.primary_key_id, {"data_keys": {former: 1}})
    assert (retire.action, retire.detail) == ("keys.retire", {"retired": [former], "in_use": []})
    assert await data_keys.replace(database, actor="cli") == 1
    assert [(one.actor, one.action, one.detail) for one in (await log_of(database))[2:]] == [
        ("cli", "keys.replace", {"workspaces": 1})
    ]
    assert file.read_text().strip() not in repr(await log_of(database))


async def test_a_refused_retirement_is_on_record(database: Database, workspace: UUID) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    await use(database, LocalKeyProvider([old]), workspace)
    with pytest.raises(MasterKeyInUseError):
        await data_keys.retire(database, LocalKeyProvider([new, old]), actor="cli")
    (entry,) = await log_of(database)
    assert (entry.actor, entry.action, entry.outcome) == ("cli", "keys.retire", "denied")
    assert entry.detail == {"retired": [], "in_use": [fingerprint(old)]}


async def test_making_a_workspace_is_on_its_record(database: Database) -> None:
    made = await workspaces.create(database, "acme", actor="token:of-root")
    async with database.workspace(made.id) as conn:
        (entry,) = await audit.entries(conn)
    assert (entry.actor, entry.action, entry.subject) == (
        "token:of-root",
        "workspace.create",
        f"workspace {made.id}",
    )


@pytest.mark.parametrize("statement", ["UPDATE {} SET actor = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_nobody_changes_or_removes_an_entry(
    statement: str, database: Database, database_url: str
) -> None:
    await tokens.create(database, None, "t", ["metrics:read"], actor="tests")
    for role in (database.owner(), database.scheduler(), database.workspace(uuid4())):
        with pytest.raises(errors.InsufficientPrivilege):
            async with role as conn:
                await conn.execute(statement.format("deployment_log").encode())
    # Nor does a tenant's transaction read it.
    with pytest.raises(errors.InsufficientPrivilege):
        async with database.workspace(uuid4()) as conn:
            await conn.execute("SELECT FROM deployment_log")
    assert len(await log_of(database)) == 1
    with psycopg.connect(database_url) as superuser:
        grants: list[Any] = superuser.execute(
            "SELECT privilege_type FROM information_schema.role_table_grants WHERE table_name = 'deployment_log'"
            " AND grantee = %s",
            (OWNER_ROLE,),
        ).fetchall()
    assert not {kind for (kind,) in grants} & {"UPDATE", "DELETE", "TRUNCATE"}
