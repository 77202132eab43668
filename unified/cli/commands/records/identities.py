"""`unified identities`: which customers of a workspace's sources are one, why, and what people decide about it."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any
from uuid import UUID

import typer

from unified.cli.arguments import AsJson, Yes, confirm
from unified.cli.output import out, print_json, say, table
from unified.cli.session import ACTOR, CommandError, Session, UsageError, asynchronous, open_session
from unified.kit.errors import counted
from unified.store.identities import decisions as identity_decisions
from unified.store.identities import golden as identities
from unified.store.identities import settings as identity_settings
from unified.store.identities.golden import GoldenCustomer, IdentityRecord
from unified.store.workspaces import workspaces
from unified.sync.identities import rules
from unified.sync.identities.explain import Explanation
from unified.sync.identities.explain import explain as explain_records
from unified.sync.identities.resolve import IdentitiesBusyError, Progress, settle
from unified.sync.identities.resolve import resolve as resolve_workspace

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Resolve, list, explain, merge and split customers across sources.",
)

Workspace = Annotated[str, typer.Argument(help="The workspace.", metavar="WORKSPACE")]
Reference = Annotated[
    UUID, typer.Argument(help="An identity, a former id of one, or the unified_id of a record.", metavar="ID")
]
Note = Annotated[str | None, typer.Option(help="The reason, for later readers.")]


@app.command()
@asynchronous
async def resolve(
    slug: Workspace,
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Look at all customers, not only at what changed.")
    ] = False,
    probabilistic: Annotated[
        bool,
        typer.Option("--probabilistic", help="Have a statistical model look for more pairs (needs splink)."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a workspace's identities up to date now. `unified dev` does it by itself within a minute."""
    async with open_session() as session:
        workspace = await workspaces.find(session.db, slug)
        model = None
        if probabilistic:
            from unified.sync.identities.probabilistic import find_pairs  # noqa: PLC0415 - loads splink

            await resolve_workspace(session.db, workspace.id)
            model = await find_pairs(session.db, workspace.id)
        progress = await resolve_workspace(session.db, workspace.id, full=full)
    if as_json:
        found = {"probable_pairs": len(model.pairs), "skipped": model.skipped} if model else {}
        print_json(asdict(progress) | found)
        return
    if model:
        say(f"The model found {counted(len(model.pairs), 'probable pair')}.")
        if model.skipped:
            say(f"It could not learn from {', '.join(model.skipped)}.")
    say(_summary(progress))


