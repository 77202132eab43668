"""The form of a connection's settings: what it shows, changes and refuses."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from adapters.salesforce.adapter import SalesforceAdapter
from tests.unified.api.pages import seeds
from tests.unified.api.pages.conftest import STRIPE_KEY
from unified.api.pages import forms
from unified.kit.registry import discover_adapters

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site
    from unified.sandbox.server import SandboxServer
    from unified.store.connections.rows import Connection

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHANGE = "Change settings"


@pytest.fixture(scope="module")
def also_open(sandbox: SandboxServer) -> frozenset[str]:
    """The stand-in by another name, which is another host."""
    return frozenset({sandbox.url.removeprefix("http://").replace("127.0.0.1", "localhost")})


@pytest.fixture(scope="module")
def with_webhooks() -> bool:
    return True


def sent(connection: Connection) -> dict[str, str]:
    """What a browser sends of the form that nobody has touched."""
    return forms.filled(discover_adapters()[connection.connector], connection)


async def stored(site: Site, connection: Connection) -> Connection:
    return await site.registry.get_connection(connection.workspace_id, connection.id)


async def test_what_is_typed_otherwise_is_changed_and_no_more(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    async with site.visit(await site.token(workspace, "member"), java_script_enabled=False) as page:
        await page.goto(f"/connectors/{connection.id}/settings")
        await expect(page.get_by_label("Base URL")).to_have_value(f"{site.sandbox.url}/stripe")
        await expect(page.get_by_label("Retry count")).to_have_value("0")
        await page.get_by_label("Events", exact=True).uncheck()
        await page.get_by_label("Retry count").fill("7")
        await page.get_by_label("Minutes between two syncs").fill("15")
        await page.get_by_text("Start and history of Invoices").press("Enter")
        await page.get_by_label("Invoices: From the day").fill("2025-01-31")
        await page.get_by_text("Start and history of Customers").press("Enter")
        await page.get_by_label("Customers: Keep former states").check()
        await page.get_by_role("button", name=CHANGE).press("Enter")
        await expect(page.get_by_role("status")).to_have_text(re.compile(r"^The settings were changed"))
        changed = await stored(site, connection)
        assert changed.streams == ["customers", "invoices"]
        assert changed.settings == {**connection.settings, "retry_count": 7}
        assert changed.sync_interval == timedelta(minutes=15)
        assert (changed.since, changed.history) == ({"invoices": "2025-01-31"}, ["customers"])
        assert (changed.columns, changed.version) == ({}, connection.version + 1)

        await page.goto(f"/connectors/{connection.id}/settings")
        await page.get_by_label("Retry count").fill("")  # back to the connector's default
        await page.get_by_label("Invoices: From the day").fill("")
        await page.get_by_role("button", name=CHANGE).press("Enter")
        await expect(page.get_by_role("status")).to_contain_text(
            "An earlier start: the next sync reads invoices anew"
        )
        after = await stored(site, connection)
        assert "retry_count" not in after.settings
        assert (after.since, after.streams) == ({}, ["customers", "invoices"])


async def test_what_can_not_be_used_is_said_beside_its_field_and_changes_nothing(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    form = sent(connection)
    async with site.forms(workspace) as browser:
        await browser.open(f"/connectors/{connection.id}/settings")
        for wrong, text in (
            ({"setting.retry_count": "many"}, "valid integer"),
            ({"setting.requests_per_second": "inf"}, "finite number"),
            (
                {"setting.base_url": "https://elsewhere.example.com"},
                "does not name elsewhere.example.com:443",
            ),
            ({"sync_interval_minutes": "0"}, "interval-fault.*A whole number of minutes"),
            ({"since.invoices": "yesterday"}, "since-invoices-fault"),
            ({"since.invoices": "2025-02-31"}, "is not a day"),
            ({"columns": "customers.email burn"}, "by the word omit"),
            ({"columns": "customers"}, "Line 1 is not a rule"),
            ({"columns": "customers.id omit"}, "left out"),
            ({"secret.api_key": "no_key_of_stripes"}, "Nothing was stored"),
            ({"version": "x"}, "which version"),
        ):
            await browser.send(f"/connectors/{connection.id}/settings", {**form, **wrong}, 422)
            assert re.search(text, browser.page), wrong
            assert "no_key_of_stripes" not in browser.page
            assert "fields: refused" not in browser.page
        none = {name: value for name, value in form.items() if not name.startswith("stream.")}
        await browser.send(f"/connectors/{connection.id}/settings", none, 422)
        assert "at least one stream" in browser.page
        await browser.send(
            f"/connectors/{connection.id}/settings",
            {**form, "version": "9", "setting.retry_count": "3"},
            422,
        )
        assert f"connection {workspace.slug}/{connection.name} was changed by somebody else" in browser.page
    assert await stored(site, connection) == connection


async def test_a_connection_that_reads_nothing_by_itself_has_settings_too(site: Site) -> None:
    workspace = await site.workspace()
    hook = await seeds.hook(site.db, workspace, "shop")
    place = f"/connectors/{hook.id}/settings"
    async with site.forms(workspace) as browser:
        await browser.open(place)
        assert not re.search("credential|is asked first", browser.page)
        await browser.send(place, {**sent(hook), "sync_interval_minutes": "15"})
        assert "It takes none." in browser.page
        assert not re.search("can't be synced yet|Enter credentials", browser.page)
        await browser.send(f"/connectors/{hook.id}/test", {})
        assert "Nothing was refused; it takes no credentials." in browser.page
    assert (await stored(site, hook)).sync_interval == timedelta(minutes=15)


async def test_credentials_follow_to_another_host_only_anew(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    other = f"{site.sandbox.url}/stripe".replace("127.0.0.1", "localhost")
    form = {**sent(connection), "setting.base_url": other}
    place = f"/connectors/{connection.id}/settings"
    async with site.forms(workspace) as browser:
        await browser.open(place)
        await browser.send(place, form, 422)
        assert "another host" in browser.page
        assert await stored(site, connection) == connection
        await browser.send(place, {**form, "secret.api_key": STRIPE_KEY}, 200)
        assert STRIPE_KEY not in browser.page
    assert (await stored(site, connection)).settings["base_url"] == other


async def test_lists_and_objects_are_typed(site: Site) -> None:
    workspace = await site.workspace()
    crm = await site.hubspot(workspace, "crm")
    place = f"/connectors/{crm.id}/settings"
    async with site.forms(workspace) as browser:
        await browser.open(place)
        await browser.send(place, {**sent(crm), "setting.properties": "jobtitle, website"}, 200)
        assert "reads everything anew" in browser.page
        assert 'value="jobtitle, website"' in browser.page
        await browser.open(f"/connectors/{crm.id}")
        assert ">jobtitle, website<" in browser.page
    assert (await stored(site, crm)).settings["properties"] == ["jobtitle", "website"]
    typed = forms.typed(SalesforceAdapter, {"setting.invoice_fields": '{"total": "Total__c"}'})
    assert typed == {"invoice_fields": {"total": "Total__c"}}
