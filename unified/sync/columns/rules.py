"""Whether columns can be left out or hashed: checked before a connection is changed."""

import os
from collections.abc import Mapping
from typing import Any, cast

from unified.kit.adapter import BaseAdapter
from unified.kit.errors import ConfigurationError, MappingError
from unified.kit.factory import build_adapter
from unified.kit.mapping.column_rules import Rules, Treatment, check
from unified.kit.mapping.columns import Columns
from unified.kit.mapping.compiled import FieldRules
from unified.store.connections import field_rules
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.records import tables
from unified.store.records.tables import StreamKey
from unified.store.routes.rows import routes_of

_TRIED = 100
"""Stored records of a stream that new rules are tried on."""
_DATING = ("source_id", "created_at", "updated_at", "deleted_at")


def checked_columns(
    adapter: type[BaseAdapter[Any]], columns: Mapping[str, Mapping[str, str]], settings: Mapping[str, Any]
) -> dict[str, dict[str, Treatment]]:
    """Rules for columns as a connection keeps them.

    Args:
        adapter: Its connector's.
        columns: By stream, what becomes of which field.
        settings: The connection's own.

    Raises:
        ConfigurationError: If the connector has no such stream, or a rule can't work.
    """
    for name, fields in columns.items():
        check(
            name,
            fields,
            adapter.identifying_fields(adapter.stream(name).name),
            adapter.leading_fields(settings),
        )
    return {name: cast("dict[str, Treatment]", dict(fields)) for name, fields in columns.items() if fields}


def changed_columns(
    adapter: type[BaseAdapter[Any]],
    connection: Connection,
    columns: Mapping[str, Mapping[str, str]] | None,
    settings: Mapping[str, Any],
) -> dict[str, dict[str, Treatment]] | None:
    """New rules for columns as a connection keeps them; None where those that it has stay.

    Args:
        adapter: Its connector's.
        connection: As it is.
        columns: The new rules; None where none are given.
        settings: As they will be. They may lead to records by what the present rules leave out.

    Raises:
        ConfigurationError: If the connector has no such stream, or a rule can't work with these settings.
    """
    if columns is not None:
        return checked_columns(adapter, columns, settings)
    if adapter.leading_fields(settings) != adapter.leading_fields(connection.settings):
        checked_columns(adapter, connection.columns, settings)
    return None


async def refuse_routed(conn: Any, connection: Connection, rules: Rules) -> None:
    """Refuse to leave out columns of customers that a route pushes, or pushes to.

    Raises:
        InvalidSettingError: If there is such a route.
    """
    for stream in rules:
        if found := await routes_of(conn, connection.id, stream):
            raise InvalidSettingError(
                f"the route {found[0].key} needs whole {stream}: it finds records by what they hold and writes it. "
                "Remove the route first, or leave no column out"
            )


async def rehearse(db: Database, connection: Connection, rules: Rules) -> None:
    """Refuse rules without which some stored records could not be known, dated or mapped any more.

    Raises:
        ConfigurationError: If one of the first hundred of a stream can't be; it says of which stream, and why.
    """
    adapter = build_adapter(connection.connector, connection.settings, {}, connection.ref)
    columns = Columns(rules, os.urandom(32))
    for stream in adapter.all_streams():
        cut = columns.of(stream.name)
        if cut is None:
            continue
        key = StreamKey.of(connection, stream)
        async with db.workspace(connection.workspace_id) as conn:
            rows = await tables.read_raw(conn, key, limit=_TRIED)
        own = await field_rules.read(db, connection, stream.name)
        mapping = FieldRules(stream.entity.model, own) if own else None
        for row in rows:
            origin = adapter.origin(stream.name, row.observed_at, row.synced_at)
            try:
                whole = adapter.map_record(stream.name, row.body, origin, mapping)
            except MappingError:
                continue
            try:
                left = adapter.map_record(stream.name, cut(row.body), origin, mapping)
            except MappingError as error:
                raise ConfigurationError(
                    f"{stream.name} can't do without all of {', '.join(rules[stream.name])}: {error}"
                ) from None
            for name in _DATING:
                if getattr(whole, name) != getattr(left, name):
                    raise ConfigurationError(
                        f"{stream.name}: {name} is made of {', '.join(rules[stream.name])}, and records are known and "
                        "dated by it; leave that field out of the rules"
                    )
