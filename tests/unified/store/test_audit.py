from uuid import UUID, uuid4

import pytest
from psycopg import errors

from unified.store import audit
from unified.store.database import Database


async def write(database: Database, workspace_id: UUID, action: str) -> None:
    async with database.workspace(workspace_id) as conn:
        await audit.record(
            conn,
            workspace_id,
            actor="tests",
            action=action,
            subject="nothing",
            outcome="allowed",
            purpose="test",
            key_id="0123",
            detail={"count": 1},
        )


async def test_pages_are_newest_first_and_meet_without_gap(database: Database, workspace: UUID) -> None:
    for number in range(5):
        await write(database, workspace, f"action {number}")
    async with database.workspace(workspace) as conn:
        first = await audit.entries(conn, limit=2)
        second = await audit.entries(conn, before=first[-1].id, limit=2)
        last = await audit.entries(conn, before=second[-1].id, limit=2)
    pages = [[entry.action for entry in page] for page in (first, second, last)]
    assert pages == [["action 4", "action 3"], ["action 2", "action 1"], ["action 0"]]
    entry = last[0]
    assert (entry.actor, entry.subject, entry.outcome) == ("tests", "nothing", "allowed")
    assert (entry.purpose, entry.key_id, entry.detail) == ("test", "0123", {"count": 1})


async def test_an_entry_stands_or_falls_with_its_transaction(database: Database, workspace: UUID) -> None:
    async def fail_after_writing() -> None:
        async with database.workspace(workspace) as conn:
            await audit.record(
                conn, workspace, actor="tests", action="undone", subject="nothing", outcome="failed"
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_writing()
    async with database.workspace(workspace) as conn:
        assert await audit.entries(conn) == []


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET actor = 'someone else'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
async def test_no_entry_is_changed_or_removed(statement: str, database: Database, workspace: UUID) -> None:
    await write(database, workspace, "kept")
    with pytest.raises(errors.InsufficientPrivilege):
        async with database.workspace(workspace) as conn:
            await conn.execute(statement.encode())
    async with database.workspace(workspace) as conn:
        assert [(entry.action, entry.actor) for entry in await audit.entries(conn)] == [("kept", "tests")]


async def test_each_workspace_has_a_log_of_its_own(database: Database, workspace: UUID) -> None:
    await write(database, workspace, "private")
    async with database.workspace(uuid4()) as conn:
        assert await audit.entries(conn) == []
    with pytest.raises(errors.InsufficientPrivilege):
        async with database.workspace(uuid4()) as conn:
            await audit.record(
                conn, workspace, actor="tests", action="forged", subject="nothing", outcome="allowed"
            )
