"""`unified connectors import` and `draft`: documents made of what others described, and how much of it that is."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, say, table
from unified.cli.session import UsageError
from unified.kit.asking.settings import ModelSettings
from unified.kit.document.source import MOST_BYTES, DocumentError
from unified.kit.errors import counted
from unified.kit.importing.airbyte.conversion import convert
from unified.kit.importing.airbyte.manifest import read_manifest
from unified.kit.importing.airbyte.needs.coverage import Coverage, coverage
from unified.kit.importing.airbyte.needs.examination import ExaminedStream, examine
from unified.kit.importing.airbyte.streams import ConvertedStream
from unified.kit.importing.names import slug
from unified.kit.importing.openapi.advised import advised_draft
from unified.kit.importing.openapi.draft import draft
from unified.kit.importing.openapi.spec import MOST_JSON_BYTES, read_spec
from unified.kit.importing.writing import as_yaml

_ENDINGS = (".yaml", ".yml", ".json")

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Make documents of connectors that others described."
)

ManifestFile = Annotated[
    Path | None,
    typer.Argument(exists=True, dir_okay=False, help="The connector's manifest.yaml.", metavar="FILE"),
]
SpecFile = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, help="The API's OpenAPI file, YAML or JSON.", metavar="SPEC"),
]
To = Annotated[Path | None, typer.Option("--to", dir_okay=False, help="A new file for the document.")]
Called = Annotated[str | None, typer.Option("--name", help="What the connector is to be called.")]
ByModel = Annotated[
    bool,
    typer.Option(
        "--model", help="Ask the language model that UNIFIED_MODEL names. It is shown parts of the file."
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        exists=True,
        help="A manifest, or a folder whose manifests are read, sub-folders included.",
    ),
]


@app.callback()
def importing() -> None:
    """Make documents of connectors that others described."""


@app.command()
def airbyte(
    file: ManifestFile = None,
    *,
    to: To = None,
    name: Called = None,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Make a connector document of one of Airbyte's low-code connectors, and say what became of each stream.

    Nothing of a file is executed or fetched. `--report` counts over a manifest or a folder of them, and writes nothing.
    """
    if (file is None) == (report is None):
        raise UsageError("name a manifest, or a folder with --report")
    if file is not None:
        _convert(
            file,
            to,
            name or slug(file.stem if file.stem != "manifest" else file.parent.name),
            as_json=as_json,
        )
    elif report is not None and report.is_file():
        _examine(report, as_json=as_json)
    elif report is not None:
        _report(report, as_json=as_json)


def _convert(file: Path, to: Path | None, name: str, *, as_json: bool) -> None:
    manifest = read_manifest(_bytes(file), file.name)
    found = convert(manifest, name, name.replace("_", " ").title())
    if as_json:
        streams = [{**asdict(one), "said": None, "converted": one.said is not None} for one in found.streams]
        print_json({"document": found.document, "streams": streams, "remarks": found.remarks})
    else:
        table(
            ("STREAM", "LANDS IN", "REFUSED"),
            ((one.name, (one.said or {}).get("entity"), one.reason) for one in found.streams),
            empty="The manifest has no streams.",
        )
    own = [f"{one.name}: {remark}" for one in found.streams for remark in one.remarks if one.said]
    _write(found.document, [*found.remarks, *own], file, to)


def draft_connector(
    spec: SpecFile, *, model: ByModel = False, to: To = None, name: Called = None, as_json: AsJson = False
) -> None:
    """Draft a connector document from an OpenAPI 3.0 or 3.1 file: hosts, authentication, lists, pages, rules.

    With --model a language model says which lists are worth having, how their pages and changes go, and which field is
    which. What is guessed is named, for a person to look at. Nothing is fetched, and nothing is installed.
    """
    read, called = read_spec(_bytes(spec, MOST_JSON_BYTES), spec.name), name or slug(spec.stem)
    asked = ModelSettings.from_environment() if model else None
    found = draft(read, called) if asked is None else asyncio.run(advised_draft(read, called, asked))
    if as_json:
        print_json(asdict(found))
    else:
        table(
            ("PATH", "STREAM", "LANDS IN", "WHY NOT"),
            ((one.path, one.stream, one.entity, one.reason) for one in found.paths),
            empty="Nothing can be asked for with GET.",
        )
    own = [f"{one.stream}: {remark}" for one in found.paths for remark in one.remarks if one.stream]
    _write(found.document, [*found.remarks, *own], spec, to)


def _write(document: dict[str, Any] | None, remarks: Sequence[str], file: Path, to: Path | None) -> None:
    """Say what to look at, and write the document where that is asked for."""
    for remark in remarks:
        say(f"Look at this: {remark}.")
    if document is None:
        raise UsageError(f"nothing of {file.name} became a stream, so there is no document")
    if to is None:
        say("Nothing was written: --to FILE writes the document.")
        return
    try:
        with to.open("x", encoding="utf-8") as opened:
            opened.write(as_yaml(document, remarks))
    except FileExistsError:
        raise UsageError(f"{to} is there already: name another file, or remove it") from None
    say(f"Written to {to}.")


def _report(folder: Path, *, as_json: bool) -> None:
    unread: list[str] = []
    found = coverage(_manifests(folder, unread))
    found.unread = unread
    if not found.manifests:
        raise UsageError(
            f"there is no manifest in {folder}: {unread[0] if unread else 'no .yaml or .json file'}"
        )
    if as_json:
        print_json(asdict(found))
    else:
        _show(found)


def _examine(file: Path, *, as_json: bool) -> None:
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


def _manifests(
    folder: Path, unread: list[str]
) -> Iterator[tuple[list[ExaminedStream], list[ConvertedStream]]]:
    """The streams of each manifest of a folder, examined and converted; what is not one is noted."""
    for file in sorted(folder.rglob("*")):
        if file.suffix not in _ENDINGS or not file.is_file():
            continue
        try:
            manifest = read_manifest(_bytes(file), str(file.relative_to(folder)))
        except DocumentError as error:
            unread.append(str(error))
        else:
            yield examine(manifest), convert(manifest, "imported", "Imported").streams


def _bytes(file: Path, most: int = MOST_BYTES) -> bytes:
    """A file's content; of a large one as much as shows that it is too large."""
    with file.open("rb") as opened:
        return opened.read(most + 1)


def _show(found: Coverage) -> None:
    table(
        ("WHAT IS THERE", "WHOLE MANIFESTS", "STREAMS", "MANIFESTS WITH A STREAM"),
        (
            (
                row.need if place in (0, len(found.rows)) else f"+ {row.need}",
                _share(row.whole, found.manifests),
                _share(row.streams, found.streams),
                _share(row.some, found.manifests),
            )
            for place, row in enumerate((*found.rows, found.here))
        ),
        empty="",
    )
    say(f"Read: manifests {found.manifests:,}, streams {found.streams:,}.")
    for reason, (manifests, streams) in list(found.reasons.items())[:30]:
        say(f"Refused: {reason}: streams {streams:,}, manifests {manifests:,}.")
    for error in found.unread[:30]:
        say(f"Not read: {error}")
    if len(found.unread) > 30:  # noqa: PLR2004 - lines of a screen
        say(f"Not read: {counted(len(found.unread) - 30, 'more file')}.")


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f} % ({count:,})" if of else "-"
