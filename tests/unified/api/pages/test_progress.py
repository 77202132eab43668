"""A page that follows a sync: in a browser, and what its streams cost when many are open."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest
from playwright.async_api import expect

from tests.streams import key_of
from tests.waiting import LIMIT_SECONDS
from unified.api.pages.connections import progress
from unified.store.connections import sync_requests
from unified.store.connections.sync_requests import pending
from unified.store.records import history
from unified.sync.progress import following
from unified.sync.progress.following import CrowdedError, Followed, Following

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import httpx

    from tests.unified.api.pages.conftest import Site
    from unified.store.connections.rows import Connection

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def taken_up(site: Site, connection: Connection) -> None:
    """What Dagster's sensor does with a request."""
    for one in await pending(site.db):
        if one.connection.id == connection.id:
            await sync_requests.settle(site.db, one)


async def pulled(
    site: Site, connection: Connection, stream: str, read: int, *, goes_on: bool = False
) -> None:
    """A pull that has stored nothing but its counts, and goes on or has ended."""
    key = key_of(connection, stream)
    history_id = await history.begin(site.db, key, "full", "run-1")
    async with site.db.workspace(connection.workspace_id) as conn:
        await conn.execute(
            "UPDATE sync_history SET records_read = %s, inserted = %s WHERE id = %s", (read, read, history_id)
        )
    if not goes_on:
        await history.finish(site.db, key, history_id, is_complete=True)
    return history_id


