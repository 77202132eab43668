"""HubSpot's CRM search: filters, sorting, paging and their caps.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from unified.sandbox.clock import parse_ms
from unified.sandbox.hubspot.standing import State

if TYPE_CHECKING:
    from unified.sandbox.hubspot.portal import HubSpotPortal
    from unified.sandbox.hubspot.records import Kind

MAX_RESULTS = 10_000
MAX_PAGE = 200
MAX_BODY = 3000
MAX_GROUPS, MAX_FILTERS, MAX_ALL_FILTERS, MAX_VALUES = 5, 6, 18, 100

Value = Decimal | str
Test = Callable[[int, State], bool]


class SearchError(Exception):
    """The search is not allowed; the message says why."""


@dataclass
class Found:
    """One page of a search."""

    total: int
    page: list[tuple[int, State]]
    after: str | None


def search(portal: HubSpotPortal, kind: Kind, body: dict[str, Any], seen_at: float) -> Found:
    """Evaluate a search as of `seen_at`, which lags behind real changes.

    Raises:
        SearchError: where HubSpot answers 400.
    """
    limit, after = body.get("limit", 10), body.get("after", 0) or 0
    try:
        limit, after = int(limit), int(after)
    except (TypeError, ValueError):
        raise SearchError("limit and after must be integers") from None
    if not 1 <= limit <= MAX_PAGE:
        raise SearchError(f"limit must be between 1 and {MAX_PAGE}")
    if after + limit > MAX_RESULTS:
        raise SearchError(f"a search gives {MAX_RESULTS} results at most; paging beyond them is not possible")
    # Filters outside a group are a group of their own.
    groups = body.get("filterGroups") or ([{"filters": body["filters"]}] if body.get("filters") else [])
    filters = [group.get("filters", []) for group in groups]
    if len(groups) > MAX_GROUPS or any(len(some) > MAX_FILTERS for some in filters):
        raise SearchError(f"at most {MAX_GROUPS} filterGroups with {MAX_FILTERS} filters each are allowed")
    if sum(map(len, filters)) > MAX_ALL_FILTERS:
        raise SearchError(f"at most {MAX_ALL_FILTERS} filters are allowed")
    tests = [[_test(portal, kind, one) for one in some] for some in filters]
    first = min((_first_index(portal, kind, some) for some in filters), default=0)
    matches = [
        (index, state)
        for index in portal.indexes(kind, first)
        if (state := portal.seen(kind, index, seen_at)) is not None
        and portal.is_listed(state)
        and (not tests or any(all(test(index, state) for test in group) for group in tests))
    ]
    _sort(portal, kind, body.get("sorts") or [], matches)
    page = matches[after : after + limit]
    following = after + len(page)
    return Found(len(matches), page, str(following) if following < len(matches) else None)


def _sort(portal: HubSpotPortal, kind: Kind, sorts: list[Any], matches: list[tuple[int, State]]) -> None:
    """Sort in place; without a rule they stay in order of creation."""
    if not sorts:
        return
    if len(sorts) > 1:
        raise SearchError("only one sorting rule can be applied")
    rule = {"propertyName": sorts[0]} if isinstance(sorts[0], str) else sorts[0]
    read = _reader(portal, kind, rule["propertyName"])

    def key(match: tuple[int, State]) -> tuple[bool, bool, Value]:
        value = read(*match)
        return value is None, isinstance(value, str), value if value is not None else ""

    matches.sort(key=key, reverse=rule.get("direction", "ASCENDING") == "DESCENDING")


def _first_index(portal: HubSpotPortal, kind: Kind, filters: list[dict[str, Any]]) -> int:
    """Where a group can start to look: ids ascend, so `hs_object_id > x` rules out all before."""
    bounds = [
        portal.first_after(kind, int(one["value"]) - (one["operator"] == "GTE"))
        for one in filters
        if one["propertyName"] == "hs_object_id"
        and one["operator"] in ("GT", "GTE")
        and str(one.get("value")).isdigit()
    ]
    return max(bounds, default=0)


def _reader(portal: HubSpotPortal, kind: Kind, name: str) -> Callable[[int, State], Value | None]:
    """How to read a property, the ones that every sync filters by without making the whole record."""
    if name == "hs_object_id":
        return lambda index, _: Decimal(portal.record_id(kind, index))
    if name == portal.modified_name(kind):
        return lambda _, state: Decimal(state.modified_ms)
    if name == portal.created_name(kind):
        return lambda _, state: Decimal(state.created_ms)
    if name not in portal.property_names(kind):
        raise SearchError(f"{kind} have no property {name}")
    return lambda index, state: _value(portal.properties(kind, index, state)[name])


def _value(text: object) -> Value | None:
    """Numbers and dates (as milliseconds) compare as numbers, all else as text without regard to case."""
    if text is None or text == "":
        return None
    try:
        return Decimal(str(text))
    except InvalidOperation:
        moment = parse_ms(str(text))
        return str(text).lower() if moment is None else Decimal(moment)


def _test(portal: HubSpotPortal, kind: Kind, condition: dict[str, Any]) -> Test:
    try:
        name, operator = condition["propertyName"], condition["operator"]
    except KeyError as missing:
        raise SearchError(f"a filter needs {missing}") from None
    read = _reader(portal, kind, name)
    if operator == "HAS_PROPERTY":
        return lambda index, state: read(index, state) is not None
    if operator == "NOT_HAS_PROPERTY":
        return lambda index, state: read(index, state) is None
    if operator in ("IN", "NOT_IN"):
        values = condition.get("values")
        if not isinstance(values, list) or len(values) > MAX_VALUES:
            raise SearchError(f"{operator} needs values, at most {MAX_VALUES}")
        # Text is stored in lower case for this operator: a value with capitals matches nothing.
        wanted = {
            one if isinstance(one, str) and isinstance(_value(one), str) else _value(one) for one in values
        }
        return lambda index, state: (read(index, state) in wanted) == (operator == "IN")
    bound = _value(condition.get("value"))
    if bound is None:
        raise SearchError(f"{operator} needs a value")
    if operator == "BETWEEN":
        high = _value(condition.get("highValue"))
        if high is None:
            raise SearchError("BETWEEN needs a highValue")
        return lambda index, state: (
            _holds("GTE", read(index, state), bound) and _holds("LTE", read(index, state), high)
        )
    if operator not in ("EQ", "NEQ", *_ORDERED):
        raise SearchError(f"the operator {operator} is not known")
    return lambda index, state: _holds(operator, read(index, state), bound)


def _holds(operator: str, value: Value | None, bound: Value) -> bool:
    if operator in ("EQ", "NEQ"):
        return (value == bound) == (operator == "EQ")
    order = _order(value, bound)
    return order is not None and _ORDERED[operator](order)


_ORDERED: dict[str, Callable[[int], bool]] = {
    "GT": lambda order: order > 0,
    "GTE": lambda order: order >= 0,
    "LT": lambda order: order < 0,
    "LTE": lambda order: order <= 0,
}


def _order(value: Value | None, bound: Value) -> int | None:
    """-1, 0 or 1; None where the two cannot be compared."""
    if isinstance(value, Decimal) and isinstance(bound, Decimal):
        return (value > bound) - (value < bound)
    if isinstance(value, str) and isinstance(bound, str):
        return (value > bound) - (value < bound)
    return None
