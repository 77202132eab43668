"""Who gets in, and what they may do there: each role and scope against each route, in one's own workspace only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIRoute

from tests.unified.api.management.rig import ADMIN, AUDIENCE, ISSUER, Issuer, serving, signed
from unified.api.management.route import ManagementRoute
from unified.api.management.routers import names_at, routers
from unified.api.settings import JwtSettings
from unified.store.workspaces import members, tokens
from unified.store.workspaces.permissions import ADMIN_PERMISSIONS, PERMISSIONS, ROLES, SCOPES

if TYPE_CHECKING:
    from tests.unified.api.management.rig import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES = [route for routes in routers() for route in routes.routes if isinstance(route, APIRoute)]
GUARDED = [route for route in ROUTES if isinstance(route, ManagementRoute)]
_ID = "00000000-0000-4000-8000-000000000000"


def request_of(route: APIRoute, slug: str) -> tuple[str, str]:
    """Method and path of a request that the route's rule judges; whatever the path names is not there."""
    path = (
        route.path.replace("{workspace}", slug)
        .replace("{name}", "stripe")
        .replace("{subject:path}", "nobody")
    )
    for name in route.param_convertors:
        path = path.replace(f"{{{name}}}", _ID)
    return min(route.methods), path


async def test_a_path_leads_to_the_routers_that_have_it() -> None:
    for route in ROUTES:
        assert route in [one for each in routers(names_at(route.path)) for one in each.routes]


async def test_every_route_but_the_probes_asks_who_calls() -> None:
    open_to_all = {route.path for route in ROUTES if not isinstance(route, ManagementRoute)}
    # A provider sends the browser back with a state of ours, which says whose authorization it is.
    assert open_to_all == {"/healthz", "/readyz", "/oauth/callback"}
    known = SCOPES | PERMISSIONS["owner"] | ADMIN_PERMISSIONS
    for route in GUARDED:
        assert route.rule.permission is None or route.rule.permission in known, route.path
    only_known = [route.path for route in GUARDED if route.rule.permission is None]
    assert only_known == ["/api/workspaces"]


async def test_every_permission_is_asked_for_somewhere() -> None:
    # Two are asked for within a route, by what is asked of it: who is to be an owner, and `expand=raw`.
    asked = {route.rule.permission for route in GUARDED} | {"owners:write", "records:raw"}
    assert PERMISSIONS["owner"] - asked == set()
    assert ADMIN_PERMISSIONS - asked == set()


async def test_every_route_refuses_whoever_is_not_known(api: Api) -> None:
    for route in GUARDED:
        method, path = request_of(route, "acme")
        for shown in (None, "x", "uat_00000000_" + "A" * 43, "a.b.c"):
            answer = await api.call(method, path, shown, content=b"{", headers={"content-type": "text/plain"})
            assert answer.status_code == 401, (method, path, shown)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_do_what_the_table_says(api: Api, role: Any) -> None:
    workspace = await api.workspace(someone=role)
    for route in GUARDED:
        rule = route.rule
        method, path = request_of(route, workspace.slug)
        answer = await api.call(method, path, signed(), workspace=workspace, headers={"if-match": "*"})
        is_allowed = rule.permission is None or (rule.in_workspace and rule.permission in PERMISSIONS[role])
        assert (answer.status_code == 403) != is_allowed, (method, path, answer.text)


async def test_a_token_may_do_what_its_scopes_say_and_no_more(api: Api) -> None:
    workspace = await api.workspace()
    for scope in ("members:read", "connections:write", "audit:read"):
        token = await api.token(workspace, scope)
        for route in GUARDED:
            rule = route.rule
            method, path = request_of(route, workspace.slug)
            answer = await api.call(method, path, token, headers={"if-match": "*"})
            assert (answer.status_code == 403) != (rule.permission in (None, scope)), (scope, method, path)


async def test_an_admin_of_the_deployment_opens_no_workspace(api: Api) -> None:
    workspace = await api.workspace()
    _, token = await tokens.create(api.db, None, "test", sorted(ADMIN_PERMISSIONS), actor="test")
    for shown in (signed(ADMIN), token.reveal()):
        for route in GUARDED:
            rule = route.rule
            method, path = request_of(route, workspace.slug)
            answer = await api.call(method, path, shown, workspace=workspace)
            assert (answer.status_code == 403) == rule.in_workspace, (method, path, answer.text)


