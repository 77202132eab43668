"""`unified routes`: standing orders to push customers from one connection to another."""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, get_args

import typer

from unified.cli.arguments import AsJson, Yes, confirm
from unified.cli.commands.routes.rules import condition_of, rule_of
from unified.cli.output import out, print_json, say, table
from unified.cli.session import ACTOR, Session, UsageError, asynchronous, open_session
from unified.store.routes import review
from unified.store.routes.cycles import place
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route, RouteSummary
from unified.store.routes.settings import Direction, OnDelete, OnMissing, Policy, RouteSettings
from unified.store.routes.sides import Side
from unified.sync.routes.preview import preview_route
from unified.sync.routes.push import RouteResult
from unified.sync.routes.run import run_route

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Add, list, preview, run, pause and remove routes, and decide what they could not. ROUTE is "
    "`workspace/name`, or `name` where only one workspace has it.",
)

RouteName = Annotated[str, typer.Argument(help="The route, as `workspace/name` or `name`.", metavar="ROUTE")]
Limit = Annotated[int, typer.Option(min=1, help="How many records at most.")]


def _one_of(option: str, value: str, literal: Any) -> Any:
    """A value of an option in the words of the settings: ``source-wins`` for ``source_wins``."""
    if (word := value.replace("-", "_")) in get_args(literal):
        return word
    words = ", ".join(one.replace("_", "-") for one in get_args(literal))
    raise UsageError(f"{option} is one of {words}, not {value!r}")


@app.command()
@asynchronous
async def add(
    name: Annotated[
        str, typer.Argument(help="Its name in the workspace: lower-case letters, digits, hyphens.")
    ],
    source: Annotated[str, typer.Option("--from", metavar="CONNECTION", help="Where customers come from.")],
    target: Annotated[str, typer.Option("--to", metavar="CONNECTION", help="Where they go to.")],
    *,
    two_way: Annotated[bool, typer.Option("--two-way", help="Changes there travel back as well.")] = False,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="FIELD[=TARGET][:POLICY]",
            help="A field that travels, by default all that the target holds: `email`, "
            "`description=custom_fields.jobtitle`, `phone:target-wins`. Repeatable.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Only customers that meet it: `custom_fields.tier is gold`, `email ends_with @example.com`, "
            "`phone is_set`. Repeatable; all have to be met.",
        ),
    ] = None,
    conflict: Annotated[
        str,
        typer.Option(
            help="Who wins where both sides changed a field: source-wins, target-wins, newest-wins."
        ),
    ] = "source-wins",
    match: Annotated[
        list[str] | None,
        typer.Option(
            help="What to look for after the e-mail address, before a record is created: phone, tax_number, "
            "domain_name, custom_fields.<key>. Repeatable, in this order."
        ),
    ] = None,
    on_delete: Annotated[
        str, typer.Option(help="When a customer is deleted: ignore, or archive it there.")
    ] = "ignore",
    on_missing: Annotated[
        str, typer.Option(help="When its counterpart was deleted: unlink the two, or recreate it.")
    ] = "unlink",
    from_stream: Annotated[
        str | None,
        typer.Option(
            help="The source's stream of customers, such as contacts; by default its only or first one."
        ),
    ] = None,
    to_stream: Annotated[str | None, typer.Option(help="The target's stream of customers, likewise.")] = None,
    every: Annotated[
        int | None,
        typer.Option(
            min=1, max=44_640, help="Minutes between two runs; by default as soon as something changed."
        ),
    ] = None,
) -> None:
    """Add a route between two connections of a workspace. Nothing is sent before it runs: preview it first."""
    settings = RouteSettings(
        fields=tuple(rule_of(one) for one in fields or ()),
        direction="two_way" if two_way else "one_way",
        filter=tuple(condition_of(one) for one in where or ()),
        conflict_policy=_one_of("--conflict", conflict, Policy),
        match_keys=tuple(match or ()),
        on_delete=_one_of("--on-delete", on_delete, OnDelete),
        on_missing=_one_of("--on-missing", on_missing, OnMissing),
        interval=timedelta(minutes=every) if every else None,
    )
    async with open_session() as session:
        ends = await session.connection(source), await session.connection(target)
        route = await Routes(session.db, actor=ACTOR).add(
            name, *ends, settings, from_stream=from_stream, to_stream=to_stream
        )
    say(f"Added {route.key}: {_way(route)}. `unified routes preview {route.key}` shows what it would do.")


@app.command("list")
@asynchronous
async def list_routes(*, as_json: AsJson = False) -> None:
    """List routes: what they do, how their last run went, and what waits."""
    async with open_session() as session:
        routes = Routes(session.db)
        rows = []
        for summary in await routes.all():
            route = await routes.get(summary.workspace_id, summary.id)
            async with session.db.workspace(route.workspace_id) as conn:
                rows.append((route, await review.counts(conn, route)))
    if as_json:
        print_json([{**_describe(route), "records": counts} for route, counts in rows])
        return
    table(
        (
            "ROUTE",
            "WAY",
            "ACTIVE",
            "STATUS",
            "LAST RUN (UTC)",
            "LINKED",
            "REVIEW",
            "REFUSED",
            "UNLINKED",
            "ERROR",
        ),
        (
            (
                route.key,
                _way(route),
                route.is_active,
                route.status,
                route.finished_at,
                counts.get("linked", 0),
                counts.get("review", 0),
                counts.get("refused", 0),
                counts.get("unlinked", 0),
                "; ".join(filter(None, (route.error_message, _wait(route)))) or None,
            )
            for route, counts in rows
        ),
        empty="There are no routes; `unified routes add` makes one.",
    )


