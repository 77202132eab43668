"""A manifest as a connector document: stream by stream, converted or refused with the reason.

What a document says is checked by the document's own model, so a stream counts as converted only where our engine would
read it. Nothing of the manifest is executed.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import ValidationError

from unified.kit.document.model import DocumentModel
from unified.kit.importing.airbyte.addresses import address
from unified.kit.importing.airbyte.authenticators import auth, secret_names
from unified.kit.importing.airbyte.expressions import Translator, Unconvertible
from unified.kit.importing.airbyte.manifest import Manifest
from unified.kit.importing.airbyte.needs.examination import examine
from unified.kit.importing.airbyte.streams import (
    ConvertedStream,
    Said,
    Shared,
    requester_of,
    stream_of,
)
from unified.kit.importing.names import plain, slug
from unified.kit.importing.writing import because

_USUAL_RATE = 5

_Place = tuple[str, str, str]
"""A stream's base URL, the host as it is declared, and its authenticator as JSON."""


@dataclass(slots=True)
class Conversion:
    """A manifest that was converted.

    Attributes:
        document: What the document says; None where no stream was converted.
        streams: What became of each.
        remarks: What a person should look at that holds for all.
    """

    document: Said | None
    streams: list[ConvertedStream]
    remarks: list[str] = field(default_factory=list)


def convert(manifest: Manifest, name: str, title: str) -> Conversion:
    """Convert a manifest.

    Args:
        manifest: As it was read.
        name: What the connector is to be called.
        title: What people call it.
    """
    examined = examine(manifest)
    found = [ConvertedStream(one.name, reason="; ".join(one.refused[:3]) or None) for one in examined]
    for one in found[len(manifest.streams) :]:
        one.reason = one.reason or "streams that are made of a list of components are not carried over"
    pairs = [(one, stream) for one, stream in zip(found, manifest.streams, strict=False) if not one.reason]
    translator = Translator(_secrets(manifest, [stream for _, stream in pairs]))
    places = [_place(one, stream, manifest, translator) for one, stream in pairs]
    result = Conversion(None, found)
    usual = Counter(place for place in places if place is not None).most_common(1)
    if not usual:
        return result
    ((base_url, host, auth), _) = usual[0]
    shared = Shared(base_url, host, msgspec.json.decode(auth))
    for (one, stream), place in zip(pairs, places, strict=True):
        if place == (base_url, host, auth):
            _convert(one, stream, shared, translator)
        elif place is not None:
            one.reason = "its host or its authenticator is another one than that of the other streams"
    streams = _named(found)
    if streams:
        _finish(result, _document(shared, translator, manifest, name, title) | {"streams": streams})
    return result


def _secrets(manifest: Manifest, streams: list[Said]) -> frozenset[str]:
    """The settings that are secrets: what authenticators are made of, and what the manifest says is one."""
    named = [secret_names(requester_of(stream).get("authenticator")) for stream in streams]
    said = {
        key
        for key, about in manifest.settings.items()
        if isinstance(about, dict) and about.get("airbyte_secret")
    }
    return frozenset(said).union(*named)


def _place(one: ConvertedStream, stream: Said, manifest: Manifest, translator: Translator) -> _Place | None:
    """Where a stream's requests go, and how they are signed; None of one that is refused for it."""
    try:
        requester = requester_of(stream)
        base_url, host, _ = address(requester, translator)
        said, remarks = auth(requester.get("authenticator"), manifest.settings, base_url, translator)
    except Unconvertible as error:
        one.reason = str(error)
        return None
    one.remarks += remarks
    return base_url, host, msgspec.json.encode(said).decode()


def _convert(one: ConvertedStream, stream: Said, shared: Shared, translator: Translator) -> None:
    try:
        one.said = stream_of(one, stream, shared, translator)
    except Unconvertible as error:
        one.reason = str(error)
    except ValidationError as error:
        one.reason = f"documents do not take it: {because(error)}"


def _named(found: list[ConvertedStream]) -> dict[str, Said]:
    """The streams that were converted, by name, without those whose parents were not."""
    streams: dict[str, Said] = {}
    for one in found:
        if one.said is None:
            continue
        key = slug(one.name)
        if key in streams:
            one.said, one.reason = None, f"another stream is called {key} as well"
        else:
            streams[key] = one.said
    while True:
        lost = [one for one in found if one.said is not None and _lacking(one.said, streams)]
        if not lost:
            return streams
        for one in lost:
            parents = ", ".join(_lacking(one.said or {}, streams))
            one.said, one.reason = None, f"its parent {parents} is not among the streams that were converted"
            streams.pop(slug(one.name), None)


def _lacking(said: Said, streams: Said) -> list[str]:
    """The parents of a stream that are not among the streams."""
    found = said.get("partition") or []
    routers = found if isinstance(found, list) else [found]
    parents = [one for router in routers for one in router.get("any_of", [router])]
    return [one["stream"] for one in parents if "stream" in one and one["stream"] not in streams]


def _document(shared: Shared, translator: Translator, manifest: Manifest, name: str, title: str) -> Said:
    """What the document says beside its streams."""
    said: Said = {"engine": 1, "id": name, "version": "0.1.0", "title": title[:60]}
    said |= {"hosts": _hosts(shared), "base_url": shared.base_url}
    if translator.settings:
        named = sorted(translator.settings)
        said["settings"] = {slug(key): _setting(manifest.settings.get(key)) for key in named}
    said["auth"] = shared.auth
    if shared.headers:
        said["headers"] = shared.headers
    said["requests_per_second"] = _USUAL_RATE
    refusals: Said = {}
    if shared.handlers:
        refusals["handlers"] = shared.handlers
    if shared.wait_headers:
        refusals["wait_headers"] = ["retry-after", *shared.wait_headers]
    return said | ({"refusals": refusals} if refusals else {})


def _finish(result: Conversion, said: Said) -> None:
    """Take the document, if its model does."""
    try:
        DocumentModel.model_validate(said)
    except ValidationError as error:
        for one in result.streams:
            if one.said is not None:
                one.said, one.reason = None, f"the document as a whole can't work: {because(error)}"
        return
    result.document = said
    result.remarks.append(f"at most {_USUAL_RATE} requests a second: the provider may allow more")


def _hosts(shared: Shared) -> list[str]:
    hosts = [shared.host]
    token_url = (shared.auth.get("oauth") or shared.auth).get("token_url", "")
    if (match := re.match(r"https://([^/:]+)", token_url)) and match[1] not in hosts:
        hosts.append(match[1])
    return hosts


def _setting(about: Any) -> Said:
    said = about if isinstance(about, dict) else {}
    description = said.get("description") or said.get("title") or "As the provider names it."
    found: Said = {"description": plain(str(description))}
    default = said.get("default")
    if isinstance(default, str | int) and not isinstance(default, bool) and str(default):
        found["default"] = str(default)
    return found
