"""What an operation that lists records is made of: where they stand in its answer, and what can be asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unified.kit.document.source import DocumentError
from unified.kit.importing.openapi.spec import Spec
from unified.kit.proposing.schemas import properties_of, type_of_schema
from unified.kit.proposing.words import split

_MOST_PAGE = 100
_RECORDS = (
    "data", "results", "items", "records", "list", "values", "value", "entries", "objects", "elements",
)  # fmt: skip
_AROUND = frozenset(
    ("meta", "paging", "pagination", "links", "_links", "page", "response_metadata", "metadata", "cursors", "next",
     "page_info", "pageInfo", "_meta", "meta_data")
)  # fmt: skip
_RECORDS = (
    "data",
    "results",
    "items",
    "records",
    "list",
    "values",
    "value",
    "entries",
    "objects",
    "elements",
)
_BESIDE = frozenset(("warnings", "errors", "messages", "links", "included", "validationerrors", "notices"))
"""Lists that an answer has beside its records."""


@dataclass(frozen=True, slots=True)
class Parts:
    """An operation that lists records.

    Attributes:
        path: Of the API, with its templates.
        records: Keys to the list in the answer.
        item: The schema of one record.
        queries: Its parameters in the query, by name.
        answered: Properties of the answer that may say how it goes on, with the keys that lead to them.
        headers: Of the answer.
        summary: What the file says that it does.
    """

    path: str
    records: list[str]
    item: Any
    queries: Mapping[str, Mapping[str, Any]]
    answered: list[tuple[list[str], Any]]
    headers: Mapping[str, Any]
    summary: str


def listings(spec: Spec) -> Iterator[tuple[str, Parts | str]]:
    """Each path that can be asked with GET: what its list is made of, or why it is none."""
    for path, said in spec.whole["paths"].items():
        try:
            item = spec.object(said)
            operation = item.get("get")
            if isinstance(operation, Mapping):
                yield str(path), _parts(spec, str(path), operation, item.get("parameters"))
        except DocumentError as error:
            yield str(path), str(error)


def _parts(spec: Spec, path: str, operation: Mapping[str, Any], shared: Any) -> Parts | str:
    if path.rstrip("/").endswith("}"):
        return "it is a single record"
    answer = _answer(spec, operation)
    schema = _json_schema(spec, answer)
    place = _place_of_records(spec, schema, path)
    if place is None:
        return "its answer is no list of objects"
    queries = {
        str(one.get("name")): one
        for one in [*spec.items(shared), *spec.items(operation.get("parameters"))]
        if one.get("in") == "query"
    }
    answered = list(_answered(spec, schema, 0))
    said = operation.get("summary") or operation.get("description")
    headers = spec.object(answer.get("headers"))
    return Parts(path, *place, queries, answered, headers, said if isinstance(said, str) else "")


def _answer(spec: Spec, operation: Mapping[str, Any]) -> Mapping[str, Any]:
    responses = spec.object(operation.get("responses"))
    codes = sorted(
        (str(code) for code in responses if str(code).startswith("2")), key=lambda code: code != "200"
    )
    return spec.object(responses.get(codes[0] if codes else "default"))


def _json_schema(spec: Spec, answer: Mapping[str, Any]) -> Any:
    content = spec.object(answer.get("content"))
    for kind, said in content.items():
        if "json" in str(kind).lower():
            return spec.object(said).get("schema")
    return None


def _place_of_records(spec: Spec, schema: Any, path: str) -> tuple[list[str], Any] | None:
    """The keys to the list in an answer, and the schema of an item. A record that has lists in it is no list."""
    if type_of_schema(schema, spec.resolve) == "array":
        return _listed([], spec, schema)
    properties = properties_of(schema, spec.resolve)
    own = split(path.rstrip("/").rpartition("/")[2])
    named = [(key, value) for key, value in properties.items() if split(key) == own]
    usual = [(key, value) for key, value in properties.items() if key.lower() in _RECORDS]
    others = (
        [] if "id" in properties else [one for one in properties.items() if one[0].lower() not in _BESIDE]
    )
    for key, value in (*named, *usual, *others):
        if type_of_schema(value, spec.resolve) == "array" and (found := _listed([key], spec, value)):
            return found
    for key, value in usual:
        for inner, deep in properties_of(value, spec.resolve).items():
            if type_of_schema(deep, spec.resolve) == "array" and (found := _listed([key, inner], spec, deep)):
                return found
    return None


def _listed(keys: list[str], spec: Spec, schema: Any) -> tuple[list[str], Any] | None:
    item = spec.object(schema).get("items")
    return (keys, item) if type_of_schema(item, spec.resolve) == "object" else None


def _answered(spec: Spec, schema: Any, depth: int) -> Iterator[tuple[list[str], Any]]:
    """The properties of an answer that may say how it goes on, with the keys that lead to them."""
    for key, value in properties_of(schema, spec.resolve).items():
        kind = type_of_schema(value, spec.resolve)
        if kind == "object" and depth < 2 and key in _AROUND:  # noqa: PLR2004 - `paging.next.after`
            for keys, inner in _answered(spec, value, depth + 1):
                yield [key, *keys], inner
        elif kind not in ("array", "object"):
            yield [key], value


def size_of(spec: Spec, parameter: Mapping[str, Any]) -> int:
    """The size to ask for: as many as allowed, at most 100."""
    most, usual = (said_of(spec, parameter, key) for key in ("maximum", "default"))
    for said in (most, usual):
        if isinstance(said, int) and not isinstance(said, bool) and said > 0:
            return min(said, max(_MOST_PAGE, usual if isinstance(usual, int) else 0), 10_000)
    return _MOST_PAGE


def first_of(spec: Spec, parameter: Mapping[str, Any]) -> int:
    """The number of the first page."""
    said = [said_of(spec, parameter, key) for key in ("default", "minimum")]
    return 0 if 0 in [one for one in said if isinstance(one, int) and not isinstance(one, bool)] else 1


def said_of(spec: Spec, parameter: Mapping[str, Any], key: str) -> Any:
    """What the schema of a parameter says under a key."""
    return spec.object(parameter.get("schema")).get(key)
