"""The catalogue of connectors (``connectors``): those of packages, and those of documents, with partitions and views.

Written by `unified.store.migrate` alone, as the tables' owner. For whom a document is installed is
`unified.store.connectors.documents`'.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import Connection, sql

from unified.schema.entities import RECORDS
from unified.store.records.views import streams as stream_views
from unified.store.server.roles import OWNER_ROLE, SCHEDULER_ROLE

if TYPE_CHECKING:
    from unified.kit.adapter import BaseAdapter


@dataclass(frozen=True, slots=True)
class ConnectorEntry:
    """One connector of the catalogue: a row of ``connectors``.

    Attributes:
        name: As in ``@register_adapter``, e.g. ``stripe``.
        display_name: For people.
        capabilities: Of READ, WRITE, DELETE, WEBHOOK, BATCH.
        streams: Those that are polled.
        record_streams: Those, polled or delivered, that land in ``unified_records``: each has a view.
        is_document: Whether it is a connector document, which those see for whom it is installed.
        further_streams: Those that a connection reads only where it chooses them.
    """

    name: str
    display_name: str
    capabilities: Sequence[str]
    streams: Sequence[str]
    record_streams: Sequence[str] = ()
    is_document: bool = False
    further_streams: Sequence[str] = ()

    @classmethod
    def of(cls, adapter: "type[BaseAdapter[Any]]", *, is_document: bool = False) -> "ConnectorEntry":
        """The entry of an adapter."""
        return cls(
            adapter.name,
            adapter.display_name,
            sorted(adapter.capabilities),
            [stream.name for stream in adapter.streams],
            [stream.name for stream in adapter.all_streams() if stream.entity is RECORDS],
            is_document,
            [stream.name for stream in adapter.streams if not stream.is_usual],
        )


def follow(connection: Connection[Any], connectors: Sequence[ConnectorEntry]) -> None:
    """Make the catalogue equal to these connectors, and give each its partitions and views.

    Args:
        connection: The owner's.
        connectors: All of them; what is not named is switched off.

    Raises:
        ViewError: If the view of a stream can't be made or dropped.
    """
    # The models, which nearly no command needs.
    from unified.store.records.views import data  # noqa: PLC0415

    with connection.transaction():
        streams = {entry.name: entry.record_streams for entry in connectors}
        stream_views.follow(connection, streams)
        data.follow(connection, streams)
        for entry in connectors:
            connection.execute(
                """
                INSERT INTO connectors AS c
                    (name, display_name, capabilities, streams, record_streams, is_document, further_streams)
                VALUES (%s, %s, %s, %s, %s, %s, %s)
                ON CONFLICT (name) DO UPDATE SET
                    display_name = excluded.display_name, capabilities = excluded.capabilities,
                    streams = excluded.streams, record_streams = excluded.record_streams,
                    is_document = excluded.is_document, further_streams = excluded.further_streams, is_enabled = true,
                    updated_at = now()
                WHERE (c.display_name, c.capabilities, c.streams, c.record_streams, c.is_document, c.further_streams,
                        c.is_enabled)
                    IS DISTINCT FROM (excluded.display_name, excluded.capabilities, excluded.streams,
                        excluded.record_streams, excluded.is_document, excluded.further_streams, true)
                """,
                (
                    entry.name,
                    entry.display_name,
                    list(entry.capabilities),
                    list(entry.streams),
                    list(entry.record_streams),
                    entry.is_document,
                    list(entry.further_streams),
                ),
            )
            connection.execute("CALL create_source_partitions(%s)", (entry.name,))
        connection.execute(
            """
            UPDATE connectors SET is_enabled = false, record_streams = '{}', updated_at = now()
            WHERE is_enabled AND name <> ALL(%s)
            """,
            ([entry.name for entry in connectors],),
        )


def packaged(connection: Connection[Any]) -> list[ConnectorEntry]:
    """The connectors of packages that are switched on."""
    return _entries(connection, "is_enabled AND NOT is_document", [])


def documents(connection: Connection[Any]) -> list[ConnectorEntry]:
    """The connectors of installed documents.

    Args:
        connection: The owner's, which becomes the scheduler's for the moment: only that sees every workspace's.
    """
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(SCHEDULER_ROLE)))
    installed = connection.execute(
        """
        SELECT connector FROM connector_documents WHERE state = 'installed'
        UNION SELECT connector FROM deployment_documents WHERE state = 'installed'
        """
    ).fetchall()
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER_ROLE)))
    return _entries(connection, "is_document AND name = ANY(%s)", [[name for (name,) in installed]])


def _entries(
    connection: Connection[Any], condition: LiteralString, values: Sequence[Any]
) -> list[ConnectorEntry]:
    columns: LiteralString = (
        "SELECT name, display_name, capabilities, streams, record_streams, is_document, further_streams"
    )
    rows = connection.execute(f"{columns} FROM connectors WHERE {condition} ORDER BY name", values)
    return [ConnectorEntry(*row) for row in rows.fetchall()]
