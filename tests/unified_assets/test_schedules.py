"""When a tick asks for a round, and which connections have a first load of their own."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import dagster as dg
import pytest

from resources.store import DatabaseResource
from tests.unified_assets.conftest import Installation
from unified_assets.partitions import connections_of

_Asked = TypeVar("_Asked")


@pytest.fixture
def installation(installation: Installation, stored_instance: dg.DagsterInstance) -> Installation:
    """The same, with an instance that is stored: a schedule opens it by its reference."""
    return replace(installation, instance=stored_instance)


def tick(installation: Installation, source: str = "stripe", *, after: timedelta = timedelta()) -> Any:
    """What the schedule of a source answers, some time from now."""
    with dg.build_schedule_context(
        instance=installation.instance,
        scheduled_execution_time=datetime.now(UTC) + after,
        resources={"database": DatabaseResource()},
        repository_def=installation.defs.get_repository_def(),
    ) as context:
        return installation.defs.resolve_schedule_def(f"{source}_schedule").evaluate_tick(context)


def asks(installation: Installation, source: str = "stripe", *, after: timedelta = timedelta()) -> bool:
    """Whether a tick of a source's schedule asks for a round."""
    return bool(tick(installation, source, after=after).run_requests)


def loads(installation: Installation) -> Any:
    """What the sensor of first loads answers."""
    with dg.SensorEvaluationContext(
        instance_ref=installation.instance.get_ref(),
        instance=installation.instance,
        last_tick_completion_time=None,
        last_run_key=None,
        cursor=None,
        repository_name=None,
        repository_def=installation.defs.get_repository_def(),
        resources={"database": DatabaseResource()},
    ) as context:
        return installation.defs.resolve_sensor_def("first_loads").evaluate_tick(context)


def asked_for(answer: Any) -> list[str]:
    return [request.partition_key for request in answer.run_requests or ()]


def as_if_loaded(installation: Installation, minutes_ago: int = 120) -> None:
    """Let all connections have been synced some time ago."""
    installation.execute(
        "INSERT INTO sync_history (id, workspace_id, connector_config_id, stream, mode, is_complete, started_at,"
        " finished_at) SELECT gen_random_uuid(), c.workspace_id, c.id, unnest(k.streams), 'full', true,"
        " now() - interval '2 hours', now() - interval '2 hours'"
        " FROM connector_configs AS c JOIN connectors AS k ON k.name = c.connector"
    )
    installation.execute(
        "UPDATE connector_configs SET sync_started_at = now() - make_interval(mins => %s)", minutes_ago
    )


