"""The dbt package: made from the models, and built as a team would build it, by a reader with a schema of its own."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import migrated_database
from unified.store.database import Database
from unified.store.readers import granted, roles
from unified.store.records.views.dbt_sources import document
from unified.store.server.urls import beside

pytestmark = pytest.mark.long(25)

PACKAGE = Path(__file__).parents[1] / "dbt"
DBT = PACKAGE / ".venv" / "bin" / "dbt"
OURS, THEIRS = UUID(int=0xA), UUID(int=0xB)
CONNECTION, ACME, SHOP = UUID(int=1), UUID(int=2), UUID(int=3)

needs_dbt = pytest.mark.skipif(
    not DBT.exists() and "UNIFIED_RECIPES_REQUIRED" not in os.environ,  # as .ci/run sets it
    reason="dbt is not installed: uv sync --project dbt",
)

_RECORD = "schema_version, content_hash, observed_at, synced_at, is_active"
_VALUES = "'1.1.0', 1, now(), now(), true"
_FILL = (
    "INSERT INTO workspaces (id, slug, name) VALUES (%(workspace)s, left(md5(%(workspace)s::text), 8), 'W')",
    """
    INSERT INTO connector_configs (id, workspace_id, connector, name, last_sync_at)
    VALUES (%(connection)s, %(workspace)s, 'stripe', 'main', now())
    """,
    # Two records of one company; a contact of another stream has the id of the first.
    f"""
    INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id, company,
        {_RECORD})
    SELECT %(workspace)s, %(connection)s, 'stripe', stream, source_id, unified_id, company, {_VALUES}
    FROM (VALUES ('customers', 'cus_1', %(acme)s, 'Acme'), ('customers', 'cus_2', %(shop)s, 'Shop'),
        ('contacts', 'cus_1', gen_random_uuid(), 'Somebody')) AS c (stream, source_id, unified_id, company)
    """,  # noqa: S608 - constants
    """
    INSERT INTO customer_identities (workspace_id, unified_id, identity_id, connection_id, source_system, source_id,
        confidence)
    SELECT workspace_id, unified_id, %(acme)s, connection_id, source_system, source_id, 1 FROM unified_customers
    WHERE workspace_id = %(workspace)s AND stream = 'customers'
    """,
    """
    INSERT INTO golden_customers (workspace_id, identity_id, records, sources, company, emails, phones, provenance)
    VALUES (%(workspace)s, %(acme)s, 2, '{stripe}', 'Acme', '{}', '{}', '{}')
    """,
    f"""
    INSERT INTO unified_invoices (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        customer_id, status, currency, total, amount_paid, paid_date, due_date, deleted_at, {_RECORD})
    SELECT %(workspace)s, %(connection)s, 'stripe', 'invoices', 'in_' || number, gen_random_uuid(), customer, status,
        currency, total, paid, '2026-01-31T23:30:00Z'::timestamptz, current_date - days, deleted, {_VALUES}
    FROM (VALUES
        (1, 'cus_1', 'paid', 'EUR', 90071992547409.93, 90071992547409.93, 10, NULL),
        (2, 'cus_2', 'paid', 'EUR', 0.10, 0.10, 10, NULL),
        (3, 'cus_1', 'paid', 'JPY', 5000, 5000, 10, NULL),
        (4, 'cus_1', 'open', 'EUR', 30.30, NULL, 0, NULL),
        (5, 'cus_1', 'partially_paid', 'EUR', 10, 9.5, 31, NULL),
        (6, 'cus_1', 'open', 'EUR', 7, NULL, 91, NULL),
        (7, NULL, 'open', 'EUR', 1, NULL, 30, NULL),
        (8, 'cus_1', 'void', 'EUR', 1000, NULL, 91, NULL),
        (9, 'cus_1', 'draft', 'EUR', 1000, NULL, 91, NULL),
        (10, 'cus_1', 'open', 'EUR', 1000, NULL, 91, now())
    ) AS i (number, customer, status, currency, total, paid, days, deleted)
    """,  # noqa: S608 - constants
)


def test_the_sources_are_the_models() -> None:
    made = document()
    assert made.count("description: ") > 100
    assert (PACKAGE / "models" / "sources.yml").read_text(encoding="utf-8") == made, (
        "unified db dbt-sources > dbt/models/sources.yml"
    )


@pytest.fixture(scope="module")
def url(server_url: str, template: str) -> Iterator[str]:
    """A reader's URL, with a schema of its own."""
    name = f"dbt_{uuid4().hex[:8]}"

    async def grant(admin: str) -> str:
        async with Database.open(admin) as db:
            password = await granted.grant(db, OURS, name, own_schema=True)
            return roles.url_of(admin, name, password.reveal())

    async def revoke(admin: str) -> None:
        async with Database.open(admin) as db:
            await granted.revoke(db, name)

    with migrated_database(server_url, template) as admin:
        with psycopg.connect(admin) as conn:
            for workspace, add in ((OURS, 0), (THEIRS, 100)):
                ids = {"connection": CONNECTION, "acme": ACME, "shop": SHOP}
                values = {key: UUID(int=one.int + add) for key, one in ids.items()}
                for statement in _FILL:
                    conn.execute(statement.encode(), {**values, "workspace": workspace})
        yield asyncio.run(grant(admin))
        asyncio.run(revoke(admin))


