"""Which records of a list are asked for: since a time, by ids and states, and by the conditions that have an index.

Source: https://developer.xero.com/documentation/api/accounting (``requests-and-responses``, ``contacts``,
``invoices``). Not here: their order and pages (`unified.sandbox.xero.api`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from unified.sandbox.tables.listing import BadParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from unified.sandbox.tables.table import Row, Rows

_IDS_IN_URL = 50
_TERM = re.compile(r'(Name|EmailAddress|AccountNumber)=="((?:[^"]|"")*)"')

# Filters of invoices by lists of values, of which each may have any.
_LISTS: dict[str, Callable[[Row], str]] = {
    "Statuses": lambda row: row.fields["Status"],
    "InvoiceNumbers": lambda row: row.fields["InvoiceNumber"],
    "ContactIDs": lambda row: row.fields["Contact"]["ContactID"],
}


def chosen_by(rows: Rows, asked: Mapping[str, str], modified: str | None) -> list[Row]:
    """The records that fit the query and the time of ``If-Modified-Since``, which is UTC unless it says otherwise.

    Raises:
        BadParameterError: If there are too many ids, or a condition has no index.
    """
    found = rows.live()
    if modified is not None:
        said = datetime.fromisoformat(modified)
        since = (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
        found = [row for row in found if row.updated >= since]
    if "IDs" in asked:
        ids = asked["IDs"].split(",")
        if len(ids) > _IDS_IN_URL:
            raise BadParameterError("IDs", "The request's URL is too long")
        found = [row for row in found if row.id in ids]
    elif rows.table.name == "Contacts" and asked.get("includeArchived", "").lower() != "true":
        found = [row for row in found if row.fields["ContactStatus"] == "ACTIVE"]
    for name in _LISTS.keys() & asked.keys() if rows.table.name == "Invoices" else ():
        wanted = asked[name].split(",")
        found = [row for row in found if _LISTS[name](row) in wanted]
    if "where" in asked:
        terms = _terms(rows, asked["where"])
        found = [row for row in found if _fits(row, terms)]
    return found


def _terms(rows: Rows, where: str) -> list[tuple[str, str]]:
    terms = [_TERM.fullmatch(part) for part in where.split(" OR ")]
    if rows.table.name != "Contacts" or None in terms:
        raise BadParameterError("where", "It takes too long")
    return [(term[1], term[2].replace('""', '"').casefold()) for term in terms if term]


def _fits(row: Row, terms: list[tuple[str, str]]) -> bool:
    return any(row.fields[name].casefold() == value for name, value in terms)
