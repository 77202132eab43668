"""`unified demo`: the whole way from two empty workspaces to checked tables, on stand-ins for providers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Concatenate, ParamSpec, TypeVar

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from unified.cli.arguments import PatienceSeconds
from unified.cli.demo import outward, report, steps, webhooks
from unified.cli.demo.report import Outward
from unified.cli.demo.steps import DemoConnection, Finding
from unified.cli.installation import migrate_database, prepare_dagster, upgrade_dagster
from unified.cli.output import err, say
from unified.cli.processes.child import PATIENCE_SECONDS, free_port, only_one
from unified.cli.processes.ingress import HOST, running_ingress
from unified.cli.processes.sandbox import Sandbox, SandboxPlan, running_sandbox
from unified.cli.session import CommandError
from unified.store.database import Database, database_url
from unified.store.server.embedded import home

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from unified.cli.demo.runs import RunReport

USUAL_PORT = 8700

_P = ParamSpec("_P")
_R = TypeVar("_R")


def demo(
    *,
    records: Annotated[
        int,
        typer.Option(
            min=20,
            max=100_000,
            help="Customers and Stripe invoices in each account; half as many in HubSpot.",
        ),
    ] = 1000,
    patience: PatienceSeconds = PATIENCE_SECONDS,
) -> None:
    """Load two workspaces from stand-ins for Stripe and HubSpot, and check every number.

    Makes the workspaces demo-acme and demo-globex anew (nothing else is touched), each with a Stripe and a
    HubSpot connection whose keys are stored encrypted; loads them through Dagster; holds what is stored
    against what the source has, to the cent; changes and deletes records at the source and syncs again;
    has a change delivered by webhook; keeps some customers alike in both systems by a route, both ways and
    without an echo; shows one identity of three records; tries to reach one workspace from the other. The
    exit code is not 0 if anything is off. `unified dev` then shows it all.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(only_one(home(), "`unified demo`"))
        with _step("PostgreSQL runs and has its tables"):
            url = database_url()
            migrate_database(url)
        with _step("Dagster's storage is there"):
            prepare_dagster(url)
            upgrade_dagster()
            from unified.cli.demo.runs import dagster_instance, run_sync  # noqa: PLC0415 - imports Dagster, after it has a home
        with _step("The stand-ins for Stripe and HubSpot answer"):
            plan = SandboxPlan(_port(), records)
            plan.save(home())
            (home() / "logs").mkdir(exist_ok=True)
            sandbox = stack.enter_context(
                running_sandbox(plan, home() / "logs" / "sandbox.log", patience=patience)
            )
        with _step("Two workspaces have two connections each, with encrypted keys"):
            demos = _ask(url, steps.make_connections, sandbox.url)
            instance = stack.enter_context(dagster_instance([demo.connection for demo in demos]))
        acme, globex = demos[:2], demos[2:]
        outward.add_people(sandbox, acme)

        expected = sum(sum(sandbox.oracle(d.connection.connector, d.key)["counts"].values()) for d in demos)
        with _progress("First load through Dagster", expected) as advance:
            first = []
            for each in demos:
                first.append(run_sync(instance, each.connection))
                advance(first[-1].total("read"))
        findings = [finding for each in demos for finding in _ask(url, steps.compare, sandbox, each)]
        findings += _of_runs(first)
        if not all(finding.holds for finding in findings):
            report.conclude(findings, time.monotonic() - started)  # what follows would only repeat it

        with _step("demo-acme changes one customer and deletes another in each source"):
            changes = [(each, *_ask(url, steps.change_source, sandbox, each)) for each in acme]
        with _progress("Incremental sync through Dagster", len(demos)) as advance:
            second = []
            for each in demos:
                second.append(run_sync(instance, each.connection))
                advance(1)
        for each, changed, deleted in changes:
            findings += _ask(url, steps.find_changes, each, changed, deleted)
        delays, delivered = _by_webhook(url, sandbox, instance, acme, patience)
        findings += delivered
        pushed = _outward(url, sandbox, instance, acme)
        findings += pushed.findings
        compared = [finding for each in demos for finding in _ask(url, steps.compare, sandbox, each)]
        findings += [*_of_runs(second), *compared]
        with _step("One workspace reaches for the other's rows"):
            isolation = _ask(
                url, steps.try_isolation, [d.connection for d in acme], [d.connection for d in globex]
            )
        findings += isolation

    report.stored(demos, compared, first, second, delays)
    report.outward(pushed)
    report.questions("One workspace reaches for the other's rows", isolation)
    report.conclude(findings, time.monotonic() - started)


