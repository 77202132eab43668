"""The `unified` command: the table of its subcommands, and how an error becomes one line.

A subcommand's module is imported when it is called, so that `unified --help` is quick and `unified sync`
starts without Dagster. What the subcommands do stands in their modules.
"""

import errno
import gc
import logging
import os
import signal
import sys
import tempfile
import traceback
from importlib import import_module
from types import FrameType
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from unified import logs, startup

_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")

# Name → where it is below unified.cli, and its line in the help; by panel, in the order of the help.
_PANELS: dict[str, dict[str, tuple[str, str]]] = {
    "Start here": {
        "demo": (
            "demo.demo:demo",
            "Load two workspaces from stand-ins for the providers, and check it.",
        ),
        "dev": (
            "commands.operation.dev:dev",
            "Start the database, Dagster and the webhook server; Ctrl-C ends all.",
        ),
        "init": ("init.init:init", "Make a project of your own, with assets beside ours."),
        "sign-in": ("commands.access.sign_in:sign_in", "Print a link that signs a browser in once."),
    },
    "Connections": {
        "connectors": (
            "commands.connectors.connectors:app",
            "List the systems that can be connected, and what each needs; install further ones.",
        ),
        "connections": (
            "commands.connections.connections:app",
            "Add, authorize, list, show, test, change and remove connections.",
        ),
        "apply": (
            "commands.connections.apply:apply",
            "Make connections, webhooks, rules and routes as a file says, or write that file.",
        ),
        "workspaces": ("commands.connections.workspaces:app", "Add, list and remove workspaces."),
        "sync": ("commands.connections.sync:sync", "Pull the changes of one connection, or of all, now."),
        "status": ("commands.connections.status:status", "Show how each connection stands."),
        "rejects": ("commands.records.rejects:rejects", "Show records that could not be mapped, and why."),
        "identities": (
            "commands.records.identities:app",
            "Resolve, list, explain, merge and split customers across sources.",
        ),
        "privacy": (
            "commands.records.privacy:app",
            "Delete a person's data on request, and let records come in again.",
        ),
        "tables": ("commands.records.tables:tables", "Show what is stored: rows, freshness, disk space."),
        "query": ("commands.records.query:query", "Ask one workspace's tables in SQL, read-only."),
        "db": (
            "commands.access.db:app",
            "Give tools a login that reads one workspace; print its URL; open psql.",
        ),
        "raw": ("commands.records.raw:app", "Print what a source sent of a record; store it compressed."),
        "export": ("commands.records.export:export", "Write a stream to Parquet, CSV or JSON lines."),
    },
    "Routes": {
        "routes": (
            "commands.routes.routes:app",
            "Push customers from one connection to another: add, preview, run, review.",
        ),
    },
    "Webhooks": {
        "webhooks": (
            "commands.webhooks.webhooks:app",
            "Add, list, test, rotate, pause, remove and replay webhooks.",
        ),
        "serve": (
            "commands.operation.serve:serve",
            "Take providers' webhooks in, and answer the management API.",
        ),
        "subscriptions": (
            "commands.webhooks.subscriptions:app",
            "Deliver what changes to URLs of your own.",
        ),
        "drain": ("commands.webhooks.drain:drain", "Apply what webhooks have brought, now."),
    },
    "Management API": {
        "tokens": ("commands.access.tokens:app", "Add, list and revoke API tokens."),
        "members": ("commands.access.members:app", "Add, list, update and remove members of a workspace."),
        "openapi": ("commands.operation.openapi:openapi", "Print the API's OpenAPI document."),
        "mcp": ("commands.operation.mcp:mcp", "Let an agent ask: an MCP server on stdin and stdout."),
    },
    "Mapping": {
        "mappings": (
            "commands.records.mappings:app",
            "Propose, try, set, list and remove a connection's own field rules.",
        ),
        "remap": (
            "commands.connections.sync:remap",
            "Map stored raw records anew, without asking the provider.",
        ),
        "schemas": ("commands.connectors.catalogue:schemas", "Print the JSON Schema of each unified model."),
    },
    "Operation": {
        "migrate": (
            "commands.operation.migrate:migrate",
            "Bring the database and Dagster's storage up to this release.",
        ),
        "backup": (
            "commands.operation.backup:backup",
            "Copy the databases as of a moment, and prove the copy.",
        ),
        "restore": ("commands.operation.backup:restore", "Restore a backup where there is no database yet."),
        "keys": ("commands.operation.keys:app", "Generate, rotate and retire master keys."),
        "audit": ("commands.operation.audit:audit", "Show who did what, to a workspace or the deployment."),
        "logs": ("commands.operation.logs:logs", "Show what `unified dev` and its processes have written."),
        "doctor": ("commands.operation.doctor:examine", "Say what is misconfigured, and what to do."),
    },
}
# What the machine refuses, as a person can mend it; other errors of the system are ours to mend.
_REFUSALS = {
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EIO, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOSPC,
    errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip
_PLACES = {name: place for commands in _PANELS.values() for name, (place, _) in commands.items()}
# What a command was called before this release, for as long as the next one.
_FORMER = {"token": "tokens"}


class _LazyGroup(TyperGroup):
    """Lists every subcommand by its line in the table, and imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update({name: TyperCommand(name) for name in (*_PLACES, *_FORMER)})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that ``args`` name, and the arguments left for it."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and listed else None, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base's signature
        """Write the commands by panel."""
        for panel, commands in _PANELS.items():
            with formatter.section(panel):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])


def load(name: str) -> Any:
    """Import a subcommand.

    Args:
        name: One of the table's.

    Returns:
        Its click command.
    """
    module, _, attribute = _PLACES[_FORMER.get(name, name)].partition(":")
    gc.disable()  # what imports make stays: to look for garbage among it is a fifth of their time
    try:
        target = getattr(import_module(f"unified.cli.{module}"), attribute)
    finally:
        gc.freeze()
        gc.enable()
    if not isinstance(target, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name)(target)
        target = single
    target.rich_markup_mode = None
    return get_command(target)


# Plain help: complete at any width, and quick.
app = typer.Typer(cls=_LazyGroup, no_args_is_help=True, rich_markup_mode=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - a tenth of the time that the help takes

        typer.echo(f"unified {version('unified-assets')}")
        raise typer.Exit


@app.callback()
def unified(
    *,
    show_version: Annotated[  # noqa: ARG001 - acted on by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    log_format: Annotated[
        Literal["text", "json"] | None,
        typer.Option(
            "--log-format",
            envvar=logs.FORMAT_VARIABLE,
            help="What is logged: lines, or JSON objects with ids.",
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="UNIFIED_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Customers, invoices, events and other records of a company's systems, in one PostgreSQL table per entity.

    Everything is kept in $UNIFIED_HOME (by default the folder .unified here), or in the PostgreSQL database
    that $DATABASE_URL names. A NAME is a connection's: `workspace/name`, or only `name` where one workspace
    has it.
    """
    if debug:
        os.environ["UNIFIED_DEBUG"] = "1"
    if log_format:
        os.environ[logs.FORMAT_VARIABLE] = log_format  # for what is started from here as well
    if log_format == "json":
        logs.configure()


def ask_this_machine_directly() -> None:
    """Let no proxy that the environment names lead to this machine, from here or from what is started here.

    Many a company's machine names a proxy for all that goes out. It knows nobody here.
    """
    outside = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if outside.strip() == "*":  # which means no proxy at all, and only by itself
        return
    named = [one.strip() for one in outside.split(",") if one.strip()]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*named, *_THIS_MACHINE]))


