"""Which record has a value of a property that no two live records may share.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide (unique identifiers); for a
contact's further e-mail addresses https://knowledge.hubspot.com/contacts/add-multiple-email-addresses-to-a-contact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from unified.sandbox.hubspot.records import Kind, Properties


class UniqueKeys:
    """Indexes of one portal's records by their unique properties. An index is made when it is first asked for.

    Args:
        live: all live records of an object, with their indexes.
    """

    def __init__(self, live: Callable[[Kind], Iterable[tuple[int, Properties]]]) -> None:
        self._live = live
        self._names: set[tuple[Kind, str]] = {("contacts", "email")}
        self._owners: dict[tuple[Kind, str], dict[str, int]] = {}

    def add(self, kind: Kind, name: str) -> None:
        """Make a property unique."""
        self._names.add((kind, name))

    def __contains__(self, key: tuple[Kind, str]) -> bool:
        """Whether a property is unique."""
        return key in self._names

    def owner(self, kind: Kind, name: str, value: str) -> int | None:
        """The record that has a value, regardless of case; None where it is free."""
        known = self._owners.get((kind, name))
        if known is None:
            known = self._owners[kind, name] = {}
            for index, properties in self._live(kind):
                for one in _values(name, properties):
                    # Generated contacts may share an address: the first one has it.
                    known.setdefault(one, index)
        return known.get(value.lower())

    def move(self, kind: Kind, index: int, before: Properties | None, after: Properties | None) -> None:
        """A record changed; None where there was none, or it is gone."""
        for (owned, name), known in self._owners.items():
            if owned != kind:
                continue
            for value in _values(name, before or {}):
                if known.get(value) == index:
                    del known[value]
            for value in _values(name, after or {}):
                known.setdefault(value, index)

    def clear(self) -> None:
        """Forget all records; they are indexed anew."""
        self._owners.clear()


def _values(name: str, properties: Properties) -> list[str]:
    values = [properties.get(name)]
    if name == "email":
        values += (properties.get("hs_additional_emails") or "").split(";")
    return [value.lower() for value in values if value]