def _by_webhook(
    url: str,
    sandbox: Sandbox,
    instance: "DagsterInstance",
    demos: Sequence[DemoConnection],
    patience: float,
) -> tuple[dict[str, float], list[Finding]]:
    """Have a change in each source delivered and drained; seconds from the change to its row, by connection."""
    from unified.cli.demo.runs import run_drain  # noqa: PLC0415 - imports Dagster

    delays: dict[str, float] = {}
    findings: list[Finding] = []
    with ExitStack() as stack:
        with _step("demo-acme's webhooks lead to `unified serve`"):
            log = home() / "logs" / "webhooks.log"
            ingress = stack.enter_context(running_ingress(free_port(HOST, 0), log, patience=patience))
            _ask(url, webhooks.add_webhooks, demos)
            _ask(url, webhooks.deliver_webhooks, sandbox, ingress.public_url)
        for each in demos:
            key, source = each.connection.key, each.connection.connector
            with _step(f"{key}: a change at the source is delivered, and drained into its row"):
                changed, changed_at = _ask(url, webhooks.change_and_wait, sandbox, each, patience)
                drained = run_drain(instance, source)
                delays[key] = time.monotonic() - changed_at
            findings.append(Finding(source, "failure of the drain", None, drained.failure))
            findings += _ask(url, webhooks.find_delivered, each, changed)
    return delays, findings


def _outward(
    url: str, sandbox: Sandbox, instance: "DagsterInstance", demos: Sequence[DemoConnection]
) -> Outward:
    """Keep some customers alike in two systems, and resolve identities."""
    from unified.cli.demo.runs import run_identities, run_route, run_sync  # noqa: PLC0415 - imports Dagster

    done = Outward()

    def push(what: str, **must: int) -> None:
        before = outward.writes(sandbox)
        run = run_route(instance, route)
        did = {**run.counts.get("customers", {}), **outward.writes_since(sandbox, before)}
        must = {"created": 0, "updated": 0, "refused": 0, "waiting": 0, **must}
        done.pushes[what] = did
        done.findings += _of_runs([run])
        done.findings.append(Finding(route.key, what, must, {name: did.get(name) for name in must}))

    def sync() -> None:
        done.findings += _of_runs([run_sync(instance, each.connection) for each in demos])

    with _step("demo-acme gets a route between Stripe and HubSpot, both ways; it is previewed and run"):
        before = outward.writes(sandbox)
        route, would = _ask(url, outward.add_route, demos)
        done.pushes["preview"] = {**would, **outward.writes_since(sandbox, before)}
        must = {"created": 3, "updated": 2, "stripe": 0, "hubspot": 0}
        done.findings.append(Finding(route.key, "preview", must, done.pushes["preview"]))
        push("first run", created=3, updated=2, stripe=1, hubspot=2)
    with _step("A customer changes in Stripe, another one in HubSpot; both changes arrive on the other side"):
        outward.change_people(sandbox, demos)
        sync()
        push("a change on each side", updated=2, stripe=1, hubspot=1)
    with _step("What the route wrote comes back with a sync, and is not sent again"):
        sync()
        push("only echoes", unchanged=2, stripe=0, hubspot=0)
        done.people = outward.find_people(sandbox, demos)
    with _step("Customers of both systems become identities"):
        done.findings += _of_runs([run_identities(instance, route.workspace)])
        found, done.one_customer = _ask(url, outward.find_identity, demos[0])
    done.findings += [*done.people, *found]
    return done


def _ask(
    url: str,
    question: Callable[Concatenate[Database, _P], Awaitable[_R]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _R:
    """Run a step on the database, in an event loop that is gone before Dagster begins one of its own."""

    async def on_database() -> _R:
        async with Database.open(url) as db:
            return await question(db, *args, **kwargs)

    return asyncio.run(on_database())


def _port() -> int:
    """Where the stand-ins listen: always at the same place if that is free, else anywhere."""
    with suppress(CommandError):
        return free_port("127.0.0.1", USUAL_PORT)
    return free_port("127.0.0.1", 0)


@contextmanager
def _step(done: str) -> Iterator[None]:
    """Show that something is under way, then that it is done."""
    started = time.monotonic()
    with err.status(f"{done} …") if err.is_terminal else ExitStack():
        yield
    say(f"✓ {done} ({time.monotonic() - started:.1f} s)")


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, and a line at its end."""
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)
    say(f"✓ {title} ({time.monotonic() - started:.1f} s)")


def _of_runs(runs: Sequence["RunReport"]) -> Iterator[Finding]:
    for run in runs:
        yield Finding(run.connection, "failure of the run", None, run.failure)
        passed = {check for check, is_passed in run.checks.items() if is_passed}
        yield Finding(run.connection, "asset checks passed", set(run.checks), passed)