async def test_the_page_follows_a_sync_to_its_end(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    async with site.visit(await site.token(workspace, "member")) as page:
        await page.goto(f"/connectors/{connection.id}")
        assert await page.locator("script").count() == 0
        await page.get_by_role("button", name="Sync now").click()
        heading = page.locator("#progress-heading")
        await expect(heading).to_have_text("Sync queued")
        await page.get_by_text("Replace credentials").click()
        await page.get_by_label("New secret or restricted API key").fill("half typed")

        await taken_up(site, connection)
        await expect(heading).to_have_text("Sync starting")
        first = await pulled(site, connection, "customers", 1_234, goes_on=True)
        await expect(page.get_by_role("region", name="How the sync goes")).to_contain_text("1,234")
        await expect(heading).to_have_text("Sync under way")
        await pulled(site, connection, "invoices", 8)
        await pulled(site, connection, "events", 5)
        await history.finish(site.db, key_of(connection, "customers"), first, is_complete=True)
        await site.registry.finish_sync(workspace.id, connection.id)
        await expect(heading).to_have_text("Sync done")
        # The rest of the page is as new, and what was typed is still there.
        await expect(page.locator("#standing")).to_contain_text("healthy")
        await expect(page.locator("svg.chart rect")).to_have_count(1)
        await expect(page.locator("[data-follow]")).to_have_count(0)
        await expect(page.get_by_label("New secret or restricted API key")).to_have_value("half typed")


async def test_columns_are_saved_while_the_page_follows_the_sync_of_those_before(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    heading, rules = "#progress-heading", "Columns to leave out or hash"
    async with site.visit(await site.token(workspace, "member")) as page:
        for typed, stored in (
            ("customers.email hash", {"customers": {"email": "hash"}}),
            ("customers.email hash\ncustomers.phone omit", {"customers": {"email": "hash", "phone": "omit"}}),
        ):
            await page.goto(f"/connectors/{connection.id}")
            await page.get_by_role("link", name="Change settings and streams").click()
            await page.get_by_label(rules).fill(typed)
            await page.get_by_role("button", name="Change settings").click()
            await expect(page.get_by_role("status")).to_contain_text("brings what is stored to the columns")
            await page.get_by_role("link", name=connection.name, exact=True).click()
            await expect(page.locator(heading)).to_have_text("Sync queued")
            await expect(page.locator("[data-follow]")).to_have_count(1)
            changed = await site.registry.get_connection(workspace.id, connection.id)
            assert changed.columns == stored
            await expect(page.get_by_text("No customers are stored yet")).to_have_count(
                len(stored["customers"])
            )
        await page.reload()
        await page.goto("/connectors")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Connections")


async def test_without_scripts_the_page_reloads_itself(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    token = await site.token(workspace)
    async with site.without_browser(token) as client:
        at_rest = await client.get(f"/connectors/{connection.id}")
        assert "refresh" not in at_rest.text
        assert "script" not in at_rest.headers["content-security-policy"]
    async with site.visit(token, java_script_enabled=False) as page:
        await page.goto(f"/connectors/{connection.id}")
        await page.get_by_role("button", name="Sync now").click()
        refresh = await page.locator("meta[http-equiv=refresh]").get_attribute("content")
        assert re.fullmatch(rf"5;url=/connectors/{connection.id}\?since=[0-9.]+", refresh or "")
        for stream in ("customers", "invoices", "events"):
            await pulled(site, connection, stream, 3)
        await taken_up(site, connection)
        await page.goto((refresh or "").removeprefix("5;url="))
        await expect(page.locator("#progress-heading")).to_have_text("Sync done")
        assert await page.locator("meta[http-equiv=refresh]").count() == 0


async def first_event(lines: AsyncIterator[str]) -> str:
    """The first event of a stream, which stays open as long as its lines are kept."""
    async for line in lines:
        if line.startswith("data:"):
            return line
    raise AssertionError


async def test_a_hundred_open_pages_take_no_hundred_sessions(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    async with site.db.workspace(workspace.id) as conn:
        await sync_requests.request(conn, connection.id)
    path = f"/connectors/{connection.id}/progress?since=1"
    async with site.without_browser(await site.token(workspace)) as client, AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as tasks:
            opening = [
                tasks.create_task(stack.enter_async_context(client.stream("GET", path))) for _ in range(100)
            ]
        streams = [task.result() for task in opening]
        answer = streams[0]
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert (answer.headers["x-accel-buffering"], answer.headers["cache-control"]) == (
            "no",
            "no-store, no-transform",
        )
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        lines = [stream.aiter_lines() for stream in streams]
        await asyncio.gather(*map(first_event, lines))
        with psycopg.connect(site.db.url, autocommit=True) as other:
            sessions = other.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        assert sessions is not None
        assert sessions[0] <= 16


async def test_only_so_many_follow_and_others_come_again(
    site: Site, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MOST_OF_ONE_WORKSPACE", 1)
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    path = f"/connectors/{connection.id}/progress?since={4_000_000_000}"
    async with site.without_browser(await site.token(workspace)) as member:
        async with member.stream("GET", path) as first:
            await first_event(lines := first.aiter_lines())
            assert (await member.get(path)).text == "retry: 3000\n\n"
            await lines.aclose()
        other = await site.workspace()
        async with site.without_browser(await site.token(other)) as stranger:
            assert (await stranger.get(path)).status_code == 404
        async with member.stream("GET", path) as again:  # the first one's place is free
            await first_event(again.aiter_lines())
        monkeypatch.setattr(progress, "_STREAM_SECONDS", 0.0)
        bounded = (await member.get(path)).text
        assert ("event: progress" in bounded, "event: end" in bounded) == (True, False)
    assert (await client.get(path)).headers["location"].startswith("/sign-in")


async def test_looks_are_shared_and_end_with_the_process(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    followers = Following(site.db, seconds=0.01)
    looks: list[int] = []
    third = asyncio.Event()
    look = followers._look

    async def counted(workspace_id: UUID, wanted: list[Followed]) -> following._Found:
        looks.append(len(wanted))
        if len(looks) == 3:
            third.set()
        return await look(workspace_id, wanted)

    followers._look = counted  # type: ignore[method-assign]
    what = Followed(connection.id, connection.created_at)

    async def follow() -> int:
        states = [state async for state in followers.follow(workspace.id, what)]
        return len(states)

    async with asyncio.timeout(LIMIT_SECONDS), asyncio.TaskGroup() as tasks:
        following_ = [tasks.create_task(follow()) for _ in range(20)]
        await third.wait()
        followers.end()
    seen = sum(task.result() for task in following_)
    assert seen >= 20
    assert len(looks) <= seen / 10
    with pytest.raises(CrowdedError):
        await anext(followers.follow(workspace.id, what))
