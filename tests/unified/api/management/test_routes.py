"""Workspaces, members, tokens, audit log and connectors over the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unified.api.management.rig import ADMIN, signed
from unified.store.workspaces import members, tokens

if TYPE_CHECKING:
    from tests.unified.api.management.rig import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_whoever_makes_a_workspace_owns_it(api: Api) -> None:
    new = {"slug": "fresh", "name": "Fresh", "requires_approval": True}
    made = await api.call("POST", "/api/workspaces", signed(ADMIN), json=new)
    assert made.status_code == 201
    assert made.headers["location"] == "/api/workspaces/fresh"
    assert made.json() | new == made.json()
    assert [m.subject for m in await members.listed(api.db, made.json()["id"])] == [ADMIN]
    assert (await api.call("POST", "/api/workspaces", signed(ADMIN), json=new)).status_code == 409
    assert (await api.call("POST", "/api/workspaces", signed("ann"), json=new)).status_code == 403
    for slug in ("", "-a", "A", "a" * 64, "a\n", "a b"):
        answer = await api.call("POST", "/api/workspaces", signed(ADMIN), json={"slug": slug})
        assert answer.status_code == 422, slug


async def test_making_a_workspace_can_be_repeated(api: Api) -> None:
    _, token = await tokens.create(api.db, None, "t", ["workspaces:create"], actor="test")
    key = {"idempotency-key": "make"}
    new = {"slug": "repeated", "owner": "ann"}
    no_owner = await api.call("POST", "/api/workspaces", token.reveal(), json={"slug": "repeated"})
    assert no_owner.status_code == 422
    first, second = [
        await api.call("POST", "/api/workspaces", token.reveal(), json=new, headers=key) for _ in range(2)
    ]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    other = await api.call("POST", "/api/workspaces", token.reveal(), json={**new, "slug": "b"}, headers=key)
    assert other.status_code == 422


async def test_how_raw_records_are_stored_is_a_change_of_the_workspace(api: Api) -> None:
    acme = await api.tenant("acme")
    place = f"/api/workspaces/{acme.slug}"
    before = await acme.client.get(place)
    assert before.json()["compresses_raw"] is False
    change, known = {"compresses_raw": True}, {"if-match": before.headers["etag"]}
    changed = await acme.client.patch(place, json=change, headers=known)
    assert (changed.status_code, changed.json()["compresses_raw"]) == (200, True)
    assert (await acme.client.patch(place, json=change, headers=known)).status_code == 412


async def test_all_workspaces_are_the_deployments_to_list(api: Api) -> None:
    slugs = {(await api.workspace()).slug for _ in range(3)}
    listed: list[str] = []
    cursor = None
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await api.call("GET", "/api/workspaces/all", signed(ADMIN), params=params)).json()
        listed += [one["slug"] for one in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert slugs <= set(listed)
    assert listed == sorted(listed)
    assert (await api.call("GET", "/api/workspaces", signed(ADMIN))).json()["next"] is None


async def test_members_come_and_go(api: Api) -> None:
    workspace = await api.workspace(ann="admin")
    as_ann = {"token": signed("ann"), "workspace": workspace}
    subject = "auth0|x/y z"
    added = await api.call("POST", "/api/members", **as_ann, json={"subject": subject, "role": "viewer"})
    assert added.status_code == 201
    assert added.json()["added_by"] == "user:ann"
    path = "/api/members/auth0%7Cx%2Fy%20z"
    changed = await api.call("PATCH", path, **as_ann, json={"role": "member"})
    assert (changed.status_code, changed.json()["role"]) == (200, "member")
    assert (await api.call("DELETE", path, **as_ann)).status_code == 204
    assert (await api.call("DELETE", path, **as_ann)).status_code == 404
    for method, role in (("PATCH", "viewer"), ("DELETE", None)):
        body = {"json": {"role": role}} if role else {}
        assert (await api.call(method, "/api/members/founder", **as_ann, **body)).status_code == 403
    own = await api.call("POST", "/api/members", **as_ann, json={"subject": "eve", "role": "owner"})
    assert own.status_code == 403
    founder = {"token": signed("founder"), "workspace": workspace}
    assert (await api.call("DELETE", "/api/members/founder", **founder)).status_code == 409


async def test_tokens_are_shown_once_and_have_no_more_than_their_maker(api: Api) -> None:
    workspace = await api.workspace(ann="admin")
    as_ann = {"token": signed("ann"), "workspace": workspace}
    expires_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    new = {"name": "ci", "scopes": ["members:read"], "expires_at": expires_at}
    made = (await api.call("POST", "/api/tokens", **as_ann, json=new)).json()
    listed = await api.call("GET", "/api/tokens", **as_ann)
    assert [one["id"] for one in listed.json()["items"]] == [made["id"]]
    assert made["token"] not in listed.text
    assert (await api.call("GET", "/api/members", made["token"])).status_code == 200
    assert (await api.call("DELETE", f"/api/tokens/{made['id']}", **as_ann)).status_code == 204
    assert (await api.call("GET", "/api/members", made["token"])).status_code == 401  # at once
    for scopes, status in (
        (["members:write"], 422),
        (["owners:write"], 422),
        (["metrics:read"], 422),
        (["nonsense"], 422),
        ([], 422),
    ):
        answer = await api.call("POST", "/api/tokens", **as_ann, json={"name": "x", "scopes": scopes})
        assert answer.status_code == status, scopes
    past = {**new, "expires_at": "2020-01-01T00:00:00Z"}
    assert (await api.call("POST", "/api/tokens", **as_ann, json=past)).status_code == 422


async def test_the_audit_log_can_be_searched(api: Api) -> None:
    workspace = await api.workspace(ann="admin")
    as_ann = {"token": signed("ann"), "workspace": workspace}
    for number in range(3):
        await api.call("POST", "/api/members", **as_ann, json={"subject": f"m{number}", "role": "viewer"})
    found = await api.call(
        "GET", "/api/audit", **as_ann, params={"actor": "user:ann", "action": "member.add", "limit": "2"}
    )
    assert [one["subject"] for one in found.json()["items"]] == ["member m2", "member m1"]
    rest = await api.call("GET", found.headers["link"][1:].partition(">")[0], **as_ann)
    assert [one["subject"] for one in rest.json()["items"]] == ["member m0"]
    for params in ({"outcome": "denied"}, {"subject": "member nobody"}):
        assert (await api.call("GET", "/api/audit", **as_ann, params=params)).json()["items"] == []
    assert (await api.call("GET", "/api/audit?outcome=x", **as_ann)).status_code == 422


async def test_connectors_say_what_a_form_needs(api: Api) -> None:
    await api.workspace(cat="viewer")
    listed = (await api.call("GET", "/api/connectors", signed("cat"))).json()["items"]
    names = [one["name"] for one in listed]
    assert names == sorted(names)
    assert {"chargebee", "hubspot", "stripe"} <= set(names)
    stripe = (await api.call("GET", "/api/connectors/stripe", signed("cat"))).json()
    assert stripe["settings_schema"]["properties"]["base_url"]
    assert stripe["credential_fields"][0]["name"] == "api_key"
    assert (await api.call("GET", "/api/connectors/none", signed("cat"))).status_code == 404
