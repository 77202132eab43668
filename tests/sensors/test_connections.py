"""Partitions follow the registry."""

from typing import Any

import dagster as dg

from resources.store import DatabaseResource
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