@app.command("list")
@asynchronous
async def list_(
    slug: Workspace,
    *,
    search: Annotated[str | None, typer.Option(help="Part of an e-mail address, name or company.")] = None,
    least: Annotated[int, typer.Option("--records", min=1, help="Only with so many records or more.")] = 1,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show at most.")] = 100,
    refused: Annotated[
        bool,
        typer.Option("--refused", help="Instead: groups of records that are too many to be one customer."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List identities."""
    async with open_session() as session:
        workspace = await workspaces.find(session.db, slug)
        async with session.db.workspace(workspace.id) as conn:
            if refused:
                _show_refused(await identities.refused_groups(conn, limit=limit), as_json=as_json)
                return
            found = await identities.listing(conn, search=search, least_records=least, limit=limit)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table(
        ("ID", "NAME", "E-MAIL", "COMPANY", "RECORDS", "SOURCES"),
        (
            (one.identity_id, one.name, one.email, one.company, one.records, ", ".join(one.sources))
            for one in found
        ),
        empty="No identities; `unified identities resolve` makes them of the customers that are synced.",
    )


@app.command()
@asynchronous
async def show(slug: Workspace, reference: Reference, *, as_json: AsJson = False) -> None:
    """Show an identity: its records with the reason why each is in it, its values and where they are from."""
    async with open_session() as session:
        workspace = await workspaces.find(session.db, slug)
        async with session.db.workspace(workspace.id) as conn:
            identity_id = await identities.find(conn, reference)
            golden = await identities.golden(conn, identity_id)
            records = await identities.records(conn, identity_id)
            former = await identities.former_ids(conn, identity_id)
            decided = await identity_decisions.decisions(conn, [record.unified_id for record in records])
    if as_json:
        print_json(
            {
                "identity_id": identity_id,
                "former_ids": former,
                "golden": asdict(golden) if golden else None,
                "records": [asdict(record) for record in records],
                "decisions": [asdict(decision) for decision in decided],
            }
        )
        return
    if golden:
        _show_golden(golden)
    _show_records(records)
    if former:
        out.print(f"Former ids: {', '.join(map(str, former))}")
    if decided:
        out.print(f"People decided on {len(decided)} pair(s) of these records, last {decided[0].decided_by}.")


@app.command()
@asynchronous
async def explain(
    slug: Workspace,
    one: Annotated[UUID, typer.Argument(help="A record's unified_id.")],
    other: Annotated[UUID, typer.Argument(help="Another record's.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say why two records are one customer, or why not."""
    async with open_session() as session:
        workspace = await workspaces.find(session.db, slug)
        found = await explain_records(session.db, workspace.id, one, other)
    if as_json:
        print_json(asdict(found))
        return
    out.print("They are one customer." if found.is_one else "They are two customers.")
    for low, rule, high in found.path:
        out.print(f"  {low} - {high}: {rule}")
    for decision in found.decisions:
        note = f": {decision.note}" if decision.note else ""
        out.print(f"{decision.decided_by} decided that they are {decision.verdict}{note}")
    if found.refused:
        out.print(
            "They are linked with more records than can be one customer, so only people and routes link them now."
        )
    _show_keys(found)


@app.command()
@asynchronous
async def merge(
    slug: Workspace,
    references: Annotated[list[UUID], typer.Argument(help="Two identities or more.", metavar="ID")],
    *,
    note: Note = None,
    yes: Yes = False,
) -> None:
    """Decide that identities are one customer. That holds until somebody splits them."""
    async with open_session() as session:
        workspace = await workspaces.find(session.db, slug)
        confirm(f"Are these {len(references)} one customer?", yes=yes)
        async with session.db.workspace(workspace.id) as conn:
            records = await identity_decisions.merge(conn, workspace.id, references, actor=ACTOR, note=note)
        await _take_effect(session, workspace.id, records)
        async with session.db.workspace(workspace.id) as conn:
            now = await identities.find(conn, records[0])
    say(f"Merged {counted(len(records), 'record')} into identity {now}.")


@app.command()
@asynchronous
async def split(
    slug: Workspace,
    reference: Reference,
    records: Annotated[
        list[UUID], typer.Option("--record", help="The unified_id of a record that leaves. Repeatable.")
    ],
    *,
    note: Note = None,
    yes: Yes = False,
) -> None:
    """Decide that some records of an identity are another customer. No rule brings them together again."""
    async with open_session() as session:
        workspace = await workspaces.find(session.db, slug)
        confirm(f"Are these {len(records)} record(s) another customer than the rest?", yes=yes)
        async with session.db.workspace(workspace.id) as conn:
            concerned = await identity_decisions.split(
                conn, workspace.id, reference, records, actor=ACTOR, note=note
            )
        await _take_effect(session, workspace.id, concerned)
    say(f"Split {len(records)} of {counted(len(concerned), 'record')} off.")


@app.command()
@asynchronous
async def settings(
    slug: Workspace,
    *,
    region: Annotated[
        str | None,
        typer.Option(
            help="Country code (DE) of telephone numbers where neither they nor the address say it; '' for none."
        ),
    ] = None,
    priority: Annotated[
        str | None, typer.Option(help="Connectors whose values come first, comma-separated; '' for none.")
    ] = None,
    enabled: Annotated[
        str | None, typer.Option("--rules", help="Rules to use, comma-separated; '' for all.")
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            help="Fields that together make two records one: name,custom_fields.x. Repeatable; '' for none.",
        ),
    ] = None,
) -> None:
    """Show a workspace's settings for identities, and change those that are given."""
    async with open_session() as session:
        workspace = await workspaces.find(session.db, slug)
        async with session.db.workspace(workspace.id) as conn:
            current = (await identity_settings.load(conn)).settings
            changes = _changes(region, priority, enabled, keys)
            if changes:
                current = replace(current, **changes)
                await identity_settings.save_settings(conn, workspace.id, current)
    print_json(asdict(current))
    if changes:
        say("The next run looks at all customers anew.")


def _changes(
    region: str | None, priority: str | None, enabled: str | None, keys: Sequence[str] | None
) -> dict[str, Any]:
    """Settings to change, checked."""
    changes: dict[str, Any] = {}
    if region is not None:
        if region and not (len(region) == len("DE") and region.isalpha()):
            raise UsageError(f"{region!r} is not a country code of two letters, such as DE")
        changes["default_region"] = region.upper() or None
    if priority is not None:
        changes["source_priority"] = _listed(priority)
    if enabled is not None:
        names = [rule.name for rule in rules.RULES if rule.most]
        if unknown := set(_listed(enabled)) - set(names):
            raise UsageError(f"there is no rule {unknown.pop()!r}; use some of {', '.join(names)}")
        changes["rules"] = _listed(enabled) or None
    if keys is not None:
        changes["keys"] = tuple(filter(None, map(_listed, keys)))
        for field in (field for key in changes["keys"] for field in key):
            if field not in rules.KEY_FIELDS and not field.startswith("custom_fields."):
                fields = ", ".join(rules.KEY_FIELDS)
                raise UsageError(f"{field!r} can't be part of a key; use {fields} or custom_fields.<key>")
    return changes


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


async def _take_effect(session: Session, workspace_id: UUID, records: Sequence[UUID]) -> None:
    """Resolve what was decided on, at once if nobody else is at it."""
    try:
        await settle(session.db, workspace_id, records)
    except IdentitiesBusyError:
        raise CommandError(
            "it is decided, and takes effect with the run that is under way or the next one"
        ) from None


def _summary(progress: Progress) -> str:
    return (
        f"Looked at {counted(progress.keyed, 'customer')} ({progress.mode}) and {progress.removed:,} gone; resolved "
        f"{counted(progress.resolved, 'record')} to {counted(progress.identities, 'identity', 'identities')}, "
        f"{progress.merged:,} merged, {counted(progress.refused, 'record')} in groups too large to be one customer, in "
        f"{progress.seconds:.1f} s."
    )


def _show_golden(golden: GoldenCustomer) -> None:
    values = asdict(golden)
    table(
        ("FIELD", "VALUE", "FROM", "WHY"),
        (
            (field, values[field], f"{origin['source']} {origin['record']}", origin["why"])
            for field, origin in golden.provenance.items()
        ),
        empty="None of its records has any value.",
        title=f"Identity {golden.identity_id}",
    )


def _show_records(records: Sequence[IdentityRecord]) -> None:
    table(
        ("RECORD", "CONNECTION", "SOURCE ID", "NAME", "E-MAIL", "RULE", "CONFIDENCE", "LINKED TO"),
        (
            (
                record.unified_id,
                record.connection,
                record.source_id,
                record.name,
                record.email,
                record.rule,
                f"{record.confidence:.2f}" if record.rule else None,
                record.linked_to,
            )
            for record in records
        ),
        empty="It has no records.",
    )


def _show_keys(found: Explanation) -> None:
    table(
        ("IN COMMON", "VALUE", "RECORDS", "AT MOST", "HOLDS"),
        ((key.rule, key.value, key.carriers, key.most, "yes" if key.holds else "no") for key in found.keys),
        empty="They have no key in common.",
    )


def _show_refused(groups: Sequence[identities.RefusedGroup], *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(group) for group in groups])
        return
    table(
        ("GROUP", "RECORDS", "NAMES"),
        ((group.group_id, group.records, ", ".join(group.names or ())) for group in groups),
        empty="No group of records is too large to be one customer.",
    )
