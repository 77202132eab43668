"""Operations that list records: where the records stand, and how pages and changes are asked for.

Pages and changes are guessed from the names of parameters and of the answer's properties. What is a guess is a remark;
where a wrong guess would lose records, there is no stream but a reason.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from unified.kit.document.source import DocumentError
from unified.kit.importing.openapi.spec import Spec
from unified.kit.proposing.schemas import properties_of, type_of_schema
from unified.kit.proposing.words import split

Said = dict[str, Any]

_TOKENS = frozenset(
    ("cursor", "pagetoken", "nexttoken", "nextpagetoken", "nextcursor", "after", "startingafter", "continuation",
     "continuationtoken", "pagecursor", "starttoken", "marker", "pageafter")
)  # fmt: skip
_ANSWERED = _TOKENS | frozenset(("next", "nextpage", "nextkey", "endcursor", "nextoffset"))
_LINKS = frozenset(("next", "nexturl", "nextlink", "nextpageurl", "nexthref", "odatanextlink", "nextpage"))
_OFFSETS = frozenset(("offset", "skip", "startat", "start", "startindex", "pageoffset"))
_PAGES = frozenset(("page", "pagenumber", "pageno", "pageindex", "currentpage"))
_SIZES = frozenset(
    (
        "limit",
        "perpage",
        "pagesize",
        "size",
        "count",
        "top",
        "maxresults",
        "pagelimit",
        "itemsperpage",
        "results",
    )
)
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

_SINCE = frozenset(("since", "after", "gte", "gt", "from", "min", "start", "begin"))
_MOST_PAGE = 100


@dataclass(slots=True)
class ListOperation:
    """An operation that lists records.

    Attributes:
        path: Of the API, with its templates.
        records: Keys to the list in the answer.
        item: The schema of one record.
        paging: As a document says it.
        parameters: Of each request.
        changes: As a document says it, without the place of the time; None where every pull reads all.
        remarks: What is a guess.
    """

    path: str
    records: list[str]
    item: Any
    paging: Said = field(default_factory=lambda: {"kind": "none"})
    parameters: Said = field(default_factory=dict)
    changes: Said | None = None
    remarks: list[str] = field(default_factory=list)


def list_operation(spec: Spec, path: str, operation: Mapping[str, Any], shared: Any) -> ListOperation | str:
    """An operation that lists records, or why it is none that can be read.

    Args:
        spec: Whose operation.
        path: Where it is.
        operation: The GET of that path.
        shared: Parameters of all operations of the path.

    Raises:
        DocumentError: If a reference of it can't be followed.
    """
    if path.rstrip("/").endswith("}"):
        return "it is a single record"
    answer = _answer(spec, operation)
    schema = _json_schema(spec, answer)
    place = _place_of_records(spec, schema, path)
    if place is None:
        return "its answer is no list of objects"
    found = ListOperation(path, *place)
    queries = {
        str(one.get("name")): one
        for one in [*spec.items(shared), *spec.items(operation.get("parameters"))]
        if one.get("in") == "query"
    }
    names = {_flat(name): name for name in queries}
    pages = _paging(spec, found, names, queries, schema, answer)
    if pages is not None:
        return pages
    used = {found.paging.get("parameter"), found.paging.get("size_parameter"), *found.parameters}
    _changes(spec, found, queries, used)
    if found.changes:
        used.add(found.changes["parameter"])
    for name, one in queries.items():
        if one.get("required") is True and name not in used:
            default = _of_schema(spec, one, "default")
            if default is None:
                return f"it needs the parameter {name!r}, and nothing says which value"
            found.parameters[name] = str(default)
    return found


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


def _paging(
    spec: Spec,
    found: ListOperation,
    names: Mapping[str, str],
    queries: Mapping[str, Mapping[str, Any]],
    schema: Any,
    answer: Mapping[str, Any],
) -> str | None:
    """Note how pages follow; why that can't be said where a guess would lose records."""
    size_name = next((names[one] for one in names if one in _SIZES), None)
    size = _size(spec, queries[size_name]) if size_name else None
    token_name = next((names[one] for one in names if one in _TOKENS), None)
    number = next(
        (
            (kind, names[one])
            for kinds, kind in ((_OFFSETS, "offset"), (_PAGES, "page"))
            for one in names
            if one in kinds
        ),
        None,
    )
    answered = list(_answered(spec, schema, 0))
    link = next(
        (keys for keys, one in answered if _flat(keys[-1]) in _LINKS and _is_link(spec, keys, one)), None
    )
    token = next((keys for keys, _ in answered if _flat(keys[-1]) in _ANSWERED and keys != link), None)
    more = next((keys for keys, _ in answered if _flat(keys[-1]) in ("hasmore", "more", "hasnext")), None)
    if size_name and (number is None or token_name or link):
        found.parameters[size_name] = str(size)
    if token_name and _flat(token_name) == "startingafter" and more:
        found.paging = {"kind": "after_id", "parameter": token_name, "more": more}
    elif token_name and token:
        found.paging = {"kind": "token", "parameter": token_name, "token": token}
    elif link:
        found.paging = {"kind": "next_link", "link": link}
    elif any(str(name).lower() == "link" for name in spec.object(answer.get("headers"))):
        found.paging = {"kind": "link_header"}
    elif number and size_name:
        found.paging = {"kind": number[0], "parameter": number[1], "size": size, "size_parameter": size_name}
        if number[0] == "page":
            found.paging["first"] = _first(spec, queries[number[1]])
    elif number or token_name:
        return f"it has pages ({number[1] if number else token_name}), and nothing says where the last one is"
    else:
        found.remarks.append("no paging was found, so the list is taken for one page")
    if found.paging["kind"] != "none":
        found.remarks.append(f"pages are guessed: {found.paging['kind']}")
    return None


