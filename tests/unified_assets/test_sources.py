"""The assets of a source: what a run stores and shows, what its checks stop, how it fails and goes on."""

import asyncio
import base64
import re
from typing import Any

import dagster as dg
import pytest

from adapters.stripe.adapter import StripeAdapter
from tests.unified_assets.conftest import (
    HUBSPOT_TOKEN,
    STRIPE_KEY,
    Installation,
    checks,
    everything_logged,
    failures,
    metadata,
)
from unified.kit import registry as adapter_registry
from unified.sandbox.faults import Fault
from unified.sync.connection import lease, sync_stream
from unified.sync.errors import PullError
from unified.sync.pull import PullResult
from unified_assets import sources
from unified_assets.definitions import build_definitions
from unified_assets.observing.checks import _conservation
from unified_assets.partitions import connections_of

STRIPE_CHECKS = {
    "customers/conservation",
    "customers/source_count",
    "customers/fresh",
    "invoices/conservation",
    "invoices/source_count",
    "invoices/fresh",
    "invoices/no_orphans",
    "invoices/money",
    "events/conservation",
    "events/source_count",
    "events/fresh",
}


def test_a_sync_stores_all_streams_and_passes_all_checks(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    result = installation.sync("acme/stripe")
    assert result.success
    assert checks(result) == dict.fromkeys(STRIPE_CHECKS, True)
    counts = installation.sandbox.stripe.account(STRIPE_KEY).source_counts()
    for stream in ("customers", "invoices", "events"):
        shown = metadata(result, f"stripe/{stream}")
        assert shown["dagster/row_count"] == shown["read"] == shown["inserted"] == counts[stream]
        assert shown["complete"] is True
        assert shown["requests"] > 0
        assert shown["mode"] == "full"
    issued = "FROM unified_invoices WHERE status IN ('open', 'paid', 'uncollectible') AND total IS NOT NULL"
    added_up = installation.execute("SELECT sum(invoices), sum(total) FROM kept_sums")
    assert added_up == installation.execute(f"SELECT count(*), sum(total) {issued}")

    again = installation.sync("acme/stripe")
    assert checks(again) == dict.fromkeys(STRIPE_CHECKS, True)
    shown = metadata(again, "stripe/customers")
    assert (shown["mode"], shown["inserted"], shown["updated"]) == ("incremental", 0, 0)
    assert shown["dagster/row_count"] == counts["customers"]
    assert not {"preview", "records_per_day"} & set(shown), "what has not changed is not drawn again"


def test_metadata_shows_counts_traffic_a_preview_and_a_picture_but_no_person(
    installation: Installation,
) -> None:
    installation.add("acme/stripe", "stripe")
    result = installation.sync("acme/stripe")
    shown = metadata(result, "stripe/customers")
    assert set(shown) == {
        "dagster/row_count", "mode", "complete", "read", "inserted", "updated", "unchanged", "deleted", "rejected",
        "with_unusable_fields", "suppressed", "seconds", "requests", "retries", "refused_429",
        "rate_limit_wait_seconds", "preview", "records_per_day",
    }  # fmt: skip
    picture = re.fullmatch(
        r"!\[records created per day\]\(data:image/png;base64,(.+)\)", shown["records_per_day"]
    )
    assert picture
    assert base64.b64decode(picture[1]).startswith(b"\x89PNG\r\n\x1a\n")
    assert {*shown["preview"].records[0].data} == {"source_id", "created_at", "deleted_at", "currency"}

    log = everything_logged(result, installation.instance)
    assert shown["preview"].records[0].data["source_id"] in log
    people = installation.execute("SELECT unnest(ARRAY[name, email, phone]) FROM unified_customers")
    named = [text for (text,) in people if text]
    assert len(named) > 100
    assert not [text for text in named if text in log]
    assert STRIPE_KEY not in log


def test_a_count_from_the_source_is_compared(installation: Installation) -> None:
    installation.add("acme/hubspot", "hubspot")
    result = installation.sync("acme/hubspot")
    assert all(checks(result).values())
    (counted,) = [
        each
        for each in result.get_asset_check_evaluations()
        if each.asset_key.path[-1] == "customers" and each.check_name == "source_count"
    ]
    expected = installation.sandbox.hubspot.account(HUBSPOT_TOKEN).source_counts()["contacts"]
    assert counted.metadata["source"].value == counted.metadata["stored"].value == expected


def test_a_record_that_became_unmappable_is_counted_once(installation: Installation) -> None:
    installation.add("acme/hubspot", "hubspot")
    assert installation.sync("acme/hubspot").success
    installation.execute(
        "INSERT INTO rejects"
        " (workspace_id, connector_config_id, stream, record_key, source_id, raw, error, observed_at)"
        " SELECT workspace_id, connection_id, 'customers', source_id, source_id, '{}', 'no', 'infinity'"
        " FROM unified_customers LIMIT 1"
    )
    assert checks(installation.sync("acme/hubspot", full=True))["customers/source_count"]


@pytest.mark.parametrize(
    ("source", "stream", "damage", "check"),
    [
        ("stripe", "invoices", "UPDATE unified_invoices SET total = total + 0.01 WHERE total > 0", "money"),
        ("stripe", "invoices", "DELETE FROM unified_customers", "no_orphans"),
        ("hubspot", "customers", "DELETE FROM unified_customers", "source_count"),
    ],
)
def test_bad_data_fails_its_check_and_stops_what_is_downstream(
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    stream: str,
    damage: str,
    check: str,
) -> None:
    async def and_then_damage(*args: Any, **options: Any) -> Any:
        result = await sync_stream(*args, **options)
        if stream == args[3]:
            installation.execute(damage)
        return result

    @dg.asset(deps=[[source, stream]], partitions_def=connections_of(source))
    def downstream() -> None: ...

    installation.add(f"acme/{source}", source)
    assert installation.sync(f"acme/{source}").success
    monkeypatch.setattr(sources, "sync_stream", and_then_damage)
    config = {"ops": {f"{source}__{stream}": {"config": {"full": True}}}}
    result = installation.materialize(f"acme/{source}", f"{source}/{stream}", downstream, run_config=config)
    assert not result.success
    assert [name for name, passed in checks(result).items() if not passed] == [f"{stream}/{check}"]
    assert {event.step_key for event in result.get_step_failure_events()} == {f"{source}__{stream}"}
    assert not result.get_step_success_events()
    assert not [
        event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY
    ]


def test_a_lost_record_breaks_conservation() -> None:
    result = PullResult("customers", "full", read=5, inserted=3, rejected=1, is_complete=True)
    assert not _conservation(result).passed
    result.updated = 1
    assert _conservation(result).passed


def test_a_key_that_is_refused_is_not_tried_again(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    installation.sandbox.stripe.revoke(STRIPE_KEY)
    result = installation.sync("acme/stripe")
    assert not result.success
    errors = failures(result)
    assert set(errors) == {"stripe__customers", "stripe__events"}
    assert errors["stripe__customers"].startswith(
        "dagster._core.definitions.events.Failure: acme/stripe: customers: "
    )
    assert not [
        event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY
    ]
    assert STRIPE_KEY not in everything_logged(result, installation.instance)
    stored = installation.find(connection.key)
    assert stored.sync_status == "error"
    assert stored.error_message


def test_retries_come_after_10_30_and_70_seconds() -> None:
    assert sources.RETRIES.max_retries == 3
    assert [sources.RETRIES.calculate_delay(attempt) for attempt in (1, 2, 3)] == [10, 30, 70]
    assert all(asset.op.retry_policy == sources.RETRIES for asset in sources.source_assets(StripeAdapter))


def test_a_source_that_fails_is_tried_three_times_more(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.sandbox.stripe.faults.add(Fault("status", path="/v1/customers", status=500, times=None))
    result = installation.materialize("acme/stripe", "stripe/customers")
    retries = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_RESTARTED]
    assert len(retries) == 3
    (error,) = failures(result).values()
    assert "acme/stripe: customers" in error
    assert "httpx" not in error, "the chain of causes stays out"

    installation.sandbox.stripe.faults.clear()
    installation.sandbox.stripe.faults.add(Fault("status", path="/v1/customers", status=500, times=1))
    assert installation.materialize("acme/stripe", "stripe/customers").success


def test_what_a_library_says_stays_out_of_the_event_log(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: Any, **options: Any) -> Any:
        cause = RuntimeError(f"a library quotes {STRIPE_KEY}")
        raise PullError("acme/stripe: customers: it failed", retry=False) from cause

    monkeypatch.setattr(sources, "sync_stream", fail)
    installation.add("acme/stripe", "stripe")
    result = installation.materialize("acme/stripe", "stripe/customers")
    log = everything_logged(result, installation.instance)
    assert "acme/stripe: customers: it failed" in log
    assert STRIPE_KEY not in log


def test_a_stream_that_another_process_syncs_is_left_to_it(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")

    async def meanwhile(db: Any) -> dg.ExecuteInProcessResult:
        async with lease(db, connection, "customers"):
            return await asyncio.to_thread(installation.materialize, connection.key, "stripe/customers")

    result = installation.ask(meanwhile)
    (error,) = failures(result).values()
    assert "another process syncs customers at the moment" in error
    assert installation.find(connection.key).sync_status == "idle", "the other one's state is not touched"
    assert installation.materialize(connection.key, "stripe/customers").success


def test_a_connection_that_is_gone_fails_clearly(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.execute("DELETE FROM connector_configs")
    (error,) = failures(installation.materialize("acme/stripe", "stripe/customers")).values()
    assert "there is no connection 'acme/stripe'" in error


def test_no_run_begins_without_master_keys(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.add("acme/stripe", "stripe")
    monkeypatch.delenv("UNIFIED_MASTER_KEYS")
    result = installation.sync("acme/stripe")
    assert not result.success
    assert "UNIFIED_MASTER_KEYS" in everything_logged(result, installation.instance)
    assert not result.get_step_success_events()


def test_a_sync_that_reaches_its_time_limit_goes_on_in_the_next_run(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    result = installation.sync("acme/stripe", time_limit_minutes=1e-9)
    assert result.success
    assert metadata(result, "stripe/invoices")["complete"] is False
    assert checks(result) == dict.fromkeys(STRIPE_CHECKS, True)

    rest = installation.sync("acme/stripe")
    assert metadata(rest, "stripe/invoices")["complete"] is True
    assert metadata(rest, "stripe/invoices")["mode"] == "full"
    counts = installation.sandbox.stripe.account(STRIPE_KEY).source_counts()
    assert metadata(rest, "stripe/invoices")["dagster/row_count"] == counts["invoices"]


def test_an_installed_adapter_brings_its_assets(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(StripeAdapter):
        name = "elsewhere"
        display_name = "Elsewhere"

    monkeypatch.setitem(adapter_registry._ADAPTERS, "elsewhere", Elsewhere)
    defs = build_definitions()
    keys = {key.to_user_string() for key in defs.resolve_all_asset_keys()}
    assert {"elsewhere/customers", "elsewhere/invoices", "elsewhere/events"} < keys
    assert defs.resolve_schedule_def("elsewhere_schedule").job_name == "elsewhere_round"
