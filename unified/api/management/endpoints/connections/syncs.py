"""`/api/connectors/configs/{id}/…`: a test of a connection, a sync now, its history, and records it could not use."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import json_answer
from unified.api.management.endpoints.connections.connections import Reader, Writer
from unified.api.management.paging import AskedPage, Page
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.kit.declarations import STREAM_NAME, Account
from unified.kit.registry import get_adapter
from unified.store import audit
from unified.store.connections import sync_requests
from unified.store.connections.approval import ensure_approved
from unified.store.connections.rows import connection_key, read_connection
from unified.store.connections.sync_requests import SyncRequest
from unified.store.records import burials, history, rejects
from unified.store.records.burials import WaitingBurial
from unified.store.secrets.rows import has_credentials
from unified.sync.connections.changing import Connections

Syncer = Annotated[Caller, Depends(Rule("connections:sync", in_workspace=True))]
RecordReader = Annotated[Caller, Depends(Rule("records:read", in_workspace=True))]

StreamName = Annotated[
    str, Field(pattern=f"^{STREAM_NAME}$", description="As the connector calls it.", examples=["customers"])
]
OfStream = Annotated[StreamName | None, Query(description="Only this stream's.")]

routes = router("/api/connectors/configs/{connection_id}", "Connections")


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedAccount:
    """Whose account the credentials open."""

    id: Annotated[str, Field(description="At the provider.", examples=["acct_1"])]
    name: Annotated[str | None, Field(description="For people, where the provider says.")]
    livemode: Annotated[bool | None, Field(description="False for a test account; null where unknown.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestOutcome:
    """What the provider said; it is kept with the connection."""

    ok: Annotated[bool, Field(description="Whether the credentials open an account.")]
    account: Annotated[TestedAccount | None, Field(description="Which one.")]
    reason: Annotated[str | None, Field(description="Why they open none, and what to do.")]
    tested_at: datetime | None


class WantedSync(BaseModel):
    """Which kind of sync is wanted."""

    model_config = ConfigDict(extra="forbid")

    full: Annotated[
        bool, Field(description="Read everything anew, deletions included, instead of the changes only.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One pull of one stream. ``records_read`` is the sum of inserted, updated, unchanged and rejected."""

    id: UUID
    stream: StreamName
    mode: Annotated[
        history.Mode,
        Field(description="Whether it read all, the changes, or stored raw records once more."),
    ]
    started_at: datetime
    finished_at: Annotated[datetime | None, Field(description="Null while it runs.")]
    is_complete: Annotated[bool, Field(description="Whether it reached the end of the stream.")]
    records_read: int
    inserted: int
    updated: int
    unchanged: int
    rejected: Annotated[int, Field(description="Records that could not be mapped.")]
    deleted: Annotated[int, Field(description="Live records that became tombstones.")]
    requests: Annotated[int, Field(description="HTTP requests to the provider.")]
    error_message: Annotated[str | None, Field(description="Why it ended early.")]
    run_id: Annotated[str | None, Field(description="Dagster's run, where one did it.")]
    run_url: Annotated[
        str | None, Field(description="That run in Dagster's UI, where the installation names it.")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectEntry:
    """A raw record that could not become a unified one. It leaves this list by itself once it can."""

    stream: StreamName
    key: Annotated[str, Field(description="Its source id, or a hash of the record where it has none.")]
    source_id: str | None
    error: Annotated[str, Field(description="Why; it may quote the value at fault.")]
    first_seen_at: datetime
    last_seen_at: datetime
    raw: Annotated[str | None, Field(description="The record as received; null unless asked for.")]


@routes.post("/test", response_model=TestOutcome)
async def test_connection(caller: Syncer, services: Use, connection_id: UUID) -> Response:
    """Ask the provider whose account the stored credentials open. Its refusal is an answer, with the reason."""
    return json_answer(await test_stored(caller, services, connection_id))


async def test_stored(caller: Caller, services: Services, connection_id: UUID) -> TestOutcome:
    """Ask the provider whose account a connection's stored credentials open, and note the answer."""
    connections = Connections(services.db, services.credentials, actor=caller.actor)
    connection, trial = await connections.test(caller.workspace_id, connection_id)
    account = shown_account(trial.account) if trial.account else None
    return TestOutcome(
        ok=account is not None, account=account, reason=trial.reason, tested_at=connection.tested_at
    )


@routes.post("/sync", status_code=202, response_model=SyncRequest)
async def sync_connection(
    caller: Syncer, services: Use, connection_id: UUID, wanted: WantedSync | None = None
) -> Response:
    """Ask Dagster for a run, paused or not. It begins within seconds, or once the run under way has ended.

    A request that comes while another one waits joins it.
    """
    wanted = wanted or WantedSync()
    return json_answer(await ask_for_sync(caller, services, connection_id, full=wanted.full), 202)


async def ask_for_sync(caller: Caller, services: Services, connection_id: UUID, *, full: bool) -> SyncRequest:
    """Ask for a sync of a connection, of all that it reads or of the changes only."""
    async with services.db.workspace(caller.workspace_id) as conn:
        key = await connection_key(conn, connection_id, lock=True)
        await ensure_approved(conn, connection_id, key)
        connection = await read_connection(conn, connection_id)
        if not get_adapter(connection.connector).streams:
            raise Problem(409, f"Connection {key} is not pulled: its records come by webhook alone.")
        if not await has_credentials(conn, connection_id):
            raise Problem(409, f"Connection {key} has no credentials; store them first.")
        if connection.needs_reauth:
            raise Problem(409, f"Connection {key} has lost its authorization; authorize it again first.")
        request = await sync_requests.request(conn, connection_id, full=full)
        await audit.record(
            conn,
            caller.workspace_id,
            actor=caller.actor,
            action="connection.sync",
            subject=f"connection {connection_id}",
            outcome="allowed",
            detail={"full": request.full},
        )
    return request


@routes.get("/burials", response_model=list[WaitingBurial])
async def list_burials(caller: Reader, services: Use, connection_id: UUID) -> Response:
    """Full refreshes that would mark much as deleted, and wait for a word, by stream.

    Their streams go on with what changes.
    """
    async with services.db.workspace(caller.workspace_id) as conn:
        await connection_key(conn, connection_id)
        return json_answer(await burials.waiting(conn, connection_id))


@routes.post("/burials/confirm", status_code=202, response_model=list[WaitingBurial])
async def confirm_burials(caller: Writer, services: Use, connection_id: UUID) -> Response:
    """Say that what waits is gone: the connection's next sync, which is asked for, marks it as deleted.

    Said twice it changes nothing more.
    """
    async with services.db.workspace(caller.workspace_id) as conn:
        key = await connection_key(conn, connection_id, lock=True)
        await ensure_approved(conn, connection_id, key)
        found = await burials.confirm(conn, caller.workspace_id, connection_id, actor=caller.actor)
        if not found:
            raise Problem(409, f"No full refresh of {key} waits for a word.")
        await sync_requests.request(conn, connection_id)
    return json_answer(found, 202)


@routes.get("/history", response_model=Page[HistoryEntry])
async def list_history(
    caller: Reader, services: Use, connection_id: UUID, page: AskedPage, stream: OfStream = None
) -> Response:
    """Pulls, the newest first."""
    async with services.db.workspace(caller.workspace_id) as conn:
        await connection_key(conn, connection_id)
        found = await history.recent(
            conn, connection_id, stream=stream, before=page.after(tuple[datetime, UUID]), limit=page.fetch
        )
    dagster_url = services.settings.management.dagster_url
    entries = [shown_entry(run, dagster_url) for run in found]
    return page.answer(entries, lambda entry: (entry.started_at, entry.id))


@routes.get("/rejects", response_model=Page[RejectEntry])
async def list_rejects(
    caller: RecordReader,
    services: Use,
    connection_id: UUID,
    page: AskedPage,
    stream: OfStream = None,
    *,
    raw: Annotated[bool, Query(description="Show the raw records too: personal data.")] = False,
) -> Response:
    """Records that could not be mapped, by stream and key."""
    async with services.db.workspace(caller.workspace_id) as conn:
        await connection_key(conn, connection_id)
        found = await rejects.listed(
            conn,
            connection_id,
            stream=stream,
            after=page.after(tuple[str, str]),
            with_raw=raw,
            limit=page.fetch,
        )
    entries = [_reject(reject) for reject in found]
    return page.answer(entries, lambda entry: (entry.stream, entry.key))


def shown_account(account: Account) -> TestedAccount:
    """An account as it is shown."""
    return TestedAccount(id=account.id, name=account.name, livemode=account.livemode)


def shown_entry(run: history.SyncRun, dagster_url: str | None) -> HistoryEntry:
    """A pull as it is shown, with the address of its run in Dagster's UI where that is known."""
    fields = asdict(run)
    del fields["connector_config_id"]
    run_url = f"{dagster_url}/runs/{run.run_id}" if dagster_url and run.run_id else None
    return HistoryEntry(**fields, run_url=run_url)


def _reject(reject: rejects.ListedReject) -> RejectEntry:
    raw = None if reject.raw is None else reject.raw.decode(errors="replace")
    return RejectEntry(**{**asdict(reject), "raw": raw})