def dbt(url: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dbt in a process of its own, with a profile for the reader."""
    parts = conninfo_to_dict(url)
    output = {
        "type": "postgres",
        "host": parts["host"],
        "port": int(str(parts.get("port", 5432))),
        "user": parts["user"],
        "password": parts["password"],
        "dbname": parts["dbname"],
        "schema": parts["user"],
        "threads": 2,
    }
    profile = {"unified_assets": {"target": "dev", "outputs": {"dev": output}}}
    (folder / "profiles.yml").write_text(json.dumps(profile))
    places = ("--project-dir", str(PACKAGE), "--profiles-dir", str(folder))
    written = ("--target-path", str(folder / "target"), "--log-path", str(folder / "logs"))
    environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}
    command = [str(DBT), "--no-use-colors", *arguments, *places, *written]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def built(url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL, once everything is built and tested."""
    done = dbt(url, tmp_path_factory.mktemp("dbt"), "build")
    assert done.returncode == 0, done.stdout
    assert "WARN=0 ERROR=0" in done.stdout
    assert "Deprecat" not in done.stdout, done.stdout
    return url


@needs_dbt
def test_revenue_by_month(built: str) -> None:
    with psycopg.connect(built) as conn:
        rows = conn.execute(
            "SELECT month::text, currency, invoices, revenue FROM revenue_by_month ORDER BY 2"
        )
        assert rows.fetchall() == [
            ("2026-01-01", "EUR", 2, Decimal("90071992547410.03")),
            ("2026-01-01", "JPY", 1, Decimal(5000)),
        ]


@needs_dbt
def test_receivables_by_age(built: str) -> None:
    with psycopg.connect(built) as conn:
        rows = conn.execute(
            """
            SELECT customer, invoices, amount_open, not_due, days_1_to_30, days_31_to_60, days_61_to_90, days_over_90
            FROM receivables_ageing ORDER BY 1
            """
        ).fetchall()
    exact = [
        ("Acme", 3, "37.80", "30.30", "0", "0.5", "0", "7"),
        (None, 1, "1", "0", "1", "0", "0", "0"),
    ]
    assert rows == [(name, count, *map(Decimal, amounts)) for name, count, *amounts in exact]


@needs_dbt
def test_a_customer_over_all_its_records(built: str) -> None:
    with psycopg.connect(built) as conn:
        rows = conn.execute(
            """
            SELECT company, records, invoices, paid_by_currency ->> 'EUR', paid_by_currency ->> 'JPY',
                open_by_currency ->> 'EUR'
            FROM customer_360
            """
        ).fetchall()
    assert rows == [("Acme", 2, 8, "90071992547410.03", "5000", "37.80")]


@needs_dbt
def test_freshness_is_that_of_the_connection_that_is_furthest_behind(
    url: str, server_url: str, tmp_path: Path
) -> None:
    done = dbt(url, tmp_path, "source", "freshness")
    assert done.returncode == 0, done.stdout
    assert "PASS freshness of unified.customers" in done.stdout
    with psycopg.connect(beside(server_url, str(conninfo_to_dict(url)["dbname"])), autocommit=True) as admin:
        admin.execute(
            """
            INSERT INTO connector_configs (workspace_id, connector, name, last_sync_at)
            VALUES (%s, 'stripe', 'silent', now() - interval '2 days')
            """,
            (OURS,),
        )
        done = dbt(url, tmp_path, "source", "freshness")
        admin.execute("DELETE FROM connector_configs WHERE name = 'silent'")
    assert done.returncode == 1, done.stdout
    assert "ERROR STALE freshness of unified.customers" in done.stdout
