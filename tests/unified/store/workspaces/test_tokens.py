"""API tokens: made once, kept as a hash, good until they are revoked or expire."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import pytest

from unified.store.workspaces import tokens
from unified.store.workspaces.rows import WorkspaceNotFoundError
from unified.store.workspaces.tokens import CACHE_SECONDS, InvalidTokenError, TokenLookup, TokenNotFoundError

if TYPE_CHECKING:
    from unified.store.database import Database


class Clock:
    """Counts seconds when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_token_is_found_by_itself_and_kept_as_a_hash(
    database: Database, database_url: str, workspace: UUID
) -> None:
    made, token = await tokens.create(database, workspace, "ci", ["b:read", "a:read"], actor="test")
    plain = token.reveal()
    assert plain.startswith(f"{made.prefix}_")
    assert plain not in repr((made, token))
    known = await TokenLookup(database).find(plain)
    assert known is not None
    assert (known.id, known.workspace_id, known.workspace, known.scopes) == (
        made.id,
        workspace,
        "acme",
        {"a:read", "b:read"},
    )
    with psycopg.connect(database_url) as admin:
        (row,) = admin.execute("SELECT to_json(t)::text FROM api_tokens AS t").fetchone() or ("",)
    assert made.prefix in row
    assert plain.removeprefix(made.prefix) not in row


@pytest.mark.parametrize("change", ["", " ", "\x00", "uat_", "é", "=="])
async def test_another_token_is_none(database: Database, workspace: UUID, change: str) -> None:
    _, token = await tokens.create(database, workspace, "ci", ["a:read"], actor="test")
    lookup = TokenLookup(database)
    assert await lookup.find(change) is None
    assert await lookup.find(token.reveal()[:-1] + change) is None
    assert await lookup.find(token.reveal().replace("uat_", "uad_")) is None


async def test_a_revoked_token_is_useless_at_once_here_and_soon_elsewhere(
    database: Database, workspace: UUID
) -> None:
    made, token = await tokens.create(database, workspace, "ci", ["a:read"], actor="test")
    clock = Clock()
    here, elsewhere = TokenLookup(database, clock=clock), TokenLookup(database, clock=clock)
    assert await here.find(token.reveal())
    assert await elsewhere.find(token.reveal())
    revoked = await tokens.revoke(database, workspace, made.id, actor="test")
    assert revoked.revoked_at is not None
    here.forget()
    assert await here.find(token.reveal()) is None
    clock.now = CACHE_SECONDS
    assert await elsewhere.find(token.reveal()) is None
    again = await tokens.revoke(database, workspace, made.id, actor="test")
    assert again.revoked_at == revoked.revoked_at
    with pytest.raises(TokenNotFoundError):
        await tokens.revoke(database, uuid4(), made.id, actor="test")


async def test_an_expired_token_is_useless_even_from_memory(database: Database, workspace: UUID) -> None:
    lookup = TokenLookup(database, clock=Clock())
    for seconds in (0.5, 4, 32):
        soon = datetime.now(UTC) + timedelta(seconds=seconds)
        _, token = await tokens.create(database, workspace, "ci", ["a:read"], expires_at=soon, actor="test")
        if await lookup.find(token.reveal()):
            break
    else:
        pytest.fail("a token was useless before it expired")
    await asyncio.sleep(max((soon - datetime.now(UTC)).total_seconds(), 0) + 0.01)
    assert await lookup.find(token.reveal()) is None
    assert await TokenLookup(database).find(token.reveal()) is None


async def test_the_database_is_asked_once_however_many_ask(database: Database, workspace: UUID) -> None:
    _, token = await tokens.create(database, workspace, "ci", ["a:read"], actor="test")
    lookup = TokenLookup(database)
    found = await asyncio.gather(*(lookup.find(token.reveal()) for _ in range(50)))
    assert len({id(one) for one in found}) == 1  # one answer, for all of them
    assert len(lookup._cached) == 1
    await lookup.find("uat_00000000_" + "A" * 43)
    assert len(lookup._cached) == 1


async def test_last_use_is_kept_to_the_minute(database: Database, database_url: str, workspace: UUID) -> None:
    made, token = await tokens.create(database, workspace, "ci", ["a:read"], actor="test")
    assert made.last_used_at is None
    await TokenLookup(database).find(token.reveal())
    (first,) = await tokens.listed(database, workspace)
    assert first.last_used_at is not None
    await TokenLookup(database).find(token.reveal())
    assert (await tokens.listed(database, workspace))[0] == first
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("UPDATE api_tokens SET last_used_at = now() - interval '2 minutes'")
    await TokenLookup(database).find(token.reveal())
    (later,) = await tokens.listed(database, workspace)
    assert later.last_used_at is not None
    assert later.last_used_at > first.last_used_at


async def test_a_token_of_the_deployment_opens_no_workspace(database: Database, workspace: UUID) -> None:
    made, token = await tokens.create(database, None, "scraper", ["metrics:read"], actor="test")
    known = await TokenLookup(database).find(token.reveal())
    assert known is not None
    assert (known.workspace_id, known.workspace, known.scopes) == (None, None, {"metrics:read"})
    assert [one.id for one in await tokens.listed(database, None)] == [made.id]
    assert await tokens.listed(database, workspace) == []
    await tokens.revoke(database, None, made.id, actor="test")
    assert await TokenLookup(database).find(token.reveal()) is None


async def test_what_can_be_no_token_is_refused(database: Database, workspace: UUID) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    for name, scopes, expires_at in (
        ("", ["a"], None),
        ("x" * 101, ["a"], None),
        ("a\nb", ["a"], None),
        ("ok", [], None),
        ("ok", ["a"], past),
        ("ok", ["a"], datetime(2999, 1, 1)),  # noqa: DTZ001 - that is what is refused
    ):
        with pytest.raises(InvalidTokenError):
            await tokens.create(database, workspace, name, scopes, expires_at=expires_at, actor="test")
    with pytest.raises(WorkspaceNotFoundError):
        await tokens.create(database, uuid4(), "ok", ["a"], actor="test")
