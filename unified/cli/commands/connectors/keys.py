"""`unified connectors keys`: whose signatures on connector documents count in this deployment."""

from pathlib import Path
from typing import Annotated

import typer

from unified.cli.arguments import AsJson, Yes, confirm
from unified.cli.output import print_json, say, table
from unified.cli.session import ACTOR, UsageError, asynchronous, open_session
from unified.store.connectors import trust
from unified.store.connectors.documents import Tier
from unified.sync.connectors import signatures

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Trust keys that sign connector documents (docs/connectors.md).",
)

_TIERS: dict[str, Tier] = {"project": "project", "workspace": "workspace", "third-party": "third_party"}

Fingerprint = Annotated[
    str, typer.Argument(help="As `unified connectors keys list` shows it.", metavar="FINGERPRINT")
]


@app.command()
def new(
    path: Annotated[
        Path, typer.Argument(help="Where the private key goes; it stays with you.", metavar="FILE")
    ],
) -> None:
    """Make a key to sign documents with, and print its public part, which others trust."""
    private, public = signatures.generate()
    with path.open("x") as file:
        path.chmod(0o600)
        file.write(private)
    typer.echo(public)
    say(f"{path} is the private key: who has it signs in your name. Others trust the line above.")


@app.command()
@asynchronous
async def add(
    public_key: Annotated[str, typer.Argument(help="The public key, in base64.", metavar="KEY")],
    *,
    name: Annotated[str, typer.Option(help="Whose it is.")],
    tier: Annotated[str, typer.Option(help=f"Of what it signs: {', '.join(_TIERS)}.")] = "third-party",
) -> None:
    """Let a key's signatures count, in every workspace."""
    if tier not in _TIERS:
        raise UsageError(f"--tier is one of {', '.join(_TIERS)}")
    fingerprint = signatures.fingerprint(public_key)
    async with open_session() as session:
        await trust.add_key(
            session.db,
            fingerprint=fingerprint,
            public_key=public_key,
            name=name,
            tier=_TIERS[tier],
            actor=ACTOR,
        )
    say(f"Documents signed by {name} ({fingerprint}) are of the tier {tier} from now on.")


@app.command("list")
@asynchronous
async def list_(*, as_json: AsJson = False) -> None:
    """List the keys whose signatures count."""
    async with open_session() as session:
        found = await trust.keys(session.db)
    if as_json:
        print_json([{name: getattr(key, name) for name in key.__slots__} for key in found])
        return
    table(
        ("NAME", "TIER", "FINGERPRINT", "ADDED", "BY"),
        ((key.name, key.tier, key.fingerprint, key.added_at, key.added_by) for key in found),
        empty="No key is trusted; `unified connectors keys add` adds one.",
    )


@app.command()
@asynchronous
async def remove(fingerprint: Fingerprint) -> None:
    """Let a key's signatures count no more; what it signed stays installed."""
    async with open_session() as session:
        await trust.remove_key(session.db, fingerprint, actor=ACTOR)
    say(f"Removed {fingerprint}. `unified connectors revoke` ends the use of what it signed.")


@asynchronous
async def revoke(
    revoked: Annotated[
        str, typer.Argument(help="The hash of a document, or the fingerprint of a key.", metavar="HASH")
    ],
    *,
    reason: Annotated[str, typer.Option(help="Why; shown to all who use it.")],
    yes: Yes = False,
) -> None:
    """End the use of a document, or of all that a key signed, in every workspace. It can't be taken back."""
    confirm(f"Revoke {revoked}, for good and in every workspace?", yes=yes)
    async with open_session() as session:
        await trust.revoke(session.db, revoked, reason, actor=ACTOR)
    say(
        f"Revoked {revoked}: what it stands for can't be installed, and connections that use it sync no more."
    )
