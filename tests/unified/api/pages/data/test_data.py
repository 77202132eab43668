"""What is stored and what was set aside, over all connections, by HTTP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.streams import key_of
from tests.unified.api.pages import seeds
from unified.store.inbox import dead_letters
from unified.store.records.counts import kept

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "<script>document.title='stolen'</script>"


async def test_rejects_of_all_connections_are_counted_and_filtered(site: Site) -> None:
    workspace = await site.workspace()
    main, other = [await site.connection(workspace, name) for name in ("main", "other")]
    for number in range(51):
        await seeds.reject(site.db, main, f"cus_{number:02}", f"email {SCRIPT}")
    await seeds.reject(site.db, other, SCRIPT, "no currency")
    async with site.forms(workspace) as browser:
        await browser.open("/rejects")
        assert ("main customers" in browser.page, "51, last" in browser.page) == (True, True)
        (following,) = re.findall(r'href="(/rejects\?cursor=[^"]+)"', browser.page)
        first = set(re.findall("cus_[0-9]{2}", browser.page))
        await browser.open(following)
        assert len(first | set(re.findall("cus_[0-9]{2}", browser.page))) == 51
        await browser.open("/rejects?connection=other&stream=customers")
        assert ("no currency" in browser.page, "cus_" in browser.page) == (True, False)
        await browser.open("/rejects?stream=nothing")
        assert "There are none like that." in browser.page
        await browser.open("/rejects?connection=nowhere", 404)


async def test_dead_letters_of_all_connections_are_replayed(site: Site) -> None:
    workspace = await site.workspace()
    main, other = [await site.connection(workspace, name) for name in ("main", "other")]
    for connection, key in ((main, "evt_1"), (main, "evt_2"), (other, SCRIPT)):
        await seeds.dead_letter(site.db, connection, key, f"no such customer {SCRIPT}")
    async with site.forms(workspace, "member") as browser:
        await browser.open("/dead-letters")
        assert "Replay all of main" in browser.page
        await browser.open("/dead-letters?connection=other&state=dead")
        assert ("evt_1" in browser.page, "document.title" in browser.page) == (False, True)
        await browser.send(f"/dead-letters/{main.id}/replay", {"id": "x"}, 404)
        await browser.open("/dead-letters?connection=main")
        (letter, *_) = re.findall('name="id" value="([^"]+)"', browser.page)
        await browser.send(f"/dead-letters/{main.id}/replay", {"id": letter})
        assert await dead_letters.counts(site.db, main) == {"waiting": 1, "dead": 1}
        await browser.send(f"/dead-letters/{main.id}/replay", {})
        assert await dead_letters.counts(site.db, main) == {"waiting": 2}
        await browser.open("/dead-letters?state=dead")
        assert "evt_" not in browser.page.partition('id="letters"')[2]


async def test_tables_show_what_syncs_have_counted(site: Site) -> None:
    workspace = await site.workspace()
    for name, count in (("main", 3), ("other", 2)):
        key = key_of(await site.connection(workspace, name), "customers")
        await seeds.record(site.db, key, *(f"cus_{number}" for number in range(count)))
        async with site.db.workspace(workspace.id) as conn:
            await kept.live_records(conn, key)
    async with site.forms(workspace, "viewer") as browser:
        await browser.open("/tables")
        row = re.sub(
            "<[^>]+>|\\s+", " ", browser.page.partition("unified_customers")[2].partition("</tr>")[0]
        )
        assert re.search(r"Records\s+5\s+Connections\s+2\s", row), row
        await browser.open("/rejects", 403)
        await browser.open("/dead-letters", 403)
    async with site.forms(await site.workspace()) as browser:
        await browser.open("/tables")
        assert "Nothing was counted yet" in browser.page


async def test_raw_records_are_stored_in_the_form_that_is_chosen(site: Site) -> None:
    workspace = await site.workspace()
    async with site.forms(workspace, "member") as browser:
        await browser.open("/tables")
        assert ("stored as JSON" in browser.page, "Store them" in browser.page) == (True, False)
        await browser.send("/tables", {"raw": "compressed"}, 403)
    async with site.forms(workspace, "admin") as browser:
        await browser.open("/tables")
        await browser.send("/tables", {"raw": "zip"}, 422)
        await browser.send("/tables", {"raw": "compressed"})
        assert "stored compressed" in browser.page
        assert f"unified raw expand {workspace.slug}" in browser.page
        connection = await site.connection(workspace, "main")
        await seeds.record(site.db, key_of(connection, "customers"), "cus_1", raw=b'{"only": "in raw"}')
        async with site.db.workspace(workspace.id) as conn:
            rows = await conn.execute("SELECT raw_data FROM unified_customers")
            assert await rows.fetchall() == [(None,)]
        await browser.open("/records/customers/main/cus_1?expand=raw")
        assert "in raw" in browser.page
        await browser.open("/tables")
        await browser.send("/tables", {"raw": "json"})
        assert "stored as JSON" in browser.page


async def test_they_stay_in_their_workspace(site: Site) -> None:
    theirs = await site.connection(await site.workspace(), "theirs")
    await seeds.reject(site.db, theirs, "cus_theirs", "personal")
    await seeds.dead_letter(site.db, theirs, "evt_theirs", "personal")
    async with site.forms(await site.workspace()) as browser:
        for path in ("/rejects", "/dead-letters"):
            await browser.open(path)
            assert "theirs" not in browser.page
            await browser.open(f"{path}?connection={theirs.id}", 404)
        await browser.open("/rejects")
        await browser.send(f"/dead-letters/{theirs.id}/replay", {}, 404)
        await browser.send(f"/connectors/{theirs.id}/remove", {"name": "theirs"}, 404)


async def test_a_connection_is_removed_once_its_name_is_typed(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    here = f"/connectors/{connection.id}"
    async with site.forms(workspace, "viewer") as browser:
        await browser.open(here)
        await browser.send(f"{here}/remove", {"name": "main"}, 403)
    async with site.forms(workspace, "member") as browser:
        await browser.open(here)
        await browser.send(f"{here}/remove", {"name": "Main"}, 422)
        assert await site.registry.connections(workspace.id)
        await browser.send(f"{here}/remove", {"name": "main"})
        assert "The connection was removed" in browser.page
    assert not await site.registry.connections(workspace.id)


async def test_endpoints_of_many_connections_are_found_and_added_by_name(site: Site) -> None:
    workspace = await site.workspace()
    other = await site.connection(workspace, "other")
    async with site.db.workspace(workspace.id) as conn:
        await conn.execute(
            """
            INSERT INTO connector_configs (workspace_id, connector, name, settings)
            SELECT %s, 'stripe', 'c' || n, '{}' FROM generate_series(1, 250) AS n
            """,
            (workspace.id,),
        )
        await conn.execute(
            """
            INSERT INTO webhook_configs (workspace_id, connector_config_id, endpoint_path, verifier)
            SELECT workspace_id, id, 'path-of-' || id, 'stripe' FROM connector_configs WHERE name LIKE 'c%'
            """
        )
    async with site.forms(workspace) as browser:
        await browser.open("/webhooks")
        assert browser.page.count("<option") == 200
        listed = set(re.findall(r">(c\d+)</a>", browser.page))
        assert len(listed) == 50
        (following,) = re.findall(r'href="(/webhooks\?after=[^"]+)"', browser.page)
        await browser.open(following)
        assert len(listed | set(re.findall(r">(c\d+)</a>", browser.page))) == 100
        await browser.open("/webhooks?connection=c250")
        assert set(re.findall(r">(c\d+)</a>", browser.page)) == {"c250"}
        await browser.send("/webhooks", {"connection": SCRIPT}, 404)
        assert ("no connection of that name" in browser.page, "stolen" in browser.page) == (True, False)
        await browser.send("/webhooks", {"connection": "other"}, 200)
        assert "Copy this now" in browser.page
        await browser.open("/webhooks?connection=other")
        assert f"/connectors/{other.id}" in browser.page
        await browser.open("/webhooks?connection=nowhere", 404)
        assert "no connection of that name" in browser.page
