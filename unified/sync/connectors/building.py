"""A document that is written by form as well as by hand: what the form shows of it, and what it changes in it.

Pure. The form has what most APIs need; the rest of the text stays as it is, but for its comments.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import msgspec

from unified.kit.document.source import DocumentError, read_source
from unified.kit.importing.writing import as_yaml
from unified.kit.mapping.trial import shape
from unified.kit.settings import typed_number
from unified.schema.entities import ENTITIES
from unified.sync.connectors.usual import usual_auth, usual_paging

MOST_FIELDS = 80
_LONGEST_SAMPLE = 80
_DEEPEST = 4
_MOST_LISTS = 20

PLACES: Mapping[str, tuple[str, ...]] = {
    "token": ("token",),
    "next_link": ("link",),
}
"""The key of each kind of paging under which a document names the place of the next page in an answer."""


@dataclass(frozen=True, slots=True)
class FoundList:
    """A list of objects in an answer.

    Attributes:
        keys: From the answer's top down to it.
        count: How many objects it has; 1 where it is an object by itself.
    """

    keys: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class FoundField:
    """A value of a record.

    Attributes:
        path: As rules write it.
        sample: The first one that says something, as text.
        target: What a rule fills from it; ``id`` where it makes the record's id; empty where nothing does.
    """

    path: str
    sample: str
    target: str


def read_text(text: str) -> dict[str, Any]:
    """What a text says.

    Raises:
        DocumentError: If it is not YAML or JSON with keys; with the line.
    """
    value = read_source(text.encode(), "document").value
    if not isinstance(value, dict):
        raise DocumentError("document:1: it is not keys with values")
    return value


def written(value: Mapping[str, Any]) -> str:
    """The same as text."""
    return as_yaml(value, ())


def stream_of(value: Mapping[str, Any], wanted: str) -> str:
    """The stream that a form is about: the one that is wanted, else the first; empty where there is none."""
    streams = value.get("streams")
    names = list(streams) if isinstance(streams, dict) else []
    return wanted if wanted in names else next(iter(names), "")


def as_form(value: Mapping[str, Any], stream: str) -> dict[str, str]:
    """What the form's fields show of a document, and of one of its streams."""
    auth, said = _object(value, "auth"), _object(_object(value, "streams"), stream)
    paging = _object(said, "paging")
    places = PLACES.get(str(paging.get("kind")), ())
    return {
        **{
            name: _text(value.get(name))
            for name in ("id", "version", "title", "base_url", "requests_per_second")
        },
        "hosts": ", ".join(map(str, _list(value.get("hosts")))),
        "auth": _text(auth.get("kind")) or "none",
        "auth_name": _text(auth.get("name")),
        "stream": stream,
        "entity": _text(said.get("entity")),
        "path": _text(said.get("path")),
        "records": _keys(said.get("records")),
        "paging": _text(paging.get("kind")) or "none",
        "parameter": _keys(paging.get("parameter")),
        "place": next((_keys(paging.get(name)) for name in places), ""),
        "size": _text(paging.get("size")),
    }


def with_form(value: Mapping[str, Any], form: Mapping[str, str], stream: str) -> dict[str, Any]:
    """A document with what a form says; fields that the form leaves out stay."""
    shown = as_form(value, stream)
    new = {name: text.strip() for name, text in form.items() if name in shown and text.strip() != shown[name]}
    changed: dict[str, Any] = deepcopy(dict(value))
    for name in ("id", "version", "title", "base_url"):
        if name in new:
            changed[name] = new[name]
    if "requests_per_second" in new:
        changed["requests_per_second"] = typed_number(new["requests_per_second"])
    if "hosts" in new:
        changed["hosts"] = [one.strip() for one in new["hosts"].split(",") if one.strip()]
    if "auth" in new:
        changed["auth"] = usual_auth(new["auth"]) or changed.get("auth")
    if "auth_name" in new and isinstance(changed.get("auth"), dict):
        changed["auth"]["name"] = new["auth_name"]
    if stream:
        _change_stream(changed["streams"], stream, new)
    return changed


def _change_stream(streams: dict[str, Any], stream: str, new: Mapping[str, str]) -> None:
    said = _said_of(streams, stream)
    for name in ("entity", "path"):
        if name in new:
            said[name] = new[name]
    if "records" in new:
        said["records"] = _as_records(new["records"])
    if "paging" in new:
        said["paging"] = usual_paging(new["paging"]) or said.get("paging")
    if isinstance(said.get("paging"), dict):
        _change_paging(said["paging"], new)


def _said_of(streams: dict[str, Any], stream: str) -> dict[str, Any]:
    """What a document says of a stream, to be changed; nothing yet where that is not an object."""
    said: dict[str, Any] = _object(streams, stream)
    streams[stream] = said
    return said


