"""`unified dev`: all that runs on a machine: database, Dagster's UI and daemon, the demo's stand-ins."""

import asyncio
import os
import secrets
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Annotated

import httpx
import typer

from unified.api.pages.session import INSTALLATION, set_up_link
from unified.api.settings import DAGSTER_VARIABLE, PUBLIC_URL_VARIABLE
from unified.cli.arguments import PatienceSeconds
from unified.cli.commands.access.sign_in import sign_in_link, usual_workspace
from unified.cli.demo.steps import DEMO_PREFIX
from unified.cli.demo.webhooks import deliver_webhooks
from unified.cli.installation import (
    code_location,
    end_lost_runs,
    is_embedded,
    migrate_database,
    prepare_dagster,
    say_what_begins,
    upgrade_dagster,
)
from unified.cli.output import out, say
from unified.cli.processes.child import PATIENCE_SECONDS, Child, child, free_port, only_one, wait_for_any
from unified.cli.processes.guard import LOOPBACK, TOKEN_PARAMETER, TOKEN_VARIABLE
from unified.cli.processes.ingress import HOST, Ingress, running_ingress
from unified.cli.processes.kept import KeptConnection
from unified.cli.processes.local import local
from unified.cli.processes.reloading import ReloadedLocations
from unified.cli.processes.sandbox import Sandbox, SandboxPlan, running_sandbox
from unified.cli.processes.syncs import SyncLines
from unified.cli.session import ACTOR, CommandError
from unified.store.database import Database
from unified.store.secrets import data_keys
from unified.store.secrets.providers import load_provider
from unified.store.server.embedded import home, revive
from unified.store.server.urls import database_url
from unified.store.workspaces import workspaces

# Ticks of sensors look for minutes. The code server serves each in a thread, as does the server in front of it that
# `dagster dev` starts. Their default, four more than there are cores, would leave none for the UI, nor for the
# heartbeat without which that server ends.
_CODE_SERVER_THREADS = "32"
THREADS_VARIABLES = ("DAGSTER_GRPC_MAX_WORKERS", "DAGSTER_CODE_SERVER_MAX_WORKERS")
# On a busy machine the definitions take longer to load than the minute that Dagster gives them by default, and it does
# not try again.
TIMEOUT_VARIABLE = "DAGSTER_GRPC_TIMEOUT_SECONDS"
_CODE_SERVER_SECONDS = "300"
# Each tick of a sensor costs processor time in three processes, so few of them look for long.
SENSOR_TIMEOUT_VARIABLE = "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS"
_SENSOR_SECONDS = "300"
# Dagster's daemon would wait for the ticks that look, to no avail. Whatever it is killed in goes on at the next start.
_DAGSTER_GRACE = 4.0

_LOADED = """
{ workspaceOrError { ... on Workspace { locationEntries {
    locationOrLoadError { __typename ... on PythonError { message } }
} } } }
"""


def dev(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of Dagster's UI; 0 takes a free one.")
    ] = 3000,
    host: Annotated[str, typer.Option(help="Address that Dagster's UI listens on.")] = "127.0.0.1",
    webhook_port: Annotated[
        int,
        typer.Option(min=0, max=65_535, help="Port of the webhook server, on 127.0.0.1; 0 takes a free one."),
    ] = 8000,
    patience: PatienceSeconds = PATIENCE_SECONDS,
) -> None:
    """Start the database, Dagster's UI and its daemon, and the webhook server; Ctrl-C ends all.

    The daemon syncs each connection at its interval, and applies what webhooks bring as it comes; each sync that ends
    is a line here. If `unified demo` was run, the stand-ins that its connections lead to are started too. The UI has no
    log-in, and everybody who reaches it can start and stop syncs: keep it on 127.0.0.1. On any other address it asks
    for a token, which is in the link that is printed. It answers no page of another origin. The webhook server checks
    each sender (`unified serve`).
    """
    with ExitStack() as stack:
        stack.enter_context(only_one(home(), "`unified dev`"))
        port = free_port(host, port)
        webhook_port = free_port(HOST, webhook_port, "--webhook-port")
        say_what_begins()
        say("Starting PostgreSQL …")
        url = database_url()
        migrate_database(url)
        prepare_dagster(url)
        upgrade_dagster()
        if is_embedded():
            end_lost_runs()  # of this home's last Dagster: there is one at a time
        with_demo = asyncio.run(_check(url))
        logs = home() / "logs"
        logs.mkdir(exist_ok=True)
        say("Starting the webhook server …")
        public_url = os.environ.get(PUBLIC_URL_VARIABLE)
        # Where the pages' links to runs lead.
        os.environ.setdefault(DAGSTER_VARIABLE, f"http://{host}:{port}")
        ingress = stack.enter_context(
            running_ingress(webhook_port, logs / "webhooks.log", public_url, patience=patience)
        )
        if with_demo and (plan := SandboxPlan.load(home())):
            sandbox = stack.enter_context(_stand_ins(plan, logs / "sandbox.log", patience))
            if sandbox:
                asyncio.run(_deliver(url, sandbox, ingress))
        out.print(asyncio.run(_pages(url, ingress.public_url)), soft_wrap=True)  # a link in one piece
        say("Starting Dagster …")
        prepare_code_server()
        token = ui_token(host)
        dagster = stack.enter_context(_dagster(host, port, logs / "dagster.log"))
        address = f"http://{host}:{port}"
        dagster.wait_until(lambda: _has_loaded(address, token), patience)
        out.print(f"Webhooks are taken at {ingress.address}/webhooks/… (log: {ingress.process.log}).")
        link = f"{address}/?{TOKEN_PARAMETER}={token}" if token else address
        out.print(f"Dagster is at {link} (log: {dagster.log}). Ctrl-C ends all.", soft_wrap=True)
        kept = stack.enter_context(KeptConnection(url))
        connectors, syncs = ReloadedLocations(kept, address, token), SyncLines(kept)

        def look() -> None:
            revive(url)
            connectors.follow()
            syncs.follow()

        raise wait_for_any([dagster, ingress.process], meanwhile=look).failure()


