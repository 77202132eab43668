"""What a request asks of a list: its query read strictly, and the parameters described for the reference.

Filters and fields follow from the list's declaration (:mod:`unified.store.lists.declared`), so they are read here and
not by FastAPI; a name that a list does not have is refused with those it has.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import Request
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from unified.api.management.paging import MarkError, scope_of, unmarked
from unified.api.management.problems import Problem
from unified.store.lists.declared import LINES, MOST_VALUES, RecordList
from unified.store.lists.pages import Deleted, Wanted

CHANGES = frozenset({"updated_since"})
"""What a reader of changes gives anew each time: all else says which changes it reads."""

RAW, HISTORY = "raw", "history"
"""What adds to a single record what its source sent, and the last syncs of its stream."""

Mark = tuple[int, int, UUID]
"""Where changes continue: the server that counts its transactions, one of these, and a row of it."""

_PAGE = ("cursor", "limit")
_OF_ALL = ("fields", "expand")
_TIMES = TypeAdapter[datetime](AwareDatetime)
_DELETED = TypeAdapter[Deleted](Deleted)
_LONGEST_MARK = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A page that is asked for.

    Attributes:
        wanted: Of the list.
        changes: None in the list's own order; in the order of changes, the time or the place to begin at.
    """

    wanted: Wanted
    changes: datetime | Mark | None


def asked(request: Request, which: RecordList) -> Asked:
    """Read the query of a request for a page.

    Raises:
        Problem: 422 where it has a name that the list does not have, or a value that is not usable.
    """
    faults = _Faults()
    names = (*_PAGE, *_OF_ALL, "updated_since", *(("include_deleted",) if which.entity else ()))
    _refuse_unknown(request, (*names, *which.filters), "filter or parameter", faults)
    values: dict[str, list[Any]] = {}
    for name, one in which.filters.items():
        given = request.query_params.getlist(name)
        if len(given) > (MOST_VALUES if one.takes_several else 1):
            most = f"At most {MOST_VALUES} values." if one.takes_several else "Give one value."
            faults.add(name, most)
        elif given:
            values[name] = [faults.read(name, one.values, value) for value in given]
    deleted: Deleted = "false"
    if which.entity and (given := request.query_params.getlist("include_deleted")):
        deleted = faults.read("include_deleted", _DELETED, given[-1])
    fields = _chosen(request, which, faults, tuple(which.expansions))
    changes = _changes(request, faults)
    faults.refuse()
    since = changes if isinstance(changes, datetime) else None
    return Asked(Wanted(fields=fields, values=values, deleted=deleted, since=since), changes)


@dataclass(frozen=True, slots=True)
class AskedRecord:
    """A single record that is asked for.

    Attributes:
        fields: Names of fields.
        stream: Only of this stream.
        expand: What is added.
    """

    fields: Sequence[str]
    stream: str | None
    expand: frozenset[str]


def asked_record(request: Request, which: RecordList) -> AskedRecord:
    """Read the query of a request for a single record.

    Raises:
        Problem: 422 where it has a name that the list does not have.
    """
    faults = _Faults()
    _refuse_unknown(request, (*_OF_ALL, "stream"), "parameter", faults)
    fields = _chosen(request, which, faults, expansions_of_record(which))
    faults.refuse()
    return AskedRecord(fields, request.query_params.get("stream"), frozenset(_several(request, "expand")))


def expansions_of_record(which: RecordList) -> tuple[str, ...]:
    """What ``expand`` may add to a single record."""
    return (*which.expansions, RAW, HISTORY)


def parameters(which: RecordList) -> list[dict[str, Any]]:
    """The query of a page, as OpenAPI describes it, but for the cursor and the limit."""
    described = [
        _parameter(
            name,
            one.text,
            {"type": "array", "items": _schema(which, name), "maxItems": MOST_VALUES}
            if one.takes_several
            else _schema(which, name),
        )
        for name, one in which.filters.items()
    ]
    if which.entity:
        described.append(
            _parameter(
                "include_deleted",
                "Whether records come that were deleted at their source: with the others, or `only` those.",
                {"type": "string", "enum": ["false", "true", "only"], "default": "false"},
            )
        )
    described.append(
        _parameter(
            "updated_since",
            "Lists in the order of changes: what was read at this time or later; or, given the `since` of an earlier "
            "answer, all that changed after it.",
            {"type": "string", "maxLength": _LONGEST_MARK, "example": "2026-01-31T12:00:00Z"},
        )
    )
    return [*described, *choices(which, tuple(which.expansions))]