def test_a_first_load_is_a_run_of_its_own(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.add("acme/hubspot", "hubspot")
    assert not asks(installation)
    answer = loads(installation)
    assert {(one.job_name, one.partition_key) for one in answer.run_requests} == {
        ("stripe_sync", "acme/stripe"),
        ("hubspot_sync", "acme/hubspot"),
    }
    assert all(one.tags["dagster/partition"] == one.partition_key for one in answer.run_requests)


def test_what_is_loaded_has_a_round(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.load("acme/stripe")
    assert not asks(installation)
    assert asks(installation, after=timedelta(hours=1))
    assert not asks(installation, "hubspot", after=timedelta(hours=1))
    as_if_loaded(installation)
    assert asked_for(loads(installation)) == []


def test_what_its_provider_wants_left_alone_has_neither_a_round_nor_a_load(
    installation: Installation,
) -> None:
    installation.add("acme/stripe", "stripe")
    wait = "UPDATE connector_configs SET waits_until = now() + interval '3 hours'"
    installation.execute(wait)
    assert asked_for(loads(installation)) == []
    as_if_loaded(installation)
    installation.execute(wait)
    assert not asks(installation, after=timedelta(hours=2))
    assert asks(installation, after=timedelta(hours=3, minutes=1))


def test_each_connection_keeps_its_own_interval(installation: Installation) -> None:
    installation.add("acme/often", "stripe")
    installation.add("acme/hubspot", "hubspot")
    as_if_loaded(installation, 0)
    installation.execute("UPDATE connector_configs SET sync_interval_minutes = 10 WHERE name = 'often'")
    assert not asks(installation)
    assert asks(installation, after=timedelta(minutes=11))
    assert not asks(installation, "hubspot", after=timedelta(minutes=11))
    assert asks(installation, "hubspot", after=timedelta(hours=1))


@pytest.mark.parametrize("minutes", [-1, 1])
def test_a_clock_that_is_a_minute_off_neither_misses_a_turn_nor_takes_one_twice(
    installation: Installation, minutes: int
) -> None:
    installation.add("acme/stripe", "stripe")
    as_if_loaded(installation, minutes_ago=60)
    assert asks(installation, after=timedelta(minutes=minutes))
    installation.execute("UPDATE connector_configs SET sync_started_at = now()")
    assert not asks(installation, after=timedelta(minutes=minutes))
    assert not asks(installation, after=timedelta(minutes=50 + minutes))


def test_no_run_is_asked_for_beside_another(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")

    def while_there_is(
        job: str, status: dg.DagsterRunStatus, asked: Callable[[], _Asked], **tags: str
    ) -> _Asked:
        run = dg.DagsterRun(job_name=job, run_id=str(uuid4()), status=status, tags=tags)
        installation.instance.add_run(run)
        try:
            return asked()
        finally:
            installation.instance.delete_run(run.run_id)

    statuses = [one for one in dg.DagsterRunStatus if one is not dg.DagsterRunStatus.QUEUED]
    ended = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    # As a person starts it in the UI: with the tags that Dagster sets by itself.
    own = {"dagster/partition": "acme/stripe"}
    for status in statuses:
        loaded = while_there_is("__ASSET_JOB", status, lambda: asked_for(loads(installation)), **own)
        assert loaded == (["acme/stripe"] if status in ended else []), status
    as_if_loaded(installation)
    for status in statuses:
        assert while_there_is("__ASSET_JOB", status, lambda: asks(installation), **own), (
            "a connection with a run of its own holds up no round"
        )
        assert while_there_is("stripe_round", status, lambda: asks(installation)) is (status in ended), status


def test_every_tick_may_ask_for_a_round_again(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    as_if_loaded(installation)
    (first,), (again,) = tick(installation).run_requests, tick(installation).run_requests
    assert first.run_key == again.run_key, "until its run is there it is asked for again, as one and the same"
    installation.instance.add_run(
        dg.DagsterRun(job_name="stripe_round", run_id=str(uuid4()), status=dg.DagsterRunStatus.FAILURE)
    )
    assert tick(installation).run_requests[0].run_key != first.run_key


def test_a_connection_waits_for_its_partition(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.instance.delete_dynamic_partition(str(connections_of("stripe").name), "acme/stripe")
    answer = loads(installation)
    assert asked_for(answer) == []
    assert answer.skip_message == "no first load is due, or its connection waits for its partition"


def test_a_paused_connection_is_not_due(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.execute("UPDATE connector_configs SET is_active = false")
    assert (
        loads(installation).skip_message == "no first load is due, or its connection waits for its partition"
    )
    as_if_loaded(installation)
    assert tick(installation).skip_message == "no connection is due"


def test_a_load_stopped_by_its_time_limit_goes_on_at_once(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    assert installation.sync("acme/stripe", time_limit_minutes=1e-9).success
    assert asked_for(loads(installation)) == ["acme/stripe"]
    installation.load("acme/stripe")
    assert asked_for(loads(installation)) == []
    assert not asks(installation)


def test_a_load_that_failed_waits_for_its_turn_in_a_round(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe", secret="sk_test_fake_nobody")
    assert not installation.sync("acme/stripe").success
    assert asked_for(loads(installation)) == []
    assert not asks(installation)
    installation.execute("UPDATE connector_configs SET sync_started_at = now() - interval '1 hour'")
    # Invoices were not tried: their customers failed before them.
    assert asked_for(loads(installation)) == ["acme/stripe"]


def test_a_run_is_of_the_streams_that_a_connection_reads(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.execute("UPDATE connector_configs SET streams = '{customers, events}'")
    (request,) = loads(installation).run_requests
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
