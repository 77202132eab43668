"""Operations of the API, tried from a form: in the visitor's name, and with no right that the API would not give."""

from __future__ import annotations

import json
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest

from unified.api.management.app import described_api
from unified.api.pages.workspace import trying

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONFIGS = "/api/connectors/configs"
LIST, GET, CHANGE = f"GET {CONFIGS}", f"GET {CONFIGS}/{{connection_id}}", f"PATCH {CONFIGS}/{{connection_id}}"
SCRIPT = "<script>document.title='stolen'</script>"


async def test_an_operation_is_carried_out_as_a_program_would_have_it(site: Site) -> None:
    workspace = await site.workspace()
    connection = await site.connection(workspace)
    place = {"path.connection_id": str(connection.id)}
    async with site.forms(workspace, "member") as browser:
        await browser.open("/try")
        assert "/try?operation=GET" in browser.page
        await browser.open(f"/try?operation={quote(LIST)}")
        await browser.send("/try", {"operation": LIST, "query.limit": "1"}, 200)
        assert ("200 OK" in browser.page, str(connection.id) in browser.page) == (True, True)
        await browser.send("/try", {"operation": LIST, "query.limit": "many"}, 200)
        assert "422 " in browser.page
        await browser.open(f"/try?operation={quote(GET)}")
        await browser.send("/try", {"operation": GET, "path.connection_id": "../audit"}, 200)
        assert "404 Not Found" in browser.page  # it stays one part of the path

        await browser.open(f"/try?operation={quote(CHANGE)}")
        secret = "sk_test_fake_in_a_body"
        body = json.dumps({"settings": {"retry_count": 1}, "note": secret})
        await browser.send("/try", {"operation": CHANGE, **place, "body": body}, 200)
        assert ("428 " in browser.page, secret in browser.page) == (True, False)
        change = {"operation": CHANGE, **place, "if_match": "*"}
        await browser.send("/try", {**change, "body": '{"sync_interval_minutes": 30}'}, 200)
        assert "200 OK" in browser.page
        await browser.send("/try", {**change, "body": f'{{"{SCRIPT}": 1}}'}, 200)
        assert "stolen" not in browser.page or SCRIPT in unescape(browser.page)
        await browser.open("/try?operation=nothing", 404)
        await browser.send("/try", {"operation": "nothing"}, 404)
    changed = await site.registry.get_connection(workspace.id, connection.id)
    assert changed.sync_interval.total_seconds() == 30 * 60


async def test_it_gives_no_right_and_no_other_workspace(site: Site) -> None:
    theirs = await site.connection(await site.workspace())
    async with site.forms(await site.workspace(), "viewer") as browser:
        await browser.open(f"/try?operation={quote(GET)}")
        shown = {"operation": GET, "path.connection_id": str(theirs.id)}
        await browser.send("/try", shown, 200)
        assert "404 Not Found" in browser.page
        await browser.open("/try?operation=GET%20/api/customers")
        assert "which you do not have" in browser.page
        await browser.send("/try", {"operation": "GET /api/customers"}, 200)
        assert "403 Forbidden" in browser.page
        await browser.send("/try", {**shown, "csrf": "x"}, 403)


async def test_every_operation_of_the_api_can_be_tried() -> None:
    paths = described_api().openapi()["paths"]
    known = {
        f"{method.upper()} {path}"
        for path, all_ in paths.items()
        for method in all_
        if path.startswith("/api/")
    }
    assert trying._operations().keys() == known
    for one in trying._operations().values():
        assert one["body"] is None or json.loads(one["body"]) is not None


async def test_an_answer_that_is_nested_too_deeply_is_shown_as_it_is() -> None:
    deep = "[" * 5_000 + "]" * 5_000
    answer = httpx.Response(200, content=deep, headers={"content-type": "application/json"})
    assert trying._text(answer) == deep
