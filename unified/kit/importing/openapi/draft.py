"""A draft of a connector document from an OpenAPI file. A person completes it; nothing of it is active by itself."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from unified.kit.document.model import DocumentModel
from unified.kit.document.source import DocumentError
from unified.kit.document.streams import DocumentStream
from unified.kit.importing.landing import Landing, landing
from unified.kit.importing.names import slug
from unified.kit.importing.openapi import access
from unified.kit.importing.openapi.advice import Advice
from unified.kit.importing.openapi.lists import ListOperation, list_operation
from unified.kit.importing.openapi.parts import Parts, listings
from unified.kit.importing.openapi.spec import Spec
from unified.kit.importing.writing import because
from unified.kit.proposing.matching import Match
from unified.kit.proposing.schemas import of_schema

Said = dict[str, Any]

MOST_STREAMS = 60
_USUAL_RATE = 5
_TEMPLATE = re.compile(r"\{([^{}]+)\}")


@dataclass(slots=True)
class DraftedPath:
    """What became of a path.

    Attributes:
        path: As the file has it.
        stream: The stream's name; None where it became none.
        entity: Where that lands.
        reason: Why there is no stream.
        remarks: What a person should look at.
    """

    path: str
    stream: str | None = None
    entity: str | None = None
    reason: str | None = None
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """A draft, and what became of each path that can be asked with GET.

    Attributes:
        document: What it says; None where no path became a stream.
        paths: What became of each.
        remarks: What a person should look at that holds for all.
    """

    document: Said | None
    paths: list[DraftedPath]
    remarks: list[str]


@dataclass(frozen=True, slots=True)
class Guidance:
    """What a model says of an API.

    Attributes:
        lists: Of its lists, by path.
        matches: Of the fields of a list, by path: for which entity, and which field is which.
    """

    lists: Mapping[str, Advice] = field(default_factory=dict)
    matches: Mapping[str, tuple[str, Sequence[Match]]] = field(default_factory=dict)


def draft(spec: Spec, name: str, guidance: Guidance | None = None) -> Draft:
    """Draft a document.

    Args:
        spec: As it was read.
        name: What the connector is to be called.
        guidance: What a model says; names alone guide it otherwise.

    Raises:
        DocumentError: If the file names no host that requests can go to, or what it says of authentication can't be
            followed.
    """
    server, remarks = access.server(spec)
    auth, more = access.auth(spec)
    guidance = guidance or Guidance()
    found = [
        (DraftedPath(path), _operation(spec, parts, guidance.lists.get(path)))
        for path, parts in listings(spec)
    ]
    streams: dict[str, Said] = {}
    lists = {path.path.rstrip("/") for path, operation in found if isinstance(operation, ListOperation)}
    # Parents first: a child names its parent's stream.
    for one, operation in sorted(found, key=lambda pair: pair[0].path.count("{")):
        if isinstance(operation, str):
            one.reason = operation
        elif len(streams) >= MOST_STREAMS:
            one.reason = f"the draft has {MOST_STREAMS} streams already"
        else:
            _stream(spec, one, operation, streams, lists, guidance)
    said: Said = {"engine": 1, "id": name, "version": "0.1.0", "title": _title(spec, name), **server}
    said["hosts"] = list(dict.fromkeys([*said["hosts"], *access.hosts_of(auth)]))
    said |= {"auth": auth, "requests_per_second": _USUAL_RATE, "streams": streams}
    result = Draft(None, [one for one, _ in found], [*remarks, *more])
    if not streams:
        return result
    try:
        DocumentModel.model_validate(said)
    except ValidationError as error:
        raise DocumentError(f"{spec.name}: no document can be drafted of it: {because(error)}") from None
    result.remarks.append(f"at most {_USUAL_RATE} requests a second: the provider may allow more")
    result.document = said
    return result


def _title(spec: Spec, name: str) -> str:
    said = spec.object(spec.whole.get("info")).get("title")
    return (" ".join(said.split()) if isinstance(said, str) else "")[:60] or name


def _operation(spec: Spec, parts: Parts | str, advice: Advice | None) -> ListOperation | str:
    if isinstance(parts, str):
        return parts
    try:
        return list_operation(spec, parts, advice)
    except DocumentError as error:
        return str(error)


def _stream(
    spec: Spec,
    one: DraftedPath,
    operation: ListOperation,
    streams: dict[str, Said],
    lists: set[str],
    guidance: Guidance,
) -> None:
    """Add the stream of a list, or note why there is none."""
    name = _name(one.path, streams)
    advice = guidance.lists.get(one.path)
    try:
        landed = landing(
            name,
            of_schema(operation.item, spec.resolve),
            (),
            entity=advice.entity if advice else "",
            matched=guidance.matches.get(one.path),
        )
    except DocumentError as error:
        one.reason = str(error)
        return
    if landed is None:
        one.reason = "nothing says what a record's id is"
        return
    said: Said = {"entity": landed.entity, "path": one.path}
    if (partition := _partition(one, streams)) is None and "{" in one.path:
        one.reason = "a part of its path is given by no list"
        return
    if partition:
        said |= partition
    for key, value in (
        ("parameters", operation.parameters),
        ("records", operation.records),
        ("paging", operation.paging if operation.paging["kind"] != "none" else None),
        ("changes", _changes(one, operation, landed, has_partition=bool(partition))),
    ):
        if value:
            said[key] = value
    said |= _single(spec, one.path, lists)
    said["mapping"] = landed.mapping
    try:
        DocumentStream.model_validate(said)
    except ValidationError as error:
        one.reason = f"documents do not take it: {because(error)}"
        return
    one.stream, one.entity = name, landed.entity
    dropped = [f"dropped of the model's advice: {what}" for what in advice.dropped] if advice else []
    one.remarks += [*operation.remarks, *landed.remarks, *dropped]
    streams[name] = said


def _name(path: str, streams: dict[str, Said]) -> str:
    """The last fixed part of a path, with the one before it where that is taken."""
    parts = [part for part in path.split("/") if part and "{" not in part]
    for count in range(1, len(parts) + 1):
        name = slug("_".join(parts[-count:]))
        if name not in streams:
            return name
    return slug(f"{'_'.join(parts)}_{len(streams)}")


def _partition(one: DraftedPath, streams: dict[str, Said]) -> Said | None:
    """Of a list below another one: the partition, and the path that names it. None where it is none, or unknown."""
    templates = _TEMPLATE.findall(one.path)
    if len(templates) != 1:
        return None
    before, _, after = one.path.partition(f"/{{{templates[0]}}}")
    parent = next((name for name, said in streams.items() if said["path"].rstrip("/") == before), None)
    if parent is None or not after.strip("/"):
        return None
    key = streams[parent]["mapping"]["id"]["paths"]
    name = slug(templates[0])
    one.remarks.append(f"is {templates[0]!r} the id of {parent}?")
    return {
        "path": f"{before}/{{{{ partition.{name} }}}}{after}",
        "partition": {"stream": parent, "parent_key": key[0].split("."), "partition_field": name},
    }


def _changes(
    one: DraftedPath, operation: ListOperation, landed: Landing, *, has_partition: bool
) -> Said | None:
    if operation.changes is None:
        return None
    times = [rule["source"] for rule in landed.mapping["rules"] if rule["target"] == "updated_at"]
    is_numbered = operation.paging["kind"] in ("page", "offset")
    if is_numbered and (has_partition or not times):
        one.remarks.append("changes are left out: its pages are numbered, and no time of a change is known")
        return None
    return operation.changes | ({"changed_at": times[0].split(".")} if times else {})


def _single(spec: Spec, path: str, lists: set[str]) -> Said:
    """How one record is asked for, where the file has such a path."""
    if "{" in path:
        return {}
    pattern = re.compile(rf"{re.escape(path.rstrip('/'))}/\{{[^{{}}/]+\}}")
    for other, said in spec.whole["paths"].items():
        is_one = pattern.fullmatch(str(other).rstrip("/")) and str(other).rstrip("/") not in lists
        if is_one and isinstance(said, dict) and "get" in said:
            return {"one": f"{path.rstrip('/')}/{{id}}"}
    return {}
