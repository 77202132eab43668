"""A real browser, before the whole application on a real port, a real database and the stand-in for Stripe.

Playwright starts Debian's chromium where there is one, and else its own; `.ci/run` sees to it that there is one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from cryptography.fernet import Fernet
from playwright.async_api import Error, async_playwright, expect

from tests.canary_pages import Browser
from tests.conftest import add_generic_webhook, migrated_database
from tests.waiting import LIMIT_SECONDS
from unified.api.pages.session import Session, Sessions
from unified.api.server import listen, webhook_server
from unified.api.settings import ManagementSettings, Settings
from unified.kit.declarations import CredentialKind
from unified.kit.secrets import Secret
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.workspaces import tokens, workspaces
from unified.store.workspaces.permissions import PERMISSIONS, SCOPES, Role
from unified.store.workspaces.tokens import TokenLookup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from playwright.async_api import Browser as Started
    from playwright.async_api import ConsoleMessage, Page

    from unified.store.connections.rows import Connection
    from unified.store.workspaces.rows import Workspace

PROVIDER = LocalKeyProvider([Fernet.generate_key().decode()])
STRIPE_KEY, HUBSPOT_TOKEN = "sk_test_fake_acme", "pat-fake-acme"
DAGSTER_URL = "https://dagster.example.com"

_numbers = count()
expect.set_options(timeout=LIMIT_SECONDS * 1000)


@dataclass
class Site:
    """The running application."""

    db: Database
    url: str
    sandbox: SandboxServer
    browser: Chromium
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        self.registry = Registry(self.db)

    async def workspace(self, **settings: Any) -> Workspace:
        return await workspaces.create(self.db, f"acme-{next(_numbers)}", **settings)

    async def token(self, workspace: Workspace, role: Role = "owner", *, by_link: bool = False) -> str:
        """What somebody pastes, or what is behind a link that signs in."""
        scopes = sorted(PERMISSIONS[role] if by_link else PERMISSIONS[role] & SCOPES)
        _, token = await tokens.create(self.db, workspace.id, "browser", scopes, actor="tests")
        return token.reveal()

    async def scoped(self, workspace: Workspace, scopes: list[str]) -> str:
        """A token with some permissions."""
        _, token = await tokens.create(self.db, workspace.id, "some", scopes, actor="tests")
        return token.reveal()

    def stripe_settings(self) -> dict[str, Any]:
        base_url = f"{self.sandbox.url}/stripe"
        return {"base_url": base_url, "allow_private_hosts": True, "retry_count": 0}

    async def connection(self, workspace: Workspace, name: str = "main") -> Connection:
        """A connection to the stand-in, with its key."""
        added = await self.registry.add_connection(workspace.id, "stripe", name, self.stripe_settings())
        key = {"api_key": Secret(STRIPE_KEY)}
        await CredentialStore(self.db, PROVIDER).put(workspace.id, added.id, CredentialKind.API_KEY, key)
        return added

    async def hubspot(self, workspace: Workspace, name: str) -> Connection:
        """A connection to the stand-in of HubSpot, with a token that it takes."""
        settings = {**self.stripe_settings(), "base_url": f"{self.sandbox.url}/hubspot"}
        added = await self.registry.add_connection(workspace.id, "hubspot", name, settings)
        token = {"access_token": Secret(HUBSPOT_TOKEN)}
        await CredentialStore(self.db, PROVIDER).put(
            workspace.id, added.id, CredentialKind.BEARER_TOKEN, token
        )
        return added

    @asynccontextmanager
    async def visit(
        self, token: str | None = None, *, reach: str | None = None, **options: Any
    ) -> AsyncIterator[Page]:
        """A page of its own; signed in, where a token is given. No page may break its own policy."""
        complaints: list[str] = []

        def note(message: ConsoleMessage) -> None:
            if _is_policy(message.text):
                complaints.append(message.text)

        async with self.browser.page(self.url, **options) as page:
            page.on("console", note)
            if token is not None:
                cookie = {
                    "name": "unified_session",
                    "value": await self._sealed(token, reach),
                    "url": self.url,
                }
                await page.context.add_cookies([{**cookie, "httpOnly": True, "sameSite": "Strict"}])
                await page.goto("/connectors")
            yield page
            page.remove_listener("console", note)
        assert not complaints

    @asynccontextmanager
    async def without_browser(self, token: str) -> AsyncIterator[httpx.AsyncClient]:
        """What sends a signed-in browser's requests, for a page that is not looked at."""
        cookies = {"unified_session": await self._sealed(token)}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=self.url, cookies=cookies, timeout=LIMIT_SECONDS, limits=limits
        ) as client:
            yield client

    @asynccontextmanager
    async def forms(
        self, workspace: Workspace, role: Role = "owner", *, by_link: bool = False
    ) -> AsyncIterator[Browser]:
        """Pages and their forms, by HTTP alone, for somebody who is signed in. No page may hold a script."""
        token = await self.token(workspace, role, by_link=by_link)
        async with self.without_browser(token) as client:
            client.event_hooks["response"] = [_without_script]
            yield Browser(client)

    async def _sealed(self, token: str, reach: str | None = None) -> str:
        known = await TokenLookup(self.db).find(token)
        assert known is not None
        assert known.workspace_id is not None
        session = Session.begin(known.workspace_id, Secret(token), reach)
        return await Sessions(self.db, PROVIDER).seal(session, "session")


