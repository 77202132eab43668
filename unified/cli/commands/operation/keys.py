"""`unified keys`: the master keys that wrap each workspace's data key."""

from typing import Annotated

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import out, print_json, say, table
from unified.cli.session import ACTOR, CommandError, asynchronous, open_session
from unified.store.resealing import Resealed, reseal
from unified.store.secrets import data_keys
from unified.store.secrets.keys import generate_key
from unified.store.secrets.providers import load_provider

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Generate, rotate and retire master keys. They come from UNIFIED_MASTER_KEYS (comma-separated, the "
    "primary first); without it the embedded database keeps them in $UNIFIED_HOME/master.keys. With "
    "UNIFIED_KEY_PROVIDER=vault they stay in HashiCorp Vault (docs/keys.md).",
)


@app.command()
def generate() -> None:
    """Print a new master key. Keep it in your secret store and put it first in UNIFIED_MASTER_KEYS."""
    out.print(generate_key(), soft_wrap=True)


@app.command()
@asynchronous
async def status(*, as_json: AsJson = False) -> None:
    """Show which master keys are in use, by their fingerprints, and check that this process has them."""
    async with open_session() as session:
        provider = load_provider()
        await data_keys.verify(session.db, provider)
        wrapped = await data_keys.status(session.db)
        primary = await provider.primary_key_id()
    wrapped.setdefault(primary, 0)
    rows = [
        {"key_id": key_id, "is_primary": key_id == primary, "data_keys": count}
        for key_id, count in wrapped.items()
    ]
    if as_json:
        print_json(rows)
        return
    table(("MASTER KEY", "PRIMARY", "DATA KEYS"), (tuple(row.values()) for row in rows), empty="")


@app.command()
@asynchronous
async def rotate(
    *,
    data_keys_too: Annotated[
        bool,
        typer.Option(
            "--data-keys",
            help="Also encrypt what is stored from now on with a new data key in each workspace: for when a "
            "master key leaked together with a copy of the database.",
        ),
    ] = False,
) -> None:
    """Wrap every data key by the newest master key, and retire the others. Nothing stops meanwhile.

    What another cipher than UNIFIED_CIPHER names has encrypted is encrypted anew by that one.

    The key file and Vault get a new key by themselves. With UNIFIED_MASTER_KEYS: give every process the new key
    behind the old one, then in front of it, then run this, then take the old one away.
    """
    async with open_session() as session:
        provider = load_provider()
        report = await data_keys.rotate(session.db, provider, actor=ACTOR)
        resealed = await reseal(session.db, provider, actor=ACTOR)
        replaced = await data_keys.replace(session.db, actor=ACTOR) if data_keys_too else None
    say(f"{report.rewrapped} data key(s) moved to master key {report.primary_key_id}.")
    _say_retired(report.retired)
    _say_resealed(resealed)
    if replaced is not None:
        say(
            f"{replaced} workspace(s) encrypt with a new data key from now on; replace stored secrets as well."
        )


@app.command()
@asynchronous
async def retire() -> None:
    """Give up master keys that wrap nothing any more; refused while one still does."""
    async with open_session() as session:
        retired = await data_keys.retire(session.db, load_provider(), actor=ACTOR)
    _say_retired(retired)


def _say_resealed(done: Resealed) -> None:
    if done.values:
        say(f"{done.values} stored secret(s) are encrypted by {done.cipher} now.")
    if done.damaged:
        raise CommandError(
            f"{len(done.damaged)} stored secret(s) do not decrypt and are as they were: {', '.join(done.damaged[:5])}; "
            "their rows were changed, or copied from another place: find out by whom, then store them anew"
        )


def _say_retired(retired: tuple[str, ...]) -> None:
    say(
        f"Needed only to restore backups made before: {', '.join(retired)}."
        if retired
        else "There is no former key left to retire."
    )
