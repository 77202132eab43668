"""What the demo prints at its end: tables of what it did and found, and how it went."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from unified.cli.demo.steps import DemoConnection, Finding
from unified.cli.output import out, table
from unified.cli.session import CommandError
from unified.kit.registry import get_adapter
from unified.store.identities.golden import IdentityRecord

if TYPE_CHECKING:
    from unified.cli.demo.runs import RunReport


@dataclass(slots=True)
class Outward:
    """What a route and the identities came to.

    Attributes:
        between: The connections that the route keeps alike.
        pushes: Counts of the route's preview and runs; by connector the writing requests there.
        people: What is on the other side after it.
        one_customer: The records of an identity.
        findings: Everything that was looked at.
    """

    between: Sequence[DemoConnection]
    pushes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    people: list[Finding] = field(default_factory=list)
    one_customer: list[IdentityRecord] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def stored(
    demos: Sequence[DemoConnection],
    compared: Sequence[Finding],
    first: Sequence["RunReport"],
    second: Sequence["RunReport"],
    delays: Mapping[str, float],
) -> None:
    """What each connection has, of what its source has, and how it came: by two syncs and a webhook."""
    rows = []
    for demo_connection, load, sync in zip(demos, first, second, strict=True):
        key = demo_connection.connection.key
        found = {finding.measure: finding for finding in compared if finding.about == key}
        rows.append(
            (
                key,
                *(
                    _fraction(found.get(name))
                    for name in ("customers", "invoices", "invoice_lines", "events")
                ),
                "to the cent" if found["money"].holds else "differs",
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


def invoiced(rows: Sequence[tuple[str, str, int, Decimal]]) -> None:
    """Invoices of all systems by currency: those currencies that most systems have, one system a column."""
    systems = sorted({system for system, *_ in rows})
    sums = {(currency, system): f"{total:,} of {count:,}" for system, currency, count, total in rows}
    known = Counter(currency for currency, _ in sums)
    common = [currency for currency, count in sorted(known.items()) if count > len(systems) // 2]
    table(
        ("CURRENCY", *(system.upper() for system in systems)),
        ((currency, *(sums.get((currency, system)) for system in systems)) for currency in common),
        empty="",
        title=f"One table over {len(systems)} systems: demo-acme's invoices, total of how many",
    )


def outward(done: Outward) -> None:
    """What the route did run by run, what that changed, and the records of one identity."""
    first, second = (demo.connection.connector for demo in done.between)
    counts = ("created", "updated", "unchanged", "left_out", first, second)
    words = (
        "CREATED",
        "UPDATED",
        "UNCHANGED",
        "LEFT OUT",
        f"WRITES TO {first.upper()}",
        f"TO {second.upper()}",
    )
    table(
        ("PUSH", *words),
        ((what, *(did.get(name) for name in counts)) for what, did in done.pushes.items()),
        empty="",
        title=f"The route between demo-acme's {' and '.join(display_name(one) for one in (first, second))}",
    )
    questions("What is on the other side after it", done.people)
    table(
        ("CONNECTION", "RECORD", "NAME", "E-MAIL", "LINKED BY", "CONFIDENCE"),
        (
            (
                *(one.connection, one.source_id, one.name, one.email, one.rule),
                f"{one.confidence:.2f}" if one.rule else None,
            )
            for one in done.one_customer
        ),
        empty="",
        title="One customer of demo-acme, and why its records are one",
    )


def display_name(connector: str) -> str:
    """What people call a system."""
    return get_adapter(connector).display_name


def questions(title: str, findings: Sequence[Finding]) -> None:
    """What was asked, and the answers."""
    rows = ((one.about, one.measure, one.expected, one.found) for one in findings)
    table(("ASKED", "WHAT", "MUST BE", "IS"), rows, empty="", title=title)


def _did(run: "RunReport", *names: str) -> str:
    counts = (f"{run.total(name):,} {name}" for name in (*names, "requests"))
    return f"{', '.join(counts)}, {run.seconds:.1f} s"


def _fraction(finding: Finding | None) -> str | None:
    return f"{finding.found:,} of {finding.expected:,}" if finding else None


def conclude(findings: Sequence[Finding], seconds: float, routes: Sequence[str] = ()) -> None:
    """Say how it ended.

    Args:
        findings: Everything that was looked at.
        seconds: How long it took.
        routes: Those that it leaves paused.

    Raises:
        CommandError: If anything is not as it has to be.
    """
    wrong = [finding for finding in findings if not finding.holds]
    if wrong:
        msg = "\n  ".join((f"{len(wrong)} of {len(findings)} findings are off:", *map(str, wrong)))
        raise CommandError(msg)
    out.print(f"All {len(findings)} findings are as they have to be, after {seconds:.0f} s.")
    for route in routes:
        out.print(
            f"The route {route} is paused: stand-ins that start anew have forgotten what it wrote there."
        )
    out.print(
        "Next: `unified dev` shows it in Dagster's UI; `unified connections add` connects your own accounts."
    )
    out.print(
        "Its tables in SQL: `unified db psql --workspace demo-acme`; "
        "`unified db grant-reader bi --workspace demo-acme` prints the URL for a BI tool (docs/connect.md)."
    )
