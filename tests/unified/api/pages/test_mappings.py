"""The page of proposed rules: what each would do to real records, and what a person decides about it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.streams import key_of
from tests.unified.api.pages import seeds
from unified.kit.mapping.rules import Rule
from unified.store.connections import field_rules

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_person_sees_old_and_new_and_decides_about_each_rule(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    metadata = {"vat_number": "CHE-<b>7</b>", "notes": "called twice", "<i>x": "y"}
    raw = {"id": "cus_1", "object": "customer", "created": 1_700_000_000, "metadata": metadata}
    await seeds.record(site.db, key_of(connection, "customers"), "cus_1", raw=json.dumps(raw).encode())
    async with site.visit(await site.token(workspace, "member")) as page:
        await page.goto(f"/connectors/{connection.id}")
        await page.get_by_role("link", name="Proposed rules").click()
        tax = page.get_by_role("region", name="tax_number", exact=True)
        await expect(tax).to_contain_text("metadata.vat_number")
        await expect(tax.get_by_role("row").last).to_have_text(re.compile(r"cus_1\s*CHE-<b>7</b>"))
        assert await field_rules.read(site.db, connection, "customers") == []

        await page.get_by_role("button", name="Ask a model too").click()
        await expect(page.get_by_text(re.compile("No model has answered: .* has no key"))).to_be_visible()

        notes = page.get_by_role("region", name="description", exact=True)
        await notes.get_by_text("Change it").click()
        await notes.get_by_label("The rule, in JSON").fill("{")
        await notes.get_by_role("button", name="Accept it as changed").click()
        await expect(page.get_by_role("alert")).to_contain_text("not one rule in JSON")
        changed = Rule(target="description", source="metadata.notes", steps=["upper"])
        await notes.get_by_text("Change it").click()
        await notes.get_by_label("The rule, in JSON").fill(json.dumps(changed.as_json()))
        await notes.get_by_role("button", name="Accept it as changed").click()
        await expect(page.get_by_role("status")).to_contain_text("in force")
        await tax.get_by_role("button", name="Decline").click()
        await expect(page.get_by_text("Declined before: tax_number")).to_be_visible()
        assert await field_rules.read(site.db, connection, "customers") == [changed]
        await page.goto(f"/connectors/{connection.id}/mappings/nowhere")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    async with site.visit(await site.token(workspace, "viewer")) as page:
        await page.goto(f"/connectors/{connection.id}/mappings/customers")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not permitted")
