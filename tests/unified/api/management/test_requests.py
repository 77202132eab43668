"""What all requests have in common: problems, pages, versions, repetition, bounds, headers, log and metrics."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.unified.api.management.rig import ADMIN, Issuer, serving, signed
from unified.api.access_log import LOGGER
from unified.store.workspaces import members, tokens

if TYPE_CHECKING:
    import httpx

    from tests.unified.api.management.rig import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "sk_test_fake_canary_31415926"


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


# Problems


async def test_every_error_is_a_problem_and_repeats_no_value(api: Api) -> None:
    workspace = await api.workspace(ann="owner")
    as_ann = {"token": signed("ann"), "workspace": workspace}
    problem(await api.call("GET", "/api/nothing"), 404)
    problem(await api.call("GET", "/nothing"), 404)
    wrong_method = await api.call("PUT", "/api/members", **as_ann)
    problem(wrong_method, 405)
    assert wrong_method.headers["allow"]
    for body in (
        {"subject": "x", "role": CANARY},
        {"subject": "x", "role": "viewer", CANARY: 1},
        {"subject": {"a": CANARY}, "role": "viewer"},
        {"role": "viewer"},
        [CANARY],
        CANARY,
        None,
    ):
        answer = await api.call("POST", "/api/members", **as_ann, json=body)
        found = problem(answer, 422)
        assert found["errors"][0]["pointer"].startswith("/body")
        assert CANARY not in answer.text
    for raw in (b"{", b'{"subject": NaN}', b"\xff", b'{"subject": "\\ud800"}', CANARY.encode(), b'{"a":1}x'):
        answer = await api.call(
            "POST", "/api/members", **as_ann, content=raw, headers={"content-type": "application/json"}
        )
        problem(answer, 400)
        assert CANARY not in answer.text
    nul = await api.call("POST", "/api/members", **as_ann, json={"subject": "a\0b", "role": "viewer"})
    problem(nul, 422)
    nul = await api.call("PATCH", "/api/members/a%00b", **as_ann, json={"role": "viewer"})
    problem(nul, 422)
    for path in ("/api/members?limit=0", "/api/members?limit=201", "/api/members?limit=x"):
        assert problem(await api.call("GET", path, **as_ann), 422)["errors"][0]["pointer"] == "/query/limit"


async def test_what_should_not_happen_is_a_500_that_tells_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await api.workspace(ann="owner")

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("unified.api.management.endpoints.workspaces.members.members.listed", fail)
    answer = await api.call("GET", "/api/members", signed("ann"), workspace=await api.workspace(ann="owner"))
    problem(answer, 500)
    assert CANARY not in answer.text
    assert any(record.exc_info for record in caplog.records)  # the log has it


async def test_a_database_that_is_away_is_a_503(api: Api) -> None:
    workspace = await api.workspace(ann="owner")
    with psycopg.connect(api.db.url, autocommit=True) as admin:
        admin.execute("ALTER TABLE workspace_members RENAME TO elsewhere")
        try:
            answer = await api.call("GET", "/api/members", signed("ann"), workspace=workspace)
        finally:
            admin.execute("ALTER TABLE elsewhere RENAME TO workspace_members")
        problem(answer, 503)  # tables that are not as they were: another release is at work
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    # Each connection of those that find out who asks is missed once.
    while (
        gone := await api.call("GET", "/api/members", signed("ann"), workspace=workspace)
    ).status_code != 200:
        problem(gone, 503)
        assert gone.headers["retry-after"] == "5"


# Pages


async def test_pages_bring_each_item_once_and_in_order(api: Api) -> None:
    workspace = await api.workspace(ann="owner")
    subjects = {"ann", "founder"} | {f"member {n:02}/ä" for n in range(10)}
    for subject in sorted(subjects - {"ann", "founder"}):
        await members.add(api.db, workspace.id, subject, "viewer", actor="test")
    path: str | None = "/api/members?limit=5"
    met: list[str] = []
    sizes = []
    while path:
        answer = await api.call("GET", path, signed("ann"), workspace=workspace)
        page = answer.json()
        met += [one["subject"] for one in page["items"]]
        sizes.append(len(page["items"]))
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("link", ""))
        assert (link is None) == (page["next"] is None)
        path = link[1] if link else None
    assert sizes == [5, 5, 2]
    assert met == sorted(subjects)


@pytest.mark.parametrize(
    "cursor", ["x", "****", "e30", "bnVsbA", "ImFcdTAwMDAi", "é", "MTIz" * 300, "Ilx1ZDgwMCI"]
)
async def test_a_made_up_cursor_is_refused(api: Api, cursor: str) -> None:
    workspace = await api.workspace(ann="owner")
    for path in ("/api/members", "/api/audit", "/api/tokens", "/api/workspaces"):
        answer = await api.call("GET", path, signed("ann"), workspace=workspace, params={"cursor": cursor})
        assert answer.status_code in (200, 422), (path, answer.text)
        if answer.status_code == 422:
            problem(answer, 422)


# Versions


async def test_nobody_overwrites_what_they_have_not_read(api: Api) -> None:
    workspace = await api.workspace(ann="owner")
    path = f"/api/workspaces/{workspace.slug}"
    as_ann = {"token": signed("ann"), "workspace": workspace}
    read = await api.call("GET", path, **as_ann)
    problem(await api.call("PATCH", path, **as_ann, json={"name": "x"}), 428)
    for wrong in ('"99"', "x", '"x"', 'W/"1"', "1"):
        answer = await api.call("PATCH", path, **as_ann, json={"name": "x"}, headers={"if-match": wrong})
        problem(answer, 412)
    etag = {"if-match": read.headers["etag"]}
    both = await asyncio.gather(
        *(api.call("PATCH", path, **as_ann, json={"name": f"n{n}"}, headers=etag) for n in range(6))
    )
    assert sorted(answer.status_code for answer in both) == [200, 412, 412, 412, 412, 412]
    (won,) = [answer for answer in both if answer.status_code == 200]
    assert won.headers["etag"] != read.headers["etag"]
    assert (await api.call("GET", path, **as_ann)).json() == won.json()
    anyway = await api.call("PATCH", path, **as_ann, json={"name": "y"}, headers={"if-match": "*"})
    assert anyway.json()["name"] == "y"


# Repetition


async def test_a_post_with_a_key_is_carried_out_once(api: Api) -> None:
    workspace = await api.workspace(ann="owner", bob="owner")
    key = {"idempotency-key": "key-1"}
    new = {"name": "ci", "scopes": ["members:read"]}

    async def post(who: str = "ann", body: Any = new) -> httpx.Response:
        return await api.call("POST", "/api/tokens", signed(who), workspace=workspace, json=body, headers=key)

    answers = await asyncio.gather(*(post() for _ in range(6)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in made}) == 1
    again = await post()
    assert (again.status_code, again.text) == (201, made[0].text)  # the token too, that is shown once
    assert again.headers["idempotency-replayed"] == "true"
    assert len(await tokens.listed(api.db, workspace.id)) == 1
    problem(await post(body={**new, "name": "other"}), 422)
    bobs = await post("bob")
    assert bobs.status_code == 201
    assert bobs.json()["id"] != made[0].json()["id"]
    with psycopg.connect(api.db.url) as admin:
        rows = admin.execute("SELECT answer FROM idempotency_keys").fetchall()
    assert rows
    assert not any(made[0].json()["token"].encode() in row[0] for row in rows)


async def test_a_refusal_leaves_the_key_free(api: Api) -> None:
    workspace = await api.workspace(ann="owner")
    as_ann = {"token": signed("ann"), "workspace": workspace, "headers": {"idempotency-key": "k"}}
    body = {"subject": "founder", "role": "viewer"}
    problem(await api.call("POST", "/api/members", **as_ann, json=body), 409)
    await members.add(api.db, workspace.id, "boss", "owner", actor="test")
    await members.remove(api.db, workspace.id, "founder", actor="test")
    assert (await api.call("POST", "/api/members", **as_ann, json=body)).status_code == 201
    for key in ("", "a b", "x" * 256):
        answer = await api.call(
            "POST",
            "/api/members",
            signed("ann"),
            workspace=workspace,
            json=body,
            headers={"idempotency-key": key},
        )
        problem(answer, 422)


# Bounds


async def test_bodies_are_bounded_in_bytes_and_depth(api: Api) -> None:
    workspace = await api.workspace(ann="owner")
    as_ann = {"token": signed("ann"), "workspace": workspace}

    async def post(content: Any, **headers: str) -> httpx.Response:
        said = {"content-type": "application/json", **headers}
        return await api.call("POST", "/api/members", **as_ann, content=content, headers=said)

    head = (
        f"POST /api/members HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {signed('ann')}\r\n"
        f"x-workspace: {workspace.slug}\r\ncontent-type: application/json\r\n"
    ).encode()
    most = 256 * 1024
    claimed = b"content-length: %d\r\n\r\n" % (most + 1)
    assert await raw(api, head + claimed) == 413
    chunked = b"transfer-encoding: chunked\r\n\r\n%x\r\n" % (most + 1) + b" " * (most + 1)
    assert await raw(api, head + chunked) == 413
    problem(await post(b'{"a":' * 33 + b"1" + b"}" * 33), 400)
    problem(await post(b"[" * 100_000), 400)
    problem(await post(b'"' + b'\\"' * 100_000), 400)
    strings = b'{"subject": "' + b"[{" * 50 + b'", "role": "viewer"}'
    assert (await post(strings)).status_code == 201  # brackets in a string nest nothing
    problem(await post(gzip.compress(b"{}"), **{"content-encoding": "gzip"}), 415)
    problem(await post(b"{}", **{"content-type": "text/plain"}), 415)


async def raw(api: Api, request: bytes) -> int:
    """The status that bytes are answered with."""
    reader, writer = await asyncio.open_connection(api.client.base_url.host, api.client.base_url.port)
    try:
        writer.write(request)
        await writer.drain()
        return int((await reader.readuntil(b"\r\n")).split()[1])
    finally:
        writer.close()


async def test_a_caller_who_asks_too_often_waits_and_others_do_not(api: Api) -> None:
    workspace = await api.workspace(ann="viewer", bob="viewer")
    async with serving(api.db, api.issuer, rate=1, burst=3) as slow:
        ask = partial(slow.call, "GET", "/api/members", signed("ann"), workspace=workspace)
        answers = [await ask() for _ in range(3)]
        assert [each.status_code for each in answers] == [200, 200, 200]
        # On a busy machine the second may pass that one more request has to wait for.
        while 429 not in (seen := [each.status_code for each in answers]):
            answers = await asyncio.gather(*(ask() for _ in range(20)))
            for each in answers:
                assert each.headers["ratelimit-policy"] == '"default";q=3;w=3'
                assert each.headers["ratelimit"].startswith('"default";r=')
        answer = answers[seen.index(429)]
        problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        others = await slow.call("GET", "/api/members", signed("bob"), workspace=workspace)
        assert others.status_code == 200


# Headers, log and metrics


async def test_answers_carry_what_browsers_and_proxies_need(api: Api) -> None:
    workspace = await api.workspace(ann="viewer")
    for path in ("/api/members", "/docs", "/healthz", "/nothing"):
        answer = await api.call("GET", path, signed("ann"), workspace=workspace)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    given = await api.call("GET", "/healthz", headers={"x-request-id": "from-the.proxy_1"})
    assert given.headers["x-request-id"] == "from-the.proxy_1"
    for bad in ("a b", "x" * 65, "<script>"):
        assert (await api.call("GET", "/healthz", headers={"x-request-id": bad})).headers[
            "x-request-id"
        ] != bad


async def test_other_origins_are_let_in_by_setting_only(api: Api) -> None:
    asked = {"origin": "https://app.example.com", "access-control-request-method": "GET"}
    assert (
        "access-control-allow-origin"
        not in (await api.call("OPTIONS", "/api/members", headers=asked)).headers
    )
    async with serving(api.db, Issuer(), jwt=None, origins=("https://app.example.com",)) as open_:
        answer = await open_.call("OPTIONS", "/api/members", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "access-control-allow-credentials" not in answer.headers
        stranger = await open_.call(
            "OPTIONS", "/api/members", headers={**asked, "origin": "https://evil.example.com"}
        )
        assert "access-control-allow-origin" not in stranger.headers


async def test_the_log_has_a_line_for_each_request_without_ids_or_secrets(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = await api.workspace(ann="owner")
    token = await api.token(workspace, role="owner")
    with caplog.at_level(logging.INFO, LOGGER):
        answer = await api.call("GET", f"/api/workspaces/{workspace.slug}?cursor={CANARY}", token)
        await api.call("GET", f"/elsewhere/{CANARY}", token)
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert lines[0].startswith("GET /api/workspaces/{workspace} 200 ")
    assert lines[0].endswith(answer.headers["x-request-id"])
    assert lines[1].startswith("GET elsewhere 404 ")
    assert not any(hidden in caplog.text for hidden in (CANARY, token, str(workspace.id)))


async def test_metrics_are_the_deployments_and_have_no_ids(api: Api) -> None:
    workspace = await api.workspace(ann="owner")
    await api.registry.add_connection(workspace.id, "stripe", "main")
    await api.call("GET", f"/api/workspaces/{workspace.slug}", signed("ann"), workspace=workspace)
    problem(await api.call("GET", "/metrics"), 401)
    problem(await api.call("GET", "/metrics", signed("ann")), 403)
    problem(await api.call("GET", "/metrics", await api.token(workspace, role="owner")), 403)
    _, scraper = await tokens.create(api.db, None, "prometheus", ["metrics:read"], actor="test")
    for shown in (signed(ADMIN), scraper.reveal()):
        answer = await api.call("GET", "/metrics", shown)
        assert answer.status_code == 200
        text = answer.text
        route = 'method="GET",route="/api/workspaces/{workspace}",status="200"'
        assert f"unified_api_request_seconds_count{{{route}}}" in text
        assert 'unified_ingress_refused_total{reason="unknown"}' in text
        assert 'unified_inbox_events{connector="stripe"} 0.0' in text
        assert 'unified_connections{connector="stripe",state="idle"}' in text
        assert workspace.slug not in text
        assert str(workspace.id) not in text


async def test_deliveries_are_counted(api: Api) -> None:
    before = await api.call("GET", "/metrics", signed(ADMIN))
    await api.call("POST", "/webhooks/stripe/" + "x" * 32, content=b"{}")
    await api.call("GET", "/webhooks/stripe/" + "x" * 32)
    after = await api.call("GET", "/metrics", signed(ADMIN))

    def count(text: str, name: str) -> float:
        return float(text.partition(f"\n{name} ")[2].partition("\n")[0])

    for name, more in (
        ('unified_ingress_refused_total{reason="unknown"}', 1),
        ('unified_ingress_refused_total{reason="no_post"}', 1),
        ("unified_ingress_deliveries_total", 2),
    ):
        assert count(after.text, name) - count(before.text, name) == more


async def test_probes_are_open(api: Api) -> None:
    assert (await api.call("GET", "/healthz")).text == "running\n"
    assert (await api.call("GET", "/readyz")).text == "ready\n"
