"""Operations that list records: where the records stand, and how pages and changes are asked for.

Pages and changes are guessed from the names of parameters and of the answer's properties. What is a guess is a remark;
where a wrong guess would lose records, there is no stream but a reason.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unified.kit.importing.openapi.advice import Advice
from unified.kit.importing.openapi.parts import Parts, first_of, said_of, size_of
from unified.kit.importing.openapi.spec import Spec
from unified.kit.proposing.schemas import type_of_schema
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
_SINCE = frozenset(("since", "after", "gte", "gt", "from", "min", "start", "begin"))


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


def list_operation(spec: Spec, parts: Parts, advice: Advice | None = None) -> ListOperation | str:
    """An operation that lists records as it can be read, or why it can't.

    Args:
        spec: Whose operation.
        parts: What it is made of.
        advice: What a model says of it; it takes the place of what names say.

    Raises:
        DocumentError: If a reference of it can't be followed.
    """
    found = ListOperation(parts.path, parts.records, parts.item)
    if advice is not None and not advice.is_worth:
        return f"the model takes it for not worth having: {advice.reason}"
    by_names = _paging(spec, found, parts)
    if advice is not None and advice.paging is not None:
        before = found.paging if by_names is None else None
        found.paging, found.parameters = dict(advice.paging), dict(advice.parameters)
        agrees = before is not None and before == found.paging
        found.remarks = [
            f"pages are {found.paging['kind']}, says the model" + ("; names say so too" if agrees else "")
        ]
    elif by_names is not None:
        return by_names
    used = {found.paging.get("parameter"), found.paging.get("size_parameter"), *found.parameters}
    if advice is not None and advice.changes not in (None, *used):
        _note_changes(spec, found, str(advice.changes), parts.queries, "the model's word for")
    else:
        _changes(spec, found, parts.queries, used)
    if found.changes:
        used.add(found.changes["parameter"])
    for name, one in parts.queries.items():
        if one.get("required") is True and name not in used:
            default = said_of(spec, one, "default")
            if default is None:
                return f"it needs the parameter {name!r}, and nothing says which value"
            found.parameters[name] = str(default)
    return found


def _paging(spec: Spec, found: ListOperation, parts: Parts) -> str | None:
    """Note how pages follow; why that can't be said where a guess would lose records."""
    queries, answered = parts.queries, parts.answered
    names = {_flat(name): name for name in queries}
    size_name = next((names[one] for one in names if one in _SIZES), None)
    size = size_of(spec, queries[size_name]) if size_name else None
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
    elif any(str(name).lower() == "link" for name in parts.headers):
        found.paging = {"kind": "link_header"}
    elif number and size_name:
        found.paging = {"kind": number[0], "parameter": number[1], "size": size, "size_parameter": size_name}
        if number[0] == "page":
            found.paging["first"] = first_of(spec, queries[number[1]])
    elif number or token_name:
        return f"it has pages ({number[1] if number else token_name}), and nothing says where the last one is"
    else:
        found.remarks.append("no paging was found, so the list is taken for one page")
    if found.paging["kind"] != "none":
        found.remarks.append(f"pages are guessed: {found.paging['kind']}")
    return None


def _is_link(spec: Spec, keys: list[str], said: Any) -> bool:
    one = spec.object(said)
    if "url" in _flat(keys[-1]) or "link" in _flat(keys[-1]) or "href" in _flat(keys[-1]):
        return True
    return (
        one.get("format") in ("uri", "url")
        or keys[0] in ("links", "_links")
        or "URL" in str(one.get("description"))
    )


def _changes(
    spec: Spec, found: ListOperation, queries: Mapping[str, Mapping[str, Any]], used: set[Any]
) -> None:
    """Note the parameter that asks for what changed since a time."""
    for name in queries:
        words = set(split(name))
        if name not in used and words & _SINCE and ("updated" in words or words == {"since"}):
            _note_changes(spec, found, name, queries, "guessed by")
            return


def _note_changes(
    spec: Spec, found: ListOperation, name: str, queries: Mapping[str, Mapping[str, Any]], how: str
) -> None:
    schema = spec.object(queries[name].get("schema"))
    form = {"date": "date", "date-time": "iso"}.get(str(schema.get("format")))
    if form is None and type_of_schema(schema, spec.resolve) in ("integer", "number"):
        form = "epoch"
    found.changes = {"parameter": name, **({"format": form} if form else {})}
    found.remarks.append(f"changes are {how} {name!r}: do they come oldest first, and is its format right?")


def _flat(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
