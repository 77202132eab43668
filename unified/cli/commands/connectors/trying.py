"""`unified connectors try`: a connector document tried against its API, read-only, with what came of it as evidence."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import typer

from unified.cli.arguments import AsJson
from unified.cli.commands.connections.connections import BaseUrl, PrivateHosts, SecretStdin, Settings
from unified.cli.commands.connectors.documents import Source, files_of
from unified.cli.output import out, print_json, say
from unified.cli.secrets import read_secrets
from unified.cli.session import CommandError, UsageError
from unified.cli.settings import chosen_settings
from unified.cli.trials import show_trial
from unified.kit.declarations import Stream
from unified.kit.document.engine import DocumentAdapter
from unified.kit.errors import counted
from unified.kit.secrets import Secret
from unified.sync.connectors.offers import read_document
from unified.sync.connectors.trying import Tried, secret_fields, try_stream, with_secrets

_Streams = Annotated[
    list[str] | None,
    typer.Argument(help="Streams to try; without any, all of them.", metavar="STREAM", show_default=False),
]


def try_document(
    source: Source,
    streams: _Streams = None,
    *,
    base_url: BaseUrl = None,
    allow_private_hosts: PrivateHosts = None,
    settings: Settings = None,
    secret_stdin: SecretStdin = False,
    as_json: AsJson = False,
) -> None:
    """Try a document against its API: two pages of each stream, and what its rules make of the first records.

    Only what reads a list is asked, by at most 20 requests in 15 seconds a stream. Nothing is installed and nothing is
    stored. Values are shown as shapes. The secret comes by a hidden prompt, by --secret-stdin, or from the environment:
    UNIFIED_SECRET_ and the field's name in capitals; for OAuth it is an access token.
    """
    document, kind = read_document(files_of(source))
    assert issubclass(kind, DocumentAdapter)  # noqa: S101 - it is made of a document
    known = {one.name: one for one in kind.streams}
    if unknown := [name for name in streams or () if name not in known]:
        raise UsageError(f"{document.id} has no stream {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    chosen = chosen_settings(kind, settings, base_url, allow_private_hosts=allow_private_hosts)
    secrets = read_secrets(secret_fields(kind), from_stdin=secret_stdin)
    found = asyncio.run(_tried(kind, chosen, secrets, streams or list(known)))
    if as_json:
        print_json({name: _as_json(one) for name, one in found.items()})
    else:
        for name, one in found.items():
            _show(known[name], one)
    if failed := [name for name, one in found.items() if one.error is not None]:
        raise CommandError(
            f"{len(failed)} of {counted(len(found), 'stream')} could not be read: {', '.join(failed)}"
        )


async def _tried(
    kind: type[DocumentAdapter], settings: dict[str, Any], secrets: dict[str, Secret], streams: list[str]
) -> dict[str, Tried]:
    """One stream after the other, so that what is allowed a second is kept to."""
    return {name: await try_stream(with_secrets(kind, settings, secrets), name) for name in streams}


def _show(stream: Stream, tried: Tried) -> None:
    pages = "one page" if tried.pages == 1 else f"{tried.pages} pages"
    more = ", and no more" if tried.is_end else ", and there may be more" if tried.pages else ""
    out.print(f"\n{stream.name} > {stream.entity.table}: {counted(tried.read, 'record')} on {pages}{more}")
    for one in tried.exchanges:
        out.print(f"{one.method} {one.url}: {one.status or 'no answer'}", soft_wrap=True)
    if tried.records:
        show_trial(tried.trial, empty="It has no rules.")
    if tried.error is not None:
        say(f"{stream.name}: {tried.error}")
    if not tried.records and tried.lists:
        places = ", ".join(".".join(one.keys) or "the answer itself" for one in tried.lists)
        say(f"{stream.name}: lists of objects in the answer: {places}")


def _as_json(tried: Tried) -> dict[str, Any]:
    return {
        "read": tried.read,
        "pages": tried.pages,
        "is_end": tried.is_end,
        "requests": [f"{one.method} {one.url}" for one in tried.exchanges],
        "statuses": [one.status for one in tried.exchanges],
        **asdict(tried.trial),
        "error": tried.error,
    }
