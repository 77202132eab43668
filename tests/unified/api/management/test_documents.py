"""Connector documents over the API: checked, installed, upgraded, removed by admins, seen by their workspace alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.unified.sync.connectors import desk
from unified.store.workspaces import tokens
from unified.sync.connectors import installing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unified.api.management.rig import Api, Tenant

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENTS = "/api/connectors/documents"


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _nothing_stays(api: Api) -> AsyncIterator[None]:
    yield
    async with api.db.scheduler() as conn:
        left = await (
            await conn.execute("SELECT DISTINCT workspace_id, connector FROM connector_documents")
        ).fetchall()
    for workspace_id, connector in left:
        async with api.db.workspace(workspace_id) as conn:
            await conn.execute(
                "UPDATE connector_documents SET state = 'removed', ended_at = now(), ended_by = 'test' "
                "WHERE connector = %s AND state = 'installed'",
                (connector,),
            )


def body(document: dict[str, Any], exchanges: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "document": json.dumps(document),
        **({} if exchanges is None else {"exchanges": json.dumps(exchanges)}),
        **more,
    }


async def test_an_admin_installs_upgrades_and_removes_a_document(api: Api, acme: Tenant) -> None:
    other = await api.tenant("other")
    checked = await acme.ask("POST", f"{DOCUMENTS}/check", json=body(desk.said(), desk.recorded()))
    assert (checked["hosts"], checked["secrets"], checked["tier"]) == (
        ["api.desk.example"],
        ["api_key"],
        "unsigned",
    )
    assert (checked["tried"], checked["changes"], checked["streams"]["tickets"]) == (
        1,
        None,
        "unified_records",
    )
    made = await acme.ask("POST", DOCUMENTS, 201, json=body(desk.said(), desk.recorded()))
    assert (made["version"], made["state"], made["is_shared"]) == ("1.0.0", "installed", False)
    assert "desk" in {one["name"] for one in (await acme.ask("GET", "/api/connectors"))["items"]}
    assert "team" in (await acme.ask("GET", "/api/connectors/desk"))["settings_schema"]["properties"]
    settings = {"base_url": "https://api.desk.example"}
    connection = await acme.add("desk", "desk", settings=settings)
    # Nobody else learns that there is one.
    assert await other.ask("GET", DOCUMENTS) == []
    await other.ask("GET", "/api/connectors/desk", 404)
    await other.ask("GET", f"{DOCUMENTS}/desk", 404)
    await other.ask("DELETE", f"{DOCUMENTS}/desk", 404)
    refused = await other.ask(
        "POST",
        "/api/connectors/configs",
        422,
        json={"connector": "desk", "name": "desk", "settings": settings},
    )
    assert "desk" not in refused["detail"].replace("connector 'desk'", "")

    further = desk.with_emails(hosts=["api.desk.example", "files.desk.example"])
    changes = await acme.ask("POST", f"{DOCUMENTS}/check", json=body(further))
    assert (changes["grows"], changes["changes"][0]) == (True, "+ host files.desk.example")
    upgrade = f"{DOCUMENTS}/desk/upgrade"
    assert "reaches further" in (await acme.ask("POST", upgrade, 409, json=body(further)))["detail"]
    done = await acme.ask("POST", upgrade, json=body(further, agreed=True))
    assert (done["before"], done["document"]["version"], done["remapped"]) == (
        "1.0.0",
        "1.1.0",
        {f"{acme.slug}/desk": 0},
    )
    assert "desk" in (await acme.ask("DELETE", f"{DOCUMENTS}/desk", 409))["detail"]
    await acme.ask("DELETE", f"/api/connectors/configs/{connection['id']}", 204)
    await acme.ask("DELETE", f"{DOCUMENTS}/desk", 204)
    states = [(one["version"], one["state"]) for one in await acme.ask("GET", f"{DOCUMENTS}/desk")]
    assert sorted(states) == [("1.0.0", "replaced"), ("1.1.0", "removed")]
    actions = [one for one in await acme.audited() if one.startswith("connector.")]
    assert actions == ["connector.install", "connector.upgrade", "connector.remove"]


async def test_members_see_and_do_not_install(api: Api, acme: Tenant) -> None:
    member = await api.with_role(acme, "member")
    assert await member.ask("GET", DOCUMENTS) == []
    for path in (DOCUMENTS, f"{DOCUMENTS}/check", f"{DOCUMENTS}/desk/upgrade"):
        await member.ask("POST", path, 403, json=body(desk.said()))


async def test_what_is_no_document_is_said_with_its_line(acme: Tenant) -> None:
    wrong = await acme.ask("POST", DOCUMENTS, 422, json={"document": "engine: 1\nid: desk\nhots: []\n"})
    assert "document:3: hots: there is no such key; did you mean hosts?" in wrong["detail"]
    disproved = body(desk.said(), desk.recorded(records={}))
    assert (
        "1 is read, and should not be" in (await acme.ask("POST", DOCUMENTS, 422, json=disproved))["detail"]
    )
    for bad in ({}, {"template": "nothing"}, {"template": "x", "document": "y"}, {"doc": "x"}):
        await acme.ask("POST", DOCUMENTS, 422, json=bad)
    await acme.ask("POST", f"{DOCUMENTS}/other/upgrade", 404, json=body(desk.said()))
    await acme.ask("POST", DOCUMENTS, 201, json=body(desk.said()))
    another = body({**desk.said("1.1.0"), "id": "other"})
    assert "not of desk" in (await acme.ask("POST", f"{DOCUMENTS}/desk/upgrade", 422, json=another))["detail"]
    assert installing.InstallError.__doc__


async def test_an_administrator_deprecates_and_an_installation_takes_a_word(api: Api, acme: Tenant) -> None:
    _, token = await tokens.create(api.db, None, "catalogue", ["connectors:deprecate"], actor="test")

    async def administrate(method: str, path: str, status: int, **options: Any) -> Any:
        answer = await api.call(method, f"/api/connectors/deprecations{path}", token.reveal(), **options)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    why = {"reason": "use calendly_v2"}
    await administrate("PUT", "/calendly", 204, json=why)
    await administrate("PUT", "/nothing", 422, json=why)
    await administrate("PUT", "/calendly", 422, json={"reason": ""})
    (one,) = await administrate("GET", "", 200)
    assert (one["deprecated"], one["reason"]) == ("calendly", "use calendly_v2")
    await acme.ask("PUT", "/api/connectors/deprecations/calendly", 403, json=why)
    wanted = {"template": "calendly"}
    assert (await acme.ask("POST", f"{DOCUMENTS}/check", json=wanted))["deprecated"] == "use calendly_v2"
    assert (
        "is deprecated (use calendly_v2)" in (await acme.ask("POST", DOCUMENTS, 409, json=wanted))["detail"]
    )
    made = await acme.ask("POST", DOCUMENTS, 201, json={**wanted, "agreed": True})
    assert made["deprecated"] == "use calendly_v2"
    assert (await acme.ask("GET", DOCUMENTS))[0]["deprecated"] == "use calendly_v2"
    await administrate("DELETE", "/calendly", 204)
    await administrate("DELETE", "/calendly", 404)
    assert (await acme.ask("GET", f"{DOCUMENTS}/calendly"))[0]["deprecated"] is None
