"""Records that events carry: the state of the latest time counts, in whatever order they come."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import add_generic_webhook, migrated_database
from unified.kit.errors import ConfigurationError
from unified.kit.factory import AdapterFactory
from unified.kit.mapping.rules import Rule
from unified.kit.registry import get_adapter, get_verifier
from unified.kit.webhooks.deliveries import Delivery
from unified.store.connections import field_rules, turns
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.inbox import events as inbox
from unified.store.inbox.events import Received
from unified.store.records import rejects
from unified.store.records.tables import StreamKey
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider, generate_key
from unified.store.secrets.opening import StoredConnections
from unified.store.workspaces import workspaces
from unified.sync.connection import sync_connection
from unified.sync.drain import drain
from unified.sync.remapping.remap import remap

# The database says when an event was received, so events of these tests are of the day before.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
GONE = NOON + timedelta(hours=2, minutes=59)
CUSTOMERS = {
    "types": ["customer.*"],
    "records": "data.object",
    "id": "id",
    "tombstone": {"path": "deleted", "at": "gone_at"},
}
READING = {"id_field": "id", "time_field": "at"}


@pytest.fixture(scope="module")
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A database that knows the connector."""
    with migrated_database(server_url, template) as url:
        add_generic_webhook(url)
        yield url


class Sender:
    """A connection, and a system that delivers to it."""

    def __init__(self, db: Database, connection: Connection) -> None:
        self.db = db
        self.connection = connection
        credentials = CredentialStore(db, LocalKeyProvider([generate_key()]))
        self.factory = AdapterFactory(StoredConnections(Registry(db), credentials, actor="tests"))

    @classmethod
    async def of(cls, db: Database, **settings: Any) -> "Sender":
        workspace = await workspaces.create(db, f"hooks-{uuid4().hex[:12]}")
        added = await Registry(db).add_connection(workspace.id, "webhook", "hooks", settings)
        return cls(db, added)

    async def deliver(self, *bodies: Any) -> None:
        verifier = get_verifier("none", READING)
        rows = [
            Received(self.connection.workspace_id, self.connection.id, event)
            for body in bodies
            for event in verifier.read_events(
                Delivery.polled(body if isinstance(body, bytes) else json.dumps(body).encode(), NOON)
            )
        ]
        assert await inbox.append(self.db, rows) == len(rows)

    async def drained(self) -> None:
        (result,) = await drain(self.db, self.factory, "webhook")
        assert (result.failed, result.error) == (0, None)

    async def rows(self, columns: str, table: str = "unified_customers") -> list[Any]:
        async with self.db.workspace(self.connection.workspace_id) as conn:
            found = await conn.execute(f"SELECT {columns} FROM {table} ORDER BY source_id".encode())  # noqa: S608
            return await found.fetchall()

    async def rule(self, stream: str, *rules: dict[str, Any]) -> None:
        await field_rules.put(self.db, self.connection, stream, *map(Rule.model_validate, rules))


def customer(number: int, hour: int, **fields: Any) -> dict[str, Any]:
    at = (NOON + timedelta(hours=hour)).isoformat()
    return {
        "id": f"evt_{number}",
        "type": "customer.changed",
        "at": at,
        "data": {"object": {"id": 7, **fields}},
    }


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_latest_state_counts_whatever_the_order(database: Database, order: tuple[int, ...]) -> None:
    sender = await Sender.of(database, customers=CUSTOMERS)
    await sender.rule("customers", {"source": "mail", "target": "email"})
    events = [customer(hour, hour, mail=f"a{hour}@example.com") for hour in range(3)]
    for number in order:
        await sender.deliver(events[number])
        await sender.drained()
    assert await sender.rows("source_id, email, observed_at") == [
        ("7", "a2@example.com", NOON + timedelta(hours=2))
    ]


