"""Authorizing by OAuth through the API: bound to workspace, connection, subject and browser; for one use."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from fastapi import Response

from tests.unified.api.management.rig import CONFIGS, Api, Tenant
from tests.waiting import LIMIT_SECONDS
from unified.api.management.endpoints.connections.oauth import Proof
from unified.api.settings import Settings
from unified.kit.oauth import returned
from unified.kit.secrets import Secret
from unified.sandbox.faults import Fault
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.hubspot.oauth import CLIENT_ID, CLIENT_SECRET
from unified.sandbox.server import SandboxServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLBACK = "https://hooks.example.com/oauth/callback"
OWN_APP = {"app": {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}}


@pytest.fixture(scope="module")
def hubspot() -> HubSpotSandbox:
    sandbox = HubSpotSandbox(contacts=20, companies=5, invoices=5, limits=None)
    sandbox.oauth.redirect_uris.add(CALLBACK)
    return sandbox


@pytest.fixture(scope="module")
def sandbox_url(hubspot: HubSpotSandbox) -> Iterator[str]:
    with SandboxServer(hubspot=hubspot) as server:
        yield server.url


@pytest_asyncio.fixture(loop_scope="module")
async def crm(acme: Tenant) -> str:
    """Path of a connection that waits for its authorization."""
    return await add(acme, "crm")


async def add(tenant: Tenant, name: str) -> str:
    settings = {
        "base_url": f"{tenant.api.sandbox_url}/hubspot",
        "allow_private_hosts": True,
        "retry_count": 0,
    }
    body = {"connector": "hubspot", "name": name, "settings": settings}
    added = await tenant.ask("POST", CONFIGS, 201, json=body)
    return f"{CONFIGS}/{added['id']}"


class Flow:
    """One consent: begun, and where the provider sent the browser."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200, response.text
        cookie = SimpleCookie(response.headers["set-cookie"])
        ((self.cookie_name, morsel),) = cookie.items()
        self.cookie = f"{self.cookie_name}={morsel.value}"
        self.morsel = morsel
        self.url: str = response.json()["url"]

    async def consent(self) -> str:
        async with httpx.AsyncClient(timeout=LIMIT_SECONDS) as browser:
            answer = await browser.get(self.url)
        location: str = answer.headers["location"]
        assert location.startswith(CALLBACK)
        return location


async def begin(tenant: Tenant, path: str, body: Any = OWN_APP) -> Flow:
    return Flow(await tenant.client.post(f"{path}/authorize", json=body))


