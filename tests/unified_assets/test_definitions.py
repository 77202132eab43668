"""What Dagster loads: names that people and dashboards rely on, the instance's settings, and a lean start."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.conftest import execute
from tests.unified_assets.conftest import Installation, checks
from unified.kit.registry import get_adapter
from unified.store.server.urls import beside
from unified_assets.definitions import build_definitions
from unified_assets.exports import export_asset
from unified_assets.partitions import WORKSPACES
from unified_assets.routes import routes

ROOT = Path(__file__).parents[2]
CUSTOMERS = [
    "chargebee/customers", "hubspot/companies", "hubspot/customers", "jira/customers", "jira/organizations",
    "jira/staff", "quickbooks/customers", "salesforce/accounts", "salesforce/contacts", "slack/users",
    "stripe/customers", "webhook/customers", "xero/contacts",
]  # fmt: skip

# What a connection reads where it chooses it.
FURTHER_OF_HUBSPOT = [
    "companies",
    "deals",
    "tickets",
    "products",
    "line_items",
    "quotes",
    "owners",
    "custom_objects",
]
OF_JIRA = ["customers", "events", "issues", "memberships", "organizations", "staff"]
FURTHER = [
    "subscriptions", "charges", "refunds", "payment_intents", "products", "prices", "balance_transactions", "payouts",
    "credit_notes", "disputes",
]  # fmt: skip


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return build_definitions().get_repository_def()


def test_assets_and_what_they_depend_on(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    depend_on = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }
    assert depend_on == {
        "chargebee/customers": [],
        "chargebee/events": [],
        "chargebee/invoices": ["chargebee/customers"],
        "hubspot/customers": [],
        "hubspot/events": [],
        "hubspot/invoices": ["hubspot/customers"],
        **{f"jira/{stream}": [] for stream in OF_JIRA},
        "routes/customers": CUSTOMERS,
        "salesforce/accounts": [],
        "salesforce/contacts": [],
        "salesforce/credit_memos": [],
        "salesforce/events": [],
        "salesforce/invoices": ["salesforce/accounts"],
        "salesforce/payments": [],
        "slack/channels": [],
        "slack/events": [],
        "slack/messages": [],
        "slack/users": [],
        "stripe/customers": [],
        "stripe/events": [],
        "stripe/invoices": ["stripe/customers"],
        "stripe/monthly_revenue": ["stripe/invoices"],
        **{f"stripe/{stream}": [] for stream in FURTHER},
        **{f"hubspot/{stream}": [] for stream in FURTHER_OF_HUBSPOT},
        "unified/customers": CUSTOMERS,
        "quickbooks/customers": [],
        "quickbooks/credit_memos": [],
        "quickbooks/events": [],
        "quickbooks/invoices": ["quickbooks/customers"],
        "quickbooks/payments": [],
        "quickbooks/vendors": [],
        "xero/contacts": [],
        "xero/credit_notes": [],
        "xero/events": [],
        "xero/invoices": ["xero/contacts"],
        "xero/payments": [],
        **{f"webhook/{stream}": [] for stream in ("customers", "events", "invoices", "records")},
    }


def test_every_asset_says_what_it_is(repository: dg.RepositoryDefinition) -> None:
    for spec in repository.asset_graph.asset_nodes:
        source, stream = spec.key.path
        assert spec.group_name == source
        assert spec.description
        if own := {"unified": WORKSPACES, "routes": routes}.get(source):
            assert spec.partitions_def == own
            continue
        assert spec.partitions_def == dg.DynamicPartitionsDefinition(name=f"{source}_connections")
        assert "postgres" in spec.kinds
        if stream != "monthly_revenue":
            assert source in spec.kinds
            entity = get_adapter(source).stream(stream).entity
            assert spec.metadata["dagster/table_name"] == entity.leaf(source)
            columns = {column.name for column in spec.metadata["dagster/column_schema"].columns}
            assert {"source_id", "unified_id", "deleted_at"} < columns
            # Nothing pulls what only webhooks bring.
            delivered = (
                ("hubspot", "events"),
                ("salesforce", "events"),
                ("xero", "events"),
                ("quickbooks", "events"),
                ("slack", "events"),
            )
            is_pulled = source != "webhook" and (source, stream) not in delivered
            assert spec.is_materializable == bool(spec.code_version and spec.freshness_policy) == is_pulled


def test_checks_block(repository: dg.RepositoryDefinition) -> None:
    nodes = [repository.asset_graph.get(key) for key in repository.asset_graph.asset_check_keys]
    assert {node.key.to_user_string() for node in nodes} == {
        f"{source}/{stream}:{check}"
        for source, stream, names in [
            ("stripe", "customers", ["conservation", "source_count"]),
            ("stripe", "invoices", ["conservation", "source_count", "no_orphans", "money"]),
            ("stripe", "events", ["conservation", "source_count"]),
            ("chargebee", "customers", ["conservation", "source_count"]),
            ("chargebee", "invoices", ["conservation", "source_count", "no_orphans", "money"]),
            ("chargebee", "events", ["conservation", "source_count"]),
            ("hubspot", "customers", ["conservation", "source_count"]),
            ("hubspot", "invoices", ["conservation", "source_count", "no_orphans", "money"]),
            ("salesforce", "accounts", ["conservation", "source_count"]),
            ("salesforce", "contacts", ["conservation", "source_count"]),
            ("salesforce", "invoices", ["conservation", "source_count", "no_orphans", "money"]),
            *(("salesforce", one, ["conservation", "source_count"]) for one in ("credit_memos", "payments")),
            ("quickbooks", "customers", ["conservation", "source_count"]),
            ("quickbooks", "invoices", ["conservation", "source_count", "no_orphans", "money"]),
            *(
                ("quickbooks", one, ["conservation", "source_count"])
                for one in ("vendors", "credit_memos", "payments")
            ),
            ("xero", "contacts", ["conservation", "source_count"]),
            ("xero", "invoices", ["conservation", "source_count", "no_orphans", "money"]),
            ("xero", "credit_notes", ["conservation", "source_count"]),
            ("xero", "payments", ["conservation", "source_count"]),
            *(("slack", one, ["conservation", "source_count"]) for one in ("users", "channels", "messages")),
            ("unified", "customers", ["every_customer_once"]),
            *(("stripe", stream, ["conservation", "source_count"]) for stream in FURTHER),
            *(("hubspot", stream, ["conservation", "source_count"]) for stream in FURTHER_OF_HUBSPOT),
            *(("jira", stream, ["conservation", "source_count"]) for stream in OF_JIRA),
        ]
        for check in (*names, *(["fresh"] if source != "unified" else []))
    }
    assert all(node.blocking != (node.key.name == "fresh") for node in nodes)


def test_every_column_is_described_and_says_what_it_is_made_from() -> None:
    exported = [export_asset(stream) for stream in ("invoices", "invoice_lines", "identities", "deals")]
    graph = build_definitions(dg.Definitions(assets=exported)).resolve_asset_graph()
    made = {}
    for key in graph.get_all_asset_keys():
        found = graph.get(key).metadata
        schema = found.get("dagster/column_schema")
        assert schema or key.path == ["routes", "customers"], key
        assert all(column.description for column in (schema.columns if schema else ())), key
        if reads := found.get("dagster/column_lineage"):
            made[key.to_user_string()] = {
                name: {f"{one.asset_key.to_user_string()}.{one.column_name}" for one in deps}
                for name, deps in reads.deps_by_column.items()
            }
    assert made["stripe/monthly_revenue"]["revenue"] == {"stripe/invoices.total"}
    assert made["files/invoices"]["total"] > {"stripe/invoices.total", "xero/invoices.total"}
    lines = made["files/invoice_lines"]
    assert "stripe/invoices.line_items" in lines["tax"]
    assert "stripe/invoices.source_id" in lines["invoice_id"]
    assert made["files/deals"]["source_id"] == {"hubspot/deals.source_id"}
    assert made["files/identities"]["email"] == {"unified/customers.email"}
    assert made["unified/customers"]["email"] == {f"{one}.email" for one in CUSTOMERS}


def test_jobs_schedules_and_sensors(repository: dg.RepositoryDefinition) -> None:
    jobs = {name for name in repository.job_names if not name.startswith("__")}
    sources = ("chargebee", "hubspot", "jira", "quickbooks", "salesforce", "slack", "stripe", "xero")
    kinds = {(source, kind) for source in sources for kind in ("sync", "round", "drain")}
    assert jobs == {f"{source}_{kind}" for source, kind in kinds} | {
        "webhook_drain",
        "connections_fresh",
        "routes_push",
        "subscriptions_deliver",
    }
    assert {schedule.name for schedule in repository.schedule_defs} == {f"{one}_schedule" for one in sources}
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "connections", "derived_assets", "expiring_credentials", "failures", "first_loads", "identities", "inbox",
        "inbox_retention", "routes", "silent_connections", "subscriptions", "sync_requests",
    }  # fmt: skip
    assert all(
        schedule.default_status == dg.DefaultScheduleStatus.RUNNING for schedule in repository.schedule_defs
    )
    assert all(sensor.default_status == dg.DefaultSensorStatus.RUNNING for sensor in repository.sensor_defs)


def test_the_workspace_file_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # From elsewhere, as `unified dev` does.
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Validation successful for code location unified_assets" in done.stderr + done.stdout


def test_loading_imports_neither_pandas_nor_matplotlib() -> None:
    question = (
        "import sys, unified_assets.definitions; print({'pandas', 'numpy', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", question], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.fixture
def postgres_instance(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The instance that dagster.yaml describes, on a database of its own."""
    name = f"{installation.url.rpartition('/')[2].partition('?')[0]}_dagster"
    url = beside(installation.url, name)
    execute(beside(installation.url, "postgres"), f"CREATE DATABASE {name}")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", f"postgresql+psycopg2://{url.partition('://')[2]}")
    shutil.copyfile(ROOT / "unified_assets" / "dagster.yaml", tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(os.fspath(tmp_path)) as instance:
        yield instance
    execute(beside(installation.url, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")


def test_runs_are_recorded_in_postgres(
    installation: Installation, postgres_instance: dg.DagsterInstance
) -> None:
    installation.instance = postgres_instance
    installation.add("acme/hubspot", "hubspot")
    result = installation.sync("acme/hubspot")
    assert result.success
    assert all(checks(result).values())
    (record,) = postgres_instance.get_run_records()
    assert record.dagster_run.tags["dagster/partition"] == "acme/hubspot"
    key = dg.AssetKey(["hubspot", "customers"])
    assert postgres_instance.get_latest_materialization_event(key) is not None
    assert postgres_instance.get_materialized_partitions(key) == {"acme/hubspot"}


def test_the_instance_runs_one_sync_of_a_connection_at_a_time(postgres_instance: dg.DagsterInstance) -> None:
    limits = postgres_instance.get_concurrency_config().run_queue_config
    assert limits is not None
    assert list(limits.tag_concurrency_limits) == [
        {"key": "unified/round", "limit": 4},
        {"key": "dagster/partition", "limit": 8},
        {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
    ]
    assert limits.max_concurrent_runs == 16, (
        "drains, which have no partition, find a place beside eight syncs and four rounds"
    )
    assert postgres_instance.run_monitoring_enabled
    assert postgres_instance.run_monitoring_max_runtime_seconds == 3600
    assert postgres_instance.run_retries_enabled
