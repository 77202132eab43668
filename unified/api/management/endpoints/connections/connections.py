"""`/api/connectors/configs`: a workspace's connections: add, list, change, pause, approve, remove."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import IfMatch, json_answer, no_content
from unified.api.management.destinations import destination_check
from unified.api.management.paging import AskedPage, Page
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.kit.declarations import STREAM_NAME
from unified.kit.mapping.column_rules import Treatment
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.store import removal
from unified.store.connections import approval
from unified.store.connections import rows as connections
from unified.store.connections.changes import DEFAULT_SYNC_INTERVAL
from unified.store.connections.rows import Approval, Connection, SyncStatus
from unified.sync.connections.changing import Changed, Connections
from unified.sync.connections.notices import standing_notices
from unified.sync.connections.wanted import NewConnection

_MINUTE = timedelta(minutes=1)
_USUAL_MINUTES = DEFAULT_SYNC_INTERVAL // _MINUTE

Reader = Annotated[Caller, Depends(Rule("connections:read", in_workspace=True))]
Writer = Annotated[Caller, Depends(Rule("connections:write", in_workspace=True))]
Approver = Annotated[Caller, Depends(Rule("connections:approve", in_workspace=True))]

ConnectorName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", examples=["stripe"])]
Settings = Annotated[
    dict[str, Any],
    Field(
        description="Settings of the connector, as `GET /api/connectors/{name}` describes them; never a secret. "
        "`base_url` leads to the provider itself, unless the installation opens other hosts.",
        examples=[{"retry_count": 3}],
    ),
]
Streams = Annotated[
    list[Annotated[str, Field(pattern=STREAM_NAME)]],
    Field(
        max_length=100,
        description="Names of the streams to read; empty for the connector's usual ones. `GET /api/connectors/{name}` "
        "lists them.",
        examples=[["customers", "invoices"]],
    ),
]
Columns = Annotated[
    dict[Annotated[str, Field(pattern=STREAM_NAME)], dict[str, Treatment]],
    Field(
        max_length=100,
        description="By stream, fields of the source's records, as dotted paths, that are left out (`omit`) or hashed "
        "by the workspace's key (`hash`) before anything is stored, raw records and received events included.",
        examples=[{"customers": {"email": "hash", "address": "omit"}}],
    ),
]
Since = Annotated[
    dict[Annotated[str, Field(pattern=STREAM_NAME)], Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]],
    Field(
        max_length=100,
        description="By stream, the day (UTC) on which the records that are stored begin. An earlier one makes the "
        "next sync read the stream anew; what is stored from before a later one stays.",
        examples=[{"invoices": "2025-01-31"}],
    ),
]
History = Annotated[
    list[Annotated[str, Field(pattern=STREAM_NAME)]],
    Field(
        max_length=100,
        description="Names of the streams whose former states are kept, each with the time in which it held.",
        examples=[["customers"]],
    ),
]
Minutes = Annotated[int, Field(ge=1, le=44_640, description="Minutes between two syncs.", examples=[60])]

routes = router("/api/connectors/configs", "Connections")


class NewConfig(BaseModel):
    """A connection to add. Its credentials are stored afterwards."""

    model_config = ConfigDict(extra="forbid")

    connector: Annotated[ConnectorName, Field(description="Which system.")]
    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
            description="Its name in the workspace; it never changes.",
            examples=["main"],
        ),
    ]
    settings: Settings = Field(default_factory=dict)
    streams: Streams = Field(default_factory=list)
    columns: Columns = Field(default_factory=dict)
    since: Since = Field(default_factory=dict)
    history: History = Field(default_factory=list)
    sync_interval_minutes: Minutes = _USUAL_MINUTES
    is_active: Annotated[bool, Field(description="Whether to sync it by schedule.")] = True


class ConfigChange(BaseModel):
    """What to change of a connection; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    settings: Annotated[
        Settings | None, Field(description="Settings to change; null takes one back to its default.")
    ] = None
    streams: Streams | None = None
    columns: Columns | None = None
    since: Since | None = None
    history: History | None = None
    sync_interval_minutes: Minutes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A connection: one workspace's use of a connector."""

    id: UUID
    key: Annotated[
        str, Field(description="`workspace/name`: its partition in Dagster.", examples=["acme/main"])
    ]
    connector: ConnectorName
    name: Annotated[str, Field(examples=["main"])]
    settings: Settings
    streams: Annotated[list[str], Field(description="The streams that it reads.", examples=[["customers"]])]
    columns: Columns
    since: Since
    history: History
    is_active: Annotated[bool, Field(description="Whether it is synced by schedule.")]
    sync_interval_minutes: Minutes
    sync_status: Annotated[
        SyncStatus,
        Field(description="`idle` before the first sync, then as the last one stands or ended."),
    ]
    sync_started_at: datetime | None
    last_sync_at: Annotated[datetime | None, Field(description="When a sync succeeded last.")]
    error_message: Annotated[str | None, Field(description="Why the last sync failed.")]
    sync_requested_at: Annotated[
        datetime | None,
        Field(description="When somebody asked for a sync now, until Dagster has taken that up."),
    ]
    needs_reauth: Annotated[
        bool, Field(description="Whether a person has to authorize it again before it is synced.")
    ]
    waits_until: Annotated[
        datetime | None,
        Field(
            description="Before then it is not synced by schedule, as its provider said; `error_message` is why. A "
            "sync that is asked for is tried at once."
        ),
    ]
    approval: Annotated[Approval, Field(description="Only an approved connection's credentials are used.")]
    approval_by: str | None
    approval_at: datetime | None
    tested_at: Annotated[datetime | None, Field(description="When the provider was last asked by a test.")]
    test_error: Annotated[str | None, Field(description="Why that test failed.")]
    version: Annotated[
        int, Field(description="Rises with each change that somebody makes; the ETag.", examples=[1])
    ]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleConfig(Config):
    """A connection by itself."""

    notices: Annotated[
        list[str],
        Field(
            description="What a person should know: what a change means for its records, streams that can't be asked "
            "for from a day on, columns that no stored record has."
        ),
    ]


