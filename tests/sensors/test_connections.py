"""Partitions follow the registry."""

import threading
from typing import Any

import dagster as dg
import pytest

from resources.store import DatabaseResource
from sensors import connections, watching
from tests.unified_assets.conftest import Installation
from unified.store import removal
from unified.store.connections.registry import Registry
from unified_assets.partitions import partition_keys


def tick(installation: Installation) -> Any:
    """One tick of the sensor, with what it asks for carried out as the daemon would."""
    sensor = installation.defs.resolve_sensor_def("connections")
    with dg.build_sensor_context(
        instance=installation.instance, resources={"database": DatabaseResource()}
    ) as context:
        answer = sensor.evaluate_tick(context)
    for request in answer.dynamic_partitions_requests or ():
        if isinstance(request, dg.AddDynamicPartitionsRequest):
            installation.instance.add_dynamic_partitions(
                request.partitions_def_name, list(request.partition_keys)
            )
        else:
            for key in request.partition_keys:
                installation.instance.delete_dynamic_partition(request.partitions_def_name, key)
    return answer


def test_partitions_come_and_go_with_connections(installation: Installation) -> None:
    first = installation.add("acme/stripe", "stripe")
    installation.add("acme/hubspot", "hubspot")
    installation.add("globex/stripe", "stripe")
    for source in ("stripe", "hubspot"):  # as before the first tick
        for key in partition_keys(installation.instance, source):
            installation.instance.delete_dynamic_partition(f"{source}_connections", key)

    tick(installation)
    assert partition_keys(installation.instance, "stripe") == {"acme/stripe", "globex/stripe"}
    assert partition_keys(installation.instance, "hubspot") == {"acme/hubspot"}

    answer = tick(installation)
    assert not answer.dynamic_partitions_requests
    assert answer.skip_message == "partitions and connections agree"

    installation.ask(lambda db: removal.remove_connection(db, first.workspace_id, first.id))
    (request,) = tick(installation).dynamic_partitions_requests
    assert list(request.partition_keys) == ["acme/stripe"], "only the difference is sent"
    assert partition_keys(installation.instance, "stripe") == {"globex/stripe"}


def test_a_renamed_connection_has_a_new_partition(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    installation.ask(
        lambda db: Registry(db).update_connection(connection.workspace_id, connection.id, name="stripe-us")
    )
    tick(installation)
    assert partition_keys(installation.instance, "stripe") == {"acme/stripe-us"}


def test_a_tick_that_stays_asks_of_a_source_only_while_there_is_something_of_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 60.0)
    monkeypatch.setattr(connections, "_LOOK_SECONDS", 0.05)
    installation.add("acme/stripe", "stripe")
    looks: list[str] = []
    looked_again = threading.Event()

    def noted(instance: dg.DagsterInstance, source: str) -> set[str]:
        looks.append(source)
        if looks.count("stripe") == 3:
            looked_again.set()
        return partition_keys(instance, source)

    monkeypatch.setattr(connections, "partition_keys", noted)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(tick(installation)))
    thread.start()
    assert looked_again.wait(30)
    assert looks.count("hubspot") == 1
    added = installation.add("acme/hubspot", "hubspot")
    installation.instance.delete_dynamic_partition("hubspot_connections", added.key)
    thread.join()
    assert partition_keys(installation.instance, "hubspot") == {added.key}