def choices(which: RecordList, expansions: Collection[str]) -> list[dict[str, Any]]:
    """The parameters ``fields`` and ``expand``, as OpenAPI describes them."""
    fields = {"type": "array", "items": {"type": "string", "enum": list(which.usual)}}
    described = [_parameter("fields", "Only these fields, separated by commas.", fields, explode=False)]
    if expansions:
        added = {"type": "array", "items": {"type": "string", "enum": list(expansions)}}
        text = {
            LINES: "`lines`: an invoice's line items",
            RAW: "`raw`: what the source sent, which takes the permission records:raw",
            HISTORY: "`history`: the last syncs of its stream",
        }
        what = "; ".join(text[name] for name in expansions)
        described.append(_parameter("expand", f"What is added: {what}.", added, explode=False))
    return described


def _parameter(name: str, text: str, schema: dict[str, Any], *, explode: bool = True) -> dict[str, Any]:
    form = {} if explode else {"style": "form", "explode": False}
    return {"name": name, "in": "query", "required": False, "description": text, "schema": schema, **form}


def _schema(which: RecordList, name: str) -> dict[str, Any]:
    schema = which.filters[name].values.json_schema()
    return {key: value for key, value in schema.items() if key not in ("title", "description")}


class _Faults:
    """What is wrong with a query, gathered, so that one answer says all of it."""

    def __init__(self) -> None:
        self._found: list[dict[str, str]] = []

    def add(self, name: str, detail: str) -> None:
        self._found.append({"pointer": f"/query/{name}".rstrip("/"), "detail": detail})

    def read(self, name: str, adapter: TypeAdapter[Any], value: str) -> Any:
        """A value; None where it is not usable."""
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            self.add(name, error.errors(include_input=False, include_url=False)[0]["msg"])
            return None

    def refuse(self) -> None:
        """Refuse the request, if anything is wrong with it."""
        if self._found:
            detail = "The request has values that are not usable; errors says which."
            raise Problem(422, detail, errors=self._found)


def _refuse_unknown(request: Request, names: Iterable[str], what: str, faults: _Faults) -> None:
    known = sorted(names)
    if set(request.query_params) - set(known):
        # Its name is the sender's own text, and is not repeated.
        faults.add("", f"There is a {what} that is not known; there are {', '.join(known)}.")


def _several(request: Request, name: str) -> list[str]:
    return [one for given in request.query_params.getlist(name) for one in given.split(",") if one]


def _chosen(
    request: Request, which: RecordList, faults: _Faults, expansions: Sequence[str]
) -> tuple[str, ...]:
    """Names of the fields that are wanted, in the list's order."""
    chosen, expanded = set(_several(request, "fields")), set(_several(request, "expand"))
    if chosen - set(which.usual):
        faults.add("fields", f"There is a field that is not known; there are {', '.join(which.usual)}.")
    if expanded - set(expansions):
        there = f"there are {', '.join(expansions)}" if expansions else "there is nothing to add here"
        faults.add("expand", f"This can't be added; {there}.")
    added = {name for one in expanded for name in which.expansions.get(one, ())}
    usual = chosen or set(which.usual)
    return tuple(name for name in which.item.model_fields if name in usual or name in added)


def _changes(request: Request, faults: _Faults) -> datetime | Mark | None:
    given = request.query_params.get("updated_since")
    if given is None:
        return None
    try:
        return unmarked(scope_of(request, CHANGES), given[: _LONGEST_MARK + 1], tuple[int, int, UUID])
    except MarkError:
        pass
    try:
        return _TIMES.validate_python(given)
    except ValidationError:
        faults.add(
            "updated_since",
            "This is neither a time with its zone, nor the `since` of an answer to this list and these filters.",
        )
        return None