async def come_back(api: Api, url: str, cookie: str | None) -> httpx.Response:
    """As the browser would, without any other authentication."""
    transport = httpx.ASGITransport(api.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://hooks.example.com") as browser:
        return await browser.get(url, headers={"cookie": cookie} if cookie else {})


async def test_the_browser_that_began_comes_back_and_the_connection_works(
    acme: Tenant, crm: str, hubspot: HubSpotSandbox
) -> None:
    flow = await begin(acme, crm)
    assert flow.morsel["httponly"]
    assert flow.morsel["secure"]
    # No other host can have set a cookie of this name, a subdomain's neighbour neither (RFC 6265bis).
    assert flow.cookie_name.startswith("__Host-unified_oauth_")
    assert (flow.morsel["samesite"], flow.morsel["path"], flow.morsel["domain"]) == ("lax", "/", "")
    page = await come_back(acme.api, await flow.consent(), flow.cookie)
    assert page.status_code == 200
    assert "/crm is authorized" in page.text
    taken_back = [SimpleCookie(one) for one in page.headers.get_list("set-cookie")]
    (gone,) = [one[flow.cookie_name] for one in taken_back if flow.cookie_name in one]
    assert (gone["max-age"], gone["path"], gone["secure"]) == ("0", "/", True)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    tested = await acme.ask("POST", f"{crm}/test")
    assert tested["account"]["id"] == str(hubspot.account().portal_id)
    stored = await acme.ask("GET", f"{crm}/credentials")
    assert {(one["field"], one["kind"]) for one in stored} == {
        (field, "oauth_token") for field in ("access_token", "refresh_token", "client_id", "client_secret")
    }
    assert [one for one in await acme.audited() if one.startswith("oauth.")] == [
        "oauth.begin",
        "oauth.authorize",
    ]


async def test_an_answer_is_for_one_use(acme: Tenant, crm: str) -> None:
    flow = await begin(acme, crm)
    url = await flow.consent()
    assert (await come_back(acme.api, url, flow.cookie)).status_code == 200
    again = await come_back(acme.api, url, flow.cookie)
    assert again.status_code == 422
    assert "begin again" in again.text


@pytest.mark.parametrize("cookie", [None, "__Host-unified_oauth_0000000000000000=guess", "same name"])
async def test_another_browser_ends_nothing_and_spoils_it(acme: Tenant, crm: str, cookie: str | None) -> None:
    """A stranger is sent a link to consent, or somebody is given a stranger's answer."""
    flow = await begin(acme, crm)
    url = await flow.consent()
    shown = f"{flow.cookie_name}=guess" if cookie == "same name" else cookie
    assert (await come_back(acme.api, url, shown)).status_code == 422
    assert (await come_back(acme.api, url, flow.cookie)).status_code == 422
    assert await acme.ask("GET", f"{crm}/credentials") == []


async def test_a_cookie_that_another_host_could_have_set_does_not_do(acme: Tenant, crm: str) -> None:
    flow = await begin(acme, crm)
    planted = flow.cookie.removeprefix("__Host-")
    page = await come_back(acme.api, await flow.consent(), planted)
    assert page.status_code == 422


@pytest.mark.parametrize(
    ("public_url", "prefix"), [("http://127.0.0.1:8000", ""), ("https://hooks.example.com", "__Host-")]
)
async def test_each_cookie_has_the_prefix_that_its_scheme_allows(public_url: str, prefix: str) -> None:
    answer = Response()
    Proof("oauth_x", Secret("value")).from_page(Settings(public_url=public_url), answer)
    assert [one.partition("=")[0] for one in answer.headers.getlist("set-cookie")] == [
        f"{prefix}unified_oauth_x",
        f"{prefix}unified_oauth_x_page",
    ]
    assert all(("Secure" in one) == bool(prefix) for one in answer.headers.getlist("set-cookie"))


async def test_a_cookie_of_another_consent_does_not_do(acme: Tenant, crm: str) -> None:
    one, other = await begin(acme, crm), await begin(acme, crm)
    value = other.cookie.partition("=")[2]
    page = await come_back(acme.api, await one.consent(), f"{one.cookie_name}={value}")
    assert page.status_code == 422


async def test_after_ten_minutes_it_is_too_late(acme: Tenant, crm: str) -> None:
    flow = await begin(acme, crm)
    url = await flow.consent()
    with psycopg.connect(acme.api.db.url, autocommit=True) as conn:
        conn.execute("UPDATE pending_authorizations SET expires_at = expires_at - interval '10 minutes'")
    assert (await come_back(acme.api, url, flow.cookie)).status_code == 422


async def test_what_is_kept_of_a_consent_shows_neither_state_nor_verifier(acme: Tenant, crm: str) -> None:
    flow = await begin(acme, crm)
    state = returned(flow.url)["state"]
    with psycopg.connect(acme.api.db.url) as conn:
        ((dump,),) = conn.execute(
            "SELECT string_agg(p::text, ' ') FROM pending_authorizations AS p"
        ).fetchall()
    for secret in (state, state.partition(".")[2], CLIENT_SECRET, flow.cookie.partition("=")[2]):
        assert secret not in dump
        assert secret.encode().hex() not in dump


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?code=x",
        "?state=x&code=y",
        f"?state={'0' * 32}.x&code=y",
        "?state=a&state=b&code=c",
        "?state=%00&code=%00",
    ],
)
async def test_a_made_up_answer_is_refused(acme: Tenant, query: str) -> None:
    page = await come_back(acme.api, f"{CALLBACK}{query}", None)
    assert page.status_code == 422
    assert page.headers["content-type"].startswith("text/html")


