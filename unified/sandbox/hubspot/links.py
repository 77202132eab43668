"""Associations of a portal, seen from either end.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/associations. Not here: HTTP
(`unified.sandbox.hubspot.associations`).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from unified.sandbox.hubspot.records import LINES_PER_INVOICE, Kind

_ASSOCIATION_TYPES: dict[tuple[Kind, Kind], tuple[int, int | None]] = {
    # (from, to): type id without a label, and that of the "Primary" label.
    ("contacts", "companies"): (279, 1),
    ("companies", "contacts"): (280, 2),
    ("invoices", "contacts"): (177, None),
    ("contacts", "invoices"): (178, None),
    ("invoices", "companies"): (179, None),
    ("companies", "invoices"): (180, None),
    ("invoices", "line_items"): (409, None),
    ("line_items", "invoices"): (410, None),
    ("deals", "contacts"): (3, None),
    ("deals", "companies"): (341, 5),
    ("tickets", "contacts"): (16, None),
    ("tickets", "companies"): (339, 26),
    ("quotes", "contacts"): (69, None),
    ("quotes", "companies"): (71, None),
    ("2-5001001", "contacts"): (21, None),
    ("2-5001001", "companies"): (22, None),
}
_FORWARD: frozenset[tuple[Kind, Kind]] = frozenset(
    (
        ("contacts", "companies"),
        ("invoices", "contacts"),
        ("invoices", "companies"),
        ("invoices", "line_items"),
        ("deals", "contacts"),
        ("deals", "companies"),
        ("tickets", "contacts"),
        ("tickets", "companies"),
        ("quotes", "contacts"),
        ("quotes", "companies"),
        ("2-5001001", "contacts"),
        ("2-5001001", "companies"),
    )
)
"""The ends that associations are kept at; the others follow from them."""


@dataclass
class Association:
    """A link to another record, with its types (https://developers.hubspot.com/docs: associations)."""

    index: int
    types: list[dict[str, Any]] = field(default_factory=list)


class Ends(Protocol):
    """What the associations follow from; records are known by their index."""

    def indexes(self, kind: Kind) -> Iterable[int]:
        """All records of a kind, archived ones included."""

    def companies_of(self, contact: int) -> list[int]:
        """The companies of a contact, the primary one first."""

    def contact_of(self, kind: Kind, index: int) -> int | None:
        """The contact of an invoice, a deal and what else has one."""

    def line_count(self, invoice: int) -> int:
        """How many line items an invoice has."""


class Links:
    """All associations of one portal.

    Args:
        portal: Knows which company a contact has, and which contact an invoice.
    """

    def __init__(self, portal: Ends) -> None:
        self._portal = portal
        self._reverse: dict[tuple[Kind, Kind], dict[int, list[Association]]] = {}

    def of(self, source: Kind, target: Kind, index: int) -> list[Association] | None:
        """What a record is connected to, archived records included; None where the two objects cannot be."""
        if (source, target) not in _ASSOCIATION_TYPES:
            return None
        if (source, target) in _FORWARD:
            return self._forward(source, target, index)
        if source == "line_items":
            return [Association(index // LINES_PER_INVOICE, _types(source, target))]
        return self._reversed(source, target).get(index, [])

    def clear(self) -> None:
        """Something changed."""
        self._reverse.clear()

    def _forward(self, source: Kind, target: Kind, index: int) -> list[Association]:
        if target == "line_items":
            first = index * LINES_PER_INVOICE
            lines = range(self._portal.line_count(index))
            return [Association(first + line, _types(source, target)) for line in lines]
        if source == "contacts":
            companies = enumerate(self._portal.companies_of(index))
            return [Association(one, _types(source, target, primary=at == 0)) for at, one in companies]
        contact = self._portal.contact_of(source, index)
        if contact is None:
            return []
        if target == "contacts":
            return [Association(contact, _types(source, target))]
        return [Association(one, _types(source, target)) for one in self._portal.companies_of(contact)[:1]]

    def _reversed(self, source: Kind, target: Kind) -> dict[int, list[Association]]:
        """Links seen from the other end, built once and dropped with the next change."""
        known = self._reverse.get((source, target))
        if known is None:
            known = self._reverse[source, target] = defaultdict(list)
            for index in self._portal.indexes(target):
                for link in self._forward(target, source, index):
                    primary = any(kind["label"] == "Primary" for kind in link.types)
                    known[link.index].append(Association(index, _types(source, target, primary=primary)))
        return known


def _types(source: Kind, target: Kind, *, primary: bool = False) -> list[dict[str, Any]]:
    plain, labelled = _ASSOCIATION_TYPES[source, target]
    types: list[dict[str, Any]] = [{"category": "HUBSPOT_DEFINED", "typeId": plain, "label": None}]
    if primary and labelled is not None:
        types.insert(0, {"category": "HUBSPOT_DEFINED", "typeId": labelled, "label": "Primary"})
    return types
