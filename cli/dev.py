"""`unified dev`: all that runs on a machine: database, Dagster's UI and daemon, the demo's stand-ins."""

import asyncio
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from cli.demo_steps import DEMO_PREFIX
from cli.installation import migrate_database, prepare_dagster, project_file, upgrade_dagster
from cli.output import out, say
from cli.processes import Child, child, free_port, only_one
from cli.sandbox_process import SandboxPlan, running_sandbox
from cli.session import CommandError
from store import data_keys
from store.database import Database, database_url
from store.embedded import home
from store.keys import load_provider
from store.registry import Registry

_LOADED = """
{ workspaceOrError { ... on Workspace { locationEntries {
    locationOrLoadError { __typename ... on PythonError { message } }
} } } }
"""


def dev(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of Dagster's UI; 0 takes a free one.")] = 3000,
    host: Annotated[str, typer.Option(help="Address that Dagster's UI listens on.")] = "127.0.0.1",
) -> None:
    """Start the database, Dagster's UI and its daemon; Ctrl-C ends all.

    The daemon syncs each connection at its interval. If `unified demo` was run, the stand-ins that its
    connections lead to are started too. Whoever reaches the UI can start and stop syncs: it has no log-in,
    keep it on 127.0.0.1.
    """
    with ExitStack() as stack:
        stack.enter_context(only_one(home(), "`unified dev`"))
        port = free_port(host, port)
        say("Starting PostgreSQL …")
        url = database_url()
        migrate_database(url)
        prepare_dagster(url)
        upgrade_dagster()
        with_demo = asyncio.run(_check(url))
        logs = home() / "logs"
        logs.mkdir(exist_ok=True)
        if with_demo and (plan := SandboxPlan.load(home())):
            stack.enter_context(_stand_ins(plan, logs / "sandbox.log"))
        say("Starting Dagster …")
        dagster = stack.enter_context(_dagster(host, port, logs / "dagster.log"))
        address = f"http://{host}:{port}"
        dagster.wait_until(lambda: _has_loaded(address))
        out.print(f"Dagster is at {address} (log: {dagster.log}). Ctrl-C ends all.")
        dagster.process.wait()
        raise dagster.failure()


def _stand_ins(plan: SandboxPlan, log: Path) -> AbstractContextManager[Any]:
    """What the demo's connections lead to, where its place is not taken."""
    try:
        free_port("127.0.0.1", plan.port)
    except CommandError:
        say(f"Port {plan.port} is taken, so the demo's connections will fail to sync; run the demo anew.")
        return nullcontext()
    say(f"Starting the demo's stand-ins for Stripe and HubSpot on port {plan.port} …")
    return running_sandbox(plan, log)


def _dagster(host: str, port: int, log: Path) -> AbstractContextManager[Child]:
    """The UI and the daemon, on one code server."""
    workspace = str(project_file("workspace.yaml"))
    arguments = ["dev", "--workspace", workspace, "--host", host, "--port", str(port), "--log-format", "json"]
    return child("Dagster", [sys.executable, "-m", "dagster", *arguments], log)


async def _check(url: str) -> bool:
    """Refuse to start without the master keys in use; tell whether the demo's workspaces are there."""
    async with Database.open(url) as db:
        await data_keys.verify(db, load_provider())
        return any(workspace.slug.startswith(DEMO_PREFIX) for workspace in await Registry(db).workspaces())


def _has_loaded(address: str) -> bool:
    """Whether the UI answers and has loaded the definitions.

    Raises:
        CommandError: If the definitions can't be loaded.
    """
    try:
        answer = httpx.post(f"{address}/graphql", json={"query": _LOADED}, timeout=10)
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
