"""The first page: how everything stands, in a few looks, however many connections there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.streams import key_of
from tests.unified.api.pages import seeds
from tests.unified.api.pages.conftest import DAGSTER_URL
from unified.api.pages import chart
from unified.store.connections import overview
from unified.store.connections.overview import Hour

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "<script>document.title='stolen'</script>"


async def test_what_needs_a_person_comes_first(site: Site) -> None:
    workspace = await site.workspace()
    async with site.forms(workspace) as browser:
        await browser.open("/")
        assert "Nothing is connected yet." in browser.page
    main, late, failing = [await site.connection(workspace, name) for name in ("main", "late", "failing")]
    await seeds.synced(site.db, main)
    await seeds.history(site.db, main)
    await seeds.failed_with(site.db, failing, f"the provider says {SCRIPT}")
    await seeds.reject(site.db, main, "cus_1", "no currency")
    await seeds.dead_letter(site.db, main, "evt_1", "no customer")
    async with site.db.workspace(workspace.id) as conn:
        await conn.execute(
            "UPDATE connector_configs SET last_sync_at = now() - interval '9 days' WHERE id = %s", (late.id,)
        )
        found = await overview.overview(conn)
        hours = await overview.hours(conn, datetime.now(UTC) - timedelta(hours=24))
    assert (found.connections, found.fresh, found.late, found.never_synced, found.in_trouble) == (
        3,
        1,
        1,
        1,
        1,
    )
    assert (found.rejects, found.dead_letters) == (1, 1)
    assert sum(hour.failed for hour in hours) == 1
    assert sum(hour.succeeded for hour in hours) == 18 * 3 - 1
    async with site.forms(workspace, "viewer") as browser:
        await browser.open("/")
        assert f"/connectors/{failing.id}" in browser.page
        assert f"/connectors/{main.id}" not in browser.page
        assert "98.1 % of them ended well" in browser.page
        assert f'href="{DAGSTER_URL}"' in browser.page
        assert 'href="/rejects"' not in browser.page
        assert browser.page.count("<rect") == 2 * len(hours)
    async with site.forms(await site.workspace()) as browser:
        await browser.open("/")
        assert "Nothing is connected yet." in browser.page


async def test_what_was_invoiced_is_drawn_and_written_for_those_who_may_read_records(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await site.workspace()
    main = await site.connection(workspace)
    now = datetime.now(UTC)
    euros = {"total": Decimal("1234567890123456.10"), "currency": "EUR", "status": "paid"}
    invoices = key_of(main, "invoices")
    await seeds.record(site.db, invoices, "in_1", "in_2", **euros, issue_date=now)
    await seeds.record(site.db, invoices, "in_3", **euros, issue_date=now - timedelta(days=400))
    async with site.db.workspace(workspace.id) as conn:
        await conn.execute(
            """
            INSERT INTO kept_sums (workspace_id, connector_config_id, stream, month, currency, invoices, total)
            SELECT workspace_id, connector_config_id, stream, month, %s, 1, -5 FROM kept_sums
            WHERE month > now() - interval '100 days'
            """,
            (SCRIPT,),
        )
    async with site.forms(workspace) as browser:
        await browser.open("/")
        assert browser.page.count('<td class="number">2,469,135,780,246,912.20</td>') == 1
        assert browser.page.count(f'<th scope="row" class="nowrap">{now:%Y-%m}') == 2
        assert browser.page.count("<rect") == 2
        monkeypatch.setattr("unified.api.pages.workspace.overview._CURRENCIES_SHOWN", 1)
        await browser.open("/")
        assert "In 1 more currency<" in browser.page
    async with site.forms(workspace, "viewer") as browser:
        await browser.open("/")
        assert "Invoiced" not in browser.page


async def test_hours_that_were_cut_off_are_left_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = await site.workspace()
    await seeds.history(site.db, await site.connection(workspace))
    monkeypatch.setattr(overview, "MOST_PULLS", 8)
    async with site.db.workspace(workspace.id) as conn:
        hours = await overview.hours(conn, datetime.now(UTC) - timedelta(hours=24))
    assert [hour.succeeded + hour.failed for hour in hours] == [3, 3]


async def test_bars_stand_at_their_hour() -> None:
    since = datetime(2026, 11, 1, tzinfo=UTC)
    hours = [Hour(since, 3, 0, 9), Hour(since + timedelta(hours=23), 1, 1, 99), Hour(since, 0, 2, 0)]
    changed, success = chart.changed(hours, since), chart.success(hours, since)
    step = chart.WIDTH / chart.HOURS
    assert [bar.x for bar in changed] == [0, round(23 * step, 1), 0]
    assert changed[1].height == chart.HEIGHT
    assert [bar.outcome for bar in success] == ["good", "partial", "failed"]
    assert success[0].height == chart.HEIGHT
    assert "1 of 2 pulls ended well" in success[1].text
