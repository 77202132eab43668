"""The pages as people meet them: in a browser, and as an attacker would."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import psycopg
import pytest
from cryptography.fernet import Fernet
from playwright.async_api import expect

from tests.canary_pages import Browser
from tests.streams import key_of
from tests.unified.api.pages import seeds
from tests.unified.api.pages.conftest import DAGSTER_URL, PROVIDER, STRIPE_KEY
from tests.waiting import LIMIT_SECONDS
from unified.api.pages.session import INSTALLATION, LIFETIMES, Session, Sessions
from unified.api.server import webhook_server
from unified.api.settings import Settings
from unified.cli.commands.access.sign_in import sign_in_link
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.sandbox.hubspot.oauth import CLIENT_ID, CLIENT_SECRET
from unified.store.connections import waits
from unified.store.inbox import events as inbox
from unified.store.inbox import horizon
from unified.store.inbox.events import Received
from unified.store.records import burials
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.workspaces import members, tokens, workspaces
from unified.store.workspaces.permissions import SCOPES

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.unified.api.pages.conftest import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "<script>document.title='stolen'</script>"


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def sign_in(page: Page, token: str) -> None:
    await page.goto("/sign-in")
    await page.get_by_label("API token").fill(token)
    await press(page, "Sign in")
    await page.wait_for_url("**/connectors")


async def test_a_connection_from_nothing_to_a_sync(site: Site) -> None:
    workspace = await site.workspace()
    async with site.visit() as page:
        await sign_in(page, await site.token(workspace))
        await expect(page.get_by_text("There are no connections yet.")).to_be_visible()
        await page.get_by_role("link", name="New connection").click()
        await page.get_by_role("link", name="Stripe").click()
        await page.get_by_label("Name").fill("Not A Name")
        await page.get_by_label("Secret or restricted API key").fill(STRIPE_KEY)
        await page.get_by_text("More settings").click()
        await page.get_by_label("Base URL").fill(f"{site.sandbox.url}/stripe")
        await page.get_by_label("Retry count").fill("many")
        await page.get_by_label("Allow private hosts").check()
        await press(page, "Add connection")

        name = page.get_by_label("Name")
        await expect(name).to_have_attribute("aria-invalid", "true")
        await expect(name).to_have_accessible_description(re.compile("Lower-case letters"))
        await expect(page.get_by_label("Retry count")).to_have_accessible_description(
            re.compile("valid integer")
        )
        await expect(page.get_by_label("Allow private hosts")).to_be_checked()
        assert STRIPE_KEY not in await page.content()

        await name.fill("main")
        await page.get_by_label("Retry count").fill("0")
        await page.get_by_label("Secret or restricted API key").fill("sk_test_fake_unknown-revoked")
        await page.get_by_label("Secret or restricted API key").fill("no_key_of_stripes")
        await press(page, "Add connection")
        refused = page.get_by_label("Secret or restricted API key")
        await expect(refused).to_have_accessible_description(
            re.compile("Nothing was stored: .*starts with sk_")
        )
        assert not await site.registry.connections(workspace.id)

        await refused.fill(STRIPE_KEY)
        await press(page, "Add connection")
        await expect(page.get_by_role("status")).to_contain_text(
            "The connection was added. Its first load begins"
        )
        await expect(page.get_by_role("heading", name="Sync starting")).to_be_visible()
        await expect(page.get_by_role("heading", level=1)).to_have_text("main")
        (connection,) = await site.registry.connections(workspace.id)
        assert connection.settings["retry_count"] == 0

        await press(page, "Test")
        await expect(page.get_by_role("status")).to_have_text("The provider accepts the credentials.")
        await press(page, "Sync now")
        await expect(page.get_by_text("sync requested")).to_be_visible()
        assert (await site.registry.get_connection(workspace.id, connection.id)).sync_requested_at
        await press(page, "Pause")
        await expect(page.get_by_text("paused").first).to_be_visible()
        await press(page, "Resume")
        await expect(page.get_by_role("status")).to_contain_text("by schedule again")
        assert STRIPE_KEY not in await page.content()
        await page.get_by_role("link", name="Connections", exact=True).first.click()
        await expect(page.get_by_role("row", name=re.compile("main"))).to_contain_text("sync requested")


async def test_credentials_are_replaced_only_by_good_ones(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    async with site.visit(await site.token(workspace)) as page:
        await page.goto(f"/connectors/{connection.id}")
        for key, role, text in (
            ("no_key_of_stripes", "alert", "Nothing was stored"),
            (STRIPE_KEY, "status", "accepted by the provider"),
        ):
            await page.get_by_text("Replace credentials").click()
            await page.get_by_label("New secret or restricted API key").fill(key)
            await press(page, "Store")
            await expect(page.get_by_role(role)).to_contain_text(text)
            assert key not in await page.content()


async def test_a_new_connection_waits_for_approval_where_that_is_asked_for(site: Site) -> None:
    workspace = await site.workspace(requires_approval=True)
    connection = await site.connection(workspace)
    async with site.visit(await site.token(workspace, "member")) as page:
        await page.goto(f"/connectors/{connection.id}")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        await press(page, "Sync now")
        await expect(page.get_by_role("alert")).to_contain_text("approv")
    async with site.visit(await site.token(workspace, "owner")) as page:
        await page.goto(f"/connectors/{connection.id}")
        stale = await page.context.new_page()
        await stale.goto(f"/connectors/{connection.id}")
        await press(page, "Reject")
        await expect(page.get_by_text("rejected").first).to_be_visible()
        await press(stale, "Approve")  # of what was decided meanwhile
        await expect(stale.get_by_role("alert")).to_contain_text("changed by somebody else")
        await press(page, "Approve")
        await expect(page.get_by_role("status")).to_contain_text("is approved")
    assert (await site.registry.get_connection(workspace.id, connection.id)).approval == "approved"


async def test_what_is_gone_waits_for_a_word(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    async with site.db.workspace(workspace.id) as conn:
        now = datetime.now(UTC)
        await burials.keep(conn, key_of(connection, "customers"), now, missing=1_400, gone=310, living=2_000)
    async with site.visit(await site.token(workspace, "viewer")) as page:
        await page.goto(f"/connectors/{connection.id}")
        await expect(page.get_by_text("has not found 1,400 of 2,000 records")).to_be_visible()
        await expect(page.get_by_role("button", name="Mark them as deleted")).to_have_count(0)
    async with site.visit(await site.token(workspace, "member")) as page:
        await page.goto(f"/connectors/{connection.id}")
        await press(page, "Mark them as deleted")
        await expect(page.get_by_role("status")).to_contain_text("marked as deleted by a sync")
        await expect(page.get_by_text("The next sync marks them")).to_be_visible()
        await expect(page.get_by_role("button", name="Mark them as deleted")).to_have_count(0)
    assert (await site.registry.get_connection(workspace.id, connection.id)).sync_requested_at is not None


async def test_history_is_drawn_and_leads_to_dagster(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    await seeds.history(site.db, connection)
    async with site.visit(await site.token(workspace)) as page:
        await page.goto(f"/connectors/{connection.id}")
        assert await page.locator("svg.chart rect").count() == 18
        assert await page.locator("svg.chart rect.failed").count() == 1
        assert await page.locator("svg.chart rect.partial").count() == 1
        assert "14,400 read" in str(await page.locator("svg.chart rect").first.text_content())
        link = page.get_by_role("link", name=re.compile("Dagster run")).first
        await expect(link).to_have_attribute("href", f"{DAGSTER_URL}/runs/run-17")


async def test_oauth_leads_to_the_provider_and_back(site: Site) -> None:
    site.sandbox.hubspot.oauth.redirect_uris.add(f"{site.url}/oauth/callback")
    workspace = await site.workspace()
    settings = {**site.stripe_settings(), "base_url": f"{site.sandbox.url}/hubspot"}
    connection = await site.registry.add_connection(workspace.id, "hubspot", "crm", settings)
    async with site.visit(await site.token(workspace)) as page:
        await page.goto(f"/connectors/{connection.id}")
        await press(page, "Authorize at HubSpot")
        await expect(page.get_by_role("alert")).to_contain_text("OAuth app")
        await page.get_by_text("With an OAuth app of its own").click()
        await page.get_by_label("Client id").fill(CLIENT_ID)
        await press(page, "Authorize at HubSpot")
        await expect(page.get_by_role("alert")).to_contain_text("needs both")
        await page.get_by_text("With an OAuth app of its own").click()
        await page.get_by_label("Client id").fill(CLIENT_ID)
        await page.get_by_label("Client secret").fill(CLIENT_SECRET)
        await press(page, "Authorize at HubSpot")
        await page.wait_for_url(f"**/connectors/{connection.id}?done=authorize")
        await expect(page.get_by_role("status")).to_have_text("The connection is authorized.")


async def test_an_endpoint_shows_its_url_once(site: Site) -> None:
    workspace = await site.workspace()
    await site.connection(workspace)
    async with site.visit(await site.token(workspace)) as page:
        await page.goto("/webhooks")
        await page.get_by_text("Add an endpoint").click()
        await page.get_by_label("Types of event").fill("customer.*, invoice.paid")
        await page.get_by_role("button", name="Add endpoint").click()
        url = await page.locator("code").first.inner_text()
        assert url.startswith(f"{site.url}/webhooks/stripe/")
        await page.get_by_role("link", name="I have copied it").click()
        await expect(page.get_by_role("row", name=re.compile("customer"))).to_contain_text("takes deliveries")
        assert url not in await page.content()
        await page.get_by_text("Replace").click()
        await page.get_by_label("Signing secret", exact=True).first.fill("whsec_fake_of_the_tests")
        await press(page, "Store")
        await expect(page.get_by_role("status")).to_contain_text("secret was stored")


async def test_dead_letters_are_replayed(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    for key in ("evt_1", "evt_2"):
        await seeds.dead_letter(site.db, connection, key, f"no such customer {SCRIPT}")
    async with site.visit(await site.token(workspace)) as page:
        await page.goto("/webhooks")
        assert await page.title() == "Webhooks · Unified Assets"
        await page.get_by_role("row", name=re.compile("evt_1")).get_by_role("button", name="Replay").click()
        await expect(page.get_by_role("row", name=re.compile("evt_1"))).to_contain_text("waiting")
        await expect(page.get_by_role("row", name=re.compile("evt_2"))).to_contain_text("dead")
        await press(page, "Replay all")
        await expect(page.get_by_role("row", name=re.compile("evt_2"))).to_contain_text("waiting")


async def test_the_life_of_a_subscription(site: Site) -> None:
    workspace = await site.workspace()
    async with site.visit(await site.token(workspace)) as page:
        await page.goto("/connectors")
        await page.get_by_role("link", name="Subscriptions").click()
        await page.get_by_text("Add a subscription").click()
        await page.get_by_label("Name").fill("crm")
        await page.get_by_label("List to follow").select_option("invoices")
        await page.get_by_label("URL").fill("http://localhost:1/in")
        await page.get_by_label("Filters").fill("status=open\nstatus=draft")
        await press(page, "Add subscription")
        await expect(page.get_by_role("alert")).to_contain_text("must be https")
        await page.get_by_label("URL").fill("https://localhost:1/in")
        await press(page, "Add subscription")
        assert (await page.locator(".copy code").inner_text()).startswith("whsec_")
        await page.get_by_role("link", name="I have copied it").click()
        row = page.get_by_role("row", name=re.compile("crm"))
        await expect(row).to_contain_text("status=open, draft")
        await expect(row).to_contain_text("follows")
        assert "whsec_" not in await page.content()

        await page.get_by_text("Change", exact=True).click()
        await expect(row.get_by_label("Filters")).to_have_value("status=open\nstatus=draft\n")
        await row.get_by_label("URL").fill("http://localhost:1/other")
        await press(page, "Save")
        await expect(page.get_by_role("alert")).to_contain_text("must be https")
        await page.get_by_text("Change", exact=True).click()
        await row.get_by_label("URL").fill("https://localhost:1/other")
        await row.get_by_label("Filters").fill("")
        await press(page, "Save")
        await expect(page.get_by_role("status")).to_contain_text("It was changed")
        await expect(row).to_contain_text("https://localhost:1/other")
        await expect(row).not_to_contain_text("status=open")

        await press(page, "Send a test")
        await expect(page.get_by_role("alert")).to_contain_text("crm did not take the test message")
        await page.get_by_text("Rotate the secret", exact=True).click()
        await press(page, "Make another")
        await expect(
            page.get_by_text(re.compile("The former secret, which ends in .*, signs them too"))
        ).to_be_visible()
        assert (await page.locator(".copy code").inner_text()).startswith("whsec_")
        await page.get_by_role("link", name="I have copied it").click()
        await press(page, "Pause")
        await expect(row).to_contain_text("paused")
        await press(page, "Resume")
        await expect(row).to_contain_text("follows")
        await page.get_by_text("Remove", exact=True).click()
        await press(page, "Remove it, with its dead letters")
        await expect(page.get_by_text("There are none yet.")).to_be_visible()


async def test_what_a_receiver_did_not_take_is_shown_and_replayed(site: Site) -> None:
    workspace = await site.workspace()
    made = await seeds.subscription(
        site.db, PROVIDER, workspace, "crm", "https://hooks.example.com", error=SCRIPT
    )
    async with site.visit(await site.token(workspace)) as page:
        await page.goto("/subscriptions")
        letters = page.get_by_role("region", name="Dead letters", exact=True).last
        await expect(letters).to_contain_text("given up")
        await expect(letters).to_contain_text(SCRIPT)
        await press(page, "Replay all")
        await expect(letters.get_by_text("given up")).to_have_count(0)
        other = await site.workspace()
        async with site.visit(await site.token(other)) as stranger:
            csrf = await stranger.locator("input[name=csrf]").first.get_attribute("value") or ""
            for action in ("change", "pause", "resume", "replay", "test", "remove"):
                form = {"csrf": csrf, "url": "https://hooks.example.com"}
                sent = await stranger.request.post(f"/subscriptions/{made}/{action}", form=form)
                assert sent.status == 404, action


async def test_events_that_can_not_be_read_yet_are_shown_with_what_holds_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(horizon, "PATIENCE", timedelta(0))
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    with psycopg.connect(site.db.url, application_name="forgotten") as writer:
        writer.execute("SELECT pg_current_xact_id()")
        events = [ReceivedEvent(key, "customer.updated", None, b"{}") for key in ("a", "b")]
        await inbox.append(site.db, [Received(workspace.id, connection.id, one) for one in events])
        async with site.visit(await site.token(workspace, "viewer")) as page:
            await page.goto("/webhooks")
            row = page.get_by_role("region", name="Waiting events").get_by_role("row").last
            await expect(row).to_contain_text("2 of them can't be read yet")
            await expect(row).to_contain_text(f"pid {writer.info.backend_pid} (forgotten, of")
            await expect(row.get_by_role("cell").first).to_have_text("2")
        writer.rollback()


async def test_a_viewer_sees_no_buttons_and_is_refused(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    await seeds.reject(site.db, connection, "cus_1", "personal")
    await seeds.dead_letter(site.db, connection, "evt_1", "personal")
    token = await site.token(workspace, "viewer")
    async with site.visit(token) as page:
        for path in ("/connectors", f"/connectors/{connection.id}", "/webhooks", "/subscriptions"):
            await page.goto(path)
            assert await page.locator("main form, main button, main .button").count() == 0, path
            assert "personal" not in await page.content()
        answer = await page.goto("/connectors/new")
        assert answer is not None
        assert answer.status == 403
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not permitted")
        csrf = await page.locator("input[name=csrf]").first.get_attribute("value")
        actions = (
            "sync",
            "bury",
            "test",
            "pause",
            "resume",
            "approve",
            "reject",
            "settings",
            "credentials",
            "authorize",
            "replay",
        )
        for path in (
            *(f"/connectors/{connection.id}/{one}" for one in actions),
            "/connectors/new",
            "/webhooks",
            "/subscriptions",
            f"/subscriptions/{uuid4()}/remove",
        ):
            sent = await page.request.post(path, form={"csrf": csrf or "", "version": "1"})
            assert sent.status == 403, path
            assert "which you do not have" in await sent.text()
    assert await site.registry.get_connection(workspace.id, connection.id) == connection


async def test_another_workspaces_connection_is_not_there(site: Site) -> None:
    theirs = await site.connection(await site.workspace())
    ours = await site.workspace()
    async with site.visit(await site.token(ours)) as page:
        texts = set()
        for path in (
            f"/connectors/{theirs.id}",
            f"/connectors/{theirs.id}/settings",
            f"/connectors/{uuid4()}",
            "/connectors/nothing",
        ):
            answer = await page.goto(path)
            assert answer is not None
            assert answer.status == 404, path
            texts.add(await page.locator("main").inner_text())
        assert len(texts) == 1  # whether it exists elsewhere is not told
        csrf = await page.locator("input[name=csrf]").first.get_attribute("value") or ""
        for action in (
            "sync",
            "bury",
            "test",
            "pause",
            "credentials",
            "authorize",
            "replay",
            "approve",
            "settings",
        ):
            form = {"csrf": csrf, "version": "1", "api_key": "sk_test_fake_x"}
            sent = await page.request.post(f"/connectors/{theirs.id}/{action}", form=form)
            assert sent.status == 404, action
        sent = await page.request.post("/webhooks", form={"csrf": csrf, "connection": str(theirs.id)})
        assert sent.status == 404
    assert await site.registry.get_connection(theirs.workspace_id, theirs.id) == theirs


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/connectorsX",
        "/connectors/a/b/c",
        "/sign-in/a/b",
        "/assets/nothing",
        "/webhooks/a/b",
        "/subscriptions/a",
    ],
)
async def test_an_address_that_is_nowhere_is_a_page_for_a_browser(site: Site, path: str) -> None:
    async with site.visit() as page:
        answer = await page.goto(path)
        assert answer is not None
        assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "no such page" in await page.locator("main").inner_text()


async def test_what_is_nowhere_below_the_api_is_json_for_a_browser_too(site: Site) -> None:
    async with site.visit() as page:
        for path in ("/api/nothing", "/docs/nothing"):
            answer = await page.goto(path)
            assert answer is not None
            assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_connection_that_waits_for_its_provider_says_until_when_and_why(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    await seeds.failed_with(site.db, connection, "answered 429: the day's requests are used up")
    async with site.db.workspace(workspace.id) as conn:
        await waits.note(conn, connection.id, 3 * 3600 + 60)
    async with site.visit(await site.token(workspace)) as page:
        await page.goto(f"/connectors/{connection.id}")
        await expect(page.get_by_text("the day's requests are used up")).to_be_visible()
        await expect(page.get_by_text("the schedule goes on in 3 hours")).to_be_visible()
        await expect(page.get_by_text("waits for its provider")).to_be_visible()


async def test_markup_of_others_is_shown_as_text(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    await seeds.failed_with(site.db, connection, f"the provider says {SCRIPT}")
    await seeds.reject(site.db, connection, f"cus_{SCRIPT}", f"email {SCRIPT} \" onload='x'")
    async with site.visit(await site.token(workspace)) as page:
        for path in ("/connectors", f"/connectors/{connection.id}"):
            await page.goto(path)
            assert "stolen" not in await page.title()
            assert await page.locator("script").count() == 0
            await expect(page.get_by_text(f"the provider says {SCRIPT}").first).to_be_visible()
        await expect(page.get_by_text(f"email {SCRIPT}")).to_be_visible()
        await page.goto(f"/sign-in?next={SCRIPT}")
        assert await page.locator("script").count() == 0


@pytest.mark.parametrize("csrf", [None, "", "x" * 43])
async def test_a_form_from_elsewhere_changes_nothing(site: Site, csrf: str | None) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    async with site.visit(await site.token(workspace)) as page:
        form = {} if csrf is None else {"csrf": csrf}
        for path in (
            f"/connectors/{connection.id}/pause",
            "/connectors/new",
            "/webhooks",
            "/subscriptions",
            "/sign-out",
        ):
            assert (await page.request.post(path, form=form)).status == 403, path
        right = await page.locator("input[name=csrf]").first.get_attribute("value") or ""
        crossing = {"sec-fetch-site": "cross-site"}
        path = f"/connectors/{connection.id}/pause"
        assert (await page.request.post(path, form={"csrf": right}, headers=crossing)).status == 403
        assert (await page.request.post(path, data={"csrf": right})).status == 415
        assert (await site.registry.get_connection(workspace.id, connection.id)).is_active
        assert (await page.request.post(path, form={"csrf": right})).ok
    assert not (await site.registry.get_connection(workspace.id, connection.id)).is_active


async def test_the_session_holds_no_token_and_ends_with_it(site: Site) -> None:
    workspace = await site.workspace()
    made, token = await tokens.create(site.db, workspace.id, "t", sorted(SCOPES), actor="tests")
    async with site.visit() as page:
        await sign_in(page, token.reveal())
        cookie = {one["name"]: one for one in await page.context.cookies()}["unified_session"]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert token.reveal().rpartition("_")[2] not in cookie["value"]
        await tokens.revoke(site.db, workspace.id, made.id, actor="tests")
        await expect(page.get_by_role("heading", name="Connections")).to_be_visible()
        await _until_forgotten(page)


async def _until_forgotten(page: Page) -> None:
    """Another process has revoked the token, so this one may remember it for two seconds more."""
    deadline = datetime.now(UTC) + timedelta(seconds=LIMIT_SECONDS)
    while "/sign-in" not in page.url:
        assert datetime.now(UTC) < deadline
        await page.goto("/connectors")


async def test_signing_out_forgets_the_session(site: Site) -> None:
    async with site.visit(await site.token(await site.workspace())) as page:
        await press(page, "Sign out")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        assert "unified_session" not in {one["name"] for one in await page.context.cookies()}
        await page.goto("/webhooks")
        assert page.url.endswith("/sign-in?next=%2Fwebhooks")


async def test_only_tokens_of_a_workspace_sign_in(site: Site) -> None:
    _, deployments = await tokens.create(site.db, None, "t", ["metrics:read"], actor="tests")
    async with site.visit() as page:
        await page.goto("/sign-in?next=https://evil.example.com")
        for token in ("nonsense", deployments.reveal(), f"uat_00000000_{'A' * 43}"):
            await page.get_by_label("API token").fill(token)
            await press(page, "Sign in")
            await expect(page.get_by_role("alert")).to_be_visible()
            assert token not in await page.content()
        await page.get_by_label("API token").fill(await site.token(await site.workspace()))
        await press(page, "Sign in")
        await page.wait_for_url(f"{site.url}/connectors")


async def test_signing_in_goes_on_to_the_page_that_was_asked_for(site: Site) -> None:
    token = await site.token(await site.workspace())
    for asked, then in (
        ("/records/customers?email=ann%40example.com&after=a_b", None),
        ("/tables", None),
        ("//evil.example.com/records", "/connectors"),
        ("/\\evil.example.com", "/connectors"),
        ("/sign-in/x", "/connectors"),
        (f"/records?{'a' * 5_000}\n", "/connectors"),
    ):
        async with httpx.AsyncClient(base_url=site.url, timeout=LIMIT_SECONDS) as client:
            browser = Browser(client)
            if then is None:
                sent = await client.get(asked)
                await browser.open(sent.headers["location"])
                assert f'value="{escape(asked)}"' in browser.page
            else:
                await browser.open(f"/sign-in?{urlencode({'next': asked})}")
            csrf = re.findall(r'name="csrf" value="([^"]+)"', browser.page)[0]
            form = {"csrf": csrf, "token": token, "next": asked}
            answer = await client.post("/sign-in", data=form)
            assert (answer.status_code, answer.headers["location"]) == (303, then or asked)


async def test_a_link_signs_in_once(site: Site) -> None:
    workspace = await site.workspace()
    link = await sign_in_link(site.db, PROVIDER, workspace, site.url, role="viewer")
    async with site.visit() as page:
        await page.goto(link)
        await page.goto(link)  # looking at it does not use it up
        await press(page, "Sign in")
        await expect(page.get_by_text(workspace.slug)).to_be_visible()
        await expect(page.get_by_role("link", name="New connection")).to_have_count(0)
    async with site.visit() as page:
        await page.goto(link)
        await press(page, "Sign in")
        await expect(page.locator("main")).to_contain_text("used already")
        await page.goto("/connectors")
        assert "/sign-in" in page.url


async def test_what_was_sealed_for_another_use_or_by_others_opens_nothing(site: Site) -> None:
    workspace = await site.workspace()
    other = await site.workspace()
    token = (await tokens.create(site.db, workspace.id, "t", sorted(SCOPES), actor="tests"))[1]
    session = Session.begin(workspace.id, token)
    sessions = Sessions(site.db, PROVIDER)
    sealed = await sessions.seal(session, "session")
    assert await sessions.open(sealed, "session") == session
    assert await sessions.open(sealed, "link") is None
    for forged in (
        sealed[:-4] + "AAA=",
        sealed.replace(workspace.id.hex, other.id.hex),
        sealed.replace(workspace.id.hex, uuid4().hex),
        "",
        "x.y",
        f"{workspace.id.hex}.ü",
        "a" * 5_000,
    ):
        assert await sessions.open(forged, "session") is None
    assert LIFETIMES["link"] < LIFETIMES["session"]


async def test_by_https_cookies_belong_to_the_host_alone(site: Site) -> None:
    server = webhook_server(site.db, PROVIDER, Settings(public_url="https://hooks.example.com"))
    transport = httpx.ASGITransport(server.config.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://hooks.example.com") as browser:
        asked = await browser.get("/sign-in")
        csrf = re.findall('name="csrf" value="([^"]+)"', asked.text)[0]
        form = {"csrf": csrf, "token": await site.token(await site.workspace())}
        answer = await browser.post("/sign-in", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/connectors")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-unified_session=")
        assert {"HttpOnly", "Path=/", "SameSite=strict", "Secure"} <= set(cookie.split("; "))
        assert "strict-transport-security" in answer.headers
        assert (await browser.get("/connectors")).status_code == 200


async def test_every_answer_has_the_headers_and_no_script(site: Site, client: httpx.AsyncClient) -> None:
    for path in ("/sign-in", "/connectors", "/", "/connectors/new", "/assets/nothing", "/sign-in/x.y"):
        answer = await client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "<script" not in answer.text
    assert (await client.get("/nothing")).headers["content-type"] == "application/problem+json"
    huge = await client.post("/sign-in", data={"token": "x" * 300_000})
    assert (huge.status_code, huge.headers["content-type"]) == (413, "text/html; charset=utf-8")
    assert (await client.post("/sign-in", content=b"\xff=%ff", headers=FORM)).status_code == 400
    assert (await client.post("/sign-in", data={"token": "x"})).status_code == 403


@pytest.fixture(scope="module")
def with_webhooks() -> bool:
    return True


FORM = {"content-type": "application/x-www-form-urlencoded"}

# What can be said about a page without anybody looking at it.
FAULTS = """() => {
  const faults = [];
  const named = (one) => (one.labels && one.labels.length) || one.getAttribute('aria-label');
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  if (new Set(ids).size !== ids.length) faults.push('two of one id');
  if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
  if (!document.documentElement.lang || !document.title) faults.push('no language or title');
  for (const landmark of ['header', 'main']) if (!document.querySelector(landmark)) faults.push('no ' + landmark);
  for (const one of document.querySelectorAll('input:not([type=hidden]), select'))
    if (!named(one)) faults.push('no label: ' + one.outerHTML);
  for (const one of document.querySelectorAll('button, a[href]'))
    if (!one.textContent.trim()) faults.push('no text: ' + one.outerHTML);
  for (const one of document.querySelectorAll('[aria-describedby], [aria-labelledby]'))
    for (const id of (one.getAttribute('aria-describedby') || one.getAttribute('aria-labelledby')).split(' '))
      if (!document.getElementById(id)) faults.push('nothing is ' + id);
  for (const one of document.querySelectorAll('table'))
    if (!one.caption || one.querySelector('th:not([scope])')) faults.push('table without caption or scope');
  let level = 1;
  for (const one of document.querySelectorAll('h1, h2, h3')) {
    if (Number(one.tagName[1]) > level + 1) faults.push('a level is skipped');
    level = Number(one.tagName[1]);
  }
  if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the screen');
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const back = (one) => {
    for (; one; one = one.parentElement) {
      const found = rgb(getComputedStyle(one).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  for (const one of document.querySelectorAll('main *, header *')) {
    if (one.closest('svg') || ![...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const pair = [light(rgb(getComputedStyle(one).color)), light(back(one))].sort((a, b) => b - a);
    if ((pair[0] + 0.05) / (pair[1] + 0.05) < 4.5) faults.push('too little contrast: ' + one.outerHTML.slice(0, 120));
  }
  return faults;
}"""


async def test_pages_are_accessible_on_a_phone_and_on_a_desk(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    broken = await site.connection(workspace, "a-name-that-is-as-long-as-a-name-may-be-0123456789-0123456789")
    await seeds.history(site.db, connection)
    await seeds.reject(site.db, connection, "cus_" + "x" * 80, "the currency XXXX is none, " * 5)
    await seeds.failed_with(site.db, broken, "https://api.example.com/" + "x" * 300)
    await seeds.dead_letter(site.db, connection, "evt_" + "1" * 60, "no such customer")
    await seeds.subscription(site.db, PROVIDER, workspace, "n" * 63, f"https://hooks.example.com/{'x' * 300}")
    long = "cus_" + "x" * 80
    await seeds.record(
        site.db, key_of(connection, "customers"), long, name="w" * 90, custom_fields={"plan": "y" * 200}
    )
    await seeds.record(site.db, key_of(connection, "invoices"), "in_1", customer_id=long)
    route = await seeds.route(site.db, connection, await site.hubspot(workspace, "crm"))
    hook = await seeds.hook(site.db, workspace, "w-" * 31 + "w")
    await site.connection(workspace, "n" * 63)
    await workspaces.create(site.db, f"{workspace.slug:n<63}")
    ann, ben = await seeds.identity(site.db, connection)
    await members.add(site.db, workspace.id, "auth0|" + "5" * 90, "viewer", actor="tests")
    token = await site.token(workspace, by_link=True)
    # What a page looks like is for its style to say: each is asked for once, and shown in every way.
    async with site.visit(token, reach=INSTALLATION, color_scheme="light") as page:
        for path in (
            "/",
            "/connectors",
            f"/connectors/{connection.id}",
            f"/connectors/{broken.id}",
            f"/connectors/{connection.id}/settings",
            "/connectors/marketplace",
            "/connectors/marketplace/typeform",
            "/connectors/build",
            "/connectors/receive",
            f"/connectors/{hook.id}/receive",
            "/connectors/new",
            "/connectors/new?connector=stripe",
            "/webhooks",
            "/subscriptions",
            "/records/customers",
            "/records/invoices",
            f"/records/customers/main/{long}?stream=customers&expand=raw",
            "/identities",
            f"/identities/{ann}?why={ben}",
            "/routes",
            f"/routes/{route.id}",
            "/members",
            "/tables",
            "/rejects",
            "/dead-letters",
            "/tokens",
            "/audit",
            "/try",
            "/try?operation=PATCH%20/api/connectors/configs/{connection_id}",
            "/records/invoices/main/in_1",
            "/workspaces",
            f"/connectors/{uuid4()}",
            "/sign-in",
        ):
            await page.goto(path)
            await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
            for scheme, width in product(("light", "dark"), (375, 1280)):
                await page.emulate_media(color_scheme=scheme)
                await page.set_viewport_size({"width": width, "height": 800})
                assert await page.evaluate(FAULTS) == [], (path, width, scheme)


async def test_pages_work_without_scripts_and_by_keyboard(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    async with site.visit(await site.token(workspace), java_script_enabled=False) as page:
        await page.goto(f"/connectors/{connection.id}")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        await page.get_by_role("button", name="Pause").press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("paused")


async def test_a_link_of_other_master_keys_is_none(site: Site) -> None:
    workspace = await site.workspace()
    stranger = LocalKeyProvider([Fernet.generate_key().decode()])
    link = await sign_in_link(site.db, stranger, workspace, site.url)
    async with site.visit() as page:
        answer = await page.goto(link)
        assert answer is not None
        assert answer.status >= 400
