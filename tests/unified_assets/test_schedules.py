"""Which connections a tick asks runs for."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from resources.store import DatabaseResource
from tests.unified_assets.conftest import Installation
from unified_assets.partitions import connections_of


@pytest.fixture
def installation(installation: Installation) -> Iterator[Installation]:
    """The same, with an instance that is stored: a schedule opens it by its reference."""
    with dg.instance_for_test() as instance:
        yield replace(installation, instance=instance)


def tick(installation: Installation, source: str = "stripe", *, after: timedelta = timedelta()) -> Any:
    """What the schedule of a source answers, some time from now."""
    with dg.build_schedule_context(
        instance=installation.instance,
        scheduled_execution_time=datetime.now(UTC) + after,
        resources={"database": DatabaseResource()},
        repository_def=installation.defs.get_repository_def(),
    ) as context:
        return installation.defs.resolve_schedule_def(f"{source}_schedule").evaluate_tick(context)


def asked_for(answer: Any) -> list[str]:
    return [request.partition_key for request in answer.run_requests]


def test_a_new_connection_is_due_and_one_of_another_source_is_not(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.add("acme/hubspot", "hubspot")
    (request,) = tick(installation).run_requests
    assert request.partition_key == "acme/stripe"
    assert request.tags["dagster/partition"] == "acme/stripe"
    assert asked_for(tick(installation, "hubspot")) == ["acme/hubspot"]


def test_each_connection_keeps_its_own_interval(installation: Installation) -> None:
    installation.add("acme/hourly", "stripe")
    installation.add("acme/often", "stripe")
    installation.execute("UPDATE connector_configs SET sync_started_at = now()")
    installation.execute("UPDATE connector_configs SET sync_interval_minutes = 10 WHERE name = 'often'")
    assert asked_for(tick(installation)) == []
    assert asked_for(tick(installation, after=timedelta(minutes=11))) == ["acme/often"]
    assert sorted(asked_for(tick(installation, after=timedelta(hours=1)))) == ["acme/hourly", "acme/often"]


def test_a_connection_with_a_run_under_way_is_left_alone(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    asked = {}
    for status in set(dg.DagsterRunStatus) - {dg.DagsterRunStatus.QUEUED}:  # that one takes a code server
        # As a person starts it in the UI: with the tags that Dagster sets by itself.
        tags = {"dagster/partition": "acme/stripe"}
        run = dg.DagsterRun(job_name="__ASSET_JOB", run_id=str(uuid4()), status=status, tags=tags)
        installation.instance.add_run(run)
        asked[status] = asked_for(tick(installation)) == ["acme/stripe"]
        installation.instance.delete_run(run.run_id)
    ended = {status for status, is_asked_for in asked.items() if is_asked_for}
    assert ended == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


def test_every_tick_may_run_a_connection_again(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    later = timedelta(minutes=1)
    keys = [tick(installation, after=after).run_requests[0].run_key for after in (timedelta(), later)]
    assert len(set(keys)) == 2


def test_a_connection_waits_for_its_partition(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.instance.delete_dynamic_partition(str(connections_of("stripe").name), "acme/stripe")
    answer = tick(installation)
    assert asked_for(answer) == []
    assert answer.skip_message == "1 connection(s) wait for their partition"


def test_a_paused_connection_is_not_due(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.execute("UPDATE connector_configs SET is_active = false")
    assert tick(installation).skip_message == "no connection is due"


def test_a_sync_stopped_by_its_time_limit_goes_on_at_once(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    assert installation.sync("acme/stripe", time_limit_minutes=1e-9).success
    assert asked_for(tick(installation)) == ["acme/stripe"]
    assert installation.sync("acme/stripe").success
    assert asked_for(tick(installation)) == []


def test_a_sync_that_failed_waits_for_its_turn(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe", secret="sk_test_fake_nobody")
    assert not installation.sync("acme/stripe").success
    assert asked_for(tick(installation)) == []
    assert asked_for(tick(installation, after=timedelta(hours=1))) == ["acme/stripe"]


def test_a_run_is_of_the_streams_that_a_connection_reads(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.execute("UPDATE connector_configs SET streams = '{customers, events}'")
    (request,) = tick(installation).run_requests
    assert sorted(request.asset_selection) == [
        dg.AssetKey(["stripe", name]) for name in ("customers", "events")
    ]
    run = installation.sync("acme/stripe")
    materialized = {event.asset_key for event in run.get_asset_materialization_events()}
    assert (run.success, materialized) == (True, set(request.asset_selection))


def test_a_run_of_everything_leaves_out_what_a_connection_does_not_read(installation: Installation) -> None:
    """As when somebody launches the job of a source by hand."""
    installation.add("acme/stripe", "stripe")
    job = installation.defs.resolve_job_def("stripe_sync")
    run = job.execute_in_process(instance=installation.instance, partition_key="acme/stripe")
    materialized = {event.asset_key.path[-1] for event in run.get_asset_materialization_events()}
    assert (run.success, materialized) == (True, {"customers", "invoices", "events"})
