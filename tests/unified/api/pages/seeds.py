"""What many syncs and webhooks would have left: history, rejects and dead letters."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.streams import key_of
from tests.unified.api.management.records.shelf import record as record_of
from unified.kit.mapping.rules import Rule
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.schema import connection_namespace, unified_id
from unified.store.connections import field_rules
from unified.store.connections.registry import Registry
from unified.store.inbox.dead_letters import Failure, keep
from unified.store.inbox.events import Received, StoredEvent, append
from unified.store.lists.pages import Place
from unified.store.lists.pages import Row as Listed
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row
from unified.store.routes import outbox
from unified.store.routes.outbox import Entry
from unified.store.routes.routes import Routes
from unified.store.routes.settings import RouteSettings
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.subscriptions import progress
from unified.store.subscriptions.subscriptions import Subscriptions
from unified.sync.identities.resolve import resolve

if TYPE_CHECKING:
    from uuid import UUID

    from unified.store.connections.rows import Connection
    from unified.store.database import Database
    from unified.store.records.tables import StreamKey
    from unified.store.routes.rows import Route
    from unified.store.secrets.keys import KeyProvider
    from unified.store.workspaces.rows import Workspace

_RUNS = """
    INSERT INTO sync_history (workspace_id, connector_config_id, stream, mode, run_id, started_at, finished_at,
        is_complete, records_read, inserted, updated, unchanged, rejected, requests, error_message)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 3, %s)
"""


async def history(db: Database, connection: Connection, syncs: int = 18) -> None:
    """Hourly syncs of three streams: a first load, then changes; one failed, one had rejects."""
    now = datetime.now(UTC)
    async with db.workspace(connection.workspace_id) as conn:
        for number in range(syncs):
            started = now - timedelta(hours=syncs - number - 1, minutes=12)
            for offset, stream in enumerate(("customers", "invoices", "events")):
                is_first, failed = number == 0, number == 6 and stream == "invoices"
                read = 2_400 * (3 - offset) if is_first else (number * 7 + offset * 13) % 40
                rejected = 2 if number == 11 and stream == "customers" else 0
                read = max(read, rejected)
                inserted = read - rejected if is_first else read // 3
                updated = read - rejected - inserted
                await conn.execute(
                    _RUNS,
                    (
                        connection.workspace_id,
                        connection.id,
                        stream,
                        "full" if is_first else "incremental",
                        f"run-{number}",
                        started + timedelta(seconds=2 * offset),
                        started + timedelta(seconds=2 * offset + 1.4),
                        not failed,
                        read,
                        inserted,
                        updated,
                        0,
                        rejected,
                        "stripe connection: HTTP 503 from /v1/invoices, after 5 retries" if failed else None,
                    ),
                )


async def reject(db: Database, connection: Connection, source_id: str, error: str) -> None:
    async with db.workspace(connection.workspace_id) as conn:
        await conn.execute(
            """
            INSERT INTO rejects (
                workspace_id, connector_config_id, stream, record_key, source_id, raw, error, observed_at
            )
            VALUES (%s, %s, 'customers', %s, %s, '{}', %s, now())
            """,
            (connection.workspace_id, connection.id, source_id, source_id, error),
        )


async def record(db: Database, key: StreamKey, *source_ids: str, raw: bytes = b"{}", **fields: Any) -> None:
    """Store records of a stream with the same fields."""
    rows = [Row.of(record_of(key, one, **fields), raw, index) for index, one in enumerate(source_ids)]
    await batches.commit(db, key, Batch(observed_at=max(row.observed_at for row in rows), rows=rows))


async def failed_with(db: Database, connection: Connection, error: str) -> None:
    async with db.workspace(connection.workspace_id) as conn:
        await conn.execute(
            "UPDATE connector_configs SET sync_status = 'error', error_message = %s WHERE id = %s",
            (error, connection.id),
        )


async def synced(db: Database, connection: Connection) -> None:
    async with db.workspace(connection.workspace_id) as conn:
        await conn.execute(
            "UPDATE connector_configs SET sync_status = 'success', last_sync_at = now() - interval '12 min' "
            "WHERE id = %s",
            (connection.id,),
        )


async def subscription(
    db: Database,
    provider: KeyProvider,
    workspace: Workspace,
    name: str,
    url: str,
    error: str = "the receiver answered 422",
) -> UUID:
    """A subscription of customers; its receiver would not take one of them."""
    own = Subscriptions(db, CredentialStore(db, provider))
    made, _ = await own.add(workspace.id, name, "customers", url)
    row = Listed({}, (str(made.id), "cus_1", "customers"), Place("1", made.id))
    async with db.workspace(workspace.id) as conn:
        await progress.keep(conn, made, [(row, error, 12, None)])
    return made.id


async def dead_letter(db: Database, connection: Connection, key: str, error: str) -> None:
    now = datetime.now(UTC)
    body = json.dumps({"id": key, "type": "customer.updated"}).encode()
    event = StoredEvent(ReceivedEvent(key, "customer.updated", now, body), now - timedelta(hours=2))
    async with db.workspace(connection.workspace_id) as conn:
        await keep(conn, connection, [Failure(event, error, is_final=True)], now)


async def hook(db: Database, workspace: Workspace, name: str) -> Connection:
    """A generic webhook that received a customer, and makes a record of it."""
    settings = {"customers": {"types": ["customer.*"], "records": "data.customer", "id": "id"}}
    made = await Registry(db).add_connection(workspace.id, "webhook", name, settings)
    rules = Rule(target="name", source="name"), Rule(target="email", source="contact.mail")
    await field_rules.put(db, made, "customers", *rules)
    customer = {"id": "c1", "name": "Ann", "contact": {"mail": "ann@example.com"}, "x" * 80: "y" * 200}
    body = json.dumps({"id": "evt_1", "type": "customer.created", "data": {"customer": customer}}).encode()
    event = ReceivedEvent("evt_1", "customer.created", datetime.now(UTC), body)
    await append(db, [Received(workspace.id, made.id, event)])
    return made


async def route(db: Database, source: Connection, target: Connection, name: str = "x" * 80) -> Route:
    """A route, with three records that wait for a person, each with a candidate of that name."""
    made = await Routes(db).add("crm", source, target, RouteSettings(match_keys=("phone",)))
    waiting = [
        Entry(
            side="source",
            record_id=f"cus_{number}",
            state="review",
            reason=f"two of {name}",
            candidates=[{"id": f"7{name}", "name": name}],
        )
        for number in range(3)
    ]
    async with db.workspace(source.workspace_id) as conn:
        await outbox.put(conn, made, waiting)
    return made


async def identity(db: Database, connection: Connection) -> tuple[UUID, UUID]:
    """Two customers that are one by their e-mail address: their ``unified_id``s."""
    key = key_of(connection, "customers")
    ids = ("cus_ann_" + "1" * 60, "cus_ann_2")
    await record(db, key, *ids, name="Ann " + "n" * 90, email="ann@acme.com", company="c" * 120)
    await resolve(db, connection.workspace_id)
    space = connection_namespace(key.workspace_id, key.connection_id, key.stream)
    return unified_id(space, ids[0]), unified_id(space, ids[1])
