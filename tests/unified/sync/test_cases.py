"""Inputs from the field, each replayed as its file says, by real syncs, deliveries, drains and routes.

The files are beside the checkout (``../shared/cases/turn2``), with the right outcome of each in words.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.unified.kit.webhooks.senders import b64, digest
from tests.unified.sync.conftest import COMMON, SETTINGS
from tests.unified.sync.deliveries import drained
from tests.unified.sync.scripted import Record, Script, StripeAccount, served
from tests.unified.sync.source import KEYS, HubSpotSource, Source, StripeSource
from tests.waiting import LIMIT_SECONDS
from unified.api.server import listen, webhook_server
from unified.api.settings import Settings
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.inbox.endpoints import Endpoints
from unified.store.readers.query import ask
from unified.store.routes.routes import Routes
from unified.store.routes.settings import RouteSettings
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider, generate_key
from unified.store.workspaces import workspaces
from unified.sync.routes.run import run_route

CASES = Path(__file__).parents[4] / "shared" / "cases" / "turn2"
CLIENT_SECRET = "whsec_fake_of_the_cases"

pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason="the cases from the field (../shared/cases) are not here"
)


@dataclass
class Stage:
    """A workspace, and providers that hold what a case says."""

    db: Database
    url: str
    workspace_id: UUID
    script: Script
    master_key: str = field(default_factory=generate_key)

    async def connect(self, connector: str, key: str = "", **settings: Any) -> Source:
        settings = {"base_url": f"{self.url}/{connector}", **COMMON, **SETTINGS[connector], **settings}
        connection = await Registry(self.db).add_connection(self.workspace_id, connector, connector, settings)
        kind = StripeSource if connector == "stripe" else HubSpotSource
        source = kind(self.db, connection, None, self.master_key)
        await source.use_key(key or KEYS[connector])
        return source

    def stripe(self, *customers: Record, **more: Any) -> None:
        """Have the usual key open an account with these customers."""
        self.script.stripe[KEYS["stripe"]] = StripeAccount("acct_Case", [*map(_bytes, customers)], **more)

    async def deliver(self, source: Source, body: bytes) -> int:
        """Deliver a body as it stands, signed as its provider signs, to a server of ours; the answer's status."""
        provider = LocalKeyProvider([self.master_key])
        endpoints = Endpoints(self.db, CredentialStore(self.db, provider))
        endpoint = await endpoints.create(source.connection)
        await endpoints.rotate(endpoint, Secret(CLIENT_SECRET))
        listener = listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = webhook_server(self.db, provider, Settings(public_url=url))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        target = f"{url}/webhooks/{source.connector}/{endpoint.path}"
        try:
            async with httpx.AsyncClient(timeout=LIMIT_SECONDS) as client:
                headers = _signed(source.connector, target, body)
                return (await client.post(target, content=body, headers=headers)).status_code
        finally:
            server.should_exit = True
            await running


def _signed(connector: str, url: str, body: bytes) -> dict[str, str]:
    if connector == "stripe":
        now = int(time.time())
        signature = digest(CLIENT_SECRET.encode(), b"%d.%b" % (now, body)).hex()
        return {"stripe-signature": f"t={now},v1={signature}"}
    moment = str(int(time.time() * 1000))
    message = b"POST" + url.encode() + body + moment.encode()
    signature = b64(digest(CLIENT_SECRET.encode(), message))
    return {
        "x-hubspot-signature-v3": signature if isinstance(signature, str) else signature.decode(),
        "x-hubspot-request-timestamp": moment,
    }


def _bytes(record: Record) -> bytes:
    return json.dumps(record).encode()


