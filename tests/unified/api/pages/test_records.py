"""The pages of records: found, paged through, looked at one by one, and never taken for markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from playwright.async_api import expect
from pydantic import ValidationError

from tests.streams import key_of
from tests.unified.api.management.records.shelf import ODD, STREAMS, record
from tests.unified.api.pages import seeds
from tests.unified.sync.identities.tenant import Tenant as Customers
from unified.schema import UnifiedLineItem
from unified.schema.entities import CUSTOMERS, ENTITIES, INVOICES, Entity
from unified.store.records.tables import StreamKey, column_type
from unified.store.workspaces import tokens

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site
    from unified.store.connections.rows import Connection

pytestmark = pytest.mark.asyncio(loop_scope="session")


def key(connection: Connection, entity: Entity) -> StreamKey:
    return StreamKey(connection.workspace_id, connection.id, connection.connector, entity, STREAMS[entity])


def odd_fields(of: StreamKey) -> dict[str, Any]:
    """Markup in each field whose model takes it, with the field's name behind it."""
    found: dict[str, Any] = {"custom_fields": {f"{ODD}key": f"{ODD}value"}}
    if of.entity is INVOICES:
        found["line_items"] = (UnifiedLineItem(description=f"{ODD}line"),)
    for name, info in of.entity.model.model_fields.items():
        if name in ("source_id", "source_system") or column_type(info.annotation) != "text":
            continue
        try:
            record(of, "1", **{name: f"{ODD}{name}"})
        except ValidationError:
            continue
        found[name] = f"{ODD}{name}"
    return found


async def test_records_are_found_and_paged_through(site: Site) -> None:
    workspace = await site.workspace()
    connection, other = await site.connection(workspace), await site.connection(workspace, "other")
    customers = key_of(connection, "customers")
    await seeds.record(site.db, customers, "cus_1", "cus_2")
    await seeds.record(site.db, customers, "cus_3", email="Ann@globex.test", name="Ann")
    await seeds.record(site.db, key_of(other, "customers"), "cus_9")
    async with site.visit(await site.token(workspace, "member")) as page:
        await page.get_by_role("link", name="Records").click()
        await expect(page.get_by_role("row")).to_have_count(5)
        await page.get_by_label("Connection").fill("main")
        await page.get_by_label("Email").fill(" ann@GLOBEX.test")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_role("row")).to_have_count(2)
        await expect(page.get_by_role("row", name=re.compile("cus_3"))).to_contain_text("Ann@globex.test")
        assert page.url.endswith("?connection=main&email=ann%40GLOBEX.test")

        await page.goto("/records/customers?connection=main&limit=2")
        await page.get_by_role("link", name="Next page").click()
        await expect(page.get_by_role("rowheader")).to_have_text(re.compile("cus_3"))
        await expect(page.get_by_role("link", name="Next page")).to_have_count(0)
        moved = page.url.replace("main", "other")
        await page.get_by_role("link", name="First page").click()
        await expect(page.get_by_role("row")).to_have_count(3)
        await page.get_by_role("link", name="Invoices").click()
        await expect(page.get_by_text("There are none yet")).to_be_visible()
        for address, reason in (
            (moved, "not one that a page of this list and query gave"),
            ("/records/customers?connection=elsewhere", "no connection"),
            ("/records/customers?nothing=1", "not known"),
        ):
            await page.goto(address)
            await expect(page.get_by_role("alert")).to_contain_text(reason)


