"""Partitions: one per connection, added and removed as connections come and go."""

import dagster as dg

CONNECTION_TAG = "dagster/partition"
"""Run tag with the connection's key. Dagster itself sets it on each run of one partition, however it was asked for;
dagster.yaml limits runs by it, so that no two runs of a connection are under way at once."""


def connections_of(source: str) -> dg.DynamicPartitionsDefinition:
    """The partitions of a source's assets; a key is ``workspace/name`` of a connection."""
    return dg.DynamicPartitionsDefinition(name=f"{source}_connections")


def partition_keys(instance: dg.DagsterInstance, source: str) -> set[str]:
    """The keys that a source's partitions have at present."""
    return set(connections_of(source).get_partition_keys(dynamic_partitions_store=instance))


WORKSPACES = dg.DynamicPartitionsDefinition(name="workspaces")
"""Partitions of what is made of all of a workspace's connections together; a key is a workspace's slug."""
