"""A restored dump, and a writer that was left open elsewhere in the cluster: events and changes come all the same."""

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from tests.conftest import connectors
from tests.unified.api.management.rig import PROVIDER, Issuer, serving
from tests.unified.sync.deliveries import drained
from tests.unified.sync.routes.test_restored import BURN, call, execute, new_server, program
from tests.unified.sync.stories.conftest import Told
from unified.kit.secrets import Secret
from unified.store.database import Database
from unified.store.inbox import horizon
from unified.store.inbox.endpoints import Endpoints
from unified.store.migrate import migrate
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.server.urls import beside
from unified.sync.identities.resolve import resolve

__all__ = ["new_server"]
SECRET = "whsec_fake_of_the_stories"


def signature(body: bytes) -> dict[str, str]:
    """https://docs.stripe.com/webhooks#verify-manually."""
    at = int(time.time())
    digest = hmac.new(SECRET.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={at},v1={digest}"}


async def names(told: Told) -> dict[str, str]:
    return dict(await told.billing.query("SELECT source_id, name FROM {leaf} ORDER BY 1"))


async def test_events_behind_a_writer_of_another_database_are_said_and_applied(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledged while it is open, and after a second writer joined it; read when both have ended."""
    monkeypatch.setattr(horizon, "PATIENCE", timedelta(0))
    stripe = told.systems.stripe
    customer = stripe.create(name="Before")["id"]
    await told.billing.sync()
    endpoints = Endpoints(told.db, CredentialStore(told.db, PROVIDER))
    endpoint = await endpoints.create(told.billing.connection)
    await endpoints.rotate(endpoint, Secret(SECRET))
    elsewhere = beside(told.db.url, "postgres")
    async with serving(told.db, Issuer()) as api:

        async def deliver() -> None:
            body = json.dumps(stripe.events[0]).encode()
            path = f"/webhooks/stripe/{endpoint.path}"
            answer = await api.client.post(path, content=body, headers=signature(body))
            assert answer.status_code == 200

        with psycopg.connect(elsewhere) as first, psycopg.connect(elsewhere) as second:
            first.execute("SELECT pg_current_xact_id()")
            stripe.update(customer, name="During")
            await deliver()
            second.execute("SELECT pg_current_xact_id()")
            stripe.update(customer, name="After")
            await deliver()
            for ending, held in ((first, 2), (second, 1)):
                result = await drained(told.billing)
                assert result is not None
                assert result.held == held
                assert f"pid {ending.info.backend_pid} " in str(result.held_by)
                ending.rollback()
    await drained(told.billing)
    assert await names(told) == {customer: "After"}
    assert await told.billing.query("SELECT count(*) FROM {leaf}", "events") == [(2,)]


async def test_what_happens_after_a_restore_reaches_the_other_system(
    told: Told, database_url: str, new_server: str, tmp_path: Path
) -> None:
    """Dumped in the middle of a day's work, restored into a server that counts from the start again."""
    stripe, hubspot = told.systems.stripe, told.systems.hubspot
    first = stripe.create(name="Una First", email="una@example.com")["id"]
    await told.sync()
    route = await told.route(direction="two_way")
    await told.run(route)
    await resolve(told.db, route.workspace_id)
    await asyncio.to_thread(execute, database_url, BURN)
    stripe.create(name="Ben Between", email="ben@example.com")
    await told.sync()
    dump, roles = str(tmp_path / "dump"), str(tmp_path / "roles.sql")
    call(program("pg_dumpall"), "--roles-only", "--file", roles, "--dbname", database_url)
    call(program("pg_dump"), "--format=custom", "--file", dump, database_url)
    server, url = beside(new_server, "postgres"), beside(new_server, "restored")
    call(program("psql"), "--quiet", "--file", roles, server)
    execute(server, "CREATE DATABASE restored")
    call(program("pg_restore"), "--exit-on-error", "--dbname", url, dump)
    migrate(url, connectors())
    async with Database.open(url) as db:
        here = Told(db, told.systems, replace(told.billing, db=db), replace(told.crm, db=db))
        stripe.update(first, name="Una Later")
        hubspot.create(email="cai@example.com", firstname="Cai", lastname="Since")
        for _ in range(2):
            await here.sync()
            assert (await here.run(route)).is_complete
        await resolve(db, route.workspace_id)
        assert {one["properties"].get("lastname") for one in hubspot.contacts.values()} == {
            "Later", "Between", "Since",
        }  # fmt: skip
        assert {one["name"] for one in stripe.customers.values()} == {"Una Later", "Ben Between", "Cai Since"}
        assert await here.standing(route) == {"linked": 3}
        async with db.workspace(route.workspace_id) as conn:
            rows = await conn.execute("SELECT count(*) FROM golden_customers")
            assert await rows.fetchone() == (3,)
