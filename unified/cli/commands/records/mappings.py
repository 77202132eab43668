"""`unified mappings`: a connection's own field rules, beyond what its adapter maps."""

from typing import Annotated

import typer

from unified.cli.arguments import AsJson, Name
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, asynchronous, open_session
from unified.kit.registry import get_adapter
from unified.schema.field_rules import FieldRule
from unified.store.connections import field_rules

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Add, list and remove a connection's own field rules; `unified remap` applies them.",
)

Stream = Annotated[
    str, typer.Argument(help="A stream of the connector, such as customers.", metavar="STREAM")
]
Target = Annotated[
    str, typer.Argument(help="Field of the unified record, or custom_fields.<key>.", metavar="TARGET_FIELD")
]


@app.command()
@asynchronous
async def add(
    name: Name,
    stream: Stream,
    source_path: Annotated[
        str, typer.Argument(help="Dotted path in the raw record, such as metadata.vat_id.")
    ],
    target_field: Target,
) -> None:
    """Fill a field from a place of the raw record; a rule that fills the same field is replaced."""
    async with open_session() as session:
        connection = await session.connection(name)
        rule = FieldRule(source_path, target_field)
        await field_rules.put(session.db, connection, stream, rule, actor=ACTOR)
    say(f"From now on. For what is stored already: `unified remap {connection.key}`.")


@app.command("list")
@asynchronous
async def list_(name: Name, *, as_json: AsJson = False) -> None:
    """List the rules of a connection."""
    async with open_session() as session:
        connection = await session.connection(name)
        rules = [
            {"stream": stream.name, "source_path": rule.source_path, "target_field": rule.target_field}
            for stream in get_adapter(connection.connector).streams
            for rule in await field_rules.read(session.db, connection, stream.name)
        ]
    if as_json:
        print_json(rules)
        return
    table(
        ("STREAM", "SOURCE PATH", "TARGET FIELD"),
        (tuple(rule.values()) for rule in rules),
        empty=f"{connection.key} has no rules of its own.",
    )


@app.command()
@asynchronous
async def remove(name: Name, stream: Stream, target_field: Target) -> None:
    """Remove the rule that fills a field."""
    async with open_session() as session:
        connection = await session.connection(name)
        await field_rules.remove(session.db, connection, stream, target_field, actor=ACTOR)
    say(f"From now on. For what is stored already: `unified remap {connection.key}`.")
