"""A portal's custom objects: what their schemas say, and which of them are defined, deleted, or hidden from a token.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/objects/schemas/guide. Not here: their records
(`unified.sandbox.hubspot.records`), and HTTP (`unified.sandbox.hubspot.lists`).
"""

from __future__ import annotations

from dataclasses import dataclass

from unified.sandbox.hubspot.records import CUSTOM, Kind


@dataclass(frozen=True)
class Definition:
    """A custom object: its names, the property that people know a record by, its own properties, its neighbours."""

    name: str
    plural: str
    display: str
    properties: tuple[str, ...]
    associated: tuple[str, ...] = ()


DEFINITIONS: dict[Kind, Definition] = {
    "2-5001001": Definition("car", "Cars", "model", ("model", "vin", "year", "price"), ("0-1", "0-2")),
    "2-5001002": Definition("visit", "Visits", "visit_title", ("visit_title", "visited_on")),
    "2-5001003": Definition("pet", "Pets", "pet_name", ("pet_name",)),
}


class Schemas:
    """Which custom objects a portal has.

    Args:
        names: those that are defined from the start.
    """

    def __init__(self, names: tuple[Kind, ...]) -> None:
        self.defined: set[Kind] = {*names}
        self.deleted: set[Kind] = set()
        self.hidden: set[Kind] = set()

    def has(self, kind: Kind) -> bool:
        """Whether a path may name an object."""
        return kind not in CUSTOM or (kind in self.defined and kind not in self.hidden)
