"""`unified connectors deprecate`, `reinstate`, `deprecations`: what this deployment's operator advises against."""

from typing import Annotated

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, asynchronous, open_session
from unified.store.connectors import trust
from unified.sync.connectors import marketplace

Deprecated = Annotated[
    str,
    typer.Argument(
        help="A connector, in all its versions, or the hash of a document: one version.", metavar="NAME|HASH"
    ),
]


@asynchronous
async def deprecate(
    deprecated: Deprecated,
    *,
    reason: Annotated[str, typer.Option(help="Why, and what to use instead; shown to all who have it.")],
) -> None:
    """Advise against a connector document, in every workspace; those that are installed stay in use."""
    async with open_session() as session:
        await marketplace.deprecate(session.db, deprecated, reason, actor=ACTOR)
    say(
        f"{deprecated} is deprecated: who has it keeps it and sees why, and a new installation takes an explicit word. "
        f"`unified connectors reinstate {deprecated}` takes that back."
    )


@asynchronous
async def reinstate(deprecated: Deprecated) -> None:
    """Take a deprecation back."""
    async with open_session() as session:
        await trust.reinstate(session.db, deprecated, actor=ACTOR)
    say(f"{deprecated} is not deprecated any more.")


@asynchronous
async def deprecations(*, as_json: AsJson = False) -> None:
    """List what is deprecated, and why."""
    async with open_session() as session:
        found = (await trust.deprecations(session.db)).values()
    if as_json:
        print_json([{name: getattr(one, name) for name in one.__slots__} for one in found])
        return
    table(
        ("DEPRECATED", "SINCE", "BY", "REASON"),
        ((one.deprecated, one.deprecated_at, one.deprecated_by, one.reason) for one in found),
        empty="Nothing is deprecated.",
    )
