"""A browser's way over every web page, for `test_canary`: secrets are typed wherever a form takes one, and refused.

What it must never be shown is not looked for here. It has no scripts: it opens pages and sends their forms.
"""

import re
from urllib.parse import quote
from uuid import uuid4

import httpx

from tests.canaries import CONTROL, Canaries

SESSION_COOKIE = "__Host-unified_session"

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_CONNECTION = re.compile(r'href="(/connectors/[0-9a-f-]{36})">([^<]+)<')
_VERSION = re.compile(r'name="version" value="(\d+)"')
_SECRET_FORM = re.compile(r'action="(/connectors/[^"]+/secret)"')
_IDENTITY = re.compile(r'href="(/identities/[0-9a-f-]{36})"')
_MEMBER = re.compile(r'name="(record\.[0-9a-f-]{36})"')
_RECEIVE = re.compile(r'action="(/connectors/[0-9a-f-]{36}/receive)"')
_ROUTE = re.compile(r'href="(/routes/[0-9a-f-]{36})"')
_TOKEN = re.compile(r'</code> by token:.*?action="(/tokens/[0-9a-f-]{36}/revoke)"', re.DOTALL)
_RECORD = re.compile(r'href="(/records/customers/good/[^"]+)"')
_SUBSCRIPTION = re.compile(r'action="(/subscriptions/[^"/]+)/pause"')
_LETTER = re.compile(r'action="(/connectors/[^"]+/replay)".*?name="id" value="([^"]+)"', re.DOTALL)


