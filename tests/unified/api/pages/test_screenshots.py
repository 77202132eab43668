"""The screenshots in `docs/images`, drawn anew with ``UNIFIED_SCREENSHOTS=1``, and only then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.api.pages import seeds
from tests.unified.api.pages.conftest import PROVIDER
from unified.kit.factory import AdapterFactory
from unified.store.secrets.credentials import CredentialStore
from unified.store.workspaces import workspaces
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.connection import sync_connection

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site

FOLDER = Path(__file__).parents[4] / "docs" / "images"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        "UNIFIED_SCREENSHOTS" not in os.environ, reason="draws only when UNIFIED_SCREENSHOTS=1"
    ),
]


async def test_draw(site: Site) -> None:
    workspace = await workspaces.create(site.db, "acme", "Acme")
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
    crm = await site.registry.add_connection(workspace.id, "hubspot", "crm")
    await seeds.failed_with(
        site.db, crm, "hubspot connection acme/crm: HTTP 401: the token was revoked; store a new one"
    )
    await site.registry.add_connection(workspace.id, "stripe", "old-shop", is_active=False)
    shots: list[tuple[str, str, dict[str, Any]]] = [
        ("connections", "/connectors", {}),
        ("connection", f"/connectors/{main.id}", {}),
        ("connection-dark", f"/connectors/{main.id}", {"color_scheme": "dark"}),
        ("connections-phone", "/connectors", {"viewport": {"width": 375, "height": 780}}),
        ("new-connection", "/connectors/new?connector=stripe", {}),
        ("webhooks", "/webhooks", {}),
        ("subscriptions", "/subscriptions", {}),
    ]
    token = await site.token(workspace)
    for name, path, options in shots:
        usual = {"viewport": {"width": 1080, "height": 720}}
        async with site.visit(token, **{**usual, **options}) as page:
            await page.goto(path)
            await page.screenshot(path=FOLDER / f"{name}.png", full_page="phone" not in name)
