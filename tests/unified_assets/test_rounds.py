"""Rounds: all connections that are due in one run, each by itself, each with its history in Dagster."""

import asyncio
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.sensors.test_failures import notice
from tests.unified_assets.conftest import Installation, everything_logged, failures
from tests.unified_assets.test_sources import STRIPE_CHECKS
from tests.waiting import LIMIT_SECONDS
from unified.kit.registry import get_adapter
from unified.sandbox.faults import Fault
from unified.store.connections import turns
from unified.store.database import Database
from unified.store.records.counts import kept
from unified.store.records.tables import StreamKey
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.elsewhere.references import ALLOWED_VARIABLE, resolve
from unified.store.secrets.providers import load_provider
from unified.sync import round as rounds_of
from unified.sync.connection import lease
from unified.sync.round import Limits
from unified_assets import rounds
from unified_assets.rounds import lease_of

STREAMS = ("customers", "invoices", "events")


@pytest.fixture(autouse=True)
def is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No asset needs a materialization for its freshness."""
    monkeypatch.setattr(rounds, "_FRESH_SECONDS", float("inf"))


def run_round(installation: Installation, source: str = "stripe", **config: Any) -> dg.ExecuteInProcessResult:
    options = {"stay_seconds": 0, **config}
    return installation.defs.resolve_job_def(f"{source}_round").execute_in_process(
        run_config={"ops": {f"sync_{source}_connections": {"config": options}}},
        instance=installation.instance,
        raise_on_error=False,
    )


def reports(
    installation: Installation, result: dg.ExecuteInProcessResult
) -> dict[tuple[str, str | None], dict[str, Any]]:
    """What Dagster was told of each connection's streams."""
    told = {}
    for entry in installation.instance.all_logs(result.run_id):
        event = entry.dagster_event
        if event is None:
            continue
        if event.is_step_materialization:
            report: Any = event.step_materialization_data.materialization
        elif event.event_type is dg.DagsterEventType.ASSET_OBSERVATION:
            report = event.asset_observation_data.asset_observation
        else:
            continue
        values = {name: value.value for name, value in report.metadata.items()}
        told[report.asset_key.path[-1], report.partition] = {"kind": type(report).__name__, **values}
    return told


def kinds(installation: Installation, result: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], str]:
    return {which: report["kind"] for which, report in reports(installation, result).items()}


def load(installation: Installation, *keys: str) -> None:
    """Add connections, load them as if that had been reported, and make them due again."""
    connections = [installation.add(key, "stripe", secret=secret_of(key)) for key in keys]
    installation.load(*keys)

    async def report(db: Database) -> None:
        for connection in connections:
            async with db.workspace(connection.workspace_id) as conn:
                for stream in get_adapter("stripe").streams:
                    await kept.live_records(conn, StreamKey.of(connection, stream))

    installation.ask(report)
    make_due(installation)


def secret_of(key: str) -> str:
    """Each workspace has an account of its own."""
    return f"sk_test_fake_{key.partition('/')[0]}"


def make_due(installation: Installation) -> None:
    installation.execute("UPDATE connector_configs SET sync_started_at = now() - interval '2 hours'")


def test_a_round_syncs_what_is_due_and_reports_on_each(installation: Installation) -> None:
    load(installation, "acme/one", "globex/two", "acme/idle")
    installation.execute("UPDATE connector_configs SET sync_started_at = now() WHERE name = 'idle'")
    installation.sandbox.stripe.account(secret_of("globex/two")).create_customer()
    result = run_round(installation)
    assert result.success
    changed = {("customers", "globex/two"), ("events", "globex/two")}
    assert kinds(installation, result) == {
        (stream, key): "AssetMaterialization" if (stream, key) in changed else "AssetObservation"
        for stream in STREAMS
        for key in ("acme/one", "globex/two")
    }
    told = reports(installation, result)
    assert told["customers", "globex/two"]["inserted"] == 1
    assert "records_per_day" in told["customers", "globex/two"]
    assert "records_per_day" not in told["customers", "acme/one"]
    assert told["customers", "acme/one"]["dagster/row_count"] > 0
    evaluated = [
        (evaluation.partition, f"{evaluation.asset_key.path[-1]}/{evaluation.check_name}", evaluation.passed)
        for evaluation in result.get_asset_check_evaluations()
    ]
    of_syncs = {check for check in STRIPE_CHECKS if not check.endswith("/fresh")}  # that one a sensor reports
    assert set(evaluated) == {(key, check, True) for key in ("acme/one", "globex/two") for check in of_syncs}
    runs = installation.execute("SELECT DISTINCT run_id FROM sync_history WHERE run_id = %s", result.run_id)
    assert len(runs) == 1

    again = run_round(installation)
    assert again.success
    assert reports(installation, again) == {}, "nobody is due"


