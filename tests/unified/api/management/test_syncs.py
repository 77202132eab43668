"""What syncs have done, as the API tells it: history, rejects, statistics."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.streams import key_of
from tests.unified.api.management.rig import CONFIGS, PROVIDER, Tenant
from unified.kit.factory import AdapterFactory
from unified.store.connections.registry import Registry
from unified.store.records import burials
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.opening import StoredConnections
from unified.sync.connection import sync_connection
from unified.sync.errors import SyncError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def sync(tenant: Tenant, connection: dict[str, Any]) -> None:
    """As `unified sync` does it."""
    db = tenant.api.db
    registry = Registry(db)
    source = StoredConnections(registry, CredentialStore(db, PROVIDER), actor="tests")
    stored = await registry.get_connection(tenant.id, UUID(connection["id"]))
    await sync_connection(db, AdapterFactory(source), stored)


async def test_history_and_statistics_of_syncs(acme: Tenant) -> None:
    good, bad = await acme.add("good"), await acme.add("bad")
    await acme.give_key(good)
    await acme.give_key(bad, "sk_test_fake_nobody")
    await sync(acme, good)
    with pytest.raises(SyncError, match="2 more of its streams failed"):
        await sync(acme, bad)

    place = f"{CONFIGS}/{good['id']}"
    first = await acme.ask("GET", f"{place}/history", params={"limit": 2})
    second = await acme.ask("GET", f"{place}/history", params={"limit": 2, "cursor": first["next"]})
    runs = [*first["items"], *second["items"]]
    assert second["next"] is None
    assert sorted(run["stream"] for run in runs) == ["customers", "events", "invoices"]
    (customers,) = [run for run in runs if run["stream"] == "customers"]
    assert (customers["records_read"], customers["inserted"], customers["is_complete"]) == (30, 30, True)
    assert (customers["run_id"], customers["run_url"]) == (None, None)
    only = await acme.ask("GET", f"{place}/history", params={"stream": "invoices"})
    assert [run["stream"] for run in only["items"]] == ["invoices"]

    (stripe,) = await acme.ask("GET", "/api/statistics")
    assert (stripe["connector"], stripe["connections"], stripe["failing"]) == ("stripe", 2, 1)
    assert stripe["succeeded"] == 3
    assert stripe["failed"] >= 1
    assert stripe["rows"]["customers"] == 30
    assert "answered 401" in stripe["last_error"]
    of_good = await acme.ask("GET", f"{place}/statistics", params={"days": 1})
    assert (of_good["succeeded"], of_good["failed"], of_good["last_error"]) == (3, 0, None)
    of_bad = await acme.ask("GET", f"{CONFIGS}/{bad['id']}/statistics")
    assert (of_bad["succeeded"], of_bad["rows"]["customers"]) == (0, 0)
    await acme.ask("GET", f"{CONFIGS}/{uuid4()}/statistics", 404)


async def test_a_run_of_dagsters_is_linked(acme: Tenant) -> None:
    connection = await acme.add()
    async with acme.api.db.workspace(acme.id) as conn:
        await conn.execute(
            "INSERT INTO sync_history (workspace_id, connector_config_id, stream, mode, run_id) "
            "VALUES (%s, %s, 'customers', 'full', 'run-1')",
            (acme.id, connection["id"]),
        )
    (run,) = (await acme.ask("GET", f"{CONFIGS}/{connection['id']}/history"))["items"]
    assert run["run_url"] == "https://dagster.example.com/runs/run-1"
    assert run["finished_at"] is None


async def test_rejects_are_for_those_who_may_read_records(acme: Tenant) -> None:
    connection = await acme.add()
    async with acme.api.db.workspace(acme.id) as conn:
        for key in ("a", "b", "c"):
            await conn.execute(
                "INSERT INTO rejects "
                "(workspace_id, connector_config_id, stream, record_key, raw, error, observed_at) "
                "VALUES (%s, %s, 'customers', %s, %s, 'no email', now())",
                (acme.id, connection["id"], key, b'{"email": "\xff"}'),
            )
    place = f"{CONFIGS}/{connection['id']}/rejects"
    first = await acme.ask("GET", place, params={"limit": 2})
    second = await acme.ask("GET", place, params={"limit": 2, "cursor": first["next"], "raw": True})
    assert [one["key"] for one in (*first["items"], *second["items"])] == ["a", "b", "c"]
    assert [one["raw"] for one in first["items"]] == [None, None]
    assert second["items"][0]["raw"] == '{"email": "\N{REPLACEMENT CHARACTER}"}'
    assert (await acme.ask("GET", place, params={"stream": "invoices"}))["items"] == []
    viewer = await acme.api.with_role(acme, "viewer")
    await viewer.ask("GET", place, 403)
    await viewer.ask("GET", f"{CONFIGS}/{connection['id']}/history")


async def test_a_burial_that_waits_is_confirmed_once(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}"
    assert await acme.ask("GET", f"{place}/burials") == []
    await acme.ask("POST", f"{place}/burials/confirm", 409)
    db = acme.api.db
    stored = await Registry(db).get_connection(acme.id, UUID(connection["id"]))
    async with db.workspace(acme.id) as conn:
        now = datetime.now(UTC)
        await burials.keep(conn, key_of(stored, "customers"), now, missing=90, gone=40, living=100)
    (waiting,) = await acme.ask("GET", f"{place}/burials")
    assert (waiting["stream"], waiting["missing"], waiting["confirmed_at"]) == ("customers", 90, None)
    (first,) = await acme.ask("POST", f"{place}/burials/confirm", 202)
    assert first["confirmed_by"].startswith("token:")
    assert await acme.ask("POST", f"{place}/burials/confirm", 202) == [first]
    assert (await acme.ask("GET", place))["sync_requested_at"]
    entries = (await acme.ask("GET", "/api/audit?action=connection.bury"))["items"]
    assert [one["detail"] for one in entries] == [{"customers": {"missing": 90, "gone": 40, "living": 100}}]
    viewer = await acme.api.with_role(acme, "viewer")
    await viewer.ask("GET", f"{place}/burials")
    await viewer.ask("POST", f"{place}/burials/confirm", 403)