def _answered(spec: Spec, schema: Any, depth: int) -> Iterator[tuple[list[str], Any]]:
    """The properties of an answer that may say how it goes on, with the keys that lead to them."""
    for key, value in properties_of(schema, spec.resolve).items():
        kind = type_of_schema(value, spec.resolve)
        if kind == "object" and depth < 2 and key in _AROUND:  # noqa: PLR2004 - `paging.next.after`
            for keys, inner in _answered(spec, value, depth + 1):
                yield [key, *keys], inner
        elif kind not in ("array", "object"):
            yield [key], value


def _is_link(spec: Spec, keys: list[str], said: Any) -> bool:
    one = spec.object(said)
    if "url" in _flat(keys[-1]) or "link" in _flat(keys[-1]) or "href" in _flat(keys[-1]):
        return True
    return (
        one.get("format") in ("uri", "url")
        or keys[0] in ("links", "_links")
        or "URL" in str(one.get("description"))
    )


def _size(spec: Spec, parameter: Mapping[str, Any]) -> int:
    """The size to ask for: as many as allowed, at most 100."""
    most, usual = (_of_schema(spec, parameter, key) for key in ("maximum", "default"))
    for said in (most, usual):
        if isinstance(said, int) and not isinstance(said, bool) and said > 0:
            return min(said, max(_MOST_PAGE, usual if isinstance(usual, int) else 0), 10_000)
    return _MOST_PAGE


def _first(spec: Spec, parameter: Mapping[str, Any]) -> int:
    said = [_of_schema(spec, parameter, key) for key in ("default", "minimum")]
    return 0 if 0 in [one for one in said if isinstance(one, int) and not isinstance(one, bool)] else 1


def _of_schema(spec: Spec, parameter: Mapping[str, Any], key: str) -> Any:
    return spec.object(parameter.get("schema")).get(key)


def _changes(
    spec: Spec, found: ListOperation, queries: Mapping[str, Mapping[str, Any]], used: set[Any]
) -> None:
    """Note the parameter that asks for what changed since a time."""
    for name, one in queries.items():
        words = set(split(name))
        if name in used or not words & _SINCE or not ("updated" in words or words == {"since"}):
            continue
        schema = spec.object(one.get("schema"))
        form = {"date": "date", "date-time": "iso"}.get(str(schema.get("format")))
        if form is None and type_of_schema(schema, spec.resolve) in ("integer", "number"):
            form = "epoch"
        found.changes = {"parameter": name, **({"format": form} if form else {})}
        found.remarks.append(
            f"changes are guessed by {name!r}: do they come oldest first, and is its format right?"
        )
        return


def _flat(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def operations(spec: Spec) -> Iterator[tuple[str, ListOperation | str]]:
    """Each path that can be asked with GET: the list that it is, or why it is none."""
    for path, said in spec.whole["paths"].items():
        try:
            item = spec.object(said)
            operation = item.get("get")
            if isinstance(operation, Mapping):
                yield str(path), list_operation(spec, str(path), operation, item.get("parameters"))
        except DocumentError as error:
            yield str(path), str(error)