async def route_further_address_two_way(stage: Stage, case: Record) -> None:
    stage.stripe(*case["stripe_customers"])
    stage.script.objects["contacts"] = case["hubspot_contacts"]
    answer = dict(case["hubspot_answers_create"])
    stage.script.on_create = answer.pop("status"), answer
    stripe, hubspot = await stage.connect("stripe"), await stage.connect("hubspot")
    settings = RouteSettings(direction="two_way" if case["route"]["two_way"] else "one_way")
    route = await Routes(stage.db).add("crm", stripe.connection, hubspot.connection, settings)
    await stripe.sync()
    await hubspot.sync()
    for _ in range(2):
        result = await run_route(
            stage.db, stripe.factory, await Routes(stage.db).get(route.workspace_id, route.id)
        )
        assert result.is_complete
    async with stage.db.workspace(stage.workspace_id) as conn:
        links = await (await conn.execute("SELECT source_id, target_id FROM pushed_records")).fetchall()
        waiting = await (
            await conn.execute("SELECT record_id FROM route_outbox WHERE state = 'review'")
        ).fetchall()
    assert links == [("cus_Ottilie2", "31")] or {one for (one,) in waiting} >= {"cus_Ottilie2"}
    assert stage.script.created.count("customers") == 0
    assert stage.script.created.count("contacts") <= 1


async def key_of_live_mode(stage: Stage, case: Record) -> None:
    for key, opened in case["opens"].items():
        customers = [*map(_bytes, opened["customers"])]
        stage.script.stripe[key] = StripeAccount(opened["account"], customers, opened["events"])
    test, live = case["opens"]
    source = await stage.connect("stripe", test)
    await source.sync()
    assert (await source.stored()).keys() == {"cus_Try1", "cus_Try2"}
    await source.use_key(live)
    assert (await source.sync()).mode == "full"
    assert (await source.stored()).keys() == {"cus_Real1"}
    assert await source.tombstones() == {"cus_Try1", "cus_Try2"}


async def hubspot_event_of_another_portal(stage: Stage, case: Record) -> None:
    stage.script.portal_id = case["portal_of_the_connection"]
    source = await stage.connect("hubspot")
    for delivery in case["deliveries"]:
        assert await stage.deliver(source, _bytes(delivery)) == 200
    result = await drained(source)
    assert result is not None
    assert (result.error, result.strays, result.failed) == (None, 1, 0)
    rows = await source.query("SELECT resource_id FROM {leaf}", "events")
    assert rows == [("31",)]
    assert "88001" not in {*await source.stored(), *await source.tombstones()}


async def hubspot_batch_with_half_a_surrogate(stage: Stage, case: Record) -> None:
    stage.script.portal_id = json.loads(case["body_text"])[0]["portalId"]
    source = await stage.connect("hubspot")
    assert await stage.deliver(source, case["body_text"].encode()) == 200
    result = await drained(source)
    assert result is not None
    assert (result.error, result.events, result.failed) == (None, 2, 0)
    rows = await source.query(
        "SELECT resource_id, payload ->> 'propertyValue' FROM {leaf} ORDER BY 1", "events"
    )
    assert rows == [("31", "Graz"), ("32", "bis bald \ufffd")]


async def stripe_thin_event(stage: Stage, case: Record) -> None:
    stage.stripe()
    source = await stage.connect("stripe")
    assert await stage.deliver(source, _bytes(case["body"])) == 200
    await drained(source)
    (row,) = await source.query(
        "SELECT event_type, occurred_at, livemode, resource_type, resource_id FROM {leaf}", "events"
    )
    happened = datetime(2026, 11, 2, 7, 15, tzinfo=UTC)
    assert row == ("v2.core.account.updated", happened, False, "v2.core.account", "acct_Kiosk")
    assert await source.rejects("events") == []


async def raw_record_with_nul(stage: Stage, case: Record) -> None:
    customers = [text.encode() for text in case["customers_text"]]
    stage.script.stripe[KEYS["stripe"]] = StripeAccount("acct_Case", customers)
    source = await stage.connect("stripe")
    assert (await source.sync()).inserted == 2
    counted, named = [
        (await ask(stage.db, stage.workspace_id, f"/* a test asks */ {one}", limit=10))[1]
        for one in case["ask"]
    ]
    assert counted == [(2,)]
    assert named == [("Nu\ufffdl",)]
    assert await source.query("SELECT name FROM {leaf} WHERE source_id = 'cus_Nul'") == [("Nul",)]


