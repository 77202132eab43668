"""A person's data are deleted on request: everywhere, for good, and nothing else goes with them."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from adapters.hubspot.adapter import HubSpotAdapter
from tests.unified.sync.deliveries import Event, deliver, drained
from tests.unified.sync.source import Source
from unified.schema import connection_namespace, unified_id
from unified.schema.entities import CUSTOMERS, INVOICES, RECORDS
from unified.store.connections.registry import Registry
from unified.store.privacy import deletion
from unified.store.privacy.persons import UnknownRecordError
from unified.store.records import derived
from unified.store.records.tables import TABLES
from unified.sync import privacy
from unified.sync.identities.resolve import IdentitiesBusyError, alone, resolve

CANARY = "Qz7canaryPerson"
ADDRESS = f"{CANARY}@person.example"

# Where a person's rows are found, by table; ``%(id)s`` is the source id, ``%(unified)s`` the unified one.
PERSONAL = {
    "customer_keys": "source_id = %(id)s",
    "golden_customers": "identity_id IN (SELECT identity_id FROM customer_identities WHERE unified_id = %(unified)s)",
    "identity_decisions": "low_id = %(low)s",
    "pushed_records": "source_id = %(id)s",
    "rejects": "record_key = 'rejected'",
    "route_outbox": "record_id IN (%(id)s, 'stranger')",
    "unified_customers": "source_id = %(id)s",
    "customers_history": "source_id = %(id)s",
    "invoices_history": "customer_id = %(id)s",
    "records_history": "source_id = 'deal'",
    "unified_events": "resource_id = %(id)s",
    "unified_invoices": "customer_id = %(id)s",
    "unified_records": "source_id = 'deal'",
    "webhook_dead_letters": "event_key = 'letter'",
    "webhook_inbox": "event_key <> ''",
    "derived_people": "name <> ''",
}
# Tables that hold no person's data: ids, settings, counts, times, secrets that only their key opens.
IMPERSONAL = {
    "admin_tokens", "alembic_version", "api_tokens", "audit_log", "authorizations", "column_keys", "connector_configs",
    "connector_credentials", "connector_documents", "connector_drafts", "connectors", "cursors", "customer_changes",
    "customer_identities", "deployment_documents", "deployment_log",
    "ended_sessions", "gone_identities", "idempotency_keys", "identity_aliases", "identity_keys", "identity_matches",
    "identity_queue", "identity_records", "identity_state", "inbox_cursors", "kept_counts", "kept_sums",
    "merged_records", "model_answers", "model_usage", "pending_authorizations",
    "position_server", "raw_dictionaries", "reader_logins", "refresh_seen", "revocations", "route_cursors", "routes",
    "deprecations", "schema_mappings", "signing_keys",
    "suppressed_records", "sync_history", "undelivered_records", "unknown_deletions", "waiting_burials",
    "webhook_configs", "webhook_seen", "webhook_strays", "webhook_subscriptions", "workspace_keys",
    "workspace_members", "workspaces",
}  # fmt: skip
# Columns of text in personal tables that say what kind of thing a row is, or which.
KINDS = {
    "source_system", "stream", "source_id", "schema_version", "customer_id", "invoice_number", "status", "currency",
    "kind", "remote_status", "event_type", "event_category", "resource_type", "resource_id", "api_version",
    "record_key", "event_key", "state", "side", "record_id", "other_id", "operation", "decision", "idempotency_key",
    "source_stream", "target_stream", "target_id", "verdict", "rule", "sources", "decided_by",
}  # fmt: skip

COLUMNS = """
    SELECT coalesce(pg_partition_root(c.oid)::regclass::text, c.relname) AS name, c.relname, a.attname,
        a.atttypid::regtype::text
    FROM pg_class AS c LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = '' AND a.atttypid::regtype::text IN ('text', 'text[]', 'json', 'jsonb', 'bytea')
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
"""


@contextmanager
def superuser(source: Source) -> Iterator[psycopg.Connection[Any]]:
    """Bound by no policy, no trigger and no foreign key."""
    with psycopg.connect(source.db.url, autocommit=True) as conn:
        conn.execute("SET session_replication_role = 'replica'")
        yield conn


def found(source: Source, text: str) -> dict[str, int]:
    """In how many rows of each table a text is, in any column, bytes too."""
    with superuser(source) as conn:
        tables = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm')"
        ).fetchall()
        counts = {}
        for (table,) in tables:
            query = sql.SQL("SELECT count(*) FROM {} AS t WHERE t::text ILIKE ANY(%s)").format(
                sql.Identifier(table)
            )
            patterns = [f"%{text}%", f"%{text.encode().hex()}%"]
            row = conn.execute(query, (patterns,)).fetchone()
            if row and row[0]:
                counts[table] = row[0]
        return counts


async def person_of(source: Source) -> tuple[str, UUID]:
    """A customer with an invoice."""
    rows = await source.query(
        "SELECT i.customer_id FROM {leaf} AS i WHERE i.connection_id = %(connection)s ORDER BY 1", "invoices"
    )
    living = await source.stored()
    one = next(row[0] for row in rows if row[0] in living)
    namespace = connection_namespace(source.connection.workspace_id, source.connection.id, "customers")
    return one, unified_id(namespace, one)


def event_of(source: Source, kind: str, one: str, **fields: Any) -> Event:
    """One of HubSpot's about a contact."""
    return {
        "eventId": fields.pop("number", 1),
        "subscriptionId": 7,
        "portalId": source.data.portal_id,
        "occurredAt": 1_790_000_000_000,
        "subscriptionType": f"contact.{kind}",
        "objectId": int(one),
        **fields,
    }


