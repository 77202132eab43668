"""Going on to other workspaces in one browser, and naming the first one: who may, and what they see there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.canary_pages import Browser
from tests.conftest import migrated_database
from tests.unified.api.pages.conftest import PROVIDER
from tests.waiting import LIMIT_SECONDS
from unified.api.pages.session import INSTALLATION, set_up_link, sign_in_link
from unified.api.server import webhook_server
from unified.api.settings import Settings
from unified.store.database import Database
from unified.store.workspaces import members, tokens, workspaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unified.api.pages.conftest import Site
    from unified.store.workspaces.permissions import Role
    from unified.store.workspaces.rows import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def signed_in(
    site: Site, client: httpx.AsyncClient, workspace: Workspace, role: Role, reach: str | None
) -> Browser:
    browser = Browser(client)
    link = await sign_in_link(
        site.db, PROVIDER, workspace.id, site.url, role=role, actor="tests", reach=reach
    )
    await browser.open(link)
    await browser.send(link, {})
    return browser


async def test_an_administrator_goes_on_to_each_workspace_and_sees_one_at_a_time(
    site: Site, client: httpx.AsyncClient
) -> None:
    ours, theirs = await site.workspace(), await site.workspace()
    here, there = await site.connection(ours, "of-ours"), await site.connection(theirs, "of-theirs")
    browser = await signed_in(site, client, ours, "member", INSTALLATION)
    assert "of-ours" in browser.page
    assert 'href="/workspaces"' in browser.page
    former = dict(client.cookies)
    await browser.open("/workspaces")
    assert ours.slug in browser.page
    await browser.open(f"/connectors/{there.id}", 404)
    await browser.open("/workspaces")
    await browser.send("/workspaces", {"workspace": "no-such"}, 404)
    await browser.open("/workspaces")
    await browser.send("/workspaces", {"workspace": theirs.slug, "csrf": "x"}, 403)
    await browser.open("/workspaces")
    await browser.send("/workspaces", {"workspace": theirs.slug})
    await browser.open("/connectors")
    assert "of-theirs" in browser.page
    assert "of-ours" not in browser.page
    await browser.open(f"/connectors/{here.id}", 404)
    await browser.open("/audit", 403)  # the role is the link's
    # The former session is over, for every copy of its cookie; the new one ends when that would have.
    async with httpx.AsyncClient(base_url=site.url, cookies=former, timeout=LIMIT_SECONDS) as copy:
        assert (await copy.get("/connectors")).status_code == 303
    (was,), (is_now,) = [
        [one for one in await tokens.listed(site.db, each.id) if one.name == "unified sign-in"]
        for each in (ours, theirs)
    ]
    assert was.expires_at == is_now.expires_at


async def test_a_member_goes_on_with_the_role_that_they_have_there(
    site: Site, client: httpx.AsyncClient
) -> None:
    subject = f"auth0|{uuid4()}"
    first, second, foreign = [await site.workspace() for _ in range(3)]
    await members.add(site.db, first.id, subject, "admin", actor="tests")
    await members.add(site.db, second.id, subject, "viewer", actor="tests")
    browser = await signed_in(site, client, first, "admin", members.user(subject))
    await browser.open("/audit")
    await browser.open("/workspaces")
    assert second.slug in browser.page
    assert foreign.slug not in browser.page
    await browser.send("/workspaces", {"workspace": foreign.slug}, 404)
    await browser.open("/workspaces")
    await browser.send("/workspaces", {"workspace": second.slug})
    assert f"<h1>{second.slug}</h1>" in browser.page
    await browser.open("/connectors/new", 403)
    await members.remove(site.db, second.id, subject, actor="tests")
    # Another process knows within two seconds; this one is asked anew.
    assert [one for one in await tokens.listed(site.db, second.id) if one.revoked_at] != []


async def test_whoever_signed_in_to_one_workspace_stays_there(site: Site, client: httpx.AsyncClient) -> None:
    ours, theirs = await site.workspace(), await site.workspace()
    by_link = await signed_in(site, client, ours, "owner", None)
    assert "/workspaces" not in by_link.page
    await by_link.open("/workspaces", 404)
    await by_link.open("/connectors")
    await by_link.send("/workspaces", {"workspace": theirs.slug}, 404)
    async with site.forms(ours) as by_token:
        await by_token.open("/workspaces", 404)
        await by_token.open("/connectors")
        await by_token.send("/workspaces", {"workspace": theirs.slug}, 404)


@pytest_asyncio.fixture(loop_scope="session")
async def empty(server_url: str, template: str) -> AsyncIterator[Database]:
    """The database of an installation in which there is nothing yet."""
    with migrated_database(server_url, template) as url:
        async with Database.open(url) as db:
            yield db


async def test_the_first_workspace_is_named_in_the_browser(empty: Database) -> None:
    url, database = "http://127.0.0.1", empty
    transport = httpx.ASGITransport(webhook_server(database, PROVIDER, Settings(public_url=url)).config.app)
    async with httpx.AsyncClient(transport=transport, base_url=url) as client:
        browser = Browser(client)
        link = await set_up_link(database, url, actor="cli")
        await browser.open(f"{link[:-3]}xxx", 403)
        _, reader = await tokens.create(database, None, "other", ["metrics:read"], actor="cli")
        await browser.open(f"/set-up/{reader.reveal()}", 403)
        await browser.open(link)
        form = browser.page
        await browser.send(link, {"slug": "Not <A> Name"}, 422)
        assert "Not &lt;A&gt; Name" in browser.page
        await browser.send(link, {"slug": "acme", "csrf": "x"}, 403)
        assert await workspaces.listed(database) == []
        browser.page = form
        await browser.send(link, {"slug": "acme"})
        assert "<h1>acme</h1>" in browser.page
        assert 'href="/connectors/new"' in browser.page
        await browser.open("/members")  # they are its owner
        await browser.open(link, 409)  # there is one now
    assert [one.slug for one in await workspaces.listed(database)] == ["acme"]


async def test_a_head_is_answered_as_a_get_without_its_body(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    async with site.without_browser(await site.token(workspace)) as client:
        for path in (
            "/",
            "/connectors",
            f"/connectors/{connection.id}/progress?since=1",
            "/assets/style.css",
            "/sign-in",
            f"/connectors/{uuid4()}",
        ):
            head = await client.head(path)
            async with client.stream("GET", path) as get:
                assert (head.status_code, head.headers["content-type"]) == (
                    get.status_code,
                    get.headers["content-type"],
                ), path
            assert head.content == b""
    async with httpx.AsyncClient(base_url=site.url, timeout=LIMIT_SECONDS) as nobody:
        assert (await nobody.head("/")).headers["location"].startswith("/sign-in")