async def test_a_customer_with_what_belongs_to_it(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    raw = b'{"id": "a/b?", "amount": 1.10, "odd": "<b>"}'
    await seeds.record(site.db, key_of(connection, "customers"), "a/b?", raw=raw, name="Ann")
    await seeds.record(site.db, key_of(connection, "invoices"), "in_1", "in_2", customer_id="a/b?")
    await seeds.record(site.db, key_of(connection, "invoices"), "in_3", customer_id="another")
    await seeds.record(site.db, key_of(connection, "events"), "evt_1", resource_id="a/b?")
    await seeds.record(site.db, key_of(connection, "events"), "evt_2", resource_id="in_1")
    await Customers(site.db, [connection]).resolve()
    async with site.visit(await site.token(workspace)) as page:
        await page.goto("/records/customers")
        await page.get_by_role("link", name="a/b?").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Ann")
        invoices = page.get_by_role("region", name="Newest invoices", exact=True).last
        await expect(invoices.get_by_role("rowheader")).to_have_text([re.compile("in_2"), re.compile("in_1")])
        await expect(invoices).to_contain_text("12345678901234567.89")
        events = page.get_by_role("region", name="Newest events", exact=True).last
        await expect(events.get_by_role("rowheader")).to_have_text(re.compile("evt_1"))
        await expect(page.get_by_role("region", name="Its records")).to_contain_text("the first one")
        assert "1.10" not in await page.content()
        await page.get_by_role("link", name="Show it").click()
        await expect(page.locator("pre")).to_contain_text('"amount": 1.10')
        await page.get_by_role("link", name="All of its invoices").click()
        await expect(page.get_by_role("row")).to_have_count(3)
        await page.get_by_role("link", name="in_1").click()
        await expect(page.get_by_role("region", name="Lines", exact=True).last).to_contain_text("0.10")
        await page.get_by_role("link", name="a/b?").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Ann")


async def test_several_streams_of_one_id_are_a_choice(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    for stream in ("customers", "companies"):
        of = StreamKey(workspace.id, connection.id, "stripe", CUSTOMERS, stream)
        await seeds.record(site.db, of, "1", name=stream)
    async with site.visit(await site.token(workspace)) as page:
        await page.goto("/records/customers/main/1")
        await page.get_by_role("row", name=re.compile("companies")).get_by_role("link").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("companies")


async def test_raw_records_take_a_permission_of_their_own(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    await seeds.record(site.db, key_of(connection, "customers"), "cus_1", raw=b'{"only": "in raw"}')
    path = "/records/customers/main/cus_1"
    for scopes, shown, raw in ((["records:read"], 200, 403), (["connections:read"], 403, 403)):
        _, token = await tokens.create(site.db, workspace.id, "reader", scopes, actor="tests")
        async with site.visit(token.reveal()) as page:
            for address, status in (
                (path, shown),
                (f"{path}?expand=raw", raw),
                ("/records/customers", shown),
            ):
                answer = await page.goto(address)
                assert answer is not None
                assert answer.status == status, (scopes, address)
                assert "in raw" not in await page.content()
                await expect(page.get_by_role("link", name="Show it")).to_have_count(0)


async def test_another_workspaces_records_are_not_there(site: Site) -> None:
    theirs = await site.connection(await site.workspace(), "theirs")
    await seeds.record(site.db, key_of(theirs, "customers"), "cus_1", name="Ann")
    async with site.visit(await site.token(await site.workspace())) as page:
        for connection in (theirs.name, theirs.id, uuid4()):
            for address in (
                f"/records/customers/{connection}/cus_1",
                f"/records/customers?connection={connection}",
            ):
                answer = await page.goto(address)
                assert answer is not None
                assert answer.status == 404
                assert "Ann" not in await page.content()
        for nowhere in ("/records/identities", "/records/nothing", "/records/customers/main"):
            answer = await page.goto(nowhere)
            assert answer is not None
            assert answer.status == 404


async def test_markup_in_any_field_is_shown_as_text(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    async with site.visit(await site.token(workspace)) as page:
        for entity in ENTITIES:
            of = key(connection, entity)
            fields = odd_fields(of)
            assert (
                fields.keys()
                >= {
                    "customers": {"name", "company", "phone", "tax_number", "description"},
                    "invoices": {"invoice_number", "customer_id", "memo", "hosted_url", "remote_status"},
                    "events": {"event_type", "resource_id", "resource_type", "user_id"},
                    "records": {"name"},
                }[entity.name]
            )
            await seeds.record(
                site.db, of, f"{ODD}id", raw=b'{"a": "<script>alert(1)</script>raw"}', **fields
            )
            await page.goto(f"/records/{entity.name}")
            link = page.get_by_role("link", name=f"{ODD}id", exact=True)
            await expect(link).to_be_visible()
            for where in ("the list", "the record"):
                assert await page.locator("script").count() == 0, where
            address = await link.get_attribute("href") or ""
            await page.goto(f"{address}&expand=raw")
            assert await page.locator("script").count() == 0
            shown = await page.locator("main").inner_text()
            assert "<script>alert(1)</script>raw" in shown
            for name, value in fields.items():
                if isinstance(value, str):
                    assert value in shown, (entity.name, name)
            for part in ("key", "value", *(["line"] if entity is INVOICES else [])):
                assert re.search(rf"<script>alert\(1\)</script>.*{part}", shown), (entity.name, part)
