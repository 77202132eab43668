"""A file of what a workspace has, to begin with. No secret is in it: each stands as a variable to be set."""

from typing import Any

import yaml

from unified.kit.registry import get_adapter
from unified.store.connections import field_rules
from unified.store.connections.changes import DEFAULT_SYNC_INTERVAL
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.inbox.endpoints import Endpoint, Endpoints, usual_verifier
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route
from unified.store.routes.settings import stream_of
from unified.store.workspaces import workspaces
from unified.sync.declared.connections import brought_settings
from unified.sync.declared.steps import Ground
from unified.sync.routes.orders import Orders

_HEAD = """\
# What the workspace {workspace} has. `unified apply FILE --plan` shows what differs, `unified apply FILE` mends it.
# Secrets are not in it: set the variables that it names, or write file:PATH or vault:MOUNT/PATH#FIELD instead.
"""


async def export(ground: Ground) -> str:
    """The file, as YAML.

    Raises:
        WorkspaceNotFoundError: If there is no such workspace.
    """
    workspace = await workspaces.find(ground.db, ground.workspace)
    connections = await Registry(ground.db).connections(workspace.id)
    routes = await Routes(ground.db).of_workspace(workspace.id)
    by_id = {one.id: one for one in connections}
    document = {
        "workspace": ground.workspace,
        "connections": {one.name: await _connection(ground, one) for one in connections},
        "routes": {
            one.name: _route(one, by_id[one.source_connection_id], by_id[one.target_connection_id])
            for one in routes
        },
    }
    said = {key: value for key, value in document.items() if value}
    text: str = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=110)
    return _HEAD.format(workspace=ground.workspace) + text


async def _connection(ground: Ground, connection: Connection) -> dict[str, Any]:
    adapter = get_adapter(connection.connector)
    fields = {one.name for one in adapter.credential_fields}
    stored = await ground.credentials.describe(connection.workspace_id, connection.id)
    endpoints = await Endpoints(ground.db, ground.credentials, actor=ground.actor).list(connection)
    brought = brought_settings(connection.connector)
    rules = {
        one.name: [rule.as_json() for rule in await field_rules.read(ground.db, connection, one.name)]
        for one in adapter.all_streams()
    }
    usual = usual_verifier(connection.connector) if endpoints else None
    said: dict[str, Any] = {
        "connector": connection.connector,
        "settings": {key: value for key, value in connection.settings.items() if key not in brought},
        "streams": list(connection.streams),
        "since": dict(connection.since),
        "history": list(connection.history),
        "columns": {stream: dict(fields) for stream, fields in connection.columns.items()},
        "interval_minutes": None
        if connection.sync_interval == DEFAULT_SYNC_INTERVAL
        else int(connection.sync_interval.total_seconds() // 60),
        "active": None if connection.is_active else False,
        "secrets": {
            one.field: f"env:{_variable(connection.name, one.field)}"
            for one in stored
            if one.field in fields and not one.reference
        },
        "references": {one.field: one.reference for one in stored if one.reference},
        "webhooks": [_webhook(connection, one, number, usual) for number, one in enumerate(endpoints)],
        "rules": {stream: found for stream, found in rules.items() if found},
    }
    return _without_nothing(said)


def _webhook(connection: Connection, endpoint: Endpoint, number: int, usual: str | None) -> dict[str, Any]:
    name = "webhook" if number == 0 else f"webhook_{number + 1}"
    return _without_nothing(
        {
            "verifier": None if endpoint.verifier == usual else endpoint.verifier,
            "options": dict(endpoint.options),
            "events": list(endpoint.event_types),
            "active": None if endpoint.is_active else False,
            "secret": f"env:{_variable(connection.name, name)}",
        }
    )


def _route(route: Route, source: Connection, target: Connection) -> dict[str, Any]:
    said = {
        "from": route.source,
        "to": route.target,
        "from_stream": None if route.source_stream == stream_of(source, None) else route.source_stream,
        "to_stream": None if route.target_stream == stream_of(target, None) else route.target_stream,
        "active": None if route.is_active else False,
        **Orders.of(route.settings).model_dump(mode="json", exclude_defaults=True),
    }
    return _without_nothing(said)


def _without_nothing(said: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if value not in (None, {}, [])}


def _variable(connection: str, field: str) -> str:
    return f"UNIFIED_SECRET_{connection}_{field}".upper().replace("-", "_")