class Browser:
    """Opens pages, and sends the forms that are on them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.page = ""

    async def open(self, path: str, status: int = 200) -> None:
        self._show(await self._client.get(path), status)

    async def send(self, path: str, fields: dict[str, str], status: int = 303) -> None:
        """Send a form with its hidden field, which `fields` may replace; and go where the answer leads to."""
        csrf = _CSRF.findall(self.page)[0]
        answer = await self._client.post(path, data={"csrf": csrf, **fields})
        self._show(answer, status)
        if status == 303:
            await self.open(answer.headers["location"])

    def _show(self, answer: httpx.Response, status: int) -> None:
        assert answer.status_code == status, (answer.request.method, answer.request.url.path, answer.text)
        self.page = answer.text


async def sign_in(browser: Browser, secrets: Canaries) -> None:
    """By a token, after others were refused."""
    await browser.open("/", 303)
    await browser.open("/connectors", 303)
    await browser.open("/sign-in?next=/webhooks")
    for token in (secrets.stray_token, secrets.stripe_key, f"{secrets.api_token}x"):
        await browser.send("/sign-in", {"token": token}, 401)
    await browser.send("/sign-in", {"csrf": secrets.stray_token, "token": secrets.api_token}, 403)
    await browser.open("/sign-in")
    await browser.send("/sign-in", {"token": secrets.api_token})
    assert "<h1>Connections</h1>" in browser.page


async def walk(browser: Browser, secrets: Canaries, *, echo_url: str, sandbox_url: str) -> None:
    """Everything that somebody who is signed in can open and send.

    Args:
        browser: Signed in to a workspace with connections to both servers, after syncs that failed and a drain.
        secrets: What is typed.
        echo_url: Of a provider that refuses everything, and shows what it was sent.
        sandbox_url: Of one that takes `secrets.stripe_key`.
    """
    await browser.open("/")
    await browser.open("/connectors")
    connections = {name: path for path, name in _CONNECTION.findall(browser.page)}
    for path in connections.values():
        await browser.open(path)
    await _look_at_a_failing_one(browser, secrets, connections["echo"])
    await _authorize(browser, secrets, connections["portal"])
    await _decide(browser, connections["bearer"])
    await _add_connections(browser, secrets, echo_url, sandbox_url)
    await _use_webhooks(browser, secrets, connections["echo"])
    await _use_subscriptions(browser, secrets)
    await _look_at_records(browser, secrets)
    for path in ("/tables", "/rejects", "/dead-letters", "/dead-letters?state=dead"):
        await browser.open(path)
    for form, status in (("compressed", 303), ("json", 303), (secrets.form_key, 422)):
        await browser.send("/tables", {"raw": form}, status)
    echo = connections["echo"]
    await browser.send(f"/dead-letters/{echo.rpartition('/')[2]}/replay", {})
    await browser.open(echo)
    await browser.send(f"{echo}/remove", {"name": secrets.form_key}, 422)
    await browser.open(f"{echo}/settings")
    for wrong in (
        {"columns": "customers.email burn"},
        {"setting.retry_count": "many"},
        {"since.customers": "yesterday"},
        {"secret.api_key": secrets.form_key},  # its provider refuses it
    ):
        await browser.send(f"{echo}/settings", {"version": "1", "stream.customers": "on", **wrong}, 422)
        assert 'type="password"' in browser.page, "the form is shown again"
    await browser.open(echo)
    await browser.open("/try")
    shown = {"operation": "PUT /api/connectors/configs/{connection_id}/credentials", "body": secrets.form_key}
    await browser.send("/try", {**shown, "path.connection_id": echo.rpartition("/")[2]}, 200)
    assert "400 Bad Request" in browser.page
    await _use_connectors(browser)
    await _receive(browser, secrets)
    await _look_at_identities(browser, secrets)
    await _use_routes(browser, secrets)
    for path in ("/connectors/none", f"/connectors/{uuid4()}", f"/connectors/{quote(secrets.form_key)}"):
        await browser.open(path, 404)
    await browser.open("/assets/style.css")


async def leave(browser: Browser) -> None:
    """Sign out."""
    await browser.open("/connectors")
    await browser.send("/sign-out", {})
    await browser.open("/webhooks", 303)


async def sign_in_by_link(browser: Browser, secrets: Canaries, link: str, set_up: str) -> None:
    """By a link: forged, unused, used; and by one that names a first workspace, where there is one already."""
    await browser.open(f"{link[:-4]}AAA=", 403)
    await browser.open(f"/sign-in/{quote(secrets.stray_token, safe='')}", 404)
    await browser.open("/set-up/uad_none", 403)
    await browser.open(set_up, 409)
    await browser.open(link)
    form = browser.page
    await browser.send(set_up, {"slug": secrets.form_key}, 409)
    browser.page = form
    await browser.send(link, {})
    browser.page = form
    await browser.send(link, {}, 403)
    await browser.open("/connectors")
    await _use_the_workspace(browser, secrets)


async def _look_at_a_failing_one(browser: Browser, secrets: Canaries, path: str) -> None:
    await browser.open(path)
    assert "The last sync failed" in browser.page
    await browser.open(f"{path}/progress?since=1")
    assert "event: end" in browser.page
    await browser.open(path)
    await browser.send(f"{path}/test", {}, 422)
    assert "The test failed" in browser.page
    for fields in (
        {"api_key": secrets.form_key},
        {"api_key": secrets.unsendable_key},
        {"no_such": secrets.form_key},
        {secrets.form_key: secrets.form_key},
        {"api_key": ""},
    ):
        await browser.send(f"{path}/credentials", fields, 422)
    await browser.send(
        f"{path}/settings", {"stream.customers": secrets.form_key}, 422
    )  # its key opens nothing
    await browser.open(path)
    for action in ("sync", "pause", "resume"):
        await browser.send(f"{path}/{action}", {})
    await browser.send(f"{path}/bury", {}, 409)  # nothing waits for that word
    await browser.send(f"{path}/pause", {"csrf": secrets.form_key}, 403)
    await browser.open(f"{path}/mappings", 303)
    await browser.open(f"{path}/mappings/{quote(secrets.form_key)}", 404)
    await browser.open(f"{path}/mappings/customers")
    await browser.send(f"{path}/mappings/customers/model", {}, 200)
    for fields in ({}, {"decision": "change", "changed": secrets.form_key}):
        await browser.send(f"{path}/mappings/customers", fields, 422)


async def _look_at_records(browser: Browser, secrets: Canaries) -> None:
    await browser.open("/records", 303)
    for name in ("customers", "invoices", "events", "records"):
        await browser.open(f"/records/{name}")
    await browser.open("/records/customers?email=nobody@example.com")
    await browser.open("/records/customers?connection=elsewhere", 404)
    await browser.open("/records/customers?connection=good")
    record = _RECORD.findall(browser.page)[0]
    await browser.open(f"{record}&expand=raw")
    await browser.open(f"/records/customers/good/{quote(secrets.form_key)}", 404)


async def _use_the_workspace(browser: Browser, secrets: Canaries) -> None:
    """What takes rights that only a link gives."""
    await browser.open("/members")
    await browser.send("/members", {"subject": "x" * 300, "role": secrets.form_key}, 422)
    await browser.send("/members", {"subject": "ada", "role": "viewer"})
    await browser.send("/members/change", {"subject": "ada", "role": secrets.form_key}, 422)
    await browser.send("/members/change", {"subject": "ada", "role": "remove"})
    await browser.send("/members/link", {"role": "viewer"}, 200)
    await browser.open("/tokens")
    await browser.send("/tokens", {"name": "", f"scope.{secrets.form_key}": "on"}, 422)
    await browser.send("/tokens", {"name": "canary", "scope.audit:read": "on", "days": "30"}, 200)
    await browser.open("/tokens")
    await browser.send(_TOKEN.findall(browser.page)[0], {})
    await browser.open("/audit?actor=nobody")
    await browser.open("/workspaces")
    await browser.send("/workspaces", {"workspace": secrets.form_key}, 404)
    await browser.open("/workspaces")
    await browser.send("/workspaces", {"workspace": "acme"})


async def _use_connectors(browser: Browser) -> None:
    market = "/connectors/marketplace"
    await browser.open(market)
    await browser.open(f"{market}/github")
    await browser.send(f"{market}/github/install", {})
    await browser.send(f"{market}/github/upgrade", {}, 409)  # it is that one already
    await browser.send(f"{market}/github/remove", {})
    await browser.open("/connectors/build")
    await browser.send("/connectors/build", {"source": "nonsense", "action": "save"}, 422)


async def _receive(browser: Browser, secrets: Canaries) -> None:
    new = "/connectors/receive"
    await browser.open(new)
    hook = {"name": "hooks", "verifier": "hmac", "secret": secrets.form_secret}
    await browser.send(new, {**hook, "options": "nonsense"}, 422)
    await browser.send(new, {**hook, "options": "algorithm=none"}, 422)
    await browser.send(new, hook, 200)
    place = _RECEIVE.findall(browser.page)[0]
    draft = {"stream": "customers", "source": "id: id"}
    await browser.send(place, {**draft, "action": "send", "body": '{"type": "made", "id": "c1"}'}, 200)
    await browser.send(place, {**draft, "action": "send", "body": "nonsense"}, 422)
    await browser.send(place, {**draft, "action": "pick", "records": secrets.form_key}, 422)
    await browser.send(place, {**draft, "action": "activate"}, 422)
    await browser.send(place, {**draft, "stream": secrets.form_key}, 404)
    await browser.open(place)


async def _look_at_identities(browser: Browser, secrets: Canaries) -> None:
    await browser.open("/identities?search=ann@acme.com")
    one = _IDENTITY.findall(browser.page)[0]
    await browser.open(f"/identities?cursor={quote(secrets.form_key)}", 404)
    await browser.open("/identities?least_records=many", 422)
    await browser.open(one)
    merge = {f"identity.{one.rpartition('/')[2]}": "on", "back": one.rpartition("/")[2]}
    await browser.send("/identities/merge", {**merge, "other": secrets.form_key}, 422)
    await browser.send(f"{one}/split", {f"record.{secrets.form_key}": "on"}, 422)
    records = _MEMBER.findall(browser.page)
    await browser.send(f"{one}/split", {records[0]: "on", "note": "sisters"})


async def _use_routes(browser: Browser, secrets: Canaries) -> None:
    await browser.open("/routes")
    route = _ROUTE.findall(browser.page)[0]
    await browser.open(route)
    await browser.send(f"{route}/preview", {}, 409)  # the target has no grant
    for action in ("run", "pause", "resume"):
        await browser.send(f"{route}/{action}", {})
    decision = {"side": "source", "record_id": "cus_1", "decision": f"link:{secrets.form_key}"}
    await browser.send(f"{route}/review/decide", {**decision, "record_id": "none"}, 409)
    await browser.send(f"{route}/review/decide", {**decision, "decision": "skip"})


async def _authorize(browser: Browser, secrets: Canaries, path: str) -> None:
    await browser.open(path)
    await browser.send(f"{path}/authorize", {"client_secret": secrets.form_secret}, 422)
    own = {"client_id": "client-fake", "client_secret": secrets.form_secret}
    await browser.send(f"{path}/authorize", own, 200)
    assert "Continue to HubSpot" in browser.page


async def _decide(browser: Browser, path: str) -> None:
    await browser.open(path)
    await browser.send(f"{path}/reject", {"version": "999"}, 412)
    await browser.send(f"{path}/reject", {"version": "1"})
    version = _VERSION.findall(browser.page)[0]
    await browser.send(f"{path}/approve", {"version": version})


async def _add_connections(browser: Browser, secrets: Canaries, echo_url: str, sandbox_url: str) -> None:
    refused = {
        "connector": "stripe",
        "name": "paged",
        "setting.base_url": echo_url,
        "setting.allow_private_hosts": "on",
        "setting.retry_count": "0",
        "secret.api_key": secrets.form_key,
    }
    good = {**refused, "setting.base_url": f"{sandbox_url}/stripe", "secret.api_key": secrets.stripe_key}
    await browser.open("/connectors/new")
    await browser.open("/connectors/new?connector=hubspot")
    await browser.open("/connectors/new?connector=stripe")
    for fields, status in (
        ({**refused, "name": CONTROL, "setting.retry_count": "many"}, 422),
        ({**refused, "name": "Not A Name", "setting.base_url": "nowhere"}, 422),
        (refused, 422),
        ({**refused, "secret.api_key": secrets.unsendable_key}, 422),
        ({**good, "name": "good"}, 409),
    ):
        await browser.send("/connectors/new", fields, status)
        assert 'type="password"' in browser.page, "the form is shown again"
    await browser.send("/connectors/new", good)
    await browser.open("/connectors/new?connector=stripe")
    await browser.send("/connectors/new", {**good, "connector": "none"}, 404)


async def _use_subscriptions(browser: Browser, secrets: Canaries) -> None:
    await browser.open("/subscriptions")
    new = {"name": "crm", "list": "customers", "url": "https://localhost:1/in", "secret": secrets.form_secret}
    for bad in ({"name": ""}, {"list": "none"}, {"url": "http://hooks.example.com"}, {"filters": "status"}):
        await browser.send("/subscriptions", {**new, **bad}, 422)
    await browser.send("/subscriptions", new, 200)
    assert "Copy this now" in browser.page
    await browser.open("/subscriptions")
    place = _SUBSCRIPTION.findall(browser.page)[0]
    await browser.send(f"{place}/test", {}, 409)
    await browser.send(f"{place}/change", {"url": "http://hooks.example.com", "filters": ""}, 422)
    await browser.send(f"{place}/change", {"url": new["url"], "filters": ""})
    await browser.send(f"{place}/roll", {}, 200)
    await browser.open("/subscriptions")
    for action in ("pause", "resume", "replay", "remove"):
        await browser.send(f"{place}/{action}", {})


async def _use_webhooks(browser: Browser, secrets: Canaries, connection: str) -> None:
    await browser.open("/webhooks")
    secret_form = _SECRET_FORM.findall(browser.page)[0]
    ((replay, letter),) = _LETTER.findall(browser.page)
    new = {"connection": connection.rpartition("/")[2], "secret": secrets.form_secret}
    await browser.send("/webhooks", {**new, "event_types": "x" * 300}, 422)
    assert 'type="password"' in browser.page, "the form is shown again"
    await browser.send(secret_form, {"secret": ""}, 422)
    await browser.send(secret_form, {"secret": secrets.form_secret})
    await browser.send(replay, {"id": letter})
    await browser.send(replay, {})
    await browser.send("/webhooks", new, 200)
    assert "Copy this now" in browser.page
    await browser.open("/webhooks")
    await browser.send(replay, {"id": secrets.form_secret}, 404)
    await browser.open("/webhooks")
    await browser.send("/webhooks", {**new, "connection": secrets.form_secret}, 404)