async def test_a_clock_that_is_ahead_costs_no_later_state(database: Database) -> None:
    sender = await Sender.of(database, customers=CUSTOMERS)
    await sender.rule("customers", {"source": "mail", "target": "email"})
    await sender.deliver(customer(1, 24 * 365, mail="early@example.com"))
    await sender.drained()
    await sender.deliver(customer(2, 24 * 365 + 1, mail="late@example.com"))
    await sender.drained()
    assert await sender.rows("email") == [("late@example.com",)]


async def test_a_deleted_record_is_a_tombstone_that_no_older_state_brings_back(database: Database) -> None:
    sender = await Sender.of(database, customers=CUSTOMERS)
    await sender.deliver(customer(1, 1), customer(3, 3, deleted=True, gone_at=GONE.isoformat()))
    await sender.drained()
    await sender.deliver(customer(2, 2))
    await sender.drained()
    assert await sender.rows("source_id, is_active, deleted_at") == [("7", False, GONE)]


async def test_amounts_keep_their_digits_and_an_odd_record_costs_no_neighbour(database: Database) -> None:
    sender = await Sender.of(
        database, invoices={"types": ["invoices"], "records": "items", "id": {"paths": ["year", "no"]}}
    )
    await sender.rule(
        "invoices",
        {"source": "sum", "target": "total", "required": True},
        {"source": "currency", "target": "currency"},
        {"source": "buyer", "target": "customer_id"},
    )
    await sender.deliver(
        b'{"id":"e","type":"invoices","items":['
        b'{"year":2026,"no":1,"sum":99999999999999.99,"currency":"chf","buyer":7},'
        b'{"no":2,"sum":1}, 5, null, {"year":2026,"no":3,"sum":"many","currency":"CHF"},'
        b'{"year":2026,"no":4,"sum":0.10,"currency":"CHF"}]}'
    )
    await sender.drained()
    found = await sender.rows("source_id, total::text, currency, customer_id", "unified_invoices")
    assert found == [
        ("2026:1", "99999999999999.99", "CHF", "7"),
        ("2026:4", "0.10", "CHF", None),
    ]
    stream = StreamKey.of(sender.connection, get_adapter("webhook").stream("invoices"))
    async with database.workspace(sender.connection.workspace_id) as conn:
        assert len(await rejects.read(conn, stream, after="")) == 4


async def test_events_that_carry_no_record_are_kept_as_events(database: Database) -> None:
    sender = await Sender.of(database, customers=CUSTOMERS)
    await sender.deliver({"id": "a", "type": "ping"}, {"id": "b", "type": "pong", "at": 1_795_172_400})
    await sender.drained()
    ping, pong = await sender.rows("source_id, event_type, occurred_at, observed_at", "unified_events")
    assert ping[:2] == ("a", "ping")
    assert ping[2] == ping[3]  # when it was received, as it does not say
    assert pong[:3] == ("b", "pong", datetime(2026, 11, 20, 11, tzinfo=UTC))
    assert await sender.rows("source_id") == []


async def test_a_changed_rule_or_tombstone_maps_what_is_stored_anew(database: Database) -> None:
    sender = await Sender.of(database, customers=CUSTOMERS)
    await sender.deliver(customer(1, 1, mail="a@example.com", state="closed"))
    await sender.drained()
    await sender.rule("customers", {"source": "mail", "target": "email"})
    await remap(database, sender.connection)
    assert await sender.rows("email, is_active") == [("a@example.com", True)]

    closed = {**CUSTOMERS, "tombstone": {"path": "state", "values": ["closed"]}}
    changed = await Registry(database).update_connection(
        sender.connection.workspace_id, sender.connection.id, settings={"customers": closed}
    )
    await remap(database, changed)
    assert await sender.rows("email, is_active") == [("a@example.com", False)]


async def test_there_is_nothing_to_pull(database: Database) -> None:
    sender = await Sender.of(database)
    with pytest.raises(ConfigurationError, match="by webhook alone"):
        await sync_connection(database, sender.factory, sender.connection)
    due = await turns.due(database, datetime.now(UTC))
    assert sender.connection.id not in {one.id for one in due}