async def test_a_jwt_opens_the_workspace_that_is_named_if_its_subject_is_a_member(api: Api) -> None:
    own, other = await api.workspace(ann="viewer"), await api.workspace()
    path = "/api/members"
    assert (await api.call("GET", path, signed("ann"))).status_code == 200  # the only one
    for named in (own.slug, str(own.id)):
        assert (await api.call("GET", path, signed("ann"), workspace=named)).status_code == 200
    answers = []
    for named in (other.slug, str(other.id), "there-is-none", "x" * 300, "%00", str(own.id)[:-1]):
        answer = await api.call("GET", path, signed("ann"), workspace=named)
        answers.append((answer.status_code, answer.json()["detail"]))
    assert set(answers) == {(403, "You are not a member of such a workspace.")}
    await members.add(api.db, other.id, "ann", "viewer", actor="test")
    assert (await api.call("GET", path, signed("ann"))).status_code == 400  # which one?
    assert (await api.call("GET", path, signed("ann"), workspace=other)).status_code == 200
    await members.remove(api.db, other.id, "ann", actor="test")
    assert (await api.call("GET", path, signed("ann"), workspace=other)).status_code == 403  # at once
    assert (await api.call("GET", path, signed("nobody"))).status_code == 403


@pytest.mark.parametrize("claim", ["workspace", "app_metadata"])
async def test_a_workspace_that_the_jwt_does_not_carry_stays_closed(api: Api, claim: str) -> None:
    own, other = await api.workspace(bob="owner"), await api.workspace(bob="owner")

    def carrying(*names: str) -> str:
        listed: Any = names[0] if len(names) == 1 else list(names)
        return signed("bob", **{claim: listed if claim == "workspace" else {"workspace": listed}})

    for names in ((own.slug,), (str(own.id),), (own.slug, "another")):
        allowed = await api.call("GET", "/api/members", carrying(*names), workspace=own)
        assert allowed.status_code == 200
        refused = await api.call("GET", "/api/members", carrying(*names), workspace=other)
        assert refused.status_code == 403
    assert (await api.call("GET", "/api/members", carrying(own.slug))).status_code == 200  # the one it names
    assert (await api.call("GET", "/api/members", carrying(), workspace=own)).status_code == 403
    listed = (await api.call("GET", "/api/workspaces", carrying(own.slug))).json()["items"]
    assert [one["slug"] for one in listed] == [own.slug]
    # What a user may write about themselves opens nothing and closes nothing.
    boast = signed("bob", user_metadata={"workspace": other.slug})
    assert (await api.call("GET", "/api/members", boast, workspace=own)).status_code == 200


async def test_a_token_opens_its_own_workspace_only(api: Api) -> None:
    own, other = await api.workspace(), await api.workspace()
    token = await api.token(own, role="owner")
    for named in (None, own.slug, str(own.id)):
        answer = await api.call("GET", "/api/members", token, workspace=named)
        assert answer.status_code == 200
        assert [one["subject"] for one in answer.json()["items"]] == ["founder"]
    assert (await api.call("GET", "/api/members", token, workspace=other)).status_code == 403
    assert (await api.call("GET", f"/api/workspaces/{other.slug}", token)).status_code == 404
    listed = (await api.call("GET", "/api/workspaces", token)).json()["items"]
    assert [one["slug"] for one in listed] == [own.slug]


async def test_what_is_no_bearer_token_is_refused(api: Api) -> None:
    for shown in ("", "Bearer", "Basic dTpw", f"Token {signed()}", "Bearer é", "bearer  x"):
        answer = await api.client.get("/api/members", headers={"authorization": shown.encode()})
        assert answer.status_code == 401, shown


async def test_without_an_issuer_only_tokens_are_taken_and_with_one_away_the_answer_is_503(api: Api) -> None:
    workspace = await api.workspace(eve="owner")
    token = await api.token(workspace, "members:read")
    issuer = Issuer()
    async with serving(api.db, issuer, jwt=None) as without:
        assert (await without.call("GET", "/api/members", signed("eve"))).status_code == 401
        assert (await without.call("GET", "/api/members", token)).status_code == 200
    async with issuer.serving():
        away = JwtSettings(ISSUER, AUDIENCE, issuer.url)
    async with serving(api.db, issuer, jwt=away) as unsure:
        answer = await unsure.call("GET", "/api/members", signed("eve"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert (await unsure.call("GET", "/api/members", token)).status_code == 200
