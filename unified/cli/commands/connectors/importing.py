"""`unified connectors import`: what connectors that others described need, and whether that is data alone."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, say, table
from unified.cli.session import UsageError
from unified.kit.document.source import MOST_BYTES, DocumentError
from unified.kit.importing.airbyte.coverage import Coverage, coverage
from unified.kit.importing.airbyte.examination import ExaminedStream, examine
from unified.kit.importing.airbyte.manifest import read_manifest

_ENDINGS = (".yaml", ".yml", ".json")

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Look at connectors that others described, as data."
)

Report = Annotated[
    Path,
    typer.Option(
        "--report",
        exists=True,
        help="A manifest, or a folder whose manifests are read, sub-folders included.",
    ),
]


@app.callback()
def importing() -> None:
    """Look at connectors that others described, as data."""


@app.command()
def airbyte(*, report: Report, as_json: AsJson = False) -> None:
    """Say which streams of Airbyte's low-code connectors need nothing but data, and why the others do not run.

    Of one manifest it says it stream by stream, of a folder in a table. Nothing of a file is executed or fetched.
    """
    if report.is_file():
        _streams(report, as_json=as_json)
        return
    unread: list[str] = []
    found = coverage(_manifests(report, unread))
    found.unread = unread
    if not found.manifests:
        raise UsageError(
            f"there is no manifest in {report}: {unread[0] if unread else 'no .yaml or .json file'}"
        )
    if as_json:
        print_json(asdict(found))
    else:
        _show(found)


def _streams(file: Path, *, as_json: bool) -> None:
    found = examine(read_manifest(_bytes(file), file.name))
    if as_json:
        print_json(
            [{"stream": one.name, "needs": sorted(one.needs), "refused": one.refused} for one in found]
        )
        return
    table(
        ("STREAM", "IS DATA", "NEEDS", "REFUSED"),
        ((one.name, not one.refused, "; ".join(sorted(one.needs)), "; ".join(one.refused)) for one in found),
        empty="The manifest has no streams.",
    )


def _manifests(folder: Path, unread: list[str]) -> Iterator[list[ExaminedStream]]:
    """The streams of each manifest of a folder; what is not one is noted."""
    for file in sorted(folder.rglob("*")):
        if file.suffix not in _ENDINGS or not file.is_file():
            continue
        try:
            yield examine(read_manifest(_bytes(file), str(file.relative_to(folder))))
        except DocumentError as error:
            unread.append(str(error))


def _bytes(file: Path) -> bytes:
    """A file's content; of a large one as much as shows that it is too large."""
    with file.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def _show(found: Coverage) -> None:
    table(
        ("WHAT IS THERE", "WHOLE MANIFESTS", "STREAMS", "MANIFESTS WITH A STREAM"),
        (
            (
                row.need if place == 0 else f"+ {row.need}",
                _share(row.whole, found.manifests),
                _share(row.streams, found.streams),
                _share(row.some, found.manifests),
            )
            for place, row in enumerate(found.rows)
        ),
        empty="",
    )
    say(f"{found.manifests:,} manifests with {found.streams:,} streams were read.")
    for reason, (manifests, streams) in list(found.reasons.items())[:30]:
        say(f"Refused: {reason}: {streams:,} streams of {manifests:,} manifests.")
    for error in found.unread[:30]:
        say(f"Not read: {error}")
    if len(found.unread) > 30:  # noqa: PLR2004 - lines of a screen
        say(f"and {len(found.unread) - 30:,} more files were not read.")


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} % ({count:,})" if of else "-"