@routes.post("", status_code=201, response_model=SingleConfig)
async def add_connection(caller: Writer, services: Use, new: NewConfig) -> Response:
    """Add a connection. Where the workspace asks for it, it waits for an admin's approval before its first use."""
    connection = await add(caller, services, new)
    return shown(connection, 201, await standing_notices(services.db, connection))


@routes.get("", response_model=Page[Config])
async def list_connections(
    caller: Reader,
    services: Use,
    page: AskedPage,
    connector: Annotated[ConnectorName | None, Query(description="Only this connector's.")] = None,
) -> Response:
    """The workspace's connections, by name."""
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await connections.page(
            conn, after=page.after(str) or "", connector=connector, limit=page.fetch
        )
    return page.answer([_config(connection) for connection in found], lambda config: config.name)


@routes.get("/{connection_id}", response_model=SingleConfig)
async def get_connection(caller: Reader, services: Use, connection_id: UUID) -> Response:
    """A connection, and how its sync stands."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    return shown(connection, notices=await standing_notices(services.db, connection))


@routes.patch("/{connection_id}", response_model=SingleConfig)
async def change_connection(
    caller: Writer, services: Use, connection_id: UUID, if_match: IfMatch, wanted: ConfigChange
) -> Response:
    """Change settings, streams, columns, starts or the interval.

    Other settings wait for approval again, where the workspace asks for it. Credentials never follow a connection to
    another host: delete them first, and store them anew afterwards. Settings that say what is read make the next sync
    read everything anew. Columns that are left out or hashed from now on are so in what is stored as well, by a sync
    that is asked for; those that are not any more are read anew by it.
    """
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    changed = await change(caller, services, connection, wanted, if_version=if_match, test=False)
    return shown(changed.connection, notices=changed.notices)


@routes.delete("/{connection_id}", status_code=204)
async def remove_connection(caller: Writer, services: Use, connection_id: UUID) -> Response:
    """Remove a connection with its credentials, webhooks, routes, history, and every record that it brought."""
    await removal.remove_connection(services.db, caller.workspace_id, connection_id, actor=caller.actor)
    return no_content()


@routes.post("/{connection_id}/pause", response_model=Config)
async def pause_connection(caller: Writer, services: Use, connection_id: UUID) -> Response:
    """Stop syncing it by schedule; it is still synced when asked."""
    return await _activate(caller, services, connection_id, is_active=False)


@routes.post("/{connection_id}/resume", response_model=Config)
async def resume_connection(caller: Writer, services: Use, connection_id: UUID) -> Response:
    """Sync it by schedule again."""
    return await _activate(caller, services, connection_id, is_active=True)


@routes.post("/{connection_id}/approve", response_model=Config)
async def approve_connection(
    caller: Approver, services: Use, connection_id: UUID, if_match: IfMatch
) -> Response:
    """Let a connection be used, in the version that was looked at."""
    return await _decide(caller, services, connection_id, "approved", if_match)


@routes.post("/{connection_id}/reject", response_model=Config)
async def reject_connection(
    caller: Approver, services: Use, connection_id: UUID, if_match: IfMatch
) -> Response:
    """Keep a connection from being used; approving it later takes that back."""
    return await _decide(caller, services, connection_id, "rejected", if_match)


async def add(
    caller: Caller, services: Services, new: NewConfig, secrets: Mapping[str, Secret] | None = None
) -> Connection:
    """Add a connection in the caller's name; see :meth:`unified.sync.connections.changing.Connections.add`."""
    connection, _ = await Connections(services.db, services.credentials, actor=caller.actor).add(
        caller.workspace_id,
        NewConnection(
            connector=new.connector,
            name=new.name,
            settings=new.settings,
            secrets=secrets or {},
            streams=new.streams,
            columns=new.columns,
            since=new.since,
            history=new.history,
            sync_interval=new.sync_interval_minutes * _MINUTE,
            is_active=new.is_active,
        ),
        check=destination_check(services.settings.management.open_hosts),
    )
    return connection


