"""Members: who may give which role, and that a workspace keeps an owner."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from unified.store import audit
from unified.store.workspaces import members, tokens, workspaces
from unified.store.workspaces.members import (
    DuplicateMemberError,
    InvalidSubjectError,
    LastOwnerError,
    MemberNotFoundError,
    RoleBeyondError,
)
from unified.store.workspaces.permissions import PERMISSIONS, ROLES, SCOPES, Role

if TYPE_CHECKING:
    from uuid import UUID

    from unified.store.database import Database


async def found(db: Database, slug: str = "acme", owner: str = "ann") -> UUID:
    return (await workspaces.create(db, slug, owner=owner)).id


async def test_a_subject_is_a_member_where_it_was_added_and_nowhere_else(database: Database) -> None:
    own, other = await found(database), await found(database, "other", "zoe")
    await members.add(database, own, "bob", "viewer", actor="user:ann")
    assert [m.workspace_id for m in await members.memberships(database, "bob")] == [own]
    assert await members.memberships(database, "bob", "other") == []
    assert await members.memberships(database, "bob", other) == []
    assert [(m.workspace, m.role) for m in await members.memberships(database, "bob", own)] == [
        ("acme", "viewer")
    ]
    assert [m.subject for m in await members.listed(database, own)] == ["ann", "bob"]
    assert [m.subject for m in await members.listed(database, own, after="ann", limit=1)] == ["bob"]
    assert [w.slug for w in await members.workspaces(database, "bob")] == ["acme"]


async def test_what_can_not_be_is_refused(database: Database) -> None:
    own = await found(database)
    with pytest.raises(DuplicateMemberError):
        await members.add(database, own, "ann", "viewer", actor="test")
    for subject in ("", "a\x00b", "x" * 256):
        with pytest.raises(InvalidSubjectError):
            await members.add(database, own, subject, "viewer", actor="test")
    with pytest.raises(MemberNotFoundError):
        await members.change_role(database, own, "nobody", "viewer", actor="test")
    with pytest.raises(MemberNotFoundError):
        await members.remove(database, own, "nobody", actor="test")


@pytest.mark.parametrize("own_role", ROLES)
async def test_nobody_gives_or_takes_a_role_that_may_do_more(database: Database, own_role: Role) -> None:
    own = await found(database)
    for role in ROLES:
        beyond = not PERMISSIONS[role] <= PERMISSIONS[own_role]
        assert beyond == (ROLES.index(role) < ROLES.index(own_role))
        await members.add(database, own, f"a {role}", role, actor="test")
        permitted = PERMISSIONS[own_role]
        if beyond:
            with pytest.raises(RoleBeyondError):
                await members.add(database, own, f"new {role}", role, actor="x", permitted=permitted)
            with pytest.raises(RoleBeyondError):
                await members.change_role(
                    database, own, f"a {role}", "viewer", actor="x", permitted=permitted
                )
            with pytest.raises(RoleBeyondError):
                await members.remove(database, own, f"a {role}", actor="x", permitted=permitted)
        else:
            await members.add(database, own, f"new {role}", role, actor="x", permitted=permitted)
            await members.change_role(database, own, f"a {role}", "viewer", actor="x", permitted=permitted)


async def test_the_last_owner_stays_even_if_two_leave_at_once(database: Database) -> None:
    own = await found(database)
    with pytest.raises(LastOwnerError):
        await members.remove(database, own, "ann", actor="test")
    with pytest.raises(LastOwnerError):
        await members.change_role(database, own, "ann", "admin", actor="test")
    await members.change_role(database, own, "ann", "owner", actor="test")
    for round_ in range(5):
        await members.add(database, own, f"eve{round_}", "owner", actor="test")
        owners = [m.subject for m in await members.listed(database, own) if m.role == "owner"]
        left = await asyncio.gather(
            *(members.remove(database, own, owner, actor="test") for owner in owners), return_exceptions=True
        )
        assert sorted(map(str, map(type, left))) == sorted([str(type(None)), str(LastOwnerError)])
        assert sum(m.role == "owner" for m in await members.listed(database, own)) == 1


async def test_tokens_that_a_member_made_do_no_more_than_the_member_still_may(database: Database) -> None:
    own = await found(database)
    await members.add(database, own, "bob", "admin", actor="test")
    made = {}
    for name, maker, scopes in (
        ("strong", "user:bob", ["audit:read", "connections:read"]),
        ("weak", "user:bob", ["connections:read"]),
        ("ann's", "user:ann", ["audit:read"]),
    ):
        made[name] = (await tokens.create(database, own, name, scopes, actor=maker))[0].id
    assert await live(database, own) == set(made.values())
    await members.change_role(database, own, "bob", "viewer", actor="test")
    assert await live(database, own) == {made["weak"], made["ann's"]}
    await members.remove(database, own, "bob", actor="test")
    assert await live(database, own) == {made["ann's"]}
    async with database.workspace(own) as conn:
        logged = [entry.action for entry in await audit.entries(conn)]
    assert logged[:4] == ["member.remove", "token.revoke", "member.change", "token.revoke"]


async def live(db: Database, workspace: UUID) -> set[UUID]:
    return {token.id for token in await tokens.listed(db, workspace) if token.revoked_at is None}


def test_scopes_give_no_rights_away() -> None:
    assert not SCOPES & {"tokens:write", "members:write", "owners:write"}
