"""`unified sync` and `unified remap`: connections, now, without Dagster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from unified.cli.arguments import AsJson, Name
from unified.cli.output import err, print_json, say, table
from unified.cli.session import ACTOR, CommandError, Session, UsageError, asynchronous, open_session
from unified.kit.errors import AdapterError
from unified.kit.registry import get_adapter
from unified.store.connections.registry import presentable
from unified.store.connections.rows import Connection, ConnectionSummary
from unified.store.errors import StoreError
from unified.store.records import burials
from unified.store.workspaces import workspaces
from unified.sync.connection import sync_connection
from unified.sync.errors import SyncError
from unified.sync.pull import OnProgress, PullResult
from unified.sync.remapping.remap import remap as remap_connection

OneOrAll = Annotated[
    str | None, typer.Argument(help="The connection, as `workspace/name` or `name`.", metavar="[NAME]")
]


@asynchronous
async def sync(
    name: OneOrAll = None,
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="Sync all connections that are not paused, one after the other.")
    ] = False,
    workspace: Annotated[
        str | None, typer.Option(help="With --all: only the connections of this workspace.")
    ] = None,
    stream: Annotated[
        list[str] | None, typer.Option(help="Sync only this stream; by default all. Repeatable.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything anew instead of the changes only.")
    ] = False,
    bury: Annotated[
        bool,
        typer.Option(
            "--bury",
            help="Let the full refresh that waits for a word mark as deleted what is gone; with --full, where none "
            "waits, a new one, whatever its share (see bury_at_most).",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Pull a connection's changes now, or those of all connections.

    The first time, everything is read. A sync that was stopped goes on from its last commit. Works beside
    `unified dev`; a stream that is being synced already is refused. With --all, a connection that fails does not keep
    the others; the exit code is then not 0.
    """
    if all_ == bool(name):
        raise UsageError("say which connection to sync, or --all")
    if all_:
        if stream or bury:
            raise UsageError("--stream and --bury go with one connection, not with --all")
        await _sync_all(workspace, full=full, as_json=as_json)
        return
    if workspace:
        raise UsageError("--workspace goes with --all; a connection is named as workspace/name")
    async with open_session() as session:
        connection = await session.connection(name or "")
        factory = session.adapters()
        if bury:
            await _confirm(session, connection, [*stream] if stream else [None], full=full)
        with progress_of(connection.key) as report:
            results = await sync_connection(
                session.db,
                factory,
                connection,
                streams=stream or (),
                full=full,
                bury=bury,
                on_progress=report,
            )
    show_results(results, as_json=as_json)


async def _sync_all(workspace: str | None, *, full: bool, as_json: bool) -> None:
    """Sync what the schedule would sync, whether it is due or not."""
    done: list[dict[str, Any]] = []
    failed: list[str] = []
    async with open_session() as session:
        if workspace:
            await workspaces.find(session.db, workspace)
        factory = session.adapters()
        for summary in await session.registry.all_connections():
            if workspace not in (None, summary.workspace):
                continue
            if reason := _why_not(summary):
                say(f"{summary.key}: left out, {reason}.")
                continue
            try:
                connection = await session.registry.get_connection(summary.workspace_id, summary.id)
                with progress_of(summary.key) as report:
                    results = await sync_connection(
                        session.db, factory, connection, full=full, on_progress=report
                    )
            except (AdapterError, StoreError, SyncError) as error:
                failed.append(summary.key)
                say(presentable(str(error)))
                continue
            done += [{"connection": summary.key, **asdict(result)} for result in results]
            if not as_json:
                say(f"{summary.key}:")
                show_results(results, as_json=False)
    if as_json:
        print_json(done)
    if failed:
        raise CommandError(f"{len(failed)} connection(s) could not be synced: {', '.join(failed)}")


def _why_not(connection: ConnectionSummary) -> str | None:
    """Why a sync of all leaves a connection out, if it does."""
    if connection.approval != "approved":
        return f"as it is {connection.approval}; an admin of its workspace approves it"
    if connection.needs_reauth:
        return f"as its grant is gone; `unified connections authorize {connection.key}` makes a new one"
    if not get_adapter(connection.connector).streams:
        return "as its records come by webhook alone"
    return None if connection.is_active else f"as it is paused; `unified connections resume {connection.key}`"


@asynchronous
async def remap(name: Name, *, as_json: AsJson = False) -> None:
    """Map a connection's stored raw records anew, rejects included, without asking the provider.

    For a changed field rule (`unified mappings`), a new release's mapping, or a new schema version.
    """
    async with open_session() as session:
        connection = await session.connection(name)
        with progress_of(connection.key) as report:
            results = await remap_connection(session.db, connection, on_progress=report)
    show_results(results, as_json=as_json)


async def _confirm(
    session: Session, connection: Connection, streams: list[str | None], *, full: bool
) -> None:
    """Say that what waits to be marked as deleted is right."""
    async with session.db.workspace(connection.workspace_id) as conn:
        found = [
            one
            for stream in streams
            for one in await burials.confirm(
                conn, connection.workspace_id, connection.id, actor=ACTOR, stream=stream
            )
        ]
    if not found and not full:
        msg = f"no full refresh of {connection.key} waits for a word; `unified sync {connection.key} --full` begins one"
        raise CommandError(msg)


@contextmanager
def progress_of(key: str) -> Iterator[OnProgress]:
    """A line per stream on stderr that counts up with each commit; nothing where that is not a terminal.

    Args:
        key: The connection's.

    Yields:
        What to call after each commit.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        tasks: dict[str, TaskID] = {"": progress.add_task(f"{key}: starting", total=None)}

        def report(result: PullResult) -> None:
            starting = tasks.pop("", None)
            if starting is not None:
                progress.remove_task(starting)
            if result.stream not in tasks:
                tasks[result.stream] = progress.add_task("", total=None)
            progress.update(
                tasks[result.stream],
                description=f"{key} {result.stream}: {result.read:,} read, {result.inserted:,} new, "
                f"{result.updated:,} changed, {result.rejected:,} rejected",
            )

        yield report


def show_results(results: list[PullResult], *, as_json: bool) -> None:
    """Print what was done, stream by stream."""
    if as_json:
        print_json([asdict(result) for result in results])
        return
    table(
        (
            "STREAM",
            "MODE",
            "READ",
            "NEW",
            "CHANGED",
            "UNCHANGED",
            "REJECTED",
            "UNUSABLE",
            "DELETED",
            "REQUESTS",
            "SECONDS",
        ),
        (
            (
                r.stream,
                r.mode,
                r.read,
                r.inserted,
                r.updated,
                r.unchanged,
                r.rejected,
                r.unusable,
                r.deleted,
                r.requests,
                f"{r.seconds:.1f}",
            )
            for r in results
        ),
        empty="",
    )
    if left_out := sum(r.suppressed for r in results):
        say(
            f"{left_out:,} record(s) of persons whose data were deleted on request were left out, or stored without "
            "personal columns (docs/privacy.md)."
        )
