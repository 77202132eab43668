"""Sessions end at the server, and a cookie that nobody sealed costs it no write; by HTTP alone, without a browser."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from cryptography.fernet import Fernet

from tests.unified.api.conftest import PROVIDER, Serve
from tests.waiting import LIMIT_SECONDS
from unified.api.pages.session import LIFETIMES, Session, Sessions
from unified.store.secrets import data_keys
from unified.store.workspaces import tokens, workspaces
from unified.store.workspaces.permissions import SCOPES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from unified.kit.secrets import Secret
    from unified.store.database import Database

CSRF = re.compile('name="csrf" value="([^"]+)"')
REQUESTS = 30


async def made_token(db: Database, workspace: UUID) -> Secret:
    return (await tokens.create(db, workspace, "of the tests", sorted(SCOPES), actor="tests"))[1]


async def sealed(db: Database, workspace: UUID, token: Secret) -> str:
    return await Sessions(db, PROVIDER).seal(Session.begin(workspace, token), "session")


@asynccontextmanager
async def browsing(url: str, cookie: str) -> AsyncIterator[httpx.AsyncClient]:
    cookies = {"unified_session": cookie}
    async with httpx.AsyncClient(base_url=url, cookies=cookies, timeout=LIMIT_SECONDS) as client:
        yield client


async def sign_out(client: httpx.AsyncClient) -> httpx.Response:
    csrf = CSRF.findall((await client.get("/connectors")).text)[0]
    return await client.post("/sign-out", data={"csrf": csrf})


async def actions(db: Database, workspace: UUID) -> list[str]:
    async with db.workspace(workspace) as conn:
        rows = await conn.execute("SELECT action FROM audit_log WHERE subject = 'pages' ORDER BY id")
        return [action for (action,) in await rows.fetchall()]


async def test_a_copied_cookie_is_worth_nothing_after_signing_out(
    serve: Serve, database: Database, workspace: UUID
) -> None:
    token = await made_token(database, workspace)
    cookie, elsewhere = [await sealed(database, workspace, token) for _ in range(2)]
    async with serve() as one, serve() as another:  # two processes as far as memory is concerned
        async with browsing(one.url, cookie) as client:
            assert (await sign_out(client)).headers["location"] == "/sign-in"
        for url in (one.url, another.url):
            async with browsing(url, cookie) as thief:
                for path in ("/connectors", "/webhooks", "/subscriptions", "/connectors/new"):
                    answer = await thief.get(path)
                    assert (answer.status_code, answer.headers["location"][:8]) == (303, "/sign-in"), path
                # Once more changes nothing, and is no error.
                assert (await thief.post("/sign-out", data={"csrf": "x"})).status_code == 303
        async with browsing(another.url, elsewhere) as other:  # another session of the same token goes on
            assert (await other.get("/connectors")).status_code == 200
    assert await actions(database, workspace) == ["session.end"]


async def test_a_session_whose_token_was_revoked_can_be_signed_out(
    serve: Serve, database: Database, workspace: UUID
) -> None:
    made, token = await tokens.create(database, workspace, "t", sorted(SCOPES), actor="tests")
    session = Session.begin(workspace, token)
    cookie = await Sessions(database, PROVIDER).seal(session, "session")
    await tokens.revoke(database, workspace, made.id, actor="tests")
    async with serve() as running, browsing(running.url, cookie) as client:
        answer = await client.post("/sign-out", data={"csrf": session.nonce.reveal()})
    assert answer.headers["location"] == "/sign-in"
    assert await Sessions(database, PROVIDER).open(cookie, "session") is None


async def test_ended_sessions_are_kept_no_longer_than_their_cookies(
    database: Database, workspace: UUID
) -> None:
    sessions, token = Sessions(database, PROVIDER), await made_token(database, workspace)
    for _ in range(3):
        await sessions.end(Session.begin(workspace, token), "tests")
    async with database.workspace(workspace) as conn:
        kept = await (await conn.execute("SELECT max(expires_at) - now() FROM ended_sessions")).fetchone()
        assert kept is not None
        assert LIFETIMES["session"] - timedelta(minutes=1) < kept[0] <= LIFETIMES["session"]
        await conn.execute("DELETE FROM ended_sessions")
        await conn.execute(
            "INSERT INTO ended_sessions VALUES (%s, sha256('long ago'), now() - interval '1 s')", (workspace,)
        )
    await sessions.end(Session.begin(workspace, token), "tests")
    async with database.workspace(workspace) as conn:
        assert (await conn.execute("SELECT FROM ended_sessions")).rowcount == 1


def written(superuser: psycopg.Connection[Any]) -> int:
    """The next transaction id: each transaction that writes or locks a row takes one."""
    row = superuser.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


FORGED = Fernet(Fernet.generate_key()).encrypt(b'["uat_x", "nonce"]').decode()


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param("{known}.{forged}", id="of a workspace that has a key"),
        pytest.param("{keyless}.{forged}", id="of one that has none"),
        pytest.param("{nobody}.{forged}", id="of none"),
        pytest.param("{known}.x", id="not sealed at all"),
        pytest.param("{known}", id="half a cookie"),
        pytest.param("nonsense", id="nonsense"),
    ],
)
async def test_a_cookie_that_nobody_sealed_makes_no_write(
    cookie: str, serve: Serve, database: Database, database_url: str, workspace: UUID
) -> None:
    async with database.workspace(workspace) as conn:
        await data_keys.current(conn, PROVIDER, workspace)
    async with serve() as running:
        keyless = (await workspaces.create(database, f"w-{uuid4().hex[:8]}")).id
        shown = cookie.format(known=workspace.hex, keyless=keyless.hex, nobody=uuid4().hex, forged=FORGED)
        with psycopg.connect(database_url, autocommit=True) as superuser:
            async with browsing(running.url, shown) as client:
                before = written(superuser)
                for _ in range(REQUESTS):
                    assert (await client.get("/connectors")).status_code == 303
                    assert (await client.get(f"/sign-in/{shown}")).status_code == 403
                    assert (await client.post("/sign-out", data={"csrf": "x"})).status_code == 303
                    callback = await client.get("/oauth/callback", params={"state": shown, "code": "x"})
                    assert callback.status_code == 422
                # PostgreSQL's own chores may take a few.
                assert written(superuser) - before < REQUESTS
            found = superuser.execute("SELECT FROM workspace_keys WHERE workspace_id = %s", (keyless,))
            assert found.rowcount == 0