async def change(
    caller: Caller,
    services: Services,
    connection: Connection,
    wanted: ConfigChange,
    *,
    secrets: Mapping[str, Secret] | None = None,
    test: bool,
    if_version: int | None = None,
) -> Changed:
    """Change a connection in the caller's name; see :meth:`unified.sync.connections.changing.Connections.change`."""
    minutes = wanted.sync_interval_minutes
    return await Connections(services.db, services.credentials, actor=caller.actor).change(
        connection,
        settings=wanted.settings,
        streams=wanted.streams,
        columns=wanted.columns,
        since=wanted.since,
        history=wanted.history,
        sync_interval=None if minutes is None else minutes * _MINUTE,
        secrets=secrets,
        check=destination_check(services.settings.management.open_hosts),
        if_version=if_version,
        test=test,
    )


def shown(connection: Connection, status: int = 200, notices: Sequence[str] | None = None) -> Response:
    """A connection as an answer, with what a person should know of it where that was asked."""
    where = {"location": f"{routes.prefix}/{connection.id}"} if status == 201 else {}  # noqa: PLR2004
    config = _config(connection)
    body = config if notices is None else SingleConfig(**asdict(config), notices=list(notices))
    return json_answer(body, status, version=connection.version, headers=where)


async def _activate(caller: Caller, services: Use, connection_id: UUID, *, is_active: bool) -> Response:
    return shown(
        await services.registry.update_connection(
            caller.workspace_id, connection_id, is_active=is_active, actor=caller.actor
        )
    )


async def _decide(
    caller: Caller, services: Use, connection_id: UUID, decision: approval.Decision, if_match: int | None
) -> Response:
    return shown(
        await approval.decide(
            services.db, caller.workspace_id, connection_id, decision, actor=caller.actor, if_version=if_match
        )
    )


def _config(connection: Connection) -> Config:
    return Config(
        id=connection.id,
        key=connection.key,
        connector=connection.connector,
        name=connection.name,
        settings=dict(connection.settings),
        streams=[stream.name for stream in get_adapter(connection.connector).chosen(connection.streams)],
        columns={stream: dict(fields) for stream, fields in connection.columns.items()},
        since=dict(connection.since),
        history=list(connection.history),
        is_active=connection.is_active,
        sync_interval_minutes=connection.sync_interval // _MINUTE,
        sync_status=connection.sync_status,
        sync_started_at=connection.sync_started_at,
        last_sync_at=connection.last_sync_at,
        error_message=connection.error_message,
        sync_requested_at=connection.sync_requested_at,
        needs_reauth=connection.needs_reauth,
        waits_until=connection.waits_until,
        approval=connection.approval,
        approval_by=connection.approval_by,
        approval_at=connection.approval_at,
        tested_at=connection.tested_at,
        test_error=connection.test_error,
        version=connection.version,
        created_at=connection.created_at,
        updated_at=connection.updated_at,
    )
