"""`unified demo`: the whole way from two empty workspaces to checked tables, on stand-ins for providers."""

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from unified.cli.arguments import PatienceSeconds
from unified.cli.demo import books, outward, report, steps, webhooks
from unified.cli.demo.progress import ask, of_runs, progress, step
from unified.cli.demo.pushing import contacts_onward, customers_alike
from unified.cli.demo.steps import DemoConnection, Finding
from unified.cli.installation import migrate_database, prepare_dagster, say_what_begins, upgrade_dagster
from unified.cli.processes.child import PATIENCE_SECONDS, free_port, only_one
from unified.cli.processes.ingress import HOST, running_ingress
from unified.cli.processes.sandbox import Sandbox, SandboxPlan, running_sandbox
from unified.cli.session import CommandError
from unified.store.server.embedded import home
from unified.store.server.urls import database_url

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from unified.cli.demo.runs import RunReport

USUAL_PORT = 8700


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
    everything: Annotated[
        bool,
        typer.Option("--all", help="Salesforce, QuickBooks and Xero as well: five systems in one table."),
    ] = False,
    patience: PatienceSeconds = PATIENCE_SECONDS,
) -> None:
    """Load two workspaces from stand-ins for the providers, and check every number.

    Makes the workspaces demo-acme and demo-globex anew (nothing else is touched), each with a Stripe and a
    HubSpot connection whose keys are stored encrypted; loads them through Dagster; holds what is stored
    against what the source has, to the cent; changes and deletes records at the source and syncs again;
    has a change delivered by webhook; keeps some customers alike in both systems by a route, both ways and
    without an echo; shows one identity of three records; tries to reach one workspace from the other. With --all,
    demo-acme is connected with Salesforce, QuickBooks and Xero as well: their invoices stand in the same
    table, a route brings contacts from Xero to Salesforce, and one identity has records in four systems.
    The exit code is not 0 if anything is off. `unified dev` then shows it all.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(only_one(home(), "`unified demo`"))
        url, sandbox = _prepare(stack, records, patience)
        from unified.cli.demo.runs import dagster_instance  # noqa: PLC0415 - imports Dagster, after it has a home

        with step(
            f"Two workspaces have {'seven' if everything else 'four'} connections, with encrypted keys"
        ):
            demos = ask(url, steps.make_connections, sandbox.url, everything=everything)
            instance = stack.enter_context(dagster_instance([demo.connection for demo in demos]))
        whole_acme = [demo for demo in demos if demo.connection.workspace == "demo-acme"]
        acme, globex = whole_acme[:2], demos[len(whole_acme) :]
        outward.add_people(sandbox, acme)
        five = {demo.connection.connector: demo for demo in whole_acme} if everything else {}
        if five:
            books.add_people(sandbox, five)

        expected = sum(sum(sandbox.oracle(d.connection.connector, d.key)["counts"].values()) for d in demos)
        first = _sync(instance, demos, "First load through Dagster", expected)
        findings = [finding for each in demos for finding in ask(url, steps.compare, sandbox, each)]
        findings += of_runs(first)
        if not all(finding.holds for finding in findings):
            report.conclude(findings, time.monotonic() - started)  # what follows would only repeat it

        with step("demo-acme changes one customer and deletes another in each source"):
            changes = [(each, *ask(url, steps.change_source, sandbox, each)) for each in whole_acme]
        second = _sync(instance, demos, "Incremental sync through Dagster", len(demos))
        for each, changed, deleted in changes:
            findings += ask(url, steps.find_changes, each, changed, deleted)
        delays, delivered = _by_webhook(url, sandbox, instance, acme, patience)
        findings += delivered
        pushed = [customers_alike(url, sandbox, instance, acme)]
        if five:
            pushed.append(contacts_onward(url, sandbox, instance, five))
        findings += [finding for done in pushed for finding in done.findings]
        compared = [finding for each in demos for finding in ask(url, steps.compare, sandbox, each)]
        findings += [*of_runs(second), *compared]
        with step("One workspace reaches for the other's rows"):
            isolation = ask(
                url, steps.try_isolation, [d.connection for d in whole_acme], [d.connection for d in globex]
            )
        findings += isolation
        invoiced = ask(url, steps.invoiced, acme[0].connection.workspace_id)

    report.stored(demos, compared, first, second, delays)
    report.invoiced(invoiced)
    for done in pushed:
        report.outward(done)
    report.questions("One workspace reaches for the other's rows", isolation)
    paused = [f"demo-acme/{name}" for name in (outward.ROUTE, *([books.ROUTE] if five else []))]
    report.conclude(findings, time.monotonic() - started, paused)


def _prepare(stack: ExitStack, records: int, patience: float) -> tuple[str, Sandbox]:
    """Have a database, Dagster's storage and the stand-ins."""
    say_what_begins()
    with step("PostgreSQL runs and has its tables"):
        url = database_url()
        migrate_database(url)
    with step("Dagster's storage is there"):
        prepare_dagster(url)
        upgrade_dagster()
    with step("The stand-ins for the providers answer"):
        plan = SandboxPlan(_port(), records)
        plan.save(home())
        (home() / "logs").mkdir(exist_ok=True)
        log = home() / "logs" / "sandbox.log"
        return url, stack.enter_context(running_sandbox(plan, log, patience=patience))


def _sync(
    instance: "DagsterInstance", demos: Sequence[DemoConnection], title: str, expected: int
) -> list["RunReport"]:
    """Sync one connection after the other."""
    from unified.cli.demo.runs import run_sync  # noqa: PLC0415 - imports Dagster

    done = []
    with progress(title, expected) as advance:
        for each in demos:
            done.append(run_sync(instance, each.connection))
            advance(done[-1].total("read") or 1)
    return done


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
        with step("demo-acme's webhooks lead to `unified serve`"):
            log = home() / "logs" / "webhooks.log"
            ingress = stack.enter_context(running_ingress(free_port(HOST, 0), log, patience=patience))
            ask(url, webhooks.add_webhooks, demos)
            ask(url, webhooks.deliver_webhooks, sandbox, ingress.public_url)
        for each in demos:
            key, source = each.connection.key, each.connection.connector
            with step(f"{key}: a change at the source is delivered, and drained into its row"):
                changed, changed_at = ask(url, webhooks.change_and_wait, sandbox, each, patience)
                drained = run_drain(instance, source)
                delays[key] = time.monotonic() - changed_at
            findings.append(Finding(source, "failure of the drain", None, drained.failure))
            findings += ask(url, webhooks.find_delivered, each, changed)
    return delays, findings


def _port() -> int:
    """Where the stand-ins listen: always at the same place if that is free, else anywhere."""
    with suppress(CommandError):
        return free_port("127.0.0.1", USUAL_PORT)
    return free_port("127.0.0.1", 0)
