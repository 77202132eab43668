"""Partitions: one per connection, added and removed as connections come and go."""

import dagster as dg


def connections_of(source: str) -> dg.DynamicPartitionsDefinition:
    """The partitions of a source's assets; a key is ``workspace/name`` of a connection."""
    return dg.DynamicPartitionsDefinition(name=f"{source}_connections")


CONNECTION_TAG = "unified/connection"
"""Run tag with the connection's key: at most one run of a connection is under way (dagster.yaml limits it)."""