def _change_paging(paging: dict[str, Any], new: Mapping[str, str]) -> None:
    if new.get("parameter"):
        paging["parameter"] = _as_taker(new["parameter"])
    if new.get("size"):
        paging["size"] = typed_number(new["size"])
    if new.get("place"):
        for key in PLACES.get(str(paging.get("kind")), ()):
            paging[key] = new["place"].split(".")


def lists_in(answer: bytes, *, or_objects: bool = False) -> list[FoundList]:
    """The lists of objects in an answer, the shallowest first, or the single objects too; none where it is not JSON."""
    try:
        whole = msgspec.json.decode(answer)
    except (ValueError, RecursionError):
        return []
    found: list[FoundList] = []
    waiting: list[tuple[tuple[str, ...], Any]] = [((), whole)]
    while waiting and len(found) < _MOST_LISTS:
        keys, value = waiting.pop(0)
        if isinstance(value, list) and any(isinstance(one, dict) for one in value):
            found.append(FoundList(keys, len(value)))
        elif isinstance(value, dict) and len(keys) < _DEEPEST:
            if or_objects:
                found.append(FoundList(keys, 1))
            waiting += [((*keys, name), below) for name, below in value.items()]
    return found


def fields_in(records: Sequence[Any], stream: Mapping[str, Any]) -> list[FoundField]:
    """The values of records that rules can read, with what a stream's rules do with each."""
    samples: dict[str, Any] = {}
    for record in records:
        for path, value in _values(record, ""):
            if samples.get(path) is None and (path in samples or len(samples) < MOST_FIELDS):
                samples[path] = value
    mapping = _object(stream, "mapping")
    filled = {str(rule.get("source")): _text(rule.get("target")) for rule in _rules(mapping)}
    for path in _list(_object(mapping, "id").get("paths")):
        filled[str(path)] = "id"
    return [FoundField(path, _sample(value), filled.get(path, "")) for path, value in samples.items()]


def with_picks(
    value: Mapping[str, Any], stream: str, records: Sequence[str] | None, picks: Mapping[str, str]
) -> dict[str, Any]:
    """A document with records and fields that somebody picked.

    Args:
        value: The document.
        stream: The stream that it is about.
        records: Keys to the list; None where they stay.
        picks: Of each path that was shown, what it fills; ``id``, or nothing. Rules for other paths stay.
    """
    changed: dict[str, Any] = deepcopy(dict(value))
    said = _said_of(changed["streams"], stream)
    if records is not None:
        said["records"] = list(records)
    if picks:
        mapping = said["mapping"] = _object(said, "mapping")
        taken = {target for target in picks.values() if target}
        kept = [
            rule
            for rule in _rules(mapping)
            if picks.get(str(rule.get("source")), target := _text(rule.get("target"))) == target
            and (str(rule.get("source")) in picks or target not in taken)
        ]
        there = {(str(rule.get("source")), _text(rule.get("target"))) for rule in kept}
        mapping["rules"] = kept + [
            {"target": target, "source": path}
            for path, target in picks.items()
            if target and target != "id" and (path, target) not in there
        ]
        ids = [path for path, target in picks.items() if target == "id"]
        if ids:
            mapping["id"] = {"paths": ids, **({"by": ":"} if len(ids) > 1 else {})}
    return changed


def targets_of(entity: str, path: str) -> list[str]:
    """What a value may fill in an entity; a custom field of its own among it."""
    model = next((one.model for one in ENTITIES if one.name == entity), ENTITIES[-1].model)
    hidden = ("source_", "unified_id", "observed_at", "synced_at", "deleted_at", "raw_data", "custom_fields")
    names = [name for name in model.model_fields if not name.startswith(hidden)]
    return [*names, f"custom_fields.{path.rpartition('.')[2]}"]


def _values(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and depth < _DEEPEST:
        for name, below in value.items():
            # Other keys are written in brackets, which is for the text.
            if name.isascii() and name.replace("_", "a").isalnum() and not name[:1].isdigit():
                yield from _values(below, f"{path}.{name}" if path else name, depth + 1)
    elif path:
        yield path, value


def _sample(value: Any) -> str:
    if isinstance(value, dict | list):
        return shape(value)
    text = "" if value is None else "true" if value is True else "false" if value is False else str(value)
    return text if len(text) <= _LONGEST_SAMPLE else f"{text[:_LONGEST_SAMPLE]}…"


def _rules(mapping: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [rule for rule in _list(mapping.get("rules")) if isinstance(rule, dict)]


def _object(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _keys(value: Any) -> str:
    return ".".join(map(str, value)) if isinstance(value, list) else _text(value)


def _as_records(text: str) -> Any:
    """Keys, or a path where it has wildcards or filters."""
    return text if any(sign in text for sign in "*[$") else [key for key in text.split(".") if key]


def _as_taker(text: str) -> Any:
    return text.split(".") if "." in text else text