def test_one_that_fails_holds_up_no_other_and_is_told_of(installation: Installation) -> None:
    load(installation, "acme/one", "globex/two")
    installation.sandbox.stripe.revoke(secret_of("acme/one"))
    result = run_round(installation)
    assert not result.success
    told = reports(installation, result)
    assert told["customers", "globex/two"]["kind"] == "AssetObservation"
    assert "read" in told["customers", "globex/two"]
    assert "acme/one: customers: " in told["customers", "acme/one"]["error"]
    (error,) = failures(result).values()
    assert "1 of 2 connection(s) failed: acme/one: customers: " in error
    assert installation.find("acme/one").sync_status == "error"
    assert installation.find("globex/two").sync_status == "success"
    assert secret_of("acme/one") not in everything_logged(result, installation.instance)
    run = installation.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert reports(installation, run_round(installation)) == {}, "it waits for its turn"


def test_a_failure_that_passes_is_tried_again_and_what_succeeded_is_not(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(installation, "acme/one")
    monkeypatch.setattr(rounds, "Limits", lambda **limits: Limits(**limits, retries=(0.01, 0.01)))
    installation.sandbox.stripe.faults.add(Fault("status", path="/v1/events", status=500, times=2))
    result = run_round(installation)
    assert result.success
    assert {kind["kind"] for kind in reports(installation, result).values()} == {"AssetObservation"}
    pulls = installation.execute(
        "SELECT stream, count(*) FROM sync_history WHERE run_id = %s GROUP BY 1", result.run_id
    )
    assert sum(count for _, count in pulls) > len(STREAMS)
    assert min(count for _, count in pulls) == 1
    assert installation.find("acme/one").sync_status == "success"


def test_a_days_limit_is_met_once_and_not_before_it_is_over_and_holds_up_no_other(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(installation, "acme/one", "globex/two")
    monkeypatch.setattr(rounds, "Limits", lambda **limits: Limits(**limits, retries=(0.01, 0.01)))
    limit = Fault("status", key=secret_of("acme/one"), status=429, retry_after="10800", times=None)
    installation.sandbox.stripe.faults.add(limit)
    result = run_round(installation)
    assert "1 of 2 connection(s) failed: acme/one: " in next(iter(failures(result).values()))
    pulls = installation.execute(
        "SELECT stream, count(*) FROM sync_history WHERE run_id = %s AND error_message IS NOT NULL GROUP BY 1",
        result.run_id,
    )
    assert sorted(pulls) == sorted((stream, 1) for stream in STREAMS), "nothing is tried again in this round"

    make_due(installation)
    assert {key for _, key in reports(installation, run_round(installation))} == {"globex/two"}
    installation.sandbox.stripe.faults.clear()
    installation.execute("UPDATE connector_configs SET waits_until = now() WHERE waits_until > now()")
    make_due(installation)
    assert {key for _, key in reports(installation, run_round(installation))} == {"acme/one", "globex/two"}
    assert installation.find("acme/one").sync_status == "success"


def test_an_adapters_bug_stops_its_connection_alone(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(installation, "acme/one", "globex/two")
    sync = rounds_of.sync_streams

    async def stumble(db: Any, factory: Any, connection: Any, **options: Any) -> Any:
        if connection.key == "acme/one":
            raise ZeroDivisionError("a value of a record")
        return await sync(db, factory, connection, **options)

    monkeypatch.setattr(rounds_of, "sync_streams", stumble)
    result = run_round(installation)
    (error,) = failures(result).values()
    assert "acme/one: failed unexpectedly (ZeroDivisionError); see the log" in error
    assert ("customers", "globex/two") in reports(installation, result)
    assert "a value of a record" not in everything_logged(result, installation.instance)


def test_a_first_load_and_what_is_synced_elsewhere_is_left_alone(installation: Installation) -> None:
    load(installation, "acme/one", "globex/two")
    installation.add("acme/new", "stripe")
    busy = installation.find("acme/one")

    async def meanwhile(db: Database) -> dg.ExecuteInProcessResult:
        async with lease(db, busy, "customers"), lease(db, busy, "invoices"), lease(db, busy, "events"):
            return await asyncio.to_thread(run_round, installation)

    result = installation.ask(meanwhile)
    assert result.success
    assert {key for _, key in reports(installation, result)} == {"globex/two"}


def test_one_that_is_removed_or_paused_meanwhile_is_no_failure(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(installation, "acme/gone", "globex/two")
    sync = rounds_of.sync_streams

    async def remove_first(db: Any, factory: Any, connection: Any, **options: Any) -> Any:
        if connection.key == "acme/gone":
            removal = "DELETE FROM connector_configs WHERE id = %s"
            await asyncio.to_thread(installation.execute, removal, connection.id)
        return await sync(db, factory, connection, **options)

    monkeypatch.setattr(rounds_of, "sync_streams", remove_first)
    result = run_round(installation)
    assert result.success
    assert {key for _, key in reports(installation, result)} == {"globex/two"}


def test_one_whose_provider_hangs_holds_up_no_other(installation: Installation) -> None:
    load(installation, "acme/one", "globex/two")
    installation.execute("UPDATE connector_configs SET settings = settings || '{\"timeout\": 1}'")
    hangs = Fault("slow", key=secret_of("acme/one"), seconds=LIMIT_SECONDS, times=None)
    installation.sandbox.stripe.faults.add(hangs)
    result = run_round(installation, time_limit_minutes=0.05)
    (error,) = failures(result).values()
    assert "1 of 2 connection(s) failed: acme/one: customers: " in error
    assert "timed out" in error
    assert installation.find("globex/two").sync_status == "success"


def test_one_with_more_changes_than_its_time_holds_goes_on_by_itself(installation: Installation) -> None:
    load(installation, "acme/one", "globex/two")
    account = installation.sandbox.stripe.account(secret_of("acme/one"))
    for _ in range(300):
        account.create_customer()
    slow = Fault("slow", key=secret_of("acme/one"), seconds=0.1, times=None)
    installation.sandbox.stripe.faults.add(slow)
    result = run_round(installation, stream_limit_minutes=0.01, time_limit_minutes=0.03)
    assert result.success
    assert "read" in reports(installation, result)["customers", "globex/two"]
    installation.sandbox.stripe.faults.clear()
    now = datetime.now(UTC)
    (waiting,) = installation.ask(lambda db: turns.due(db, now, is_loaded=False))
    assert waiting.key == "acme/one", "a run of its own is asked for"
    assert installation.sync("acme/one").success
    (stored,) = installation.execute(
        "SELECT count(*) FROM unified_customers AS c JOIN workspaces AS w ON w.id = c.workspace_id"
        " WHERE w.slug = 'acme' AND deleted_at IS NULL"
    )
    assert stored == (account.source_counts()["customers"],)


def test_a_secret_that_is_not_where_it_is_referred_to_holds_up_no_other(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(installation, "acme/one", "globex/two")
    connection = installation.find("acme/one")
    monkeypatch.setenv(ALLOWED_VARIABLE, "env:ACME_")
    monkeypatch.setenv("ACME_KEY", secret_of("acme/one"))

    async def refer(db: Database) -> None:
        secrets = {"api_key": await resolve("env:ACME_KEY", connection.workspace_id)}
        kind = get_adapter("stripe").credential_kind
        await CredentialStore(db, load_provider()).put(connection.workspace_id, connection.id, kind, secrets)

    installation.ask(refer)
    monkeypatch.delenv("ACME_KEY")
    result = run_round(installation)
    assert "1 of 2 connection(s) failed: acme/one: " in next(iter(failures(result).values()))
    assert "env:ACME_KEY" in str(installation.find("acme/one").error_message)
    assert installation.find("globex/two").sync_status == "success"
    monkeypatch.setenv("ACME_KEY", secret_of("acme/one"))
    make_due(installation)
    assert run_round(installation).success


def test_a_database_that_restarts_in_the_middle_costs_nothing_but_time(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(installation, "acme/one", "globex/two")
    accounts = {
        name: installation.sandbox.stripe.account(f"sk_test_fake_{name}") for name in ("acme", "globex")
    }
    for account in accounts.values():
        account.create_customer()
    sync, restarts = rounds_of.sync_streams, iter([True])

    async def restart_first(*args: Any, **options: Any) -> Any:
        if next(restarts, False):
            everybody = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            others = "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            await asyncio.to_thread(installation.execute, f"{everybody} {others}")
        return await sync(*args, **options)

    monkeypatch.setattr(rounds_of, "sync_streams", restart_first)
    monkeypatch.setattr(rounds, "Limits", lambda **limits: Limits(**limits, retries=(0.01, 0.01)))
    run_round(installation)
    make_due(installation)
    assert run_round(installation).success
    stored = installation.execute(
        "SELECT w.slug, count(*) FROM unified_customers AS c JOIN workspaces AS w ON w.id = c.workspace_id"
        " WHERE deleted_at IS NULL GROUP BY 1"
    )
    assert dict(stored) == {name: account.source_counts()["customers"] for name, account in accounts.items()}


def test_there_is_one_round_of_a_source_at_a_time(installation: Installation) -> None:
    load(installation, "acme/one")

    async def beside_another(db: Database) -> dg.ExecuteInProcessResult:
        async with db.exclusive(lease_of("stripe")) as is_ours:
            assert is_ours
            return await asyncio.to_thread(run_round, installation)

    beside = installation.ask(beside_another)
    assert beside.success
    assert reports(installation, beside) == {}


def test_a_round_stays_for_one_that_comes_due_soon(installation: Installation) -> None:
    load(installation, "acme/one", "globex/soon")
    installation.execute(
        "UPDATE connector_configs SET sync_interval_minutes = 10,"
        " sync_started_at = now() - interval '9 minutes' + interval '2 seconds' WHERE name = 'soon'"
    )
    assert {key for _, key in reports(installation, run_round(installation, stay_seconds=300))} == {
        "acme/one",
        "globex/soon",
    }


def test_an_asset_without_a_change_stays_fresh(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(installation, "acme/one", "globex/two")
    monkeypatch.setattr(rounds, "_FRESH_SECONDS", 3600)
    told = kinds(installation, run_round(installation))
    assert sorted(stream for (stream, _), kind in told.items() if kind == "AssetMaterialization") == sorted(
        STREAMS
    ), "of one of its connections each"


def test_bad_data_fails_its_check(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    load(installation, "acme/one", "globex/two")
    account = installation.sandbox.stripe.account(secret_of("acme/one"))
    account.update_invoice(next(account.all_invoices())["id"], metadata={"note": "new"})
    sync = rounds_of.sync_streams

    async def and_then_damage(db: Any, factory: Any, connection: Any, **options: Any) -> Any:
        outcomes = await sync(db, factory, connection, **options)
        if connection.key == "acme/one":
            damage = (
                "UPDATE unified_invoices SET total = total + 0.01, synced_at = now() WHERE connection_id = %s"
            )
            await asyncio.to_thread(installation.execute, damage, connection.id)
        return outcomes

    monkeypatch.setattr(rounds_of, "sync_streams", and_then_damage)
    result = run_round(installation)
    (error,) = failures(result).values()
    assert "1 of 2 connection(s) failed: acme/one: invoices: the check money failed" in error


def test_a_killed_round_loses_nothing_and_says_what_it_left(
    installation: Installation, tmp_path: Path
) -> None:
    load(installation, "acme/one", "globex/two")
    installation.sandbox.stripe.account(secret_of("acme/one")).create_customer()
    installation.sandbox.stripe.faults.add(
        Fault("slow", path="/v1/events", key=secret_of("globex/two"), seconds=LIMIT_SECONDS, times=None)
    )
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        victim = subprocess.Popen(
            [sys.executable, "-m", "tests.unified_assets.round_victim"],
            env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        key = dg.AssetKey(["stripe", "customers"])
        until = time.monotonic() + LIMIT_SECONDS
        while instance.get_latest_materialization_event(key) is None and time.monotonic() < until:
            assert victim.poll() is None
            time.sleep(0.1)
        while installation.find("globex/two").sync_status != "syncing" and time.monotonic() < until:
            time.sleep(0.1)
        victim.kill()
        victim.wait()
        # What it did was reported when it was done, not at its end.
        assert instance.get_materialized_partitions(key) == {"acme/one"}
        (run,) = instance.get_runs()
        instance.report_run_failed(run, "Run execution process unexpectedly exited with exit code -9.")
        installation.instance = instance
        notice(installation, run)
        assert installation.find("acme/one").sync_status == "success"
        left = installation.find("globex/two")
        assert left.sync_status == "error"
        assert "the run died" in str(left.error_message)

        installation.sandbox.stripe.faults.clear()
        installation.sandbox.stripe.account(secret_of("globex/two")).create_customer()
        make_due(installation)
        result = run_round(installation)
        assert result.success
        assert reports(installation, result)["customers", "globex/two"]["inserted"] == 1
        assert installation.find("globex/two").sync_status == "success"
    counts = {
        name: installation.sandbox.stripe.account(f"sk_test_fake_{name}").source_counts()["customers"]
        for name in ("acme", "globex")
    }
    stored = installation.execute(
        "SELECT w.slug, count(*) FROM unified_customers AS c JOIN workspaces AS w ON w.id = c.workspace_id"
        " WHERE deleted_at IS NULL GROUP BY 1"
    )
    assert dict(stored) == counts
