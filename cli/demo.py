"""`unified demo`: the whole way from two empty workspaces to checked tables, on stand-ins for providers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Concatenate, ParamSpec, TypeVar

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli import demo_steps as steps
from cli import demo_webhooks as webhooks
from cli.demo_steps import DemoConnection, Finding
from cli.ingress_process import HOST, running_ingress
from cli.installation import migrate_database, prepare_dagster, upgrade_dagster
from cli.output import err, out, say, table
from cli.processes import free_port, only_one
from cli.sandbox_process import Sandbox, SandboxPlan, running_sandbox
from cli.session import CommandError
from store.database import Database, database_url
from store.embedded import home

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from cli.demo_runs import RunReport

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
) -> None:
    """Load two workspaces from stand-ins for Stripe and HubSpot, and check every number.

    Makes the workspaces demo-acme and demo-globex anew (nothing else is touched), each with a Stripe and a
    HubSpot connection whose keys are stored encrypted; loads them through Dagster; holds what is stored
    against what the source has, to the cent; changes and deletes records at the source and syncs again;
    has a change delivered by webhook; tries to reach one workspace from the other. The exit code is not 0
    if anything is off. `unified dev` then shows it all.
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
            from cli.demo_runs import dagster_instance, run_sync  # noqa: PLC0415 - imports Dagster, after it has a home
        with _step("The stand-ins for Stripe and HubSpot answer"):
            plan = SandboxPlan(_port(), records)
            plan.save(home())
            (home() / "logs").mkdir(exist_ok=True)
            sandbox = stack.enter_context(running_sandbox(plan, home() / "logs" / "sandbox.log"))
        with _step("Two workspaces have two connections each, with encrypted keys"):
            demos = _ask(url, steps.make_connections, sandbox.url)
            instance = stack.enter_context(dagster_instance([demo.connection for demo in demos]))

        expected = sum(sum(sandbox.oracle(d.connection.connector, d.key)["counts"].values()) for d in demos)
        with _progress("First load through Dagster", expected) as advance:
            first = []
            for each in demos:
                first.append(run_sync(instance, each.connection))
                advance(first[-1].total("read"))
        findings = [finding for each in demos for finding in _ask(url, steps.compare, sandbox, each)]
        findings += _of_runs(first)

        acme, globex = demos[:2], demos[2:]
        with _step("demo-acme changes one customer and deletes another in each source"):
            changes = [(each, *_ask(url, steps.change_source, sandbox, each)) for each in acme]
        with _progress("Incremental sync through Dagster", len(demos)) as advance:
            second = []
            for each in demos:
                second.append(run_sync(instance, each.connection))
                advance(1)
        for each, changed, deleted in changes:
            findings += _ask(url, steps.find_changes, each, changed, deleted)
        delays, delivered = _by_webhook(url, sandbox, instance, acme)
        findings += delivered
        compared = [finding for each in demos for finding in _ask(url, steps.compare, sandbox, each)]
        findings += [*_of_runs(second), *compared]
        with _step("One workspace reaches for the other's rows"):
            isolation = _ask(
                url, steps.try_isolation, [d.connection for d in acme], [d.connection for d in globex]
            )
        findings += isolation

    _summarize(demos, compared, first, second, delays)
    table(
        ("ASKED", "WHAT", "MUST BE", "IS"),
        ((f.about, f.measure, f.expected, f.found) for f in isolation),
        empty="",
    )
    _conclude(findings, time.monotonic() - started)


def _by_webhook(
    url: str, sandbox: Sandbox, instance: "DagsterInstance", demos: Sequence[DemoConnection]
) -> tuple[dict[str, float], list[Finding]]:
    """Have a change in each source delivered and drained; seconds from the change to its row, by connection."""
    from cli.demo_runs import run_drain  # noqa: PLC0415 - imports Dagster

    delays: dict[str, float] = {}
    findings: list[Finding] = []
    with ExitStack() as stack:
        with _step("demo-acme's webhooks lead to `unified serve`"):
            log = home() / "logs" / "webhooks.log"
            ingress = stack.enter_context(running_ingress(free_port(HOST, 0), log))
            _ask(url, webhooks.add_webhooks, demos)
            _ask(url, webhooks.deliver_webhooks, sandbox, ingress.public_url)
        for each in demos:
            key, source = each.connection.key, each.connection.connector
            with _step(f"{key}: a change at the source is delivered, and drained into its row"):
                changed, changed_at = _ask(url, webhooks.change_and_wait, sandbox, each)
                drained = run_drain(instance, source)
                delays[key] = time.monotonic() - changed_at
            findings.append(Finding(source, "failure of the drain", None, drained.failure))
            findings += _ask(url, webhooks.find_delivered, each, changed)
    return delays, findings


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


def _summarize(
    demos: Sequence[DemoConnection],
    compared: Sequence[Finding],
    first: Sequence["RunReport"],
    second: Sequence["RunReport"],
    delays: Mapping[str, float],
) -> None:
    rows = []
    for demo_connection, load, sync in zip(demos, first, second, strict=True):
        key = demo_connection.connection.key
        stored = {finding.measure: finding for finding in compared if finding.about == key}
        rows.append(
            (
                key,
                *(
                    _fraction(stored.get(name))
                    for name in ("customers", "invoices", "invoice_lines", "events")
                ),
                "to the cent" if stored["money"].holds else "differs",
                f"{sum(sync.checks.values())} of {len(sync.checks)}",
                _did(load, "inserted"),
                _did(sync, "inserted", "updated", "deleted"),
                f"{delays[key]:.1f} s" if key in delays else None,
            )
        )
    headings = (
        "CONNECTION",
        "CUSTOMERS",
        "INVOICES",
        "LINES",
        "EVENTS",
        "MONEY",
        "CHECKS",
        "FIRST LOAD",
        "THEN",
        "BY WEBHOOK",
    )
    table(headings, rows, empty="", title="Stored, of what the source has")


def _did(run: "RunReport", *names: str) -> str:
    counts = (f"{run.total(name):,} {name}" for name in (*names, "requests"))
    return f"{', '.join(counts)}, {run.seconds:.1f} s"


def _fraction(finding: Finding | None) -> str | None:
    return f"{finding.found:,} of {finding.expected:,}" if finding else None


def _conclude(findings: Sequence[Finding], seconds: float) -> None:
    """Say how it ended.

    Raises:
        CommandError: If anything is not as it has to be.
    """
    wrong = [finding for finding in findings if not finding.holds]
    if wrong:
        msg = "\n  ".join((f"{len(wrong)} of {len(findings)} findings are off:", *map(str, wrong)))
        raise CommandError(msg)
    out.print(f"All {len(findings)} findings are as they have to be, after {seconds:.0f} s.")
    out.print(
        "Next: `unified dev` shows it in Dagster's UI; `unified connections add` connects your own accounts."
    )
