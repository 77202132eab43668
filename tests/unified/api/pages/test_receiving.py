"""The page of a generic webhook: from a URL to rules that are in force; and what it shows to whom."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.async_api import expect
from standardwebhooks.webhooks import Webhook

from tests.unified.api.pages import seeds
from tests.unified.api.pages.conftest import PROVIDER
from unified.kit.factory import AdapterFactory
from unified.store.secrets.credentials.store import CredentialStore
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.connectors import receiving
from unified.sync.drain import drain

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site
    from unified.store.workspaces.rows import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

NEW = "/connectors/receive"
BAD = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def with_webhooks() -> bool:
    return True


def body(mail: str, **more: Any) -> str:
    customer = {"id": "c1", "name": "Ann", "contact": {"mail": mail, "phone": "1"}, **more}
    return json.dumps({"event_id": mail, "type": "customer.made", "data": {"customer": customer}})


async def customers(site: Site, workspace: Workspace) -> list[tuple[Any, ...]]:
    """What became of all that was received."""
    factory = AdapterFactory(
        AuthorizedConnections(site.db, CredentialStore(site.db, PROVIDER), actor="tests")
    )
    await drain(site.db, factory, "webhook")
    async with site.db.workspace(workspace.id) as conn:
        found = await conn.execute(
            "SELECT source_id, name, email, phone FROM unified_customers WHERE workspace_id = %s ORDER BY source_id",
            (workspace.id,),
        )
        return await found.fetchall()


async def test_one_page_takes_a_webhook_from_its_url_to_records(site: Site) -> None:
    workspace = await site.workspace()
    async with site.visit(await site.token(workspace)) as page:
        await page.goto("/webhooks")
        await page.get_by_role("link", name="Receive from any other system").click()
        await page.get_by_label("Name").fill("shop")
        await page.get_by_label("What proves a delivery").select_option("hmac")
        await page.get_by_text("How it signs").click()
        await page.get_by_label("Path of an event's id").fill("event_id")
        await page.get_by_role("button", name="Make the URL").click()
        url, secret = await page.locator(".copy code").all_text_contents()
        assert url.startswith(f"{site.url}/webhooks/webhook/")

        await page.get_by_role("textbox", name="Body").fill(body("ann@example.com"))
        await page.get_by_role("button", name="Send it").click()
        await expect(page.get_by_role("status")).to_contain_text("It was delivered, signed as hmac")
        assert url not in await page.content()
        assert secret not in await page.content()
        seen = page.get_by_label("Delivery 1")
        await expect(seen).to_contain_text("aaa@aaaaaaa.aaa")
        await page.get_by_label("Show values").check()
        await page.get_by_role("button", name="Look again").click()
        await expect(seen).to_contain_text("ann@example.com")

        await page.get_by_label("customer.made").check()
        await page.get_by_label("data.customer", exact=True).check()
        await page.get_by_role("button", name="Use these, and try again").click()
        for path, target in (("id", "id"), ("name", "name"), ("contact.mail", "email")):
            await page.get_by_label(f"What {path} fills", exact=True).select_option(target)
        await page.get_by_role("button", name="Use these, and try again").click()
        results = page.get_by_role("region", name="Rules and their results")
        mail = results.get_by_role("row").filter(has_text="contact.mail")
        await expect(mail).to_contain_text("ann@example.com")
        assert await customers(site, workspace) == []

        await page.get_by_role("button", name="Put it in force").click()
        await expect(page.get_by_role("status")).to_contain_text("It is in force")
        assert await customers(site, workspace) == [("c1", "Ann", "ann@example.com", None)]

        # On a phone too it can be read what a field fills.
        await page.set_viewport_size({"width": 390, "height": 800})
        box = await page.get_by_label("What contact.mail fills").bounding_box()
        assert box is not None
        assert box["width"] > 120

        # Other rules make other records of what came before.
        await page.get_by_label("What contact.phone fills").select_option("phone")
        await page.get_by_label("What contact.mail fills").select_option("")
        await page.get_by_role("button", name="Use these, and try again").click()
        await page.get_by_role("button", name="Put it in force").click()
        await expect(page.get_by_role("status")).to_contain_text("It is in force")
        assert await customers(site, workspace) == [("c1", "Ann", None, "1")]


async def test_a_program_of_others_delivers_to_what_the_page_made(site: Site) -> None:
    workspace = await site.workspace()
    async with site.forms(workspace) as browser, httpx.AsyncClient() as sender:
        await browser.open(NEW)
        secret = "whsec_" + "a" * 32
        await browser.send(NEW, {"name": "signed", "verifier": "standard", "secret": secret}, 200)
        (url,) = re.findall(r'<p class="copy"><code>([^<]+)</code>', browser.page)
        place = re.findall(r'action="(/connectors/[^"]+/receive)"', browser.page)[0]
        now, text = datetime.now(UTC), body(BAD)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign("msg_1", now, text),
        }
        assert (await sender.post(url, content=text, headers=headers)).is_success
        draft = "types: [customer.*]\nrecords: data.customer\nid: id\nrules: [{target: name, source: contact.mail}]"
        form = {"stream": "customers", "source": draft, "values": "on"}
        await browser.send(place, {**form, "action": "try"}, 200)
        assert "&lt;img src=x" in browser.page
        assert "<img" not in browser.page
        await browser.send(place, {**form, "action": "activate"})
    assert await customers(site, workspace) == [("c1", BAD, None, None)]


async def test_the_body_of_a_test_says_its_event_where_the_endpoint_reads_it(site: Site) -> None:
    async with site.forms(await site.workspace()) as browser:
        await browser.open(NEW)
        reading = {"id_field": "event_id", "type_field": "data.topic", "events_field": "items"}
        await browser.send(NEW, {"name": "shop", "verifier": "hmac", **reading}, 200)
        place = re.findall(r'action="(/connectors/[^"]+/receive)"', browser.page)[0]
        (sample,) = re.findall(r'<textarea id="body"[^>]*>\n([^<]+)</textarea>', browser.page)
        text = html.unescape(sample)
        assert '"customer": {' in text
        for _ in range(2):  # the second is not kept
            sent = {"stream": "customers", "source": "id: id", "action": "send", "body": text}
            await browser.send(place, sent, 200)
        assert re.findall(r"<summary><code>([^<]+)", browser.page) == ["customer.created"]


async def test_what_can_not_work_is_said_and_changes_nothing(site: Site) -> None:
    workspace = await site.workspace()
    hook = await seeds.hook(site.db, workspace, "shop")
    place = f"/connectors/{hook.id}/receive"
    async with site.forms(workspace) as browser:
        for fields, said in (
            ({"name": "Not A Name"}, "lower-case letters"),
            ({"name": "shop"}, "already"),
            ({"name": "x", "options": "algorithm=md4"}, "is one of sha1"),
            ({"name": "x", "options": "nonsense"}, "Line 1 of the options"),
            ({"name": "x", "verifier": "nonsense"}, "no webhook verifier"),
        ):
            await browser.open(NEW)
            await browser.send(NEW, {"verifier": "hmac", **fields}, 409 if said == "already" else 422)
            assert said in browser.page
        assert [one.name for one in await site.registry.connections(workspace.id)] == ["shop"]

        await browser.open(place)
        for source, said in (
            ("nonsense: [", "is not YAML"),
            ("id: a[", "a["),
            ("id: id\nrecrods: a", "recrods"),
            ("id: id\nrules: [{target: emial, source: mail}]", "emial"),
            ("id: id", "pick some"),
        ):
            await browser.send(place, {"stream": "customers", "source": source, "action": "activate"}, 422)
            assert said in browser.page
        for source in ("id: 5", "id: {}", "id: {paths: 5}"):
            picked = {"stream": "customers", "source": source, "action": "pick", "records": '["c"]'}
            await browser.send(place, picked, 200)
            assert "customers.id" in browser.page
        await browser.send(place, {"stream": "customers", "source": "id: id", "action": "send"}, 422)
        assert "no endpoint" in browser.page
        await browser.send(place, {"stream": "events", "source": "id: id", "action": "try"}, 404)
    assert await receiving.stored(site.db, hook, "customers") == await _in_force(site, hook)


async def _in_force(site: Site, hook: Any) -> str:
    now = await site.registry.get_connection(hook.workspace_id, hook.id)
    return await receiving.stored(site.db, now, "customers")


async def test_values_are_for_those_who_may_see_raw_records(site: Site) -> None:
    workspace = await site.workspace()
    hook = await seeds.hook(site.db, workspace, "shop")
    place = f"/connectors/{hook.id}/receive"
    form = {
        "stream": "customers",
        "source": await receiving.stored(site.db, hook, "customers"),
        "values": "on",
    }
    scopes = ["connections:read", "connections:write"]
    async with site.without_browser(await site.scoped(workspace, scopes)) as client:
        page = await client.get(place)
        csrf = re.findall('name="csrf" value="([^"]+)"', page.text)[0]
        tried = await client.post(place, data={**form, "csrf": csrf, "action": "try"})
        assert "aaa@aaaaaaa.aaa" in tried.text
        assert "ann@example.com" not in tried.text
        for action in ("send", "activate"):
            assert (
                await client.post(place, data={**form, "csrf": csrf, "action": action})
            ).status_code == 403
        assert (await client.get(NEW)).status_code == 403
    async with site.without_browser(await site.token(workspace, "viewer")) as client:
        assert (await client.get(place)).status_code == 403
    async with site.without_browser(await site.token(await site.workspace())) as client:
        assert (await client.get(place)).status_code == 404
    other = await site.connection(workspace)
    async with site.without_browser(await site.token(workspace)) as client:
        assert (await client.get(f"/connectors/{other.id}/receive")).status_code == 404
