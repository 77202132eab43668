"""Secrets over HTTP: they go in, and no answer and no log entry has them."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.unified.api.management.rig import CONFIGS, PROVIDER, STRIPE_KEY, Tenant
from unified.kit.secrets import Secret
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.elsewhere.references import ALLOWED_VARIABLE

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def stored(tenant: Tenant, connection_id: str) -> dict[str, Secret]:
    store = CredentialStore(tenant.api.db, PROVIDER)
    return await store.reveal(tenant.id, connection_id, actor="tests", purpose="test")  # type: ignore[arg-type]


async def test_credentials_are_written_described_and_deleted(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/credentials"
    assert await acme.ask("GET", place) == []
    await acme.ask("PUT", place, json={"fields": {"api_key": "sk_test_fake_first"}})
    body = {"fields": {"api_key": STRIPE_KEY}, "expires_at": "2199-01-01T00:00:00+01:00"}
    (told,) = await acme.ask("PUT", place, json=body)
    assert told | {"updated_at": ""} == {
        "field": "api_key",
        "kind": "api_key",
        "version": 2,
        "expires_at": "2198-12-31T23:00:00Z",
        "updated_at": "",
        "reference": None,
    }
    assert await acme.ask("GET", place) == [told]
    assert (await stored(acme, connection["id"]))["api_key"] == Secret(STRIPE_KEY)
    await acme.ask("DELETE", f"{place}/api_key", 204)
    await acme.ask("DELETE", f"{place}/api_key", 404)
    assert await acme.ask("GET", place) == []
    actions = [action for action in await acme.audited() if action.startswith("credential.")]
    assert actions[:2] == ["credential.put"] * 2
    assert "credential.delete" in actions


async def test_a_secret_may_be_kept_at_a_place_of_the_workspaces_own(
    acme: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/credentials"
    own = tmp_path / str(acme.id) / "stripe"
    own.parent.mkdir()
    own.write_text(STRIPE_KEY)
    monkeypatch.setenv(ALLOWED_VARIABLE, f"file:{tmp_path}/{{workspace_id}},file:{tmp_path},env:PATH")
    (told,) = await acme.ask("PUT", place, json={"references": {"api_key": f"file:{own}"}})
    assert told["reference"] == f"file:{own}"
    assert (await stored(acme, connection["id"]))["api_key"] == Secret(STRIPE_KEY)
    for reference in (
        "env:PATH",
        "file:/etc/hostname",
        f"file:{tmp_path}/{uuid4()}/stripe",
        "sk_test_fake_oops",
    ):
        refused = await acme.ask("PUT", place, 422, json={"references": {"api_key": reference}})
        assert "sk_test_fake_oops" not in json.dumps(refused)
    await acme.ask("PUT", place, 422, json={})
    both = {"fields": {"api_key": STRIPE_KEY}, "references": {"api_key": f"file:{own}"}}
    await acme.ask("PUT", place, 422, json=both)


async def test_no_answer_and_no_log_entry_has_a_secret(acme: Tenant) -> None:
    canary = "sk_test_fake_canary_4711"
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/credentials"
    answers = [
        await acme.client.put(place, json={"fields": {"api_key": canary}}),
        await acme.client.put(place, json={"fields": {"api_key": canary}}, params={"test": True}),
        await acme.client.put(place, json={"fields": {"other": canary}}),
        await acme.client.put(place, json={"fields": {canary: "api_key"}}),
        await acme.client.put(place, json={"fields": {"api_key": {"a": canary}}}),
        await acme.client.put(place, json={"fields": {"api_key": canary + "x" * 20_000}}),
        await acme.client.put(place, json={"fields": {"api_key": canary}, "expires_at": canary}),
        await acme.client.put(place, json={"api_key": canary}),
        await acme.client.put(place, content=canary, headers={"content-type": "application/json"}),
        await acme.client.post(f"{CONFIGS}/{connection['id']}/test"),
        await acme.client.get(place),
        await acme.client.get(f"{CONFIGS}/{connection['id']}"),
    ]
    assert [answer.status_code for answer in answers] == [200, *[422] * 7, 400, 200, 200, 200]
    assert not [answer.text for answer in answers if canary in answer.text]
    async with acme.api.db.workspace(acme.id) as conn:
        rows = await conn.execute("SELECT to_jsonb(audit_log)::text FROM audit_log")
        assert not [row for (row,) in await rows.fetchall() if canary in row]


async def test_what_the_provider_refuses_is_not_stored(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/credentials"
    asked = {"params": {"test": True}}
    problem = await acme.ask("PUT", place, 422, json={"fields": {"api_key": "sk_test_fake_nobody"}}, **asked)
    assert "Nothing was stored" in problem["detail"]
    assert await acme.ask("GET", place) == []
    await acme.ask("PUT", place, json={"fields": {"api_key": STRIPE_KEY}}, **asked)
    # One that has expired is no obstacle to its successor.
    expired = {"fields": {"api_key": STRIPE_KEY}, "expires_at": "2020-01-01T00:00:00Z"}
    await acme.ask("PUT", place, json=expired)
    assert "expired" in (await acme.ask("POST", f"{CONFIGS}/{connection['id']}/test"))["reason"]
    await acme.ask("PUT", place, json={"fields": {"api_key": STRIPE_KEY}}, **asked)


async def test_what_the_connector_does_not_have_is_named(acme: Tenant) -> None:
    connection = await acme.add()
    problem = await acme.ask(
        "PUT", f"{CONFIGS}/{connection['id']}/credentials", 422, json={"fields": {"password": "planted"}}
    )
    assert problem["errors"] == [{"pointer": "/body/fields", "detail": "stripe has api_key."}]


async def test_a_viewer_sees_what_there_is_and_changes_nothing(acme: Tenant) -> None:
    connection = await acme.add()
    await acme.give_key(connection)
    place = f"{CONFIGS}/{connection['id']}/credentials"
    viewer = await acme.api.with_role(acme, "viewer")
    assert len(await viewer.ask("GET", place)) == 1
    await viewer.ask("PUT", place, 403, json={"fields": {"api_key": "sk_test_fake_2"}})
    await viewer.ask("DELETE", f"{place}/api_key", 403)
    assert json.dumps(await viewer.ask("GET", place)).count('"version": 1') == 1
    await acme.ask("GET", f"{CONFIGS}/{uuid4()}/credentials", 404)
