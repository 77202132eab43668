"""The query language of the accounting API: one SELECT over one entity, with conditions that all hold.

Source: https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/data-queries. Not
here: which records there are, and how many an answer shows (`api`). LIKE is not offered.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from unified.sandbox.quickbooks.records import instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unified.sandbox.tables.table import Record

CHANGED = "MetaData.LastUpdatedTime"
_QUERY = re.compile(
    r"SELECT\s+(?P<what>\*|COUNT\(\*\))\s+FROM\s+(?P<entity>\w+)(?:\s+WHERE\s+(?P<where>.*?))?"
    r"(?:\s+ORDER ?BY\s+(?P<order>[\w.]+)(?:\s+(?P<way>ASC|DESC))?)?"
    r"(?:\s+STARTPOSITION\s+(?P<start>\d+))?(?:\s+MAXRESULTS\s+(?P<most>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_VALUE = r"'(?:[^'\\]|\\.)*'|[\w.-]+"
_TERM = re.compile(
    rf"(?P<field>[\w.]+)\s*(?P<sign>>=|<=|=|>|<|\bIN\b)\s*(?P<value>\((?:{_VALUE}|[\s,])*\)|{_VALUE})(?:\s+AND\s+|\s*$)",
    re.IGNORECASE,
)
_VALUES = re.compile(_VALUE)
_SIGNS = {
    "=": operator.eq, "IN": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes:
        is_count: Whether only the number of records is asked for.
        terms: Field, sign and values of each condition.
        order: The field to order by; without one the newest change comes first.
        start: Position of the first record to show, from 1 on.
        most: How many records to show; None for the usual number.
    """

    entity: str
    is_count: bool
    terms: tuple[tuple[str, str, tuple[str, ...]], ...]
    order: str
    is_down: bool
    start: int
    most: int | None

    @classmethod
    def read(cls, text: str) -> Query:
        """Read a query.

        Raises:
            ValueError: If it is not one.
        """
        asked = _QUERY.fullmatch(text)
        if asked is None:
            raise ValueError("QueryParserError")
        return cls(
            asked["entity"],
            asked["what"] != "*",
            tuple(_terms(asked["where"] or "")),
            asked["order"] or CHANGED,
            asked["order"] is None or (asked["way"] or "").upper() == "DESC",
            int(asked["start"] or 1),
            int(asked["most"]) if asked["most"] else None,
        )

    def holds(self, record: Record) -> bool:
        """Whether a record fits; inactive ones do only where they are asked for."""
        is_shown = record.get("Active", True) or any(field == "Active" for field, *_ in self.terms)
        return is_shown and all(
            _holds(_at(record, field), sign, values) for field, sign, values in self.terms
        )

    def key(self, record: Record) -> Any:
        """What records are put in order by."""
        found = _at(record, self.order)
        if self.order.startswith("MetaData."):
            return instant(found)
        return (found is None, int(found) if self.order == "Id" else found)


def _terms(where: str) -> list[tuple[str, str, tuple[str, ...]]]:
    terms, at = [], 0
    while at < len(where):
        term = _TERM.match(where, at)
        if term is None:
            raise ValueError("QueryParserError")
        values = tuple(
            re.sub(r"\\(.)", r"\1", one[1:-1]) if one[0] == "'" else one
            for one in _VALUES.findall(term["value"])
        )
        terms.append((term["field"], term["sign"].upper(), values))
        at = term.end()
    return terms


def _at(record: Record, field: str) -> Any:
    found: Any = record
    for part in field.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    # A reference and an e-mail address are asked for by the field around them.
    return found.get("value", found.get("Address")) if isinstance(found, dict) else found


def _holds(found: Any, sign: str, values: Sequence[str]) -> bool:
    if found is None:
        return False
    return any(_SIGNS[sign](*_alike(found, one)) for one in values)


def _alike(found: Any, asked: str) -> tuple[Any, Any]:
    """A value and what it is compared with, of one type: texts without regard to case."""
    if isinstance(found, bool):
        return str(found).lower(), asked.lower()
    if isinstance(found, int | float):
        try:
            return Decimal(str(found)), Decimal(asked)
        except InvalidOperation:
            return str(found), asked
    if "T" in found and re.match(r"\d{4}-\d\d-\d\dT", found):
        return instant(found), instant(asked)
    return found.casefold(), asked.casefold()