async def _without_script(answer: httpx.Response) -> None:
    await answer.aread()
    assert "<script" not in answer.text


def _is_policy(text: str) -> bool:
    return "Content Security Policy" in text or "Refused to" in text


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    stripe = StripeSandbox(customers=12, invoices=8, limits=None)
    hubspot = HubSpotSandbox(contacts=5, companies=2, invoices=2, limits=None)
    with SandboxServer(stripe=stripe, hubspot=hubspot) as server:
        yield server


class Chromium:
    """A browser that starts with the first test that opens a page in it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._started: Started | None = None
        self._idle: dict[str, list[Page]] = {}

    @asynccontextmanager
    async def page(self, url: str, **options: Any) -> AsyncIterator[Page]:
        """An empty page without cookies, for paths below a URL.

        A new one takes half a second of processor time. So one without options is lent again once its test has
        passed, without what that left: cookies, further pages, another size.
        """
        idle = [] if options else self._idle.setdefault(url, [])
        if idle:
            page = idle.pop()
        else:
            context = await (await self.started()).new_context(base_url=url, **options)
            context.set_default_timeout(LIMIT_SECONDS * 1000)
            page = await context.new_page()
        size = page.viewport_size
        yield page
        if options:
            await page.context.close()
            return
        for other in page.context.pages:
            if other is not page:
                await other.close()
        await page.goto("about:blank")
        await page.context.clear_cookies()
        if size and page.viewport_size != size:
            await page.set_viewport_size(size)
        idle.append(page)

    async def started(self) -> Started:
        if self._started is None:
            playwright = await self._stack.enter_async_context(async_playwright())
            own = (
                shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
            )
            # Pages are drawn without a graphics card that would be emulated. As root, chromium has no sandbox of its
            # own to offer.
            arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
            try:
                self._started = await playwright.chromium.launch(executable_path=own, args=arguments)
            except Error as error:
                if own or os.environ.get("UNIFIED_BROWSER_REQUIRED"):
                    raise
                pytest.skip(
                    f"there is no browser here; .ci/run installs one: {error.message.splitlines()[0]}"
                )
            self._stack.push_async_callback(self._started.close)
        return self._started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Chromium]:
    """One for all files that a process is given: each start takes two seconds of processor time."""
    async with AsyncExitStack() as stack:
        yield Chromium(stack)


@pytest.fixture(scope="module")
def also_open() -> frozenset[str]:
    """Further hosts that the installation opens; a module that has such says which."""
    return frozenset()


@pytest.fixture(scope="module")
def with_webhooks() -> bool:
    """Whether the database knows the generic webhook; a module that needs it says so."""
    return False


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(
    server_url: str,
    template: str,
    sandbox: SandboxServer,
    browser: Chromium,
    also_open: frozenset[str],
    with_webhooks: bool,
) -> AsyncIterator[Site]:
    open_hosts = frozenset({sandbox.url.removeprefix("http://")}) | also_open
    management = ManagementSettings(open_hosts=open_hosts, dagster_url=DAGSTER_URL, rate=10_000, burst=10_000)
    with migrated_database(server_url, template) as url, listen("127.0.0.1", 0) as listener:
        if with_webhooks:
            add_generic_webhook(url)
        async with Database.open(url) as db:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            server = webhook_server(db, PROVIDER, Settings(public_url=address, management=management))
            running = asyncio.create_task(server.serve(sockets=[listener]))
            yield Site(db, address, sandbox, browser)
            server.should_exit = True
            await running


@pytest_asyncio.fixture(loop_scope="session")
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """What sends requests that no browser would."""
    async with httpx.AsyncClient(base_url=site.url, timeout=LIMIT_SECONDS) as opened:
        yield opened