async def hubspot_due_date_of_five_digits(stage: Stage, case: Record) -> None:
    stage.script.objects["invoices"] = case["invoices"]
    source = await stage.connect("hubspot")
    result = await source.sync("invoices")
    assert (result.inserted, result.rejected, result.unusable) == (2, 0, 2)
    rows = await source.query(
        "SELECT source_id, total, due_date, custom_fields ->> 'invalid_due_date' FROM {leaf} ORDER BY 1",
        "invoices",
    )
    written = [one["properties"]["hs_due_date"] for one in case["invoices"]]
    assert rows == [("701", Decimal("480.00"), None, written[0]), ("702", Decimal("20.00"), None, written[1])]


async def stripe_customer_on_a_test_clock(stage: Stage, case: Record) -> None:
    on_clocks = [one for found in case["list_with_test_clock"].values() for one in found]
    stage.stripe(*case["list_of_customers"], *on_clocks, single=case["single"])
    source = await stage.connect("stripe")
    await source.sync()
    account = stage.script.stripe[KEYS["stripe"]]
    account.events = [{**one, "created": int(time.time()) - 1} for one in case["events_later"]]
    await source.sync()
    assert (await source.stored()).keys() == {"cus_Usual", "cus_Sim"}
    result = await source.sync(full=True)
    assert result.deleted == 0
    assert (await source.stored()).keys() == {"cus_Usual", "cus_Sim"}


async def hubspot_survivor_of_a_merge_changes(stage: Stage, case: Record) -> None:
    source = await stage.connect("hubspot")
    stage.script.objects["contacts"] = case["first"]
    await source.sync()
    merged_at = datetime.fromisoformat(case["merged_at"])
    stage.script.objects["contacts"] = case["after_merge"]
    await source.sync(full=True)
    deaths = "SELECT source_id, deleted_at FROM {leaf} ORDER BY 1"
    expected = [("41", merged_at), ("42", merged_at), ("43", None)]
    assert await source.query(deaths) == expected
    stage.script.objects["contacts"] = case["later"]
    result = await source.sync(full=True)
    assert (result.updated, result.deleted) == (1, 0)
    assert await source.query(deaths) == expected


async def hubspot_property_asked_for_later(stage: Stage, case: Record) -> None:
    stage.script.objects["contacts"] = case["contacts"]
    source = await stage.connect("hubspot")
    await source.sync()
    await source.configure(properties=["tier"])
    await source.sync()
    rows = await source.query("SELECT source_id, custom_fields ->> 'tier' FROM {leaf} ORDER BY 1")
    assert rows == [("51", "gold"), ("52", "silver")]


STORIES: dict[str, Callable[[Stage, Record], Awaitable[None]]] = {
    story.__name__: story
    for story in (
        route_further_address_two_way,
        key_of_live_mode,
        hubspot_event_of_another_portal,
        hubspot_batch_with_half_a_surrogate,
        stripe_thin_event,
        raw_record_with_nul,
        hubspot_due_date_of_five_digits,
        stripe_customer_on_a_test_clock,
        hubspot_survivor_of_a_merge_changes,
        hubspot_property_asked_for_later,
    )
}


@asynccontextmanager
async def staged(db: Database) -> AsyncIterator[Stage]:
    script = Script()
    with ExitStack() as stack:
        url = stack.enter_context(served(script))
        workspace = await workspaces.create(db, "acme")
        yield Stage(db, url, workspace.id, script)


@pytest.mark.parametrize("name", STORIES)
async def test_a_case_from_the_field(database: Database, name: str) -> None:
    case = json.loads((CASES / f"{name}.json").read_text())
    async with staged(database) as stage:
        await STORIES[name](stage, case)


def test_every_case_has_its_story() -> None:
    assert {path.stem for path in CASES.glob("*.json")} == set(STORIES)
