"""Requests to sync now: each becomes one run, and is forgotten once it has it."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from resources.store import DatabaseResource
from tests.unified_assets.conftest import Installation
from unified.store.connections import sync_requests
from unified.store.connections.rows import Connection
from unified.store.connections.sync_requests import SyncRequest
from unified.store.database import Database
from unified_assets.partitions import connections_of


@pytest.fixture
def installation(installation: Installation, stored_instance: dg.DagsterInstance) -> Installation:
    """The same, with an instance that is stored: a sensor opens it by its reference."""
    return replace(installation, instance=stored_instance)


def ask(installation: Installation, connection: Connection, *, full: bool = False) -> SyncRequest:
    async def request(db: Database) -> SyncRequest:
        async with db.workspace(connection.workspace_id) as conn:
            return await sync_requests.request(conn, connection.id, full=full)

    return installation.ask(request)


def tick(installation: Installation) -> list[Any]:
    """Runs that one tick of the sensor asks for."""
    with dg.SensorEvaluationContext(
        # As from the daemon: partitions are read through the reference.
        instance_ref=installation.instance.get_ref(),
        instance=installation.instance,
        last_tick_completion_time=None,
        last_run_key=None,
        cursor=None,
        repository_name=None,
        repository_def=installation.defs.get_repository_def(),
        resources={"database": DatabaseResource()},
    ) as context:
        return list(
            installation.defs.resolve_sensor_def("sync_requests").evaluate_tick(context).run_requests or ()
        )


def launch(installation: Installation, request: Any, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """Leave the run behind that the daemon would make of a request."""
    tags = {**request.tags, "dagster/run_key": request.run_key}
    run = dg.DagsterRun(job_name=request.job_name, run_id=str(uuid4()), status=status, tags=tags)
    return installation.instance.add_run(run)


def waits(installation: Installation, key: str) -> bool:
    return installation.find(key).sync_requested_at is not None


def test_a_request_becomes_one_run_and_is_forgotten_once_that_is_there(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    installation.add("acme/hubspot", "hubspot")
    assert tick(installation) == []
    ask(installation, connection)
    ask(installation, connection)
    (first,), (again,) = tick(installation), tick(installation)
    assert (first.job_name, first.partition_key) == ("stripe_sync", "acme/stripe")
    assert first.run_key == again.run_key, "until its run is there it is asked for again, as one and the same"
    assert waits(installation, "acme/stripe")
    launch(installation, first, dg.DagsterRunStatus.FAILURE)
    assert tick(installation) == []
    assert not waits(installation, "acme/stripe"), "one that failed is not repeated for ever"
    ask(installation, connection)
    (next_one,) = tick(installation)
    assert next_one.run_key != first.run_key


def test_a_request_waits_for_the_run_under_way_and_for_its_partition(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    ask(installation, connection)
    tags = {"dagster/partition": "acme/stripe"}
    run = dg.DagsterRun(
        job_name="stripe_sync", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags
    )
    installation.instance.add_run(run)
    assert tick(installation) == []
    installation.instance.delete_run(run.run_id)
    installation.instance.delete_dynamic_partition(str(connections_of("stripe").name), "acme/stripe")
    assert tick(installation) == []
    installation.instance.add_dynamic_partitions(str(connections_of("stripe").name), ["acme/stripe"])
    assert len(tick(installation)) == 1
    assert waits(installation, "acme/stripe")


def test_a_full_request_reads_everything_anew(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    ask(installation, connection)
    (changes,) = tick(installation)
    launch(installation, changes, dg.DagsterRunStatus.SUCCESS)
    ask(installation, connection, full=True)
    assert tick(installation)[0].run_config["ops"]["stripe__invoices"] == {"config": {"full": True}}, (
        "a run for less does not answer it"
    )
    ask(installation, connection)
    (full,) = tick(installation)
    job = installation.defs.resolve_job_def(full.job_name)
    assert job.execute_in_process(
        run_config=full.run_config, partition_key=full.partition_key, instance=installation.instance
    ).success
    modes = installation.execute("SELECT DISTINCT mode FROM sync_history WHERE stream = 'invoices'")
    assert modes == [("full",)]


def test_what_nobody_approved_is_not_synced(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    installation.execute("UPDATE connector_configs SET approval = 'pending'")
    ask(installation, connection)
    assert tick(installation) == []
    installation.execute("UPDATE connector_configs SET approval = 'approved'")
    assert len(tick(installation)) == 1


def test_a_paused_connection_is_synced_when_asked(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    installation.execute("UPDATE connector_configs SET is_active = false")
    ask(installation, connection)
    assert len(tick(installation)) == 1
