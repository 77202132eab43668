"""`unified connectors new`: a folder with a connector document to begin with, for an API that nobody described."""

import re
import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from unified.cli.arguments import interruptible
from unified.cli.output import say
from unified.cli.session import CommandError, UsageError
from unified.kit.document.parts import Name
from unified.sync.connectors.files import Files
from unified.sync.connectors.offers import read_document
from unified.sync.connectors.starting import Start
from unified.sync.connectors.usual import AUTH_KINDS, PAGING_KINDS, AuthKind, PagingKind

_Kind = TypeVar("_Kind", bound=str)

_URL = re.compile(r"https://[^/?#@{}\s]+(?:/[^?#{}\s]*)?")


def new(
    name: Annotated[
        str, typer.Argument(help="What the connector is to be called; so is its folder.", metavar="NAME")
    ],
    *,
    base_url: Annotated[
        str | None, typer.Option(help="Where the API lives.", metavar="URL", show_default=False)
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="The first list, below the base URL: /customers.", show_default=False)
    ] = None,
    auth: Annotated[
        AuthKind | None, typer.Option(help="How requests prove who sends them; bearer.", show_default=False)
    ] = None,
    paging: Annotated[
        PagingKind | None, typer.Option(help="How the list goes on; none.", show_default=False)
    ] = None,
    records: Annotated[
        str | None,
        typer.Option(
            help="Keys to the list in an answer, `data.items`; `.` where the answer is the list; data.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[Path, typer.Option(file_okay=False, help="Where the folder is made.")] = Path(),
) -> None:
    """Begin a connector document for an API: a folder with commented YAML, an exchange to try it on, and a README.

    What no option says is asked for, where somebody is there to answer.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise UsageError(
            f"{name!r} is not a valid name: use 1 to 40 lower-case letters, digits and _, beginning with a letter"
        ) from None
    said = _said("--base-url", "Where does the API live", base_url, "")
    if not _URL.fullmatch(said):
        raise UsageError(
            f"{said!r} is not where an API lives: say https:// and its host, and its path if any"
        )
    place = _said("--records", "Keys to the list in an answer, `.` for none", records, "data")
    start = Start(
        name,
        said,
        _chosen("--auth", "How do requests prove who sends them", auth, AUTH_KINDS),
        _chosen("--paging", "How does the list go on", paging, PAGING_KINDS),
        _said("--path", "Path of the first list", path, "/customers"),
        tuple(key for key in place.split(".") if key),
    )
    files = start.files()
    read_document(Files(f"{name}/connector.yaml", files["connector.yaml"].encode()))
    folder = to / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} is there already: choose another name, or remove it") from None
    except OSError as error:
        raise CommandError(f"{folder} can't be made: {error.strerror}; choose another place") from None
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    say(
        f"{folder} has a document with the stream {start.stream}, tried by `unified connectors test {folder}` and "
        f"installed by `unified connectors install {folder}`. Its comments say what to change."
    )


def _said(option: str, question: str, given: str | None, usual: str) -> str:
    """What an option says; else what somebody answers; else what is usual.

    Raises:
        UsageError: If nobody is there, and nothing is usual.
    """
    if given is not None:
        return given.strip()
    if sys.stdin.isatty():
        with interruptible():
            return str(typer.prompt(question, default=usual or None, err=True)).strip()
    if not usual:
        raise UsageError(f"say {option}; there is nobody to ask here")
    return usual


def _chosen(option: str, question: str, given: _Kind | None, kinds: tuple[_Kind, ...]) -> _Kind:
    """One of some kinds; the first is usual."""
    answer = _said(option, f"{question} ({', '.join(kinds)})", given, kinds[0])
    found = next((kind for kind in kinds if kind == answer), None)
    if found is None:
        raise UsageError(f"{option} is one of {', '.join(kinds)}, and not {answer!r}")
    return found
