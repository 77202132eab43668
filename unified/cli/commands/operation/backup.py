"""`unified backup` and `unified restore`: an installation's databases copied, proved, and brought back.

How: `unified.store.backups`. What stays apart from a backup, and why: docs/operations.md.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from unified.cli.arguments import AsJson
from unified.cli.installation import packaged_connectors, plain, refuse_missing, say_what_begins, storage_url
from unified.cli.output import out, print_json, say
from unified.kit.errors import counted
from unified.store.backups import manifest
from unified.store.backups.making import back_up
from unified.store.backups.manifest import BackupError, Manifest
from unified.store.backups.restoring import check_keys
from unified.store.backups.restoring import restore as restore_backup
from unified.store.secrets.providers import key_file, load_provider
from unified.store.server.urls import database_url


def backup(
    folder: Annotated[
        Path | None,
        typer.Argument(help="The folder to make; by default unified-backup-<time> here.", metavar="[FOLDER]"),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Copy the database and Dagster's storage as of a moment, while everything runs, and prove the copy.

    Both are dumped, restored into a server of their own and compared row by row; only then is there a folder FOLDER.
    Its disk needs room for the databases as they are. Master keys are not a part of it: keep them elsewhere.
    DATABASE_URL has to name a login that no policy binds (docs/operations.md).
    """
    refuse_missing()
    folder = folder or Path(f"unified-backup-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    url = database_url()
    made = back_up(url, plain(storage_url(url)), folder, say=say)
    if as_json:
        print_json(_shown(folder, made))
        return
    dumps = " and ".join(
        f"{counted(dump.contents.rows, 'row')} in {counted(len(dump.contents.tables), 'table')} "
        f"({name}, {dump.size / 2**20:,.1f} MB)"
        for name, dump in made.dumps.items()
    )
    out.print(f"{folder} holds {dumps}, restored once and compared.", soft_wrap=True)
    if made.unified.left_out:
        say(f"Not a part of it, as they are not ours: the schemas {', '.join(made.unified.left_out)}.")
    if made.dagster is None:
        say("Dagster has no database of its own here, so there is no history of runs in it.")
    if made.master_keys:
        file = f" ({key_file()})" if key_file() else ""
        say(
            f"Its credentials are of use only with the master key{'s' if len(made.master_keys) > 1 else ''} "
            f"{', '.join(made.master_keys)}{file}; keep a copy of that elsewhere, not with the backup."
        )


def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `unified backup` made.", metavar="FOLDER")],
) -> None:
    """Restore a backup into databases that do not exist yet or are empty; it writes over none.

    Works on the server that DATABASE_URL names (a superuser's login), or on the embedded one of UNIFIED_HOME. Each row
    is compared before the databases get their names, and the tables are brought up to this release. The master keys
    have to be here: UNIFIED_MASTER_KEYS, Vault, or the file master.keys in UNIFIED_HOME.
    """
    made = manifest.read(folder)
    if made.master_keys:
        _refuse_missing_file(made)
        asyncio.run(check_keys(made, load_provider()))
    say_what_begins()
    url = database_url()
    restore_backup(folder, made, url, plain(storage_url(url)), packaged_connectors(), say=say)
    out.print(
        f"Restored and compared, as of {made.made_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: "
        + ", ".join(f"{counted(dump.contents.rows, 'row')} of {name}" for name, dump in made.dumps.items())
        + ". `unified doctor` says what else needs a thought.",
        soft_wrap=True,
    )
    if made.readers:
        say(
            f"Readers have no password until `unified db grant-reader` gives them one: {', '.join(made.readers)}."
        )


def _refuse_missing_file(made: Manifest) -> None:
    """A new home has no master keys; loading them would make one that is of no use here."""
    file = key_file()
    if file and not file.exists():
        raise BackupError(
            f"the credentials in this backup need the master key(s) {', '.join(made.master_keys)}, and {file} is "
            "missing: put the copy there that was kept apart from the backup. Nothing was restored"
        )


def _shown(folder: Path, made: Manifest) -> dict[str, object]:
    return {
        "folder": str(folder),
        "made_at": made.made_at,
        "revision": made.revision,
        "master_keys": list(made.master_keys),
        "readers": made.readers,
        "left_out": made.unified.left_out,
        "databases": {
            name: {"rows": dump.contents.rows, "tables": len(dump.contents.tables), "bytes": dump.size}
            for name, dump in made.dumps.items()
        },
    }