@app.command()
@asynchronous
async def preview(name: RouteName, *, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show what a run would push, field by field. Both systems are read; nothing is sent."""
    async with open_session() as session:
        route = await _route(session, name)
        found = await preview_route(session.db, session.adapters(), route, limit=limit)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table(
        ("TO", "RECORD", "NAME", "WOULD", "COUNTERPART", "FIELD", "IS", "WOULD BE", "WHY"),
        (
            (
                (route.target if one.side == "source" else route.source),
                one.record_id,
                one.name,
                one.operation,
                one.other_id,
                field,
                _text(before),
                _text(after),
                one.reason,
            )
            for one in found
            for field, (before, after) in (one.fields or {"": (None, None)}).items()
        ),
        empty=f"{route.key} has nothing to push.",
    )


@app.command()
@asynchronous
async def run(
    name: RouteName,
    *,
    retry_refused: Annotated[
        bool,
        typer.Option("--retry-refused", help="Try again what was refused, also where it has not changed."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Push what changed, now. A paused route runs too."""
    async with open_session() as session:
        route = await _route(session, name)
        result = await run_route(session.db, session.adapters(), route, retry_refused=retry_refused)
    _show(result, as_json=as_json)


@app.command()
@asynchronous
async def pause(name: RouteName) -> None:
    """Stop running a route by itself; `unified routes run` still works."""
    say(f"Paused {await _activate(name, is_active=False)}.")


@app.command()
@asynchronous
async def resume(name: RouteName) -> None:
    """Run a route by itself again."""
    say(f"Resumed {await _activate(name, is_active=True)}.")


@app.command()
@asynchronous
async def remove(name: RouteName, *, yes: Yes = False) -> None:
    """Remove a route and what it knows of its links. Records stay on both sides."""
    async with open_session() as session:
        route = await _route(session, name)
        confirm(f"Remove {route.key}? Its records stay on both sides, but are no longer linked.", yes=yes)
        await Routes(session.db, actor=ACTOR).remove(route)
    say(f"Removed {route.key}.")


@app.command("review")
@asynchronous
async def decide(
    name: RouteName,
    record: Annotated[str | None, typer.Argument(help="Decide about this record.", metavar="RECORD")] = None,
    *,
    link: Annotated[
        str | None,
        typer.Option(metavar="COUNTERPART", help="Link it with this record on the other side."),
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Create it as a new record there.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Leave it alone from now on.")] = False,
    side: Annotated[str, typer.Option(help="Where the record is: source or target.")] = "source",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List what waits for a person, with candidates and reasons; or decide about one of them.

    Records wait that may be one of several, that the other side refused, or whose counterpart is gone. The next run
    does what was decided.
    """
    decision = _decision(link, create=create, skip=skip)
    if (decision is None) != (record is None):
        raise UsageError("to decide, name a RECORD and one of --link COUNTERPART, --create and --skip")
    where: Side = _one_of("--side", side, Side)
    async with open_session() as session:
        route = await _route(session, name)
        async with session.db.workspace(route.workspace_id) as conn:
            if decision is not None and record is not None:
                await review.decide(conn, route, where, record, decision, link)
                say(f"{route.key}: the next run acts on that.")
                return
            found = await review.waiting(conn, route, limit=limit)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table(
        ("SIDE", "RECORD", "STATE", "WHY", "CANDIDATES"),
        (
            (
                one.side,
                one.record_id,
                one.state,
                one.reason,
                "; ".join(" ".join(filter(None, candidate.values())) for candidate in one.candidates),
            )
            for one in found
        ),
        empty=f"Nothing of {route.key} waits for a person.",
    )


def _decision(link: str | None, *, create: bool, skip: bool) -> Any:
    chosen: list[str] = [
        name
        for name, is_chosen in (("link", link is not None), ("create", create), ("skip", skip))
        if is_chosen
    ]
    if len(chosen) > 1:
        raise UsageError("say one of --link, --create and --skip")
    return chosen[0] if chosen else None


async def _route(session: Session, name: str) -> Route:
    """The route that a person means."""
    routes = Routes(session.db)
    if "/" in name:
        return await routes.find(name)
    found: list[RouteSummary] = [one for one in await routes.all() if one.name == name]
    if len(found) > 1:
        raise UsageError(
            f"there are several routes named {name!r}: say which, {' or '.join(one.key for one in found)}"
        )
    return await routes.find(found[0].key if found else name)


async def _activate(name: str, *, is_active: bool) -> str:
    async with open_session() as session:
        route = await _route(session, name)
        return (await Routes(session.db, actor=ACTOR).activate(route, is_active=is_active)).key


def _way(route: Route) -> str:
    direction: Direction = route.settings.direction
    begin, end = place(route.source, route.source_stream), place(route.target, route.target_stream)
    return f"{begin} {'<->' if direction == 'two_way' else '->'} {end}"


def _describe(route: Route) -> dict[str, Any]:
    document = asdict(route)
    interval = route.settings.interval
    document["settings"]["interval"] = None if interval is None else interval // timedelta(minutes=1)
    return {"route": route.key, **document}


def _wait(route: Route) -> str | None:
    if route.waits_until is None:
        return None
    return f"it goes on at {route.waits_until:%Y-%m-%d %H:%M %Z}, as a provider asked to be left alone"


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _show(result: RouteResult, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(result))
        return
    counts = result.counts()
    table([name.replace("_", " ").upper() for name in counts], [tuple(counts.values())], empty="")
    if not result.is_complete:
        out.print("Not complete; the next run goes on from here.")
