"""Partitions: one per connection, added and removed as connections come and go; and what an asset of them follows."""

from typing import Any

import dagster as dg

PartitionsRequest = dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest
"""What a sensor asks of Dagster about partitions."""

PARTITION_TAG = "dagster/partition"
"""Run tag with the partition's key, such as a connection's. Dagster itself sets it on each run of one partition,
whoever asked for it; dagster.yaml limits runs by it, so that no two runs of a connection are under way at once."""

DATA_VERSION_TAG = "dagster/data_version"
"""Tag of a materialization, where it is not a step's; it is another one whenever a record has changed."""


def connections_of(source: str) -> dg.DynamicPartitionsDefinition:
    """The partitions of a source's assets; a key is ``workspace/name`` of a connection."""
    return dg.DynamicPartitionsDefinition(name=f"{source}_connections")


def partition_keys(instance: dg.DagsterInstance, source: str) -> set[str]:
    """The keys that a source's partitions have at present."""
    return set(connections_of(source).get_partition_keys(dynamic_partitions_store=instance))


def difference(
    partitions: dg.DynamicPartitionsDefinition, known: set[str], wanted: set[str]
) -> list[PartitionsRequest]:
    """What to ask Dagster for, so that the known keys become the wanted ones: it checks added keys one by one."""
    requests: list[PartitionsRequest] = []
    if added := sorted(wanted - known):
        requests.append(partitions.build_add_request(added))
    if removed := sorted(known - wanted):
        requests.append(partitions.build_delete_request(removed))
    return requests


WORKSPACES = dg.DynamicPartitionsDefinition(name="workspaces")
"""Partitions of what is made of all of a workspace's connections together; a key is a workspace's slug."""


def on_new_data() -> "dg.AutomationCondition[Any]":
    """As ``dg.AutomationCondition.eager()``, but a sync that changed nothing is not followed by a run.

    A source's assets carry a data version, which changes when a record does.
    """
    return dg.AutomationCondition.eager().replace(
        "newly_updated", dg.AutomationCondition.data_version_changed()
    )
