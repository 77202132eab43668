"""Keys of streams, by the names that connectors declare them under."""

from unified.kit.registry import get_adapter
from unified.store.connections.rows import ConnectionSummary
from unified.store.records.tables import StreamKey


def key_of(connection: ConnectionSummary, stream: str) -> StreamKey:
    """The key of the stream of that name."""
    return StreamKey.of(connection, get_adapter(connection.connector).stream(stream))