async def _pages(url: str, public_url: str) -> str:
    """Where a browser begins: signed in by a link, where there is a workspace."""
    async with Database.open(url) as db:
        if workspace := await usual_workspace(db):
            link = await sign_in_link(db, load_provider(), workspace, public_url, reach=INSTALLATION)
            return f"The pages of {workspace.slug} open by this link, once and within 10 minutes:\n{link}"
        link = await set_up_link(db, public_url, actor=ACTOR)
        return f"Name the first workspace by this link, within 10 minutes:\n{link}"


def _stand_ins(plan: SandboxPlan, log: Path, patience: float) -> AbstractContextManager[Sandbox | None]:
    """What the demo's connections lead to, where its place is not taken."""
    try:
        free_port("127.0.0.1", plan.port)
    except CommandError:
        say(f"Port {plan.port} is taken, so the demo's connections will fail to sync; run the demo anew.")
        return nullcontext()
    say(f"Starting the demo's stand-ins for the providers on port {plan.port} …")
    return running_sandbox(plan, log, patience=patience)


async def _deliver(url: str, sandbox: Sandbox, ingress: Ingress) -> None:
    """Have the stand-ins deliver to the demo's webhooks, as they did before they were stopped."""
    async with Database.open(url) as db:
        await deliver_webhooks(db, sandbox, ingress.public_url)


def _dagster(host: str, port: int, log: Path) -> AbstractContextManager[Child]:
    """The UI and the daemon, on one code server."""
    place = ["--host", host, "--port", str(port)]
    arguments = [*code_location(Path.cwd()), *place, "--log-format", "json"]
    command = [sys.executable, "-m", "unified.cli.processes.dagster_dev", *arguments]
    return child("Dagster", command, log, grace=_DAGSTER_GRACE)


def prepare_code_server() -> None:
    """Give Dagster's code server the threads and the time that it needs, unless the environment says how many."""
    for variable in THREADS_VARIABLES:
        os.environ.setdefault(variable, _CODE_SERVER_THREADS)
    os.environ.setdefault(TIMEOUT_VARIABLE, _CODE_SERVER_SECONDS)
    os.environ.setdefault(SENSOR_TIMEOUT_VARIABLE, _SENSOR_SECONDS)


def ui_token(host: str) -> str | None:
    """What the UI asks for where others than this machine's users reach it, handed on by the environment."""
    if host not in LOOPBACK and not os.environ.get(TOKEN_VARIABLE):
        os.environ[TOKEN_VARIABLE] = secrets.token_urlsafe(24)
    return os.environ.get(TOKEN_VARIABLE) or None


async def _check(url: str) -> bool:
    """Refuse to start without the master keys in use; return whether the demo's workspaces are there."""
    async with Database.open(url) as db:
        await data_keys.verify(db, load_provider())
        return any(workspace.slug.startswith(DEMO_PREFIX) for workspace in await workspaces.listed(db))


def _has_loaded(address: str, token: str | None) -> bool:
    """Whether the UI answers and has loaded the definitions.

    Raises:
        CommandError: If the definitions can't be loaded.
    """
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        answer = local().post(f"{address}/graphql", json={"query": _LOADED}, headers=headers, timeout=10)
    except httpx.TransportError:
        return False
    if not answer.is_success:
        return False
    locations = answer.json()["data"]["workspaceOrError"].get("locationEntries", [])
    outcomes = [entry["locationOrLoadError"] for entry in locations]
    for outcome in outcomes:
        if outcome and outcome["__typename"] == "PythonError":
            msg = f"Dagster can't load the definitions: {outcome['message']}"
            raise CommandError(msg)
    return bool(outcomes) and all(outcomes)
