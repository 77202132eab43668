"""The marketplace: what is offered, what an upgrade changes, who may install, upgrade and remove."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.unified.api.pages import seeds
from unified.store.connectors import documents, trust
from unified.sync.connectors import installing, marketplace, offers, templates
from unified.sync.connectors.files import Files

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOME = "/connectors/marketplace"


async def test_a_template_is_found_installed_and_removed(site: Site) -> None:
    workspace = await site.workspace()
    async with site.visit(await site.token(workspace)) as page:
        await page.get_by_role("link", name="Marketplace").click()
        await page.get_by_label("System, host or stream").fill("calendly event")
        await page.get_by_role("button", name="Search").click()
        row = page.get_by_role("row").filter(has_text="Calendly")
        await expect(row).to_contain_text("api.calendly.com")
        await expect(row).to_contain_text("scheduled_events, event_types")
        await expect(row).to_contain_text("the project")
        await expect(page.get_by_role("row")).to_have_count(2)
        await row.get_by_role("link").click()
        await page.get_by_role("button", name="Install").click()
        await expect(page.get_by_role("status")).to_contain_text("It is installed")
        (one,) = await documents.seen_by(site.db, workspace.id, "calendly")
        assert (one.tier, one.state) == ("project", "installed")
        await expect(page.get_by_role("link", name="New connection")).to_be_visible()
        await page.get_by_text("Remove", exact=True).click()
        await page.get_by_role("button", name="Remove it").click()
        await expect(page.get_by_role("status")).to_contain_text("It was removed")
        await page.goto(f"{HOME}?search=nothing+of+that+kind")
        await expect(page.get_by_text("Nothing is about that.")).to_be_visible()
        await page.goto(f"{HOME}/nowhere")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


async def test_an_upgrade_shows_what_it_changes_and_needs_a_word_where_it_reaches_further(site: Site) -> None:
    workspace, other = await site.workspace(), await site.workspace()
    text = templates.template("typeform").document.decode()
    narrow = text.replace("[api.typeform.com, api.eu.typeform.com]", "[api.typeform.com]")
    former = await offers.examine(site.db, Files("typeform", _without_a_rule(narrow).encode()))
    await installing.install(site.db, workspace.id, former, actor="tests")
    async with site.visit(await site.token(workspace)) as page:
        await page.goto(f"{HOME}/typeform")
        change = page.get_by_role("region", name=re.compile("Version .* is there"))
        await expect(change).to_contain_text("+ rule")
        await page.get_by_label("It may reach further: host api.eu.typeform.com").check()
        await change.get_by_role("button", name="Upgrade").click()
        await expect(page.get_by_role("status")).to_contain_text("It was upgraded")
        assert (await documents.seen_by(site.db, workspace.id, "typeform"))[0].tier == "project"
    async with site.visit(await site.token(workspace, "viewer")) as page:
        await page.goto(f"{HOME}/typeform")
        await expect(page.get_by_text("this workspace")).to_be_visible()
        await expect(page.get_by_role("button", name=re.compile("Install|Upgrade|Remove"))).to_have_count(0)
    async with site.visit(await site.token(other)) as page:
        await page.goto(f"{HOME}/typeform")
        await expect(page.get_by_role("button", name="Install")).to_be_visible()


async def test_a_deprecated_template_says_why_and_is_installed_by_a_tick(site: Site) -> None:
    workspace = await site.workspace()
    await marketplace.deprecate(site.db, "pipedrive", "use pipedrive_v2", actor="tests")
    async with site.visit(await site.token(workspace)) as page:
        await page.goto(f"{HOME}?search=pipedrive")
        await expect(page.get_by_role("row").filter(has_text="Pipedrive")).to_contain_text("deprecated")
        await page.goto(f"{HOME}/pipedrive")
        advice = page.get_by_role("region", name="It is deprecated")
        await expect(advice).to_contain_text("use pipedrive_v2")
        await page.get_by_label("Install it all the same").check()
        await page.get_by_role("button", name="Install").click()
        await expect(page.get_by_role("status")).to_contain_text("It is installed")
        await expect(advice).to_contain_text("Its connections sync as before.")
        await expect(page.get_by_role("link", name="New connection")).to_be_visible()
    await trust.reinstate(site.db, "pipedrive", actor="tests")


async def test_syncs_are_counted_by_connection_and_stream(site: Site) -> None:
    workspace = await site.workspace()
    await seeds.history(site.db, await site.connection(workspace), syncs=10)
    async with site.visit(await site.token(workspace, "viewer")) as page:
        await page.goto(f"{HOME}?search=stripe")
        await expect(page.get_by_role("row").filter(has_text="Stripe")).to_contain_text("96 %")
        await page.goto(f"{HOME}/stripe")
        row = page.get_by_role("row").filter(has_text="invoices").first
        await expect(row).to_have_text(
            re.compile(r"main\s*invoices\s*9\s*1\s*1\.4 s\s*stripe connection: HTTP 503")
        )


def _without_a_rule(text: str) -> str:
    """A document without its last rule."""
    lines = text.splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if "{target: " in line)
    return "".join(lines[:last] + lines[last + 1 :])