def insert(conn: psycopg.Connection[Any], table: str, **values: Any) -> None:
    conn.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        ),
        values,
    )


async def plant(source: Source, one: str, unified: UUID) -> None:
    """Put the canary in every column that can hold it of every row that is the person's."""
    connection = source.connection
    other = await Registry(source.db).add_connection(
        connection.workspace_id, "stripe", "shop", {"base_url": "https://shop.example"}
    )
    await resolve(source.db, connection.workspace_id)
    await derived.replace(source.db, "derived_people", connection, ["email", "name"], [[ADDRESS, "x"]])
    await deliver(
        source, [event_of(source, "propertyChange", one, propertyName="city", propertyValue=CANARY)]
    )
    body = json.dumps(event_of(source, "propertyChange", one, propertyName="city", propertyValue=CANARY))
    of = {"workspace_id": connection.workspace_id}
    route, now = uuid4(), "2026-01-01T00:00:00Z"
    with superuser(source) as conn:
        mine = {**of, "connection_id": connection.id}
        insert(conn, "routes", **of, id=route, name="r", source_connection_id=connection.id,
               target_connection_id=other.id, direction="one_way", fields='[{"source": "name", "target": "name"}]',
               conflict_policy="source_wins")  # fmt: skip
        insert(conn, "pushed_records", **of, route_id=route, source_connection_id=connection.id, source_id=one,
               target_connection_id=other.id, target_id="cus_1", state="unlinked", reason="r", rule="email",
               content_hash=1)  # fmt: skip
        insert(
            conn,
            "route_outbox",
            **of,
            route_id=route,
            side="source",
            record_id=one,
            state="review",
            reason="r",
        )
        candidates = json.dumps([{"id": one, "name": CANARY}])
        insert(conn, "route_outbox", **of, route_id=route, side="target", record_id="stranger", state="review",
               reason="r", candidates=candidates)  # fmt: skip
        insert(conn, "rejects", **of, connector_config_id=connection.id, stream="invoices", record_key="rejected",
               raw=f'{{"to": "{ADDRESS}"}}'.encode(), error="odd", observed_at=now)  # fmt: skip
        insert(conn, "webhook_dead_letters", **mine, event_hash=uuid4(), event_key="letter", event_type="t",
               received_at=now, body=body.encode(), state="dead", attempts=1, error="e",
               first_failed_at=now)  # fmt: skip
        insert(conn, "unified_records", **mine, source_system="hubspot", stream="deals", source_id="deal",
               unified_id=uuid4(), schema_version="1.0.0", content_hash=1, observed_at=now, synced_at=now,
               is_active=True, raw_data=f'{{"mail": "{ADDRESS}"}}')  # fmt: skip
        for entity in (CUSTOMERS, INVOICES, RECORDS):
            columns = [column.name for column in TABLES[entity].columns]
            columns += ["workspace_id", "connection_id", "stream", "schema_version", "content_hash"]
            copied = sql.SQL(", ").join(map(sql.Identifier, columns))
            conn.execute(
                sql.SQL("INSERT INTO {} ({}, valid_from, valid_to) SELECT {}, now(), now() FROM {} WHERE {}").format(
                    sql.Identifier(entity.history or ""), copied, copied, sql.Identifier(entity.table),
                    sql.SQL(PERSONAL[entity.table]),
                ),
                {"id": one},
            )  # fmt: skip
        insert(
            conn, "customer_keys", **mine, stream="customers", source_id=one, field="x", key_hash=bytes(32)
        )
        low, high = sorted((unified, uuid4()))
        insert(
            conn,
            "identity_decisions",
            **of,
            low_id=low,
            high_id=high,
            verdict="same",
            decided_by="x",
            note="n",
        )
        values = {"id": one, "unified": unified, "low": low}
        for table, leaf, column, kind in conn.execute(COLUMNS).fetchall():
            assert table in PERSONAL or table in IMPERSONAL, f"say whether {table} holds personal data"
            if (
                table in IMPERSONAL
                or column is None
                or column in KINDS
                or kind == "bytea"
                or (table == leaf and (table.startswith("unified_") or table == "webhook_inbox"))
            ):
                continue
            planted = {
                "text": sql.Literal(CANARY),
                "text[]": sql.SQL("ARRAY[{}]").format(sql.Literal(CANARY)),
            }.get(kind) or sql.SQL(
                "CASE jsonb_typeof(coalesce({0}::jsonb, '{{}}')) WHEN 'array' THEN {1} ELSE"
                " coalesce({0}::jsonb, '{{}}') || {2} END::{3}"
            ).format(
                sql.Identifier(column),
                sql.Literal(json.dumps([{"id": one, "amount": "1.00", "description": CANARY}])),
                sql.Literal(json.dumps({"planted": CANARY})),
                sql.SQL(kind),
            )
            if column == "email":
                planted = sql.Literal(ADDRESS)
            conn.execute(
                sql.SQL("UPDATE {} SET {} = {} WHERE {}").format(
                    sql.Identifier(leaf), sql.Identifier(column), planted, sql.SQL(PERSONAL[table])
                ),
                values,
            )
    planted_in = {table.removesuffix("_hubspot") for table in found(source, CANARY)}
    assert {name for name in planted_in if not name.startswith("webhook_inbox_")} == set(PERSONAL) - {
        "webhook_inbox"
    }
    assert any(name.startswith("webhook_inbox") for name in planted_in)


