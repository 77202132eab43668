"""As much of JQL as asks for issues by project, id and time: conditions joined by AND, and an order.

Source: https://support.atlassian.com/jira-software-cloud/docs/jql-fields. A text date is read in the time zone of the
user who asks, to the minute; a number of milliseconds is a moment wherever it is read.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.tables.table import Row

_CONDITION = re.compile(
    r"\s*(\w+)\s*(>=|<=|!=|=|>|<|\bin\b|\bis not\b)\s*(\([^)]*\)|\"[^\"]*\"|'[^']*'|[\w:.-]+)\s*",
    re.IGNORECASE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda one, other: one >= other, "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other, "<": lambda one, other: one < other,
    "=": lambda one, other: one == other, "!=": lambda one, other: one != other,
}  # fmt: skip
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_ORDERS: dict[str, Callable[[Row], Any]] = {
    "created": lambda row: row.created, "updated": lambda row: row.updated,
    "id": lambda row: int(row.id), "key": lambda row: row.index, "issuekey": lambda row: row.index,
}  # fmt: skip


class JqlError(Exception):
    """A query that Jira refuses, in its words."""


def parsed(jql: str, *, zone: str, now: float) -> tuple[Callable[[Row], bool], Callable[[Row], Any], bool]:
    """A test, what to order by, and whether downwards.

    Raises:
        JqlError: For a query without a condition, and one that is not understood.
    """
    where, order = re.split(r"\border by\b", jql, flags=re.IGNORECASE)[0].strip(), _order(jql)
    if not where:
        raise JqlError(
            "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."
        )
    tests = [_condition(one, zone, now) for one in re.split(r"\band\b", where, flags=re.IGNORECASE)]
    field, _, direction = order.partition(" ")
    if field and field not in _ORDERS:
        raise JqlError(f"Field '{field}' does not exist or you do not have permission to view it.")
    key = _ORDERS[field or "created"]
    return lambda row: all(test(row) for test in tests), key, direction == "desc" or not field


def _order(jql: str) -> str:
    """The first field to order by, and its direction."""
    parts = re.split(r"\border by\b", jql, flags=re.IGNORECASE)
    return " ".join(parts[1].split(",")[0].lower().split()) if len(parts) > 1 else ""


def _condition(text: str, zone: str, now: float) -> Callable[[Row], bool]:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise JqlError(f"Error in the JQL Query: {text.strip()[:80]!r} is not understood.")
    field, operator, value = found[1].lower(), found[2].lower(), found[3].strip("\"'()")
    if operator == "is not":
        return lambda _: True
    if operator == "in":
        wanted = {one.strip(" \"'") for one in value.split(",")}
        return lambda row: bool({row.id, row.fields["key"]} & wanted)
    compare = _COMPARE.get(operator, _COMPARE["="])
    if field in ("created", "updated"):
        moment = _moment(value, zone, now)
        return lambda row: compare(getattr(row, field), moment)
    if field == "project":
        return lambda row: compare(row.fields["project"]["key"], value)
    if field in ("id", "issue", "key", "issuekey"):
        return lambda row: compare(int(row.id), int(value)) if value.isdigit() else row.fields["key"] == value
    raise JqlError(f"Field '{field}' does not exist or you do not have permission to view it.")


def _moment(value: str, zone: str, now: float) -> float:
    if value.isdigit():
        return int(value) / 1000
    if relative := re.fullmatch(r"-(\d+)([mhdw])", value):
        return now - int(relative[1]) * _UNITS[relative[2]]
    try:
        return datetime.fromisoformat(value.replace("/", "-")).replace(tzinfo=ZoneInfo(zone)).timestamp()
    except ValueError:
        raise JqlError(f"Date value '{value[:40]}' for the field is invalid.") from None
