"""`unified logs`: what the processes of `unified dev` and `unified demo` have written."""

import time
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from unified.cli.session import CommandError, UsageError
from unified.store.server.embedded import home

_POLL_SECONDS = 0.5
_BLOCK_BYTES = 65_536


def logs(
    name: Annotated[
        str | None, typer.Argument(help="Only this one: dagster, webhooks, sandbox.", metavar="[LOG]")
    ] = None,
    *,
    lines: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the last lines.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now on; Ctrl-C ends it.")
    ] = False,
) -> None:
    """Show the ends of the logs that `unified dev` and `unified demo` write into the installation's home.

    Where `unified serve` or Dagster is run as a service, its log is where that service's output goes.
    """
    folder = home() / "logs"
    found = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if not found:
        raise CommandError(f"there are no logs in {folder}; `unified dev` and `unified demo` write them")
    if name is not None:
        if name not in found:
            raise UsageError(f"there is no log {name!r} in {folder}; there are {', '.join(found)}")
        found = {name: found[name]}
    for stem, path in found.items():
        if len(found) > 1:
            typer.echo(f"==> {stem}: {path}")
        for line in _tail(path, lines):
            typer.echo(line)
    if follow:
        _follow(found)


def _tail(path: Path, lines: int) -> deque[str]:
    with path.open(errors="replace") as file:
        return deque((line.rstrip("\n") for line in file), lines)


def _follow(files: dict[str, Path]) -> None:
    """Print what is added, until somebody ends it. A log that begins anew is read from its beginning."""
    read = {stem: path.stat().st_size for stem, path in files.items()}
    while True:
        for stem, path in files.items():
            if (size := path.stat().st_size) == read[stem]:
                continue
            start = 0 if size < read[stem] else read[stem]
            with path.open("rb") as file:
                file.seek(start)
                while block := file.read(_BLOCK_BYTES):
                    typer.echo(block.decode(errors="replace"), nl=False)
                read[stem] = file.tell()
        time.sleep(_POLL_SECONDS)