async def drop_derived(source: Source) -> None:
    with psycopg.connect(source.db.url, autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS derived_people CASCADE")


async def money(source: Source) -> list[tuple[Any, ...]]:
    return await source.query(
        "SELECT source_id, customer_id, currency, total, amount_paid, status, issue_date FROM {leaf} ORDER BY 1",
        "invoices",
    )


@pytest.mark.parametrize("by", ["email", "id"])
async def test_nothing_of_a_person_is_left_anywhere(hubspot: Source, by: str) -> None:
    await hubspot.sync_all()
    one, unified = await person_of(hubspot)
    await deliver(
        hubspot, [event_of(hubspot, "propertyChange", one, propertyName="phone", propertyValue=CANARY)]
    )
    await drained(hubspot)
    await plant(hubspot, one, unified)
    before, others = await money(hubspot), await hubspot.stored()
    whose: dict[str, Any] = {"email": f" {ADDRESS.upper()}"} if by == "email" else {"ids": [unified]}
    workspace = hubspot.connection.workspace_id
    planned = await privacy.delete(hubspot.db, workspace, **whose, actor="test", plan=True)
    assert await hubspot.stored() == others, "a plan changes nothing"
    done = await privacy.delete(hubspot.db, workspace, **whose, actor="test")
    assert (planned, done.records, done.newly_suppressed) == (done, [unified], 1)
    if by == "email":
        assert set(done.emptied) == {
            *PERSONAL, "identity_records",
        }  # fmt: skip
        assert found(hubspot, CANARY) == {}
    else:  # what holds the address only, and no id, is found by the address
        left = {"rejects", "unified_records_hubspot", "records_history", "derived_people"}
        assert set(found(hubspot, CANARY)) == left
    assert await money(hubspot) == before
    del others[one]
    assert await hubspot.stored() == others
    assert one in await hubspot.tombstones()
    again = await privacy.delete(hubspot.db, workspace, **whose, actor="test")
    if by == "id":
        assert (again.records, again.newly_suppressed, again.emptied) == ([unified], 0, {})
    else:
        assert (again.newly_suppressed, again.emptied) == (0, {})
    await drop_derived(hubspot)


async def test_the_audit_log_has_ids_and_counts(hubspot: Source) -> None:
    await hubspot.sync_all()
    one, unified = await person_of(hubspot)
    hubspot.change("update_contact", one, email=ADDRESS, firstname=CANARY)
    await hubspot.sync()
    await privacy.delete(hubspot.db, hubspot.connection.workspace_id, email=ADDRESS, actor="user:x")
    assert found(hubspot, CANARY) == {}
    async with hubspot.db.workspace(hubspot.connection.workspace_id) as conn:
        rows = await conn.execute(
            "SELECT actor, subject, detail FROM audit_log WHERE action = 'privacy.delete'"
        )
        ((actor, subject, detail),) = await rows.fetchall()
    assert (actor, subject, detail["records"]) == ("user:x", "person", [str(unified)])
    assert detail["emptied"]["unified_customers"] == 1


async def brought_back(source: Source, one: str, way: str) -> int:
    """Have the source show the person again; how many records were left out for it."""
    source.change("update_contact", one, city="Graz", firstname=CANARY, email=ADDRESS)
    match way:
        case "changes":
            return (await source.sync()).suppressed
        case "full":
            return (await source.sync(full=True)).suppressed
        case "webhook":
            event = event_of(source, "propertyChange", one, propertyName="city", propertyValue=CANARY)
            await deliver(source, [event])
            result = await drained(source)
            assert result is not None
            return result.counts["customers"].suppressed
        case _:
            other = next(key for key in sorted(await source.stored()) if key != one)
            merged = source.change("merge_contacts", one, other)
            suppressed = (await source.sync()).suppressed
            assert {one, other, merged["id"]} <= await source.tombstones()
            return suppressed


@pytest.mark.parametrize("way", ["changes", "full", "webhook", "merge"])
async def test_nothing_brings_it_back_until_it_is_lifted(hubspot: Source, way: str) -> None:
    await hubspot.sync_all()
    one, unified = await person_of(hubspot)
    workspace = hubspot.connection.workspace_id
    hubspot.change("update_contact", one, email=ADDRESS, firstname=CANARY)
    await hubspot.sync()
    await privacy.delete(hubspot.db, workspace, email=ADDRESS, actor="test")
    known = await brought_back(hubspot, one, way)
    assert known == (0 if way == "merge" else 1)
    assert found(hubspot, CANARY) == {}
    assert one in await hubspot.tombstones()
    lifted = await deletion.lift(hubspot.db, workspace, [unified], actor="test")
    assert lifted == [unified]
    if way != "merge":
        await hubspot.sync_all(full=True)
        await hubspot.assert_agrees("customers", "invoices")


async def test_an_invoice_that_changes_is_stored_without_what_names_the_person(stripe: Source) -> None:
    await stripe.sync_all()
    one, _ = await person_of(stripe)
    rows = await stripe.query("SELECT source_id, customer_id FROM {leaf}", "invoices")
    invoice = next(source_id for source_id, customer in rows if customer == one)
    ids = [await unified_of(stripe, one)]
    await privacy.delete(stripe.db, stripe.connection.workspace_id, ids=ids, actor="test")
    results = await stripe.sync_all(full=True)
    assert results["invoices"].suppressed == 0, "nothing changed, so nothing was stored"
    stripe.change("update_invoice", invoice, customer_name=CANARY, customer_email=ADDRESS, description=CANARY)
    results = await stripe.sync_all()
    assert (results["invoices"].updated, results["invoices"].suppressed) == (1, 1)
    assert results["events"].suppressed >= 1
    assert found(stripe, CANARY) == {}
    assert await stripe.totals() == stripe.expected_totals()


async def unified_of(source: Source, one: str) -> UUID:
    ((unified,),) = await source.query(f"SELECT unified_id FROM {{leaf}} WHERE source_id = '{one}'")  # noqa: S608
    return UUID(str(unified))


async def test_a_source_announces_it(hubspot: Source) -> None:
    await hubspot.sync_all()
    one, _ = await person_of(hubspot)
    hubspot.change("update_contact", one, firstname=CANARY)
    await hubspot.sync()
    events = [
        event_of(hubspot, "propertyChange", one, number=1, propertyName="city", propertyValue=CANARY),
        event_of(hubspot, "privacyDeletion", one, number=2),
        event_of(hubspot, "deletion", one, number=3),
        event_of(hubspot, "privacyDeletion", "987654321", number=4),
    ]
    await deliver(hubspot, events)
    await drained(hubspot)
    assert found(hubspot, CANARY) == {}
    assert one in await hubspot.tombstones()
    async with hubspot.db.workspace(hubspot.connection.workspace_id) as conn:
        kept = await deletion.suppressed(conn)
    assert {each.source_id for each in kept} == {one, "987654321"}
    assert all(each.emptied_at and each.suppressed_by == "hubspot" for each in kept)
    assert (await hubspot.sync(full=True)).suppressed == 1, "the stand-in has it still"
    assert one in await hubspot.tombstones()


@pytest.mark.parametrize("way", ["poll", "webhook"])
async def test_a_source_shows_it_where_it_deletes(
    hubspot: Source, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """As Xero does, whose contacts have a status for it."""
    await hubspot.sync_all()
    one, _ = await person_of(hubspot)
    hubspot.change("update_contact", one, firstname=CANARY, email=ADDRESS)
    await hubspot.sync()
    assert found(hubspot, CANARY)

    def erasing(name: str) -> Any:
        reads = getattr(HubSpotAdapter, name)

        async def read(*args: Any) -> Any:
            async for page in reads(*args):
                yield replace(page, tombstones=[replace(each, erase=True) for each in page.tombstones])

        return read

    for name in ("pull", "fetch"):
        monkeypatch.setattr(HubSpotAdapter, name, erasing(name))
    hubspot.change("archive_contact", one)
    if way == "poll":
        await hubspot.sync()
    else:
        await deliver(hubspot, [event_of(hubspot, "propertyChange", one, propertyName="city")])
        await drained(hubspot)
    assert found(hubspot, CANARY) == {}
    async with hubspot.db.workspace(hubspot.connection.workspace_id) as conn:
        (kept,) = await deletion.suppressed(conn)
    assert (kept.source_id, kept.suppressed_by, kept.emptied_at is None) == (one, "hubspot", False)
    assert (await hubspot.sync(full=True)).is_complete


async def test_an_event_that_breaks_its_adapter_stops_nothing(
    hubspot: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hubspot.sync_all()
    one, unified = await person_of(hubspot)
    await privacy.delete(hubspot.db, hubspot.connection.workspace_id, ids=[unified], actor="test")

    def broken(*_: Any) -> Any:
        raise KeyError("odd")

    await deliver(hubspot, [event_of(hubspot, "creation", "31"), event_of(hubspot, "creation", one)])
    monkeypatch.setattr(HubSpotAdapter, "subjects", broken)
    result = await drained(hubspot)
    assert result is not None
    assert result.error is None


async def test_while_identities_are_resolved_it_waits(
    hubspot: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hubspot.sync_all()
    one, unified = await person_of(hubspot)
    workspace = hubspot.connection.workspace_id
    async with alone(hubspot.db, workspace):
        monkeypatch.setattr(privacy, "PATIENCE_SECONDS", 0)
        with pytest.raises(IdentitiesBusyError):
            await privacy.delete(hubspot.db, workspace, ids=[unified], actor="test")
        await deliver(hubspot, [event_of(hubspot, "privacyDeletion", one)])
        await drained(hubspot)
        monkeypatch.undo()
        waiting = asyncio.create_task(privacy.delete(hubspot.db, workspace, ids=[unified], actor="test"))
        await asyncio.sleep(0)
    assert (await waiting).emptied["unified_customers"] == 1


async def test_requests_that_can_not_be_carried_out(hubspot: Source) -> None:
    workspace = hubspot.connection.workspace_id
    for bad in ({}, {"email": "nobody"}, {"email": " "}):
        with pytest.raises(privacy.PrivacyRequestError):
            await privacy.delete(hubspot.db, workspace, **bad, actor="test")
    with pytest.raises(UnknownRecordError):
        await privacy.delete(hubspot.db, workspace, ids=[uuid4()], actor="test")
    nobody = await privacy.delete(hubspot.db, workspace, email="nobody@there.example", actor="test")
    assert (nobody.records, nobody.emptied) == ([], {})
