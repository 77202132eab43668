"""What docs/client.md shows runs, block by block, against a server."""

import asyncio
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unified.api.management.records.shelf import BEGAN, Shelf
from tests.unified.api.management.rig import Api
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES
from unified.store.workspaces import tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = Path(__file__).parents[3] / "docs" / "client.md"


async def test_the_examples_run(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf = await Shelf.of(api, "docs", name="billing")
    await shelf.fill()
    await shelf.put(CUSTOMERS, "cus_123", name="Ann Lee", email="ann@acme.com", currency="EUR")
    await shelf.put(INVOICES, "in_1", status="open", total=Decimal("250.00"), due_date=BEGAN)
    await shelf.put(EVENTS, "evt_1", event_type="invoice.paid", resource_id="in_1", occurred_at=BEGAN)
    scopes = ["records:read", "records:raw"]
    _, token = await tokens.create(api.db, shelf.tenant.id, "docs", scopes, actor="tests")
    monkeypatch.setenv("DATABASE_URL", api.db.url)
    text = PAGE.read_text(encoding="utf-8")
    for shown, meant in (
        ("http://127.0.0.1:8000", str(api.client.base_url)),
        ("uat_…", token.reveal()),
        ('"acme"', f'"{shelf.tenant.slug}"'),
    ):
        assert shown in text
        text = text.replace(shown, meant)
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 7
    names: dict[str, Any] = {}
    for block in blocks:
        await asyncio.to_thread(exec, block, names)
    said = capsys.readouterr().out
    assert "Ann Lee ann@acme.com billing" in said
    assert "1 250.00 EUR 1" in said
    assert "{'id': 'cus_123', 'amount': 1.1}" in said
    assert "in_1" in said
    assert "There is a filter or parameter that is not known; there are" in said
