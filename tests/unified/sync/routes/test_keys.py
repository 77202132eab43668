"""Fields by which routes look customers up: kept with the customers while a route names them, and no longer."""

import asyncio
from typing import Any

import pytest

from tests.plans import Plans
from tests.unified.sync.routes.pair import Pair, person
from tests.waiting import LIMIT_SECONDS
from unified.schema.entities import CUSTOMERS
from unified.store import removal
from unified.store.records import lookups
from unified.store.records.tables import StreamKey
from unified.store.routes.settings import RouteSettings

CRM = "custom_fields.crm"


@pytest.fixture
def known() -> set[str]:
    """None: what these tests run is looked at, also where another one ran it before."""
    return set()


async def found(pair: Pair, *values: str, by: str = CRM) -> list[str]:
    """Ids of Stripe's customers of which a key is one of these."""
    connection = pair.stripe.connection
    key = StreamKey(connection.workspace_id, connection.id, "stripe", CUSTOMERS, "customers")
    async with pair.db.workspace(connection.workspace_id) as conn:
        return sorted(one.source_id for one in await lookups.by_key(conn, key, by, values))


async def kept(pair: Pair) -> list[tuple[Any, ...]]:
    """Connections, fields and how many values of each."""
    async with pair.db.workspace(pair.stripe.connection.workspace_id) as conn:
        rows = await conn.execute(
            """
            SELECT c.connector, k.field, count(*) FROM customer_keys AS k
            JOIN connector_configs AS c ON c.id = k.connection_id GROUP BY 1, 2 ORDER BY 1, 2
            """
        )
        return await rows.fetchall()


def customer(pair: Pair, name: str, **metadata: str) -> str:
    return str(pair.stripe.change("create_customer", **person(name, metadata=metadata))["id"])


async def test_they_are_found_by_an_index_as_they_are_now(pair: Pair, plans: Plans) -> None:
    before, other = customer(pair, "Ada", crm="1", tier="gold"), customer(pair, "Bob", crm="long" * 5_000)
    customer(pair, "Cid", tier="1")
    await pair.sync()
    await pair.route(back=True, match_keys=(CRM,))
    assert await kept(pair) == [("stripe", CRM, 2)]
    after = customer(pair, "Dan", crm="1")
    await pair.sync()
    assert await found(pair, "1", "long" * 5_000) == sorted([before, other, after])

    pair.stripe.change("update_customer", before, metadata={"crm": "2"})
    pair.stripe.change("update_customer", other, metadata={"tier": "1"})
    pair.stripe.change("delete_customer", after)
    await pair.sync()
    assert await found(pair, "1", "long" * 5_000) == []
    assert await found(pair, "2", "none") == [before]
    assert [text for text in plans.explained if "customer_keys" in text and "key_hash = ANY" in text]
    assert plans.lacking == {}


async def test_phone_numbers_and_companies_are_found_so_too(pair: Pair, plans: Plans) -> None:
    ada, bob = (
        str(pair.stripe.change("create_customer", **one)["id"])
        for one in (
            person("Ada", phone="+44 1632 960000"),
            person("Bob", email="Bob@Other.example", phone="960"),
        )
    )
    await pair.sync()
    assert await found(pair, "32960000", by="phone") == [ada], "no route names it yet: the column is read"
    await pair.route(back=True, match_keys=("phone", "domain_name"))
    assert await kept(pair) == [("stripe", "domain_name", 2), ("stripe", "phone", 2)]
    for number, name in (("32960000", "Ada"), ("32960001", "Eve")):
        assert await found(pair, number, "none", by="phone") == [ada]
        assert await found(
            pair, f"example.com|{name.lower()}", "other.example|bob", by="domain_name"
        ) == sorted([ada, bob])
        pair.stripe.change("update_customer", ada, name="Eve", phone="01632960001")
        await pair.sync()
    assert await found(pair, "32960000", by="phone") == []
    assert plans.lacking == {}


async def test_they_are_kept_while_a_route_names_them(pair: Pair) -> None:
    one = customer(pair, "Ada", crm="1", tier="gold")
    pair.hubspot.change("create_contact", email="b@example.com", firstname="B", lastname="B", jobtitle="x")
    await pair.sync()
    route = await pair.route(back=True)
    assert await kept(pair) == []
    assert await found(pair, "1") == [one], "a run under way goes on by a key that its route has no more"

    both = RouteSettings(match_keys=(CRM, "phone", "custom_fields.tier"))
    route = await pair.routes.change(route, both)
    assert await kept(pair) == [("stripe", CRM, 1), ("stripe", "custom_fields.tier", 1)]
    route = await pair.routes.change(
        route, RouteSettings(match_keys=("custom_fields.jobtitle",), direction="two_way")
    )
    assert await kept(pair) == [("hubspot", "custom_fields.jobtitle", 1)]
    route = await pair.routes.change(route, both)
    await pair.routes.remove(route)
    assert await kept(pair) == []


@pytest.mark.parametrize("which", ["stripe", "hubspot"])
async def test_they_go_with_either_connection(pair: Pair, which: str) -> None:
    customer(pair, "Ada", crm="1")
    await pair.sync()
    await pair.route(back=True, match_keys=(CRM,))
    assert await kept(pair) == [("stripe", CRM, 1)]
    ids = {"stripe": pair.stripe.connection.id, "hubspot": pair.hubspot.connection.id}
    workspace = pair.stripe.connection.workspace_id
    await removal.remove_connection(pair.db, workspace, ids[which])
    async with pair.db.workspace(workspace) as conn:
        rows = await conn.execute(
            "SELECT FROM customer_keys WHERE connection_id = ANY(%s)", ([*ids.values()],)
        )
        assert rows.rowcount == 0


async def test_a_batch_that_is_being_committed_is_not_missed(pair: Pair) -> None:
    connection = pair.stripe.connection
    async with pair.db.workspace(connection.workspace_id) as conn:
        await conn.execute("SELECT FROM connector_configs WHERE id = %s FOR SHARE", (connection.id,))
        adding = asyncio.create_task(pair.route(back=True, match_keys=(CRM,)))
        async with asyncio.timeout(LIMIT_SECONDS):
            while not (adding.done() or await _waits(pair)):  # noqa: ASYNC110 - PostgreSQL says nothing of it by itself
                await asyncio.sleep(0.05)
        assert not adding.done()
        await conn.execute(
            """
            INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
                schema_version, content_hash, observed_at, synced_at, is_active, custom_fields)
            VALUES (%s, %s, 'stripe', 'customers', 'cus_1', gen_random_uuid(), '1.1.0', 1, now(), now(), true,
                '{"crm": "1"}')
            """,
            (connection.workspace_id, connection.id),
        )
    await adding
    assert await kept(pair) == [("stripe", CRM, 1)]


async def _waits(pair: Pair) -> bool:
    async with pair.db.workspace(pair.stripe.connection.workspace_id) as conn:
        rows = await conn.execute(
            "SELECT FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database())"
        )
        return bool(rows.rowcount)
