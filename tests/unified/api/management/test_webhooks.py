"""Endpoints, their secrets, what waits, dead letters and their replay, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.unified.api.management.rig import CONFIGS, PROVIDER, Api, Tenant
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.inbox import dead_letters, horizon
from unified.store.inbox import events as inbox
from unified.store.inbox.dead_letters import Failure
from unified.store.inbox.events import Received, StoredEvent
from unified.store.inbox.lookup import EndpointLookup
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.server.urls import beside

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def secrets_of(tenant: Tenant, url: str) -> set[str]:
    """What the ingress would check deliveries to a URL with."""
    _, connector, path = url.removeprefix("https://hooks.example.com/").split("/")
    lookup = EndpointLookup(tenant.api.db, CredentialStore(tenant.api.db, PROVIDER))
    endpoint = await lookup.find(connector, path)
    return {secret.reveal() for secret in endpoint.secrets} if endpoint else {"no endpoint"}


async def test_the_life_of_an_endpoint(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/webhooks"
    made = await acme.ask("POST", place, 201, json={"event_types": ["invoice.*"]})
    url, webhook = made["url"], f"/api/webhooks/{made['id']}"
    assert url.startswith("https://hooks.example.com/webhooks/stripe/")
    assert (made["verifier"], made["secret"]) == ("stripe", None), "Stripe makes its own"
    assert await secrets_of(acme, url) == set()

    await acme.ask("POST", f"{webhook}/roll", 422, json={})
    first = {"secret": "whsec_fake_first"}
    assert await acme.ask("POST", f"{webhook}/roll", json=first) == {"secret": None}
    await acme.ask("POST", f"{webhook}/roll", json={"secret": "whsec_fake_second"})
    assert await secrets_of(acme, url) == {"whsec_fake_first", "whsec_fake_second"}
    await acme.ask("POST", f"{webhook}/roll", json={"secret": "whsec_fake_third", "keep_former_minutes": 0})
    assert await secrets_of(acme, url) == {"whsec_fake_third"}

    (listed,) = await acme.ask("GET", place)
    assert listed == await acme.ask("GET", webhook)
    assert url.rpartition("/")[2] not in str(listed), "the URL is shown once"
    changed = await acme.ask("PATCH", webhook, json={"event_types": [], "is_active": False})
    assert (changed["event_types"], changed["is_active"]) == ([], False)
    assert await secrets_of(acme, url) == {"no endpoint"}
    await acme.ask("DELETE", webhook, 204)
    await acme.ask("GET", webhook, 404)
    assert [action for action in await acme.audited() if action.startswith("webhook.")] == [
        "webhook.add",
        "webhook.update",
        "webhook.update",
        "webhook.remove",
    ]


async def test_where_the_provider_takes_ours_the_secret_is_made_and_shown_once(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/webhooks"
    repeated = {"json": {"verifier": "github"}, "headers": {"idempotency-key": "once"}}
    made = await acme.ask("POST", place, 201, **repeated)
    assert await acme.ask("POST", place, 201, **repeated) == made, "an answer that was lost can be had again"
    assert len(made["secret"]) > 30
    assert await secrets_of(acme, made["url"]) == {made["secret"]}
    rolled = await acme.ask("POST", f"/api/webhooks/{made['id']}/roll", json={})
    assert await secrets_of(acme, made["url"]) == {made["secret"], rolled["secret"]}
    assert len(await acme.ask("GET", place)) == 1


async def test_an_endpoint_that_can_not_be_is_not_made(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/webhooks"
    for body in (
        {"verifier": "nobody"},
        {"verifier": "hmac", "options": {"unknown": "x"}},
        {"verifier": "standard", "secret": "no base64 !"},
    ):
        await acme.ask("POST", place, 422, json=body)
    assert await acme.ask("GET", place) == []


async def receive(tenant: Tenant, connection_id: str, *keys: str) -> Connection:
    """Events in the inbox, and the same as dead letters."""
    connection = await Registry(tenant.api.db).get_connection(tenant.id, UUID(connection_id))
    events = [ReceivedEvent(key, "customer.updated", None, b"{}") for key in keys]
    await inbox.append(tenant.api.db, [Received(tenant.id, connection.id, event) for event in events])
    now = datetime.now(UTC)
    failures = [Failure(StoredEvent(event, now), "no such customer", is_final=True) for event in events]
    async with tenant.api.db.workspace(tenant.id) as conn:
        await dead_letters.keep(conn, connection, failures, now)
    return connection


async def test_what_was_received_is_seen_and_applied_once_more(acme: Tenant) -> None:
    first, second = await acme.add("first"), await acme.add("second")
    await receive(acme, first["id"], "evt_1", "evt_2", "evt_3")
    await receive(acme, second["id"], "evt_1")
    waiting = {one["connection_id"]: one for one in await acme.ask("GET", "/api/webhooks/waiting")}
    assert waiting[first["id"]]["events"] == 3
    assert waiting[first["id"]]["dead_letters"] == {"waiting": 0, "dead": 3, "replayed": 0}

    async def letters(**params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"next": None}
        while page["next"] or not found:
            where = {**params, "limit": 2, **({"cursor": page["next"]} if page["next"] else {})}
            page = await acme.ask("GET", "/api/webhooks/dead-letters", params=where)
            found += page["items"]
        return found

    assert len(await letters()) == 4
    of_first = await letters(connection_id=first["id"])
    assert sorted(one["event_key"] for one in of_first) == ["evt_1", "evt_2", "evt_3"]

    replay = f"{CONFIGS}/{first['id']}/webhooks/replay"
    one = {"ids": [of_first[0]["id"]]}
    assert await acme.ask("POST", replay, 202, json=one) == {"waiting": 1}
    (again,) = await letters(connection_id=first["id"], state="waiting")
    assert again["id"] == of_first[0]["id"]
    assert await acme.ask("POST", replay, 202, json={}) == {"waiting": 3}
    assert len(await letters(connection_id=second["id"], state="dead")) == 1, "another connection's stay"
    span = {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    assert await acme.ask("POST", replay, 202, json=span) == {"waiting": 3}
    for bad in ({**span, **one}, {"until": span["since"]}, {"since": "2026-01-01T00:00:00"}, {"ids": []}):
        await acme.ask("POST", replay, 422, json=bad)


async def test_what_can_not_be_read_yet_is_there_with_what_holds_it(
    api: Api, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(horizon, "PATIENCE", timedelta(0))
    other = await api.tenant("other")
    here, there = await acme.add(), await other.add()
    await receive(other, there["id"], "evt_1")
    with psycopg.connect(beside(api.db.url, "postgres"), application_name="forgotten") as writer:
        writer.execute("SELECT pg_current_xact_id()")
        await receive(acme, here["id"], "evt_1", "evt_2")
        (one,) = await acme.ask("GET", "/api/webhooks/waiting")
        assert (one["connection_id"], one["events"], one["held"]) == (here["id"], 0, 2)
        assert f"pid {writer.info.backend_pid} (forgotten, of" in one["held_by"]
        assert one["held_since"]
        (theirs,) = await other.ask("GET", "/api/webhooks/waiting")
        assert (theirs["held"], theirs["held_by"], theirs["held_since"]) == (0, None, None)
        writer.rollback()
    (one,) = await acme.ask("GET", "/api/webhooks/waiting")
    assert (one["events"], one["held"], one["held_by"]) == (2, 0, None)


async def test_a_viewer_sees_endpoints_and_no_letters(acme: Tenant) -> None:
    viewer = await acme.api.with_role(acme, "viewer")
    assert await viewer.ask("GET", "/api/webhooks/waiting") == []
    await viewer.ask("GET", "/api/webhooks/dead-letters", 403)
