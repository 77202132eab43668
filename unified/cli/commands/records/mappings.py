"""`unified mappings`: a connection's own field rules, beyond what its adapter maps."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from unified.cli.arguments import AsJson, Name
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, UsageError, asynchronous, open_session
from unified.cli.trials import show_trial
from unified.kit.asking.settings import ModelSettings
from unified.kit.document.rules import read_rules_file
from unified.kit.errors import counted
from unified.kit.mapping.refusals import RuleError
from unified.kit.mapping.rules import Rule, read_rules
from unified.kit.registry import get_adapter
from unified.store.connections import field_rules
from unified.sync.remapping import proposals
from unified.sync.remapping.asking import Asker
from unified.sync.remapping.trials import MOST_RECORDS, RulesPreview, try_rules

_LONGEST_CELL = 60

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Propose, try, set, list and remove a connection's own field rules; `unified remap` applies them to what is "
    "stored.",
)

Stream = Annotated[
    str, typer.Argument(help="A stream of the connector, such as customers.", metavar="STREAM")
]
Target = Annotated[
    str, typer.Argument(help="Field of the unified record, or custom_fields.<key>.", metavar="TARGET_FIELD")
]
NewSource = Annotated[
    str | None, typer.Argument(help="Where the value stands, such as metadata.vat_id.", metavar="SOURCE_PATH")
]
NewTarget = Annotated[
    str | None,
    typer.Argument(help="Field of the unified record, or custom_fields.<key>.", metavar="TARGET_FIELD"),
]
NewSteps = Annotated[
    list[str] | None,
    typer.Option(
        "--step", help="A step, as its word or as JSON; may be repeated. docs/rules.md has them all."
    ),
]
IsRequired = Annotated[
    bool,
    typer.Option("--required", help="Set aside a record whose value can't be read, not its field alone."),
]
RulesFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        exists=True,
        dir_okay=False,
        help="A YAML or JSON file with a list of rules, instead of one.",
    ),
]

Limit = Annotated[
    int, typer.Option("--limit", min=1, max=MOST_RECORDS, help="How many stored records to look at.")
]

LookedAt = Annotated[
    int,
    typer.Option("--limit", min=1, max=proposals.MOST_RECORDS, help="How many stored records to look at."),
]
Targets = Annotated[
    list[str], typer.Argument(help="Fields for which a rule is proposed.", metavar="TARGET_FIELD")
]


ByModel = Annotated[
    bool,
    typer.Option(
        "--model",
        help="Ask the language model that UNIFIED_MODEL names as well. It is shown names and shapes of fields.",
    ),
]


@app.command("set")
@asynchronous
async def set_(
    name: Name,
    stream: Stream,
    source_path: NewSource = None,
    target_field: NewTarget = None,
    *,
    step: NewSteps = None,
    required: IsRequired = False,
    file: RulesFile = None,
) -> None:
    """Fill a field from a place of the raw record; a rule that fills the same field is replaced."""
    rules = _wanted(source_path, target_field, step or (), required=required, file=file)
    if not rules:
        raise UsageError("say what to set: SOURCE_PATH and TARGET_FIELD, or --file")
    async with open_session() as session:
        connection = await session.connection(name)
        await field_rules.put(session.db, connection, stream, *rules, actor=ACTOR)
    say(f"From now on. For what is stored already: `unified remap {connection.key}`.")


app.command("add", hidden=True)(set_)  # as it was called when a rule was a path alone


@app.command("list")
@asynchronous
async def list_(name: Name, *, as_json: AsJson = False) -> None:
    """List the rules of a connection."""
    async with open_session() as session:
        connection = await session.connection(name)
        rules = [
            (stream.name, rule)
            for stream in get_adapter(connection.connector).all_streams()
            for rule in await field_rules.read(session.db, connection, stream.name)
        ]
    if as_json:
        print_json([{"stream": stream, **rule.as_row()} for stream, rule in rules])
        return
    table(
        ("STREAM", "SOURCE PATH", "TARGET FIELD", "STEPS", "REQUIRED"),
        ((stream, rule.source, rule.target, _shown(rule), rule.required) for stream, rule in rules),
        empty=f"{connection.key} has no rules of its own.",
    )


@app.command("try")
@asynchronous
async def try_(
    name: Name,
    stream: Stream,
    source_path: NewSource = None,
    target_field: NewTarget = None,
    *,
    step: NewSteps = None,
    required: IsRequired = False,
    file: RulesFile = None,
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """Show what rules do to stored records, rule by rule. Nothing is changed; values are shown as shapes.

    Tries the rules that are named, or else those that are set.
    """
    rules = _wanted(source_path, target_field, step or (), required=required, file=file)
    found = await _tried(name, stream, rules, limit)
    if as_json:
        print_json(asdict(found.trial))
        return
    show_trial(found.trial, empty="There are no rules to try: name SOURCE_PATH and TARGET_FIELD, or --file.")


@app.command()
@asynchronous
async def diff(
    name: Name,
    stream: Stream,
    source_path: NewSource = None,
    target_field: NewTarget = None,
    *,
    step: NewSteps = None,
    required: IsRequired = False,
    file: RulesFile = None,
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """Show how stored records would change if rules were set, field by field, old and new. Nothing is changed."""
    rules = _wanted(source_path, target_field, step or (), required=required, file=file)
    if not rules:
        raise UsageError("say what would be set: SOURCE_PATH and TARGET_FIELD, or --file")
    found = await _tried(name, stream, rules, limit)
    if as_json:
        print_json(asdict(found))
        return
    table(
        ("FIELD", "FILLED", "CHANGED", "CLEARED", "RECORD", "IS", "WOULD BE"),
        (
            (change.name, change.filled, change.changed, change.cleared, record, _cut(was), _cut(would_be))
            for change in found.fields.values()
            for record, was, would_be in change.examples[:1]
        ),
        empty="No field would change.",
    )
    say(
        f"Of {counted(found.trial.records, 'record')} looked at, {found.changed:,} would change, "
        f"{found.newly_rejected:,} would be set aside, and {found.rescued:,} would no longer be; "
        f"{found.unusable:,} would have a field that can't be read."
    )
    say(f"`unified mappings set` and then `unified remap` would map all {found.stored:,} that are stored.")


@app.command()
@asynchronous
async def propose(
    name: Name, stream: Stream, *, model: ByModel = False, limit: LookedAt = 200, as_json: AsJson = False
) -> None:
    """Propose rules for what the connector leaves out, by names, types and samples of stored records.

    With --model a language model is asked as well. Nothing is changed: `accept` puts a proposal in force, `decline` has
    it not proposed again.
    """
    asker = Asker(ModelSettings.from_environment(), ACTOR) if model else None
    async with open_session() as session:
        connection = await session.connection(name)
        found = await proposals.propose_rules(session.db, connection, stream, limit=limit, asker=asker)
    if model or found.consulted.model:
        say(found.consulted.said)
    for dropped in found.consulted.dropped:
        say(f"Dropped: {dropped}.")
    if as_json:
        print_json([_as_json(one) for one in found.rules])
        return
    table(
        ("FIELD", "SOURCE PATH", "STEPS", "SURE", "FILLED", "NULL", "FAILED", "EXAMPLE"),
        (
            (
                one.rule.target,
                one.rule.source,
                _shown(one.rule),
                f"{one.proposal.confidence.score:.2f}",
                one.trial.filled,
                one.trial.null,
                one.trial.rejected,
                " > ".join(one.trial.examples[0]) if one.trial.examples else None,
            )
            for one in found.rules
        ),
        empty=f"Nothing is proposed: {counted(found.records, 'stored record')} looked at.",
    )
    for one in found.rules:
        say(f"{one.rule.target}: {one.proposal.reason}.")
        for remark in one.proposal.remarks:
            say(f"Look at this: {one.rule.target}: {remark}.")
    for remark in found.remarks:
        say(f"Look at this: {remark}.")
    if found.declined:
        say(f"Declined before: {', '.join(found.declined)}.")
    if found.rules:
        say(f"`unified mappings accept {connection.key} {stream} FIELD` puts one in force.")


@app.command()
@asynchronous
async def accept(name: Name, stream: Stream, target_fields: Targets, *, limit: LookedAt = 200) -> None:
    """Put proposed rules in force, as they are proposed. To change one, use `set` instead."""
    async with open_session() as session:
        connection = await session.connection(name)
        found = await proposals.propose_rules(session.db, connection, stream, limit=limit)
        rules = [found.of(target).rule for target in dict.fromkeys(target_fields)]
        await proposals.decide(session.db, connection, stream, accept=rules, actor=ACTOR, limit=limit)
    for rule in rules:
        say(f"{rule.target} is filled from {rule.source}.")
    say(f"From now on. For what is stored already: `unified remap {connection.key}`.")


@app.command()
@asynchronous
async def decline(name: Name, stream: Stream, target_fields: Targets, *, limit: LookedAt = 200) -> None:
    """Have proposed rules not proposed again, until the rule or the shape of its field is another."""
    async with open_session() as session:
        connection = await session.connection(name)
        await proposals.decide(
            session.db, connection, stream, decline=target_fields, actor=ACTOR, limit=limit
        )
    say(f"Declined: {', '.join(target_fields)}.")


@app.command()
@asynchronous
async def remove(name: Name, stream: Stream, target_field: Target) -> None:
    """Remove the rule that fills a field."""
    async with open_session() as session:
        connection = await session.connection(name)
        await field_rules.remove(session.db, connection, stream, target_field, actor=ACTOR)
    say(f"From now on. For what is stored already: `unified remap {connection.key}`.")


def _as_json(one: proposals.ProposedRule) -> dict[str, Any]:
    sure = one.proposal.confidence
    return {
        **one.rule.as_row(),
        "confidence_score": round(sure.score, 2),
        "confidence": asdict(sure),
        "reason": one.proposal.reason,
        "remarks": one.proposal.remarks,
        "trial": asdict(one.trial),
    }


def _wanted(
    source: str | None, target: str | None, steps: Sequence[str], *, required: bool, file: Path | None
) -> tuple[Rule, ...]:
    """The rules that arguments name; none where they name none."""
    if file is not None:
        if source or target or steps:
            raise UsageError("name a rule or a file of rules, not both")
        return read_rules_file(file.read_bytes(), str(file))
    if target is None:
        if source:
            raise UsageError("name the field that the rule fills after its source path")
        return ()
    said: dict[str, Any] = {"target": target, "source": source}
    if steps:
        said["steps"] = [
            _decoded(step.encode(), "--step") if step.startswith("{") else step for step in steps
        ]
    if required:
        said["required"] = True
    try:
        return read_rules(said)
    except RuleError as error:
        raise UsageError(f"that is not a rule: {error}") from None


def _decoded(text: bytes, name: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not JSON: {error}") from None


def _shown(rule: Rule) -> str:
    steps = [step.do for step in rule.steps]
    return ", ".join([*steps, *([f"{counted(len(rule.lines), 'rule')} for its lines"] if rule.lines else [])])


async def _tried(name: str, stream: str, rules: Sequence[Rule], limit: int) -> RulesPreview:
    async with open_session() as session:
        connection = await session.connection(name)
        return await try_rules(session.db, connection, stream, rules, limit=limit)


def _cut(value: Any) -> str | None:
    text = None if value is None else str(value)
    return text if text is None or len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…"
