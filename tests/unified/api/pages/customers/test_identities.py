"""The pages of identities: searched, looked at with the evidence, merged and split; nothing of another workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.unified.sync.identities.tenant import Tenant

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site
    from unified.store.workspaces.rows import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "<script>document.title='stolen'</script>"


async def customers(site: Site, workspace: Workspace) -> Tenant:
    connections = [
        await site.registry.add_connection(workspace.id, connector, connector)
        for connector in ("stripe", "hubspot")
    ]
    found = Tenant(site.db, connections)
    await found.add("stripe", "1", email="ann@acme.com", name=f"Ann {SCRIPT}", company=SCRIPT, phone=SCRIPT)
    await found.add("hubspot", SCRIPT, email="ann@acme.com", name="Ann Smith", tax_number=SCRIPT)
    await found.add("hubspot", "2", email="ben@acme.com", name="Ben")
    await found.resolve()
    return found


async def test_a_person_searches_looks_and_decides(site: Site) -> None:
    workspace = await site.workspace()
    tenant = await customers(site, workspace)
    ann, ben = [await tenant.identity(record) for record in (("stripe", "1"), ("hubspot", "2"))]
    other = tenant.id(("hubspot", SCRIPT))
    async with site.forms(workspace, "member") as browser:
        await browser.open("/identities")
        assert all(str(one) in browser.page for one in (ann, ben))
        await browser.open("/identities?search=&least_records=2", 303)
        await browser.open("/identities?least_records=2")
        assert (str(ann) in browser.page, str(ben) in browser.page) == (True, False)
        await browser.open("/identities?search=ben@")
        assert (str(ann) in browser.page, str(ben) in browser.page) == (False, True)
        await browser.open("/identities?least_records=many", 422)
        await browser.open(f"/identities/{ann}?why={other}")
        assert "It is one customer with the first record." in browser.page
        assert "ann@acme.com" in browser.page.partition('id="why"')[2]
        await browser.open(f"/identities/{ann}?why={uuid4()}", 404)
        assert "is not resolved" in browser.page

        await browser.open(f"/identities/{ann}")
        await browser.send(f"/identities/{ann}/split", {}, 422)
        assert "Tick the records" in browser.page
        await browser.send(f"/identities/{ann}/split", {f"record.{other}": "on", "note": SCRIPT})
        assert "another customer now" in browser.page
        assert await tenant.identity(("hubspot", SCRIPT)) != await tenant.identity(("stripe", "1"))
        ann = await tenant.identity(("stripe", "1"))
        await browser.send("/identities/merge", {f"identity.{ann}": "on", "back": str(ann)}, 422)
        assert "two to twenty" in browser.page
        await browser.send("/identities/merge", {f"identity.{ann}": "on", f"identity.{ben}": "on"})
        assert "one customer now" in browser.page
        assert await tenant.identity(("hubspot", "2")) == await tenant.identity(("stripe", "1"))
        named = {f"identity.{ann}": "on", "other": str(ann), "back": str(ann)}
        await browser.send("/identities/merge", named, 409)
        await browser.send("/identities/merge", {**named, "other": str(uuid4())}, 404)
        await browser.send("/identities/merge", {f"identity.{ann}": "on", "other": "<b>"}, 422)


async def test_it_takes_permissions_and_stays_in_its_workspace(site: Site) -> None:
    theirs = await customers(site, await site.workspace())
    ann = await theirs.identity(("stripe", "1"))
    ours = await site.workspace()
    async with site.forms(ours) as browser:
        await browser.open("/identities")
        assert "There are none yet" in browser.page
        await browser.open(f"/identities/{ann}", 404)
        await browser.send(f"/identities/{ann}/split", {f"record.{theirs.id(('stripe', '1'))}": "on"}, 404)
        await browser.send("/identities/merge", {f"identity.{ann}": "on", "other": str(uuid4())}, 404)
    async with site.forms(ours, "viewer") as browser:
        for path in ("/identities", f"/identities/{ann}"):
            await browser.open(path, 403)
        await browser.open("/connectors")
        assert "/identities" not in browser.page
        await browser.send("/identities/merge", {}, 403)
    assert len(await theirs.partition()) == 2
