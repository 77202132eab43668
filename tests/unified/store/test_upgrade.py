"""A database of an earlier revision, with rows in it, comes to this release with all that it holds."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import migrated_database
from unified.kit.mapping.compiled import FieldRules
from unified.kit.mapping.rules import Rule
from unified.schema import UnifiedCustomer
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.database import Database
from unified.store.migrate import ensure_database, migrate
from unified.store.migrations import FOLDER
from unified.store.records import cursors
from unified.store.records.merge import batches, comparing
from unified.store.records.merge.contents import Batch, MergeCounts
from unified.store.records.merge.deletions import Deletion
from unified.store.records.raw.json_text import received
from unified.store.records.tables import StreamKey
from unified.store.server.roles import APP_ROLE, OWNER_ROLE
from unified.store.server.urls import beside

REVISIONS = sorted(path.name[:4] for path in FOLDER.glob("versions/[0-9]*.sql"))
# Up to 0014 each release stored rows in a form of its own. Later ones store them as 0014 did, and what brings rows of
# one of them further is a part of what brings those of the one before: some of these will do, and the latest.
STARTS = [one for one in REVISIONS[:-1] if one <= "0014" or int(one) % 4 == 0 or one in REVISIONS[-4:]]
ENTRY = ConnectorEntry("stripe", "Stripe", ("READ",), ("customers", "invoices", "events"))


NOW = datetime(2026, 11, 28, tzinfo=UTC)


@contextmanager
def database_at_0001(server_url: str) -> Iterator[str]:
    """A superuser's URL of a database at revision 0001; the roles were made with the template."""
    name = f"test_0001_{uuid4().hex[:8]}"
    url = beside(server_url, name)
    ensure_database(url)
    with psycopg.connect(url) as conn:
        conn.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {OWNER_ROLE}".encode())
        conn.execute(f"SET ROLE {OWNER_ROLE}".encode())
        conn.execute((FOLDER / "versions" / "0001_initial.sql").read_bytes())
        conn.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        conn.execute("INSERT INTO alembic_version VALUES ('0001')")
        conn.execute("INSERT INTO connectors VALUES ('stripe', 'Stripe', '{READ}', '{customers}')")
        conn.execute("CALL create_source_partitions('stripe')")
    yield url
    with psycopg.connect(beside(server_url, "postgres"), autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def at_0001(server_url: str, template: str) -> Iterator[str]:
    """Such a database of the test's own."""
    with database_at_0001(server_url) as url:
        yield url


Filled = list[dict[str, Any]]


@pytest.fixture(scope="module")
def aging(server_url: str, template: str) -> Iterator[tuple[str, Filled]]:
    """A database that two workspaces used since 0001, for tests that bring it further, revision by revision."""
    with database_at_0001(server_url) as url:
        filled = [{**fill(url, workspace), "workspace": workspace} for workspace in (uuid4(), uuid4())]
        for values in filled:
            act(url, values, SYNCED)
        yield url, filled


@pytest.fixture
def aged(server_url: str, aging: tuple[str, Filled], revision: str) -> Iterator[tuple[str, Filled]]:
    """A copy of it at a revision."""
    url, filled = aging
    bring_to(url, revision)
    with migrated_database(server_url, conninfo_to_dict(url)["dbname"]) as copy:
        yield copy, filled


def bring_to(url: str, revision: str) -> None:
    """Bring a database from the revision that it is at to a later one, as the release of that time did."""
    with psycopg.connect(url) as conn:
        ((now,),) = conn.execute("SELECT version_num FROM alembic_version").fetchall()
    assert now <= revision
    for script in sorted((FOLDER / "versions").glob("[0-9]*.sql")):
        if now < script.name[:4] <= revision:
            with psycopg.connect(url) as conn:
                conn.execute(f"SET ROLE {OWNER_ROLE}".encode())
                conn.execute(script.read_bytes())
                conn.execute("UPDATE alembic_version SET version_num = %s", (script.name[:4],))


# What a sync had stored, what it went on from, and what it had set aside.
SYNCED = (
    """
    INSERT INTO unified_invoices (workspace_id, connection_id, source_system, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, is_active, total, line_items)
    VALUES (%(workspace)s, %(connection)s, 'stripe', 'in_1', gen_random_uuid(), '1.1.0', 2, now(), now(), true,
        12.34, '[{"source_id": "il_1", "amount": "12.34"}]')
    """,
    """
    INSERT INTO unified_events (workspace_id, connection_id, source_system, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, is_active, event_type, occurred_at)
    VALUES (%(workspace)s, %(connection)s, 'stripe', 'evt_1', gen_random_uuid(), '1.1.0', 3, now(), now(), true,
        'invoice.paid', now())
    """,
    """
    INSERT INTO cursors (workspace_id, connector_config_id, stream, cursor, observed_at, refreshed_at)
    SELECT %(workspace)s, %(connection)s, s, jsonb_build_object('at', s), now(), now()
    FROM unnest(ARRAY['customers', 'invoices', 'events']) AS s
    """,
    """
    INSERT INTO rejects (workspace_id, connector_config_id, stream, record_key, raw, error, observed_at)
    VALUES (%(workspace)s, %(connection)s, 'invoices', 'in_bad', '{}', 'no total', now())
    """,
    """
    INSERT INTO sync_history (workspace_id, connector_config_id, stream, mode, records_read, inserted)
    VALUES (%(workspace)s, %(connection)s, 'customers', 'full', 1, 1)
    """,
    """
    INSERT INTO schema_mappings (workspace_id, connector_config_id, stream, source_path, target_field)
    VALUES (%(workspace)s, %(connection)s, 'customers', 'metadata.vat', 'tax_number')
    """,
)
ROUTED = (
    """
    INSERT INTO connector_configs (id, workspace_id, connector, name)
    VALUES (%(target)s, %(workspace)s, 'stripe', 'target')
    """,
    """
    INSERT INTO routes (id, workspace_id, name, source_connection_id, target_connection_id, direction, fields,
        conflict_policy)
    VALUES (%(route)s, %(workspace)s, 'route', %(connection)s, %(target)s, 'one_way', '[{}]', 'source_wins')
    """,
    """
    INSERT INTO pushed_records (workspace_id, route_id, source_connection_id, source_id, target_connection_id,
        target_id, state, rule, content_hash)
    VALUES (%(workspace)s, %(route)s, %(connection)s, 'cus_1', %(target)s, 'cus_9', 'linked', 'email', 1)
    """,
)
RESOLVED = (
    """
    INSERT INTO identity_records (workspace_id, unified_id, connection_id, source_system, source_id, content_hash, keys)
    SELECT workspace_id, unified_id, connection_id, source_system, source_id, content_hash, '{16}'
    FROM unified_customers
    """,
    """
    INSERT INTO customer_identities (workspace_id, unified_id, identity_id, connection_id, source_system, source_id,
        confidence)
    SELECT workspace_id, unified_id, unified_id, connection_id, source_system, source_id, 1 FROM unified_customers
    """,
    """
    INSERT INTO golden_customers (workspace_id, identity_id, records, sources, emails, phones, provenance)
    SELECT workspace_id, unified_id, 1, '{stripe}', '{}', '{}', '{}' FROM unified_customers
    """,
)
# From 0014 on an identity's record says its stream.
RESOLVED_IN_STREAMS = (
    """
    INSERT INTO identity_records (workspace_id, unified_id, connection_id, source_system, stream, source_id,
        content_hash, keys)
    SELECT workspace_id, unified_id, connection_id, source_system, stream, source_id, content_hash, '{16}'
    FROM unified_customers
    """,
    *RESOLVED[1:],
)
# What has to come through as it is, and from which revision on it is there.
KEPT = {
    "workspaces": "0001",
    "connector_credentials": "0001",
    "cursors": "0001",
    "rejects": "0001",
    "schema_mappings": "0001",
    "sync_history": "0001",
    "unified_customers": "0001",
    "unified_events": "0001",
    "unified_invoices": "0001",
    "unified_invoice_lines": "0001",
    "routes": "0005",
    "pushed_records": "0005",
    "customer_identities": "0006",
    "golden_customers": "0006",
    "identity_records": "0006",
}


def contents(url: str, revision: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of the tables that a revision has, in some order that is always the same.

    ``raw_hash`` is not looked at, which some revisions have and which is a copy of ``content_hash`` here.
    """
    with psycopg.connect(url) as conn:
        return {
            table: [
                row[0]
                for row in conn.execute(
                    sql.SQL("SELECT to_jsonb(t) - 'raw_hash' FROM {} AS t ORDER BY t::text").format(
                        sql.Identifier(table)
                    )
                )
            ]
            for table, since in KEPT.items()
            if since <= revision
        }


def fill(url: str, workspace: UUID) -> dict[str, UUID]:
    """Rows such as revision 0001 took them, in two workspaces, a webhook with its secret among them."""
    names = ("connection", "key", "secret", "api_key", "webhook", "bare", "target", "route")
    ids = {name: uuid4() for name in names}
    values = {**ids, "workspace": workspace}
    act(
        url,
        values,
        (
            "INSERT INTO workspaces (id, slug, name) VALUES (%(workspace)s, left(%(workspace)s::text, 8), 'W')",
            """
            INSERT INTO connector_configs (id, workspace_id, connector, name)
            VALUES (%(connection)s, %(workspace)s, 'stripe', 'main')
            """,
            """
            INSERT INTO workspace_keys (id, workspace_id, wrapped_key, master_key_id)
            VALUES (%(key)s, %(workspace)s, 'k', 'm')
            """,
            """
            INSERT INTO connector_credentials
                (id, workspace_id, connector_config_id, kind, field, ciphertext, data_key_id)
            VALUES (%(secret)s, %(workspace)s, %(connection)s, 'api_key', 'signing', 'c', %(key)s),
                (%(api_key)s, %(workspace)s, %(connection)s, 'api_key', 'api_key', 'c', %(key)s)
            """,
            """
            INSERT INTO webhook_configs
                (id, workspace_id, connector_config_id, endpoint_path, secret_credential_id, event_types)
            VALUES (%(webhook)s, %(workspace)s, %(connection)s, %(webhook)s::text, %(secret)s, '{invoice.paid}'),
                (%(bare)s, %(workspace)s, %(connection)s, %(bare)s::text, NULL, '{}')
            """,
            """
            INSERT INTO unified_customers (workspace_id, connection_id, source_system, source_id, unified_id,
                schema_version, content_hash, observed_at, synced_at, is_active)
            VALUES (%(workspace)s, %(connection)s, 'stripe', 'cus_1', gen_random_uuid(), '1.1.0', 1, now(), now(), true)
            """,
        ),
    )
    return ids


def act(url: str, values: Mapping[str, UUID | str], statements: Sequence[str]) -> None:
    """Run statements as the app does, in the workspace among the values."""
    with psycopg.connect(url) as conn:
        conn.execute(f"SET ROLE {APP_ROLE}".encode())
        conn.execute("SELECT set_config('app.workspace_id', %s, true)", (str(values["workspace"]),))
        for statement in statements:
            conn.execute(statement.encode(), values)


async def test_from_0001_with_rows(at_0001: str) -> None:
    workspaces = [uuid4(), uuid4()]
    filled = [fill(at_0001, workspace) for workspace in workspaces]

    assert migrate(at_0001, [ENTRY]) == REVISIONS[1:]
    assert migrate(at_0001, [ENTRY]) == []

    with psycopg.connect(at_0001) as admin:
        for ids in filled:
            endpoints = admin.execute(
                "SELECT id, verifier, event_types, is_active FROM webhook_configs WHERE connector_config_id = %s",
                (ids["connection"],),
            ).fetchall()
            assert sorted(endpoints) == sorted(
                [(ids["webhook"], "stripe", ["invoice.paid"], True), (ids["bare"], "stripe", [], True)]
            )
            secrets = admin.execute(
                "SELECT id, webhook_config_id FROM connector_credentials WHERE connector_config_id = %s",
                (ids["connection"],),
            ).fetchall()
            assert dict(secrets) == {ids["secret"]: ids["webhook"], ids["api_key"]: None}
        unforced = admin.execute(
            """
            SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity
                AND NOT relforcerowsecurity
            """
        ).fetchall()
        assert unforced == []
    async with Database.open(at_0001) as database:
        for workspace in workspaces:
            async with database.workspace(workspace) as conn:
                result = await conn.execute("SELECT source_id FROM unified_customers")
                assert await result.fetchall() == [("cus_1",)]


@pytest.mark.parametrize("revision", STARTS)
async def test_from_each_earlier_revision_with_rows(aged: tuple[str, Filled], revision: str) -> None:
    url, filled = aged
    for values in filled:
        act(url, values, ROUTED if revision >= "0005" else ())
        resolved = RESOLVED_IN_STREAMS if revision >= "0014" else RESOLVED
        act(url, values, resolved if revision >= "0006" else ())
    before = contents(url, revision)

    migrate(url, [ENTRY])

    after = contents(url, revision)
    for table, rows in before.items():
        assert len(rows) >= 2, table
        for former in rows:
            # A release may add columns, and move some: the secret of a webhook, and the stream of a route.
            if table == "routes" and "stream" in former:
                stream = former.pop("stream")
                former |= {"source_stream": stream, "target_stream": stream}
            assert any(former.items() <= now.items() for now in after[table]), (table, former)
        assert len(after[table]) == len(rows), table
    for entity in (CUSTOMERS, INVOICES, EVENTS):
        assert {row["stream"] for row in after[entity.table]} == {entity.name}
    for values in filled:
        await goes_on(
            url, StreamKey(values["workspace"], values["connection"], "stripe", CUSTOMERS, "customers")
        )


def test_raw_records_with_nul_can_be_asked_of_afterwards(at_0001: str) -> None:
    filled = [{**fill(at_0001, workspace), "workspace": workspace} for workspace in (uuid4(), uuid4())]
    raw = r'{"name": "Nu\u0000l \\u0000", "email": "nul@nul.example"}'
    for values in filled:
        act(at_0001, {**values, "raw": raw}, ("UPDATE unified_customers SET raw_data = %(raw)s",))
    migrate(at_0001, [ENTRY])
    with psycopg.connect(at_0001) as admin:
        asked = admin.execute(
            "SELECT raw_data ->> 'email', raw_data::jsonb ->> 'name' FROM unified_customers"
        )
        assert asked.fetchall() == [("nul@nul.example", "Nu\ufffdl \\u0000")] * 2
        kept = admin.execute("SELECT raw_data::text FROM unified_customers LIMIT 1").fetchone()
    assert kept is not None
    assert received(kept[0].encode()) == raw.encode()


def test_fields_that_routes_name_are_kept_afterwards(at_0001: str) -> None:
    filled = [{**fill(at_0001, workspace), "workspace": workspace} for workspace in (uuid4(), uuid4())]
    bring_to(at_0001, "0024")
    for values, direction in zip(filled, ("one_way", "two_way"), strict=True):
        named = ("UPDATE routes SET match_keys = '{phone,custom_fields.crm}', direction = %(direction)s",)
        customers = (
            """UPDATE unified_customers SET custom_fields = '{"crm": 7, "tier": "gold"}', phone = '+1 555 0100200'""",
        )
        act(at_0001, {**values, "direction": direction}, (*ROUTED, *named, *customers))
    migrate(at_0001, [ENTRY])
    with psycopg.connect(at_0001) as conn:
        rows = conn.execute(
            "SELECT connection_id, stream, source_id, field, key_hash FROM customer_keys ORDER BY field"
        )
        # The route that leads one way looks nobody up where it comes from.
        connection = filled[1]["connection"]
        values = {"custom_fields.crm": "7", "phone": "50100200"}
        assert rows.fetchall() == [
            (
                connection,
                "customers",
                "cus_1",
                field,
                sha256(f"{connection}/customers/{field}/{value}".encode()).digest(),
            )
            for field, value in values.items()
        ]


async def goes_on(url: str, key: StreamKey) -> None:
    """The next sync finds cursor and rows: what is deleted now was stored by the earlier release."""
    async with Database.open(url) as database:
        cursor = await cursors.load(database, key)
        assert cursor is not None
        assert cursor.cursor == {"at": "customers"}
        now = (await database.clock())()
        async with database.workspace(key.workspace_id) as conn:
            assert await comparing.known_hashes(conn, key, ["cus_1"]) == {"cus_1": 1}
        gone = Batch(observed_at=now, deletions=[Deletion("cus_1", now, now)])
        assert await batches.commit(database, key, gone) == MergeCounts(deleted=1)


def test_the_view_of_a_stream_follows_its_table(at_0001: str) -> None:
    """It has all columns; revision 0011 added one that a later one drops."""
    bring_to(at_0001, "0011")
    with psycopg.connect(at_0001) as admin:
        admin.execute(
            "INSERT INTO connectors (name, display_name, capabilities, streams, record_streams)"
            " VALUES ('desk', 'Desk', '{READ}', '{tickets}', '{tickets}')"
        )
        admin.execute("CREATE VIEW desk_tickets AS SELECT * FROM unified_records")
        admin.execute(f"ALTER VIEW desk_tickets OWNER TO {OWNER_ROLE}".encode())
    migrate(at_0001, [ENTRY, ConnectorEntry("desk", "Desk", ("READ",), ("tickets",), ("tickets",))])
    with psycopg.connect(at_0001) as admin:
        columns = [column.name for column in admin.execute("SELECT * FROM desk_tickets").description or ()]
    assert "content_hash" in columns
    assert "raw_hash" not in columns


def test_former_field_rules_read_what_they_read_before(at_0001: str) -> None:
    """Their paths were names of any characters between dots; some of these mean more today."""
    workspace = uuid4()
    ids = fill(at_0001, workspace)
    paths = {
        "custom_fields.plain": "metadata.vat-id",
        "custom_fields.index": "lines.0.id",
        "custom_fields.bracket": "metadata.a[0]",
        "custom_fields.star": "metadata.*",
        "custom_fields.dollar": "$.x",
        "custom_fields.quote": r"metadata.it's [\]",
        "custom_fields.empty": "metadata..x",
    }
    for target, path in paths.items():
        act(
            at_0001,
            {**ids, "workspace": workspace, "target": target, "path": path},
            (
                """
                INSERT INTO schema_mappings (workspace_id, connector_config_id, stream, source_path, target_field)
                VALUES (%(workspace)s, %(connection)s, 'customers', %(path)s, %(target)s)
                """,
            ),
        )
    migrate(at_0001, [ENTRY])
    raw = {
        "metadata": {"vat-id": 1, "a[0]": 3, "*": 4, r"it's [\]": 6, "": {"x": 7}},
        "lines": [{"id": 2}],
        "$": {"x": 5},
    }
    with psycopg.connect(at_0001) as admin:
        rules = [Rule.model_validate(rule) for (rule,) in admin.execute("SELECT rule FROM schema_mappings")]
    customer = UnifiedCustomer(
        source_system="stripe", source_id="1", unified_id=uuid4(), observed_at=NOW, synced_at=NOW
    )
    found = FieldRules(UnifiedCustomer, rules).apply(customer, raw).custom_fields
    assert found == {"plain": 1, "index": 2, "bracket": 3, "star": 4, "dollar": 5, "quote": 6, "empty": 7}