async def test_what_a_provider_says_is_shown_as_text(acme: Tenant, crm: str, hubspot: HubSpotSandbox) -> None:
    flow = await begin(acme, crm)
    state = returned(flow.url)["state"]
    url = str(httpx.URL(CALLBACK, params={"state": state, "error": "<script>alert(1)</script>"}))
    page = await come_back(acme.api, url, flow.cookie)
    assert page.status_code == 422
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_what_has_no_browser_brings_the_answer_itself(acme: Tenant, crm: str) -> None:
    flow = await begin(acme, crm)
    body = {"redirected_url": await flow.consent()}
    member = await acme.api.with_role(acme, "member")
    stranger = await acme.api.tenant("globex")
    theirs = await add(stranger, "crm")
    another = await add(acme, "another")
    other = {"redirected_url": await (await begin(acme, another)).consent()}
    await acme.ask("POST", f"{crm}/authorize/complete", 422, json=other)
    # Not another tenant, whatever connection it names …
    await stranger.ask("POST", f"{theirs}/authorize/complete", 422, json=body)
    await stranger.ask("POST", f"{crm}/authorize/complete", 404, json=body)
    done = await acme.ask("POST", f"{crm}/authorize/complete", json=body)
    assert done["account"]["id"]
    # … and not another member.
    flow = await begin(acme, crm)
    body = {"redirected_url": await flow.consent()}
    refused = await member.ask("POST", f"{crm}/authorize/complete", 422, json=body)
    assert "begin again" in refused["detail"]


async def test_who_may_not_write_credentials_may_not_authorize(acme: Tenant, crm: str) -> None:
    viewer = await acme.api.with_role(acme, "viewer")
    await viewer.ask("POST", f"{crm}/authorize", 403)
    await viewer.ask("POST", f"{crm}/authorize/complete", 403, json={"redirected_url": "x"})
    await viewer.ask("DELETE", f"{crm}/authorize", 403)


async def test_refusals_say_what_to_do(acme: Tenant, crm: str) -> None:
    told = await acme.ask("POST", f"{crm}/authorize", 422)
    assert "UNIFIED_OAUTH_HUBSPOT_CLIENT_ID" in told["detail"]
    told = await acme.ask(
        "POST", f"{crm}/authorize", 422, json={"grant_type": "client_credentials", **OWN_APP}
    )
    assert "only by authorization_code" in told["detail"]
    stripe = await acme.add("billing")
    told = await acme.ask("POST", f"{CONFIGS}/{stripe['id']}/authorize", 422)
    assert "stripe has no OAuth" in told["detail"]


async def test_a_provider_that_fails_at_the_exchange(acme: Tenant, crm: str, hubspot: HubSpotSandbox) -> None:
    for code, status in ((503, 502), (400, 422)):
        flow = await begin(acme, crm)
        url = await flow.consent()

        hubspot.faults.add(Fault("status", "/oauth/2026-03/token", status=code))
        page = await come_back(acme.api, url, flow.cookie)
        assert page.status_code == status
        assert CLIENT_SECRET not in page.text
    assert await acme.ask("GET", f"{crm}/credentials") == []


async def test_revoking(acme: Tenant, crm: str, hubspot: HubSpotSandbox) -> None:
    flow = await begin(acme, crm)
    await come_back(acme.api, await flow.consent(), flow.cookie)
    await acme.ask("DELETE", f"{crm}/authorize", 204)
    assert hubspot.oauth.grants[-1].is_revoked
    assert await acme.ask("GET", f"{crm}/credentials") == []


async def test_a_token_replaces_an_authorization(acme: Tenant, crm: str) -> None:
    flow = await begin(acme, crm)
    await come_back(acme.api, await flow.consent(), flow.cookie)
    await acme.ask("PUT", f"{crm}/credentials", json={"fields": {"access_token": "pat-fake-acme"}})
    (stored,) = await acme.ask("GET", f"{crm}/credentials")
    assert (stored["field"], stored["kind"]) == ("access_token", "bearer_token")
    assert (await acme.ask("POST", f"{crm}/test"))["ok"]


async def test_an_unapproved_connection_is_authorized_but_not_tried(api: Api) -> None:
    tenant = await api.tenant("careful", requires_approval=True)
    crm = await add(tenant, "crm")
    flow = await begin(tenant, crm)
    page = await come_back(api, await flow.consent(), flow.cookie)
    assert page.status_code == 200
    await tenant.ask("POST", f"{crm}/test", 409)