def main() -> NoReturn:
    """Run the command line.

    Exits with 0, 1 after an error, 2 where the command was not understood, 130 after Ctrl-C, 128 and the
    signal's number after another signal.
    """
    startup.spare_time()
    ask_this_machine_directly()
    # A shell starts background jobs with Ctrl-C ignored; `kill -INT` has to work there as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The others likewise: clean up on the way out, so that no server is left behind.
    signal.signal(signal.SIGTERM, _exit_cleanly)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signal.signal(signal.SIGHUP, _exit_cleanly)
    # What passes is counted among a sync's results, what lasts is raised.
    for passing in ("stamina", "psycopg.pool"):
        logging.getLogger(passing).setLevel(logging.ERROR)
    try:
        code = get_command(app)(prog_name="unified", standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(130)
    except typer.Abort:
        _fail("interrupted", 130)
    except typer.TyperException as error:
        _fail(error.format_message(), error.exit_code)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        _fail(f"{_file(error)} can't be used: {error.strerror}", 1)
    except Exception as error:
        if not _is_expected(error):
            raise
        _fail(" ".join(str(error).split()), 1)
    sys.exit(code if isinstance(code, int) else 0)


def _exit_cleanly(signum: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + signum)


def _is_expected(error: Exception) -> bool:
    """Whether it is an error of ours, with a message for people. The module that raised one has imported it."""
    kinds = (
        ("unified.kit.errors", "AdapterError"),
        ("unified.store.errors", "StoreError"),
        ("unified.sync.errors", "SyncError"),
    )
    return any(isinstance(error, getattr(sys.modules.get(module), name, ())) for module, name in kinds)


def _file(error: OSError) -> str:
    """Which file an error is about; one that arose while writing does not say."""
    home = os.environ.get("UNIFIED_HOME") or ".unified"
    return str(error.filename or f"a file in {home} or {tempfile.gettempdir()}")


def _fail(message: str, code: int) -> NoReturn:
    if os.environ.get("UNIFIED_DEBUG"):
        traceback.print_exc()
    if os.environ.get(logs.FORMAT_VARIABLE) == "json":  # a word that is no format may be what this is about
        logging.getLogger("unified.cli").error(message)
    else:
        typer.echo(f"unified: {message}", err=True)
    sys.exit(code)
