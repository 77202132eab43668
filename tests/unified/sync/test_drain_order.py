"""Any order, duplication and delay of deliveries, with drains and syncs anywhere between, ends in the same tables."""

import asyncio
import time
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st

from tests.properties import given, settings
from tests.unified.sync.conftest import COMMON, SETTINGS
from tests.unified.sync.deliveries import Event, all_events, assert_applied, deliver, drained
from tests.unified.sync.source import KEYS, StripeSource
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import AccountSpec, StripeSandbox
from unified.store import removal
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.inbox import dead_letters
from unified.store.secrets.keys import generate_key
from unified.store.workspaces import workspaces

CUSTOMERS, INVOICES = 6, 4

# What may happen, one after the other; numbers choose a customer, an invoice or a delivery among those there are.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "rename",
                "rename",
                "delete",
                "create",
                "bill",
                "describe",
                "deliver",
                "deliver",
                "again",
                "drain",
                "sync",
            ]
        ),
        st.integers(0, 1000),
    ),
    max_size=30,
)


def change(source: StripeSource, step: str, number: int) -> None:
    """One change at the source, where there is still something to change."""
    customers, invoices = list(source.expected()), list(source.expected("invoices"))
    match step:
        case "rename" if customers:
            source.rename(customers[number % len(customers)], f"Renamed {number}")
        case "delete" if customers:
            source.change("delete_customer", customers[number % len(customers)])
        case "create":
            source.change("create_customer", name=f"New {number}")
        case "bill" if customers:
            source.change(
                "create_invoice", customer=customers[number % len(customers)], lines=number % 15 + 1
            )
        case "describe" if invoices:
            source.change("update_invoice", invoices[number % len(invoices)], description=f"changed {number}")


async def run(database: Database, url: str, sandbox: StripeSandbox, steps: list[tuple[str, int]]) -> None:
    registry = Registry(database)
    workspace = await workspaces.create(database, f"order-{uuid4().hex[:12]}")
    connection_settings: dict[str, Any] = {"base_url": f"{url}/stripe", **COMMON, **SETTINGS["stripe"]}
    connection = await registry.add_connection(workspace.id, "stripe", "main", connection_settings)
    source = StripeSource(database, connection, sandbox, generate_key())
    await source.use_key(KEYS["stripe"])
    delivered: list[Event] = []

    def undelivered() -> list[Event]:
        return [event for event in all_events(source) if event not in delivered]

    for step, number in steps:
        match step:
            case "deliver" if waiting := undelivered():
                delivered.append(waiting[number % len(waiting)])
                await deliver(source, delivered[-1:])
            case "again" if delivered:
                assert await deliver(source, [delivered[number % len(delivered)]]) == 0
            case "drain":
                await drained(source)
            case "sync":
                await source.sync_all()
            case _:
                change(source, step, number)
    await deliver(source, undelivered()[::-1])
    await drained(source)

    await assert_applied(source, all_events(source))
    # Without a first load the tables hold what was spoken of; those records, and no others.
    spoken_of = {event["data"]["object"]["id"] for event in all_events(source)}
    for stream in ("customers", "invoices"):
        expected = source.expected(stream)
        stored = await source.stored(stream)
        assert {key: raw for key, raw in stored.items() if expected.get(key) != raw} == {}
        assert spoken_of & expected.keys() <= stored.keys()
    deleted = {
        event["data"]["object"]["id"] for event in all_events(source) if event["type"] == "customer.deleted"
    }
    # What was deleted before it was ever stored has no row.
    assert not deleted & (await source.stored()).keys()
    assert await source.tombstones() <= deleted
    assert await dead_letters.counts(database, connection) == {}
    await removal.delete_workspace(database, workspace.id)


def test_the_end_is_the_same(database_url: str) -> None:
    """Synchronous, because that is how hypothesis runs an example."""

    @settings(max_examples=12, deadline=None, derandomize=True, database=None)
    @given(steps=STEPS)
    def example(steps: list[tuple[str, int]]) -> None:
        sandbox = StripeSandbox(
            customers=CUSTOMERS,
            invoices=INVOICES,
            now=time.time() - 86_400,
            limits=None,
            api_keys={KEYS["stripe"]: AccountSpec()},
        )
        sandbox.clock.advance(days=1)

        async def with_database() -> None:
            async with Database.open(database_url) as database:
                await run(database, server.url, sandbox, steps)

        with SandboxServer(stripe=sandbox) as server:
            asyncio.run(with_database())

    example()
