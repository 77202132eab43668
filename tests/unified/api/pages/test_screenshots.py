"""The screenshots in `docs/images`: there is one of each page, on a desk and on a phone, light and dark.

They are drawn anew with ``UNIFIED_SCREENSHOTS=1``, and only then.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.streams import key_of
from tests.unified.api.pages import seeds
from tests.unified.api.pages.conftest import PROVIDER
from unified.api.pages.session import INSTALLATION
from unified.kit.factory import AdapterFactory
from unified.store.records.counts import kept
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.workspaces import members, tokens, workspaces
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.connection import sync_connection

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.unified.api.pages.conftest import Site
    from unified.store.connections.rows import Connection
    from unified.store.workspaces.rows import Workspace

FOLDER = Path(__file__).parents[4] / "docs" / "images"
SCHEMES = ("light", "dark")
DESK, PHONE = (1080, 900), (390, 900)
# What a picture shows of a page: its beginning, smaller than it is.
LONGEST, SCALE, GAP = 1_500, 0.62, 12

Step = Callable[["Page"], Awaitable[None]]


@pytest.fixture(scope="module")
def with_webhooks() -> bool:
    return True


def test_each_page_has_a_picture_that_is_shown() -> None:
    templates = files("unified.api.pages").joinpath("templates").iterdir()
    pages = {
        one.name.removesuffix(".html").replace("_", "-")
        for one in templates
        if 'extends "base.html"' in one.read_text(encoding="utf-8")
    }
    pages.remove("leave")  # a browser goes on at once
    assert {one.stem for one in FOLDER.joinpath("pages").iterdir()} == pages
    shown = FOLDER.parent.joinpath("pages.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(images/pages/([a-z-]+)\.webp\)", shown)) == pages


@pytest.mark.skipif("UNIFIED_SCREENSHOTS" not in os.environ, reason="draws only when UNIFIED_SCREENSHOTS=1")
@pytest.mark.asyncio(loop_scope="session")
async def test_draw(site: Site) -> None:
    _, first = await tokens.create(site.db, None, "first", ["workspaces:create"], actor="tests")
    await draw(site, {"set-up": at(f"/set-up/{first.reveal()}")})
    workspace = await workspaces.create(site.db, "acme", "Acme")
    main = await furnished(site, workspace)
    route = await seeds.route(site.db, main, await site.hubspot(workspace, "leads"), "Ann Smith")
    hook = await seeds.hook(site.db, workspace, "shop")
    ann, ben = await seeds.identity(site.db, main)
    await workspaces.create(site.db, "globex", "Globex")
    numbers = count()
    paths = {
        "overview": "/",
        "connections": "/connectors",
        "connection": f"/connectors/{main.id}",
        "settings": f"/connectors/{main.id}/settings",
        "mappings": f"/connectors/{main.id}/mappings/customers",
        "choose": "/connectors/new",
        "new": "/connectors/new?connector=stripe",
        "marketplace": "/connectors/marketplace",
        "connector": "/connectors/marketplace/github",
        "build": "/connectors/build",
        "receive-new": "/connectors/receive",
        "receive": f"/connectors/{hook.id}/receive",
        "records": "/records/customers",
        "record": "/records/customers/main/cus_ann_2?stream=customers",
        "tables": "/tables",
        "rejects": "/rejects",
        "dead-letters": "/dead-letters",
        "identities": "/identities",
        "identity": f"/identities/{ann}?why={ben}",
        "routes": "/routes",
        "route": f"/routes/{route.id}",
        "webhooks": "/webhooks",
        "subscriptions": "/subscriptions",
        "members": "/members",
        "tokens": "/tokens",
        "audit": "/audit",
        "try": "/try?operation=GET%20/api/customers",
        "workspaces": "/workspaces",
        "sign-in": "/sign-in",
        "error": "/nowhere",
    }

    async def linked(page: Page) -> None:
        await sent("/members", "Make a link")(page)
        await page.goto(await page.inner_text(".copy code"))

    # What forms lead to comes after all pages, which show what was made.
    made = {
        "link-made": sent("/members", "Make a link"),
        "sign-in-link": linked,
        "token-made": sent("/tokens", "Make it", name="warehouse", **{"scope.records:read": True}),
        "webhook-made": sent("/webhooks", "Add endpoint", connection="main"),
        "subscription-made": sent(
            "/subscriptions",
            "Add subscription",
            name=lambda: f"app-{next(numbers)}",
            url="https://app.example.com/hooks",
        ),
    }
    token = await site.token(workspace, by_link=True)
    await draw(site, {name: at(path) for name, path in paths.items()}, token)
    await draw(site, made, token)


def at(path: str) -> Step:
    """Goes to a page."""

    async def step(page: Page) -> None:
        await page.goto(path)

    return step


def sent(path: str, button: str, **fields: str | bool | Callable[[], str]) -> Step:
    """Fills in a form of a page, a tick where a field is true, and sends it."""

    async def step(page: Page) -> None:
        await page.goto(path)
        await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        pressed = page.get_by_role("button", name=button, exact=True)
        form = page.locator("main form", has=pressed).first
        for name, value in fields.items():
            field = form.locator(f"[name='{name}']")
            if value is True:
                await field.check()
            else:
                await field.fill(value() if callable(value) else str(value))
        async with page.expect_navigation():
            await form.get_by_role("button", name=button, exact=True).click()

    return step


async def draw(site: Site, steps: dict[str, Step], token: str | None = None) -> None:
    """Draw where steps lead: on a desk and on a phone, light and dark."""
    shots: dict[str, list[Image.Image]] = {name: [] for name in steps}
    for size in (DESK, PHONE):
        for scheme in SCHEMES:
            viewport = {"width": size[0], "height": size[1]}
            options: dict[str, Any] = {"viewport": viewport, "color_scheme": scheme}
            async with site.visit(token, reach=INSTALLATION, **options) as page:
                for name, step in steps.items():
                    await step(page)
                    taken = Image.open(io.BytesIO(await page.screenshot(full_page=True)))
                    shots[name].append(taken.crop((0, 0, size[0], min(taken.height, LONGEST))))
    for name, taken_of_page in shots.items():
        beside(taken_of_page).save(FOLDER / "pages" / f"{name}.webp", quality=55, method=6)


async def furnished(site: Site, workspace: Workspace) -> Connection:
    """A workspace in which something happened; its first connection."""
    main = await site.connection(workspace)
    connections = AuthorizedConnections(site.db, CredentialStore(site.db, PROVIDER), actor="tests")
    await sync_connection(site.db, AdapterFactory(connections), main)
    await seeds.history(site.db, main)
    await seeds.synced(site.db, main)
    await seeds.reject(site.db, main, "cus_00000000000042", "currency: 'xx' is no ISO 4217 code")
    await seeds.dead_letter(
        site.db, main, "evt_00000000000007", "the customer cus_00000000000042 could not be read: HTTP 503"
    )
    await seeds.subscription(site.db, PROVIDER, workspace, "warehouse", "https://warehouse.example.com/hooks")
    async with site.db.workspace(workspace.id) as conn:
        for stream in ("customers", "invoices", "events"):
            await kept.live_records(conn, key_of(main, stream))
    crm = await site.registry.add_connection(workspace.id, "hubspot", "crm")
    await seeds.failed_with(
        site.db, crm, "hubspot connection acme/crm: HTTP 401: the token was revoked; store a new one"
    )
    await site.registry.add_connection(workspace.id, "stripe", "old-shop", is_active=False)
    await members.add(site.db, workspace.id, "ada@acme.example", "admin", actor="tests")
    return main


def beside(shots: list[Image.Image]) -> Image.Image:
    """Pictures side by side, smaller."""
    small = [
        one.convert("RGB").resize((int(one.width * SCALE), int(one.height * SCALE)), Image.Resampling.LANCZOS)
        for one in shots
    ]
    width = sum(one.width for one in small) + GAP * (len(small) - 1)
    whole = Image.new("RGB", (width, max(one.height for one in small)), (128, 128, 128))
    left = 0
    for one in small:
        whole.paste(one, (left, 0))
        left += one.width + GAP
    return whole
