"""`unified connections show` and `history`: one connection as it stands, and what its syncs did."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

import typer

from unified.cli.arguments import AsJson, Name
from unified.cli.output import print_json, say, table
from unified.cli.session import Session, asynchronous, open_session
from unified.cli.settings import shown_settings
from unified.kit.registry import get_adapter
from unified.store.connections import accounts, statistics
from unified.store.connections.rows import Connection, ConnectionSummary, streams_read
from unified.store.records import history as syncs
from unified.store.records.history import SyncRun
from unified.store.secrets.rows import CredentialInfo
from unified.sync.connections.notices import standing_notices


@asynchronous
async def show(name: Name, *, as_json: AsJson = False) -> None:
    """Show a connection: settings, secrets by age, account, and each stream with its records and its last sync."""
    async with open_session() as session:
        found = await _shown(session, await session.connection(name))
    if as_json:
        print_json(found)
        return
    streams, notices = found.pop("streams"), found.pop("notices")
    found["since"] = _days(found["since"], found["reads"])
    found["columns"] = {
        f"{stream}.{field}": rule
        for stream, rules in found["columns"].items()
        for field, rule in rules.items()
    }
    found["settings"] = shown_settings(found["settings"])
    table(
        ("WHAT", "IS"), ((label.replace("_", " "), _line(value)) for label, value in found.items()), empty=""
    )
    table(
        ("STREAM", "ROWS", "REJECTS", "LAST SYNC (UTC)", "MODE", "OUTCOME"),
        (
            (
                stream,
                one["rows"],
                one["rejects"],
                one["last_sync"] and one["last_sync"]["started_at"],
                one["last_sync"] and one["last_sync"]["mode"],
                one["last_sync"] and one["last_sync"]["outcome"],
            )
            for stream, one in streams.items()
        ),
        empty="",
    )
    for notice in notices:
        say(notice)


@asynchronous
async def history(
    name: Name,
    *,
    stream: Annotated[str | None, typer.Option(help="Show only this stream's syncs.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show a connection's last syncs, stream by stream, the newest first."""
    async with open_session() as session:
        connection = await session.connection(name)
        if stream:
            get_adapter(connection.connector).stream(stream)
        async with session.db.workspace(connection.workspace_id) as conn:
            found = await syncs.recent(conn, connection.id, stream=stream, limit=limit)
    if as_json:
        print_json([{**asdict(one), "outcome": _outcome(one)} for one in found])
        return
    table(
        (
            "STARTED (UTC)",
            "STREAM",
            "MODE",
            "SECONDS",
            "READ",
            "NEW",
            "CHANGED",
            "REJECTED",
            "DELETED",
            "OUTCOME",
        ),
        (
            (
                one.started_at,
                one.stream,
                one.mode,
                f"{(one.finished_at - one.started_at).total_seconds():.1f}" if one.finished_at else None,
                one.records_read,
                one.inserted,
                one.updated,
                one.rejected,
                one.deleted,
                _outcome(one),
            )
            for one in found
        ),
        empty=f"{connection.key} was not synced yet; `unified sync {connection.key}` does it.",
    )


def described(
    connection: ConnectionSummary, settings: Mapping[str, Any], reads: Sequence[str]
) -> dict[str, Any]:
    """What a person has set of a connection, without its secrets."""
    return {
        "name": connection.key,
        "connector": connection.connector,
        "is_active": connection.is_active,
        "interval_minutes": connection.sync_interval // timedelta(minutes=1),
        "settings": dict(settings),
        "reads": list(reads),
    }


def listed_secrets(found: Iterable[CredentialInfo]) -> list[dict[str, Any]]:
    """A connection's secrets: which, and when they were stored."""
    return [
        {
            "field": one.field,
            "version": one.version,
            "stored_at": one.updated_at,
            "expires_at": one.expires_at,
            "reference": one.reference,
        }
        for one in found
    ]


def secrets_text(secrets: Iterable[Mapping[str, Any]]) -> str:
    """What :func:`listed_secrets` gave, for a person."""
    return ", ".join(
        f"{one['field']} at {one['reference']}"
        if one["reference"]
        else f"{one['field']} of {one['stored_at']:%Y-%m-%d}"
        for one in secrets
    )


async def _shown(session: Session, connection: Connection) -> dict[str, Any]:
    async with session.db.workspace(connection.workspace_id) as conn:
        account = await accounts.known(conn, connection.id)
        rows = await statistics.live_by_stream(conn, connection.id)
        rejects = await statistics.rejects_by_stream(conn, connection.id)
        last = {
            stream: one
            for stream in rows
            for one in await syncs.recent(conn, connection.id, stream=stream, limit=1)
        }
    reads = await streams_read(session.db, [connection])
    return {
        **described(connection, connection.settings, reads.get(connection.id, [])),
        "since": dict(connection.since),
        "history": list(connection.history),
        "columns": {stream: dict(fields) for stream, fields in connection.columns.items()},
        "notices": await standing_notices(session.db, connection),
        "secrets": listed_secrets(
            await session.credentials().describe(connection.workspace_id, connection.id)
        ),
        "approval": connection.approval,
        "state": "needs_reauth" if connection.needs_reauth else connection.sync_status,
        "account": str(account) if account.id else None,
        "added_at": connection.created_at,
        "last_sync_at": connection.last_sync_at,
        "tested_at": connection.tested_at,
        "error": connection.error_message or connection.test_error,
        "waits_until": connection.waits_until,
        "streams": {
            stream: {
                "rows": count,
                "rejects": rejects.get(stream, 0),
                "last_sync": {**asdict(last[stream]), "outcome": _outcome(last[stream])}
                if stream in last
                else None,
            }
            for stream, count in rows.items()
        },
    }


def _outcome(run: SyncRun) -> str:
    if run.error_message:
        return run.error_message
    if run.finished_at is None:
        return "running, or its process was killed"
    return "done" if run.is_complete else "stopped at its time limit; the next sync goes on"


def _days(since: Mapping[str, str], reads: Iterable[str]) -> Any:
    """Where streams begin, as ``--since`` takes it: one day where all that are read begin on it."""
    days = set(since.values())
    return days.pop() if len(days) == 1 and since.keys() >= set(reads) else since


def _line(value: Any) -> Any:
    """A value for a person, on one line."""
    match value:
        case dict():
            return ", ".join(f"{key}={one}" for key, one in value.items())
        case [str(), *_]:
            return ", ".join(value)
        case list():
            return secrets_text(value)
        case _:
            return value
