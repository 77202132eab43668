"""The pages of routes: looked at, previewed, run after a confirmation, and decided about where a person has to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.streams import key_of
from tests.unified.api.pages import seeds
from unified.store.connections import waits
from unified.store.routes.routes import Routes

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site
    from unified.store.routes.rows import Route
    from unified.store.workspaces.rows import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "<script>document.title='stolen'</script>"


async def route_of(site: Site, workspace: Workspace) -> Route:
    """From Stripe to HubSpot, with three records that wait for a person."""
    source = await site.connection(workspace, "billing")
    route = await seeds.route(site.db, source, await site.hubspot(workspace, "crm"), SCRIPT)
    await seeds.record(
        site.db, key_of(source, "customers"), "cus_9", name=f"Ann {SCRIPT}", email="ann@acme.com"
    )
    return route


async def test_a_route_is_previewed_run_and_decided_about(site: Site) -> None:
    workspace = await site.workspace()
    route = await route_of(site, workspace)
    here = f"/routes/{route.id}"
    async with site.forms(workspace, "member") as browser:
        await browser.open("/routes")
        assert (here in browser.page, "not run yet" in browser.page) == (True, True)
        await browser.open(here)
        assert "Preview" in browser.page
        assert all(f"cus_{number}" in browser.page for number in range(3))
        await browser.send(f"{here}/preview", {}, 200)
        preview = browser.page.partition('id="preview"')[2]
        assert ("cus_9" in preview, "ann@acme.com" in preview, "create" in preview) == (True, True, True)
        assert (await Routes(site.db).get(workspace.id, route.id)).requested_at is None

        await browser.send(f"{here}/run", {"retry_refused": "on"})
        assert "A run was asked for" in browser.page
        assert (await Routes(site.db).get(workspace.id, route.id)).requested_at
        await browser.send(f"{here}/pause", {})
        assert "paused" in browser.page
        await browser.send(f"{here}/resume", {})
        await browser.send(f"{here}/remove", {}, 404)

        form = {"side": "source", "record_id": "cus_0"}
        for wrong in ({}, {"decision": "burn"}, {"decision": "link"}):
            await browser.send(f"{here}/review/decide", {**form, **wrong}, 422)
        await browser.send(f"{here}/review/decide", {**form, "decision": f"link:7{SCRIPT}"})
        assert ("It was decided" in browser.page, ">cus_0<" in browser.page) == (True, False)
        await browser.send(f"{here}/review/decide", {**form, "record_id": "cus_1", "decision": "skip"})
        assert "skipped" in browser.page
        await browser.open(f"{here}?side=source&after=cus_1")
        assert (">cus_1<" in browser.page, ">cus_2<" in browser.page) == (False, True)


async def test_a_route_that_waits_for_a_provider_says_until_when(site: Site) -> None:
    workspace = await site.workspace()
    route = await route_of(site, workspace)
    async with site.db.workspace(workspace.id) as conn:
        await waits.note(conn, route.target_connection_id, 3 * 3600)
    async with site.forms(workspace, "member") as browser:
        await browser.open("/routes")
        assert "waits for a provider" in browser.page
        await browser.open(f"/routes/{route.id}")
        assert re.search(r"<dt>Goes on</dt><dd>.*, as a provider asked to be left alone</dd>", browser.page)
        await Routes(site.db).activate(route, is_active=False)
        await browser.open(f"/routes/{route.id}")
        assert "Goes on" not in browser.page, "one that is paused does not go on by itself"


async def test_it_takes_permissions_and_stays_in_its_workspace(site: Site) -> None:
    workspace = await site.workspace()
    route = await route_of(site, workspace)
    here = f"/routes/{route.id}"
    actions = ("preview", "run", "pause", "resume", "review/decide")
    async with site.forms(await site.workspace()) as browser:
        await browser.open("/routes")
        assert "There are no routes yet." in browser.page
        await browser.open(here, 404)
        for action in actions:
            form = {"side": "source", "record_id": "cus_0", "decision": "skip"}
            await browser.send(f"{here}/{action}", form, 404)
    async with site.forms(workspace, "viewer") as browser:
        await browser.open(here)
        assert ("cus_0" in browser.page, "<button" in browser.page.partition("<main")[2]) == (False, False)
        for action in actions:
            await browser.send(f"{here}/{action}", {}, 403)
    assert await Routes(site.db).get(workspace.id, route.id) == route
