"""A HubSpot portal's records as they stand: found, shown, connected, and counted by the oracles.

Not here: what changes them (``portal``), HTTP, and the evaluation of searches.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

from unified.sandbox.clock import DAY, Clock, iso_ms
from unified.sandbox.collection import ByteCache
from unified.sandbox.draw import seed_of
from unified.sandbox.hubspot.keys import UniqueKeys
from unified.sandbox.hubspot.links import Association, Links
from unified.sandbox.hubspot.records import (
    CUSTOM,
    FURTHER,
    KINDS,
    LINES_PER_INVOICE,
    HubSpotRecords,
    Kind,
    Properties,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHIVE_DAYS = 90
"""How long archived records can still be read."""
_MODIFIED: dict[Kind, str] = {
    "contacts": "lastmodifieddate", "companies": "hs_lastmodifieddate", "invoices": "hs_lastmodifieddate",
    "line_items": "hs_lastmodifieddate", **dict.fromkeys((*FURTHER, *CUSTOM), "hs_lastmodifieddate"),
}  # fmt: skip
_CREATED: dict[Kind, str] = {
    "contacts": "createdate", "companies": "createdate", "invoices": "hs_createdate",
    "line_items": "createdate", **dict.fromkeys(FURTHER, "createdate"), "quotes": "hs_createdate",
    **dict.fromkeys(CUSTOM, "hs_createdate"),
}  # fmt: skip


@dataclass(slots=True)
class State:
    """How a record stands."""

    properties: Properties | None
    """All but id and dates; None where they are as generated."""
    created_ms: int
    modified_ms: int
    archived_ms: int | None = None
    merged_into: int | None = None
    changed_at: float = 0.0
    """When the change happened, for the search's lag."""
    version: int = 0
    """Changes of the portal up to this one."""
    before: State | None = None
    """The state before that change; None where the record is new."""
    companies: list[int] | None = None
    """Associated companies, where they are not the generated ones."""


class Standing:
    """The records of one portal, generated and changed. The arguments are those of the portal."""

    def __init__(
        self,
        key: str,
        *,
        seed: int,
        counts: dict[Kind, int],
        until: int,
        clock: Clock,
    ) -> None:
        base = seed_of(seed, key)
        self.portal_id = 1_000_000 + base % 1_000_000
        self.cache = ByteCache()
        self._clock = clock
        self._until = until * 1000
        self._records = HubSpotRecords(base, counts, until * 1000)
        self._states: dict[tuple[Kind, int], State] = {}
        self._contacts: dict[tuple[Kind, int], int | None] = {}
        self._changes = 0
        self._added: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self._links = Links(self)
        self._base: dict[Kind, list[State]] = {}
        self._defined: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
        self._rules: dict[Kind, dict[str, str]] = {kind: {} for kind in KINDS}
        self._keys = UniqueKeys(self._live)

    def indexes(self, kind: Kind, first: int = 0) -> Iterator[int]:
        """All indexes from `first` on, in order of id; merged and archived records included."""
        if kind != "line_items":
            yield from range(first, self._records.counts[kind] + self._added[kind])
            return
        for invoice in self.indexes("invoices", first // LINES_PER_INVOICE):
            start = invoice * LINES_PER_INVOICE
            yield from range(max(first, start), start + self._records.line_count(invoice))

    def record_id(self, kind: Kind, index: int) -> str:
        """The record's id."""
        return self._records.record_id(kind, index)

    def find(self, kind: Kind, record_id: str) -> int | None:
        """Index of an id; ids that were merged away lead to the merged record. None where there is none."""
        index = self._records.index_of(kind, record_id)
        if index is None or not self._exists(kind, index):
            return None
        merged = self._states[kind, index].merged_into if (kind, index) in self._states else None
        return index if merged is None else self.find(kind, self.record_id(kind, merged))

    def first_after(self, kind: Kind, record_id: int) -> int:
        """The first index whose id is greater; it need not exist."""
        return self._records.first_after(kind, record_id)

    def state(self, kind: Kind, index: int) -> State:
        """The record as it stands."""
        state = self._states.get((kind, index)) or self._generated(kind, index)
        if kind == "line_items":
            # Line items go to the bin with their invoice.
            return replace(state, archived_ms=self.state("invoices", index // LINES_PER_INVOICE).archived_ms)
        return state

    def seen(self, kind: Kind, index: int, at: float) -> State | None:
        """The record as search saw it at `at` (Unix seconds); None where it did not know it yet."""
        state: State | None = self.state(kind, index)
        while state is not None and state.changed_at > at:
            state = state.before
        return state

    def is_listed(self, state: State, *, archived: bool = False) -> bool:
        """Whether a list shows it: live records, or the archived ones of the last 90 days."""
        if state.merged_into is not None:
            return False
        if not archived or state.archived_ms is None:
            return archived == (state.archived_ms is not None)
        return state.archived_ms >= (self._clock.time() - ARCHIVE_DAYS * DAY) * 1000

    def property_names(self, kind: Kind) -> list[str]:
        """The properties that the object has."""
        own = self._records.properties(kind, 0), self._defined[kind]
        return sorted({*chain(*own), "hs_object_id", _CREATED[kind], _MODIFIED[kind]})

    def full(self, kind: Kind, index: int) -> dict[str, Any]:
        """The record with its own properties, as the API shows it."""
        state = self.state(kind, index)
        return self.shown(kind, index, state, list(self._plain(kind, index, state)))

    def rules(self, kind: Kind) -> dict[str, str]:
        """Patterns that properties must match to be written, by name."""
        return self._rules[kind]

    def is_unique(self, kind: Kind, name: str) -> bool:
        """Whether no two live records can have the same value of a property."""
        return (kind, name) in self._keys

    def owner(self, kind: Kind, name: str, value: str) -> int | None:
        """Index of the live record that has a value of a unique property; an address may be a further one."""
        return self._keys.owner(kind, name, value)

    def properties(self, kind: Kind, index: int, state: State) -> Properties:
        """All properties."""
        return {
            **dict.fromkeys(self._defined[kind]),
            **self._plain(kind, index, state),
            "hs_object_id": self.record_id(kind, index),
            _CREATED[kind]: iso_ms(state.created_ms),
            _MODIFIED[kind]: iso_ms(state.modified_ms),
        }

    def shown(self, kind: Kind, index: int, state: State, wanted: list[str]) -> dict[str, Any]:
        """The record as the API shows it, with the wanted properties that exist; id and dates come always."""
        known = self.properties(kind, index, state)
        always = ("hs_object_id", _CREATED[kind], _MODIFIED[kind])
        record: dict[str, Any] = {
            "id": known["hs_object_id"],
            "properties": {name: known[name] for name in sorted({*wanted, *always}) if name in known},
            "createdAt": iso_ms(state.created_ms),
            "updatedAt": iso_ms(state.modified_ms),
            "archived": state.archived_ms is not None,
        }
        if state.archived_ms is not None:
            record["archivedAt"] = iso_ms(state.archived_ms)
        return record

    def modified_name(self, kind: Kind) -> str:
        """The property that holds the time of the last modification: not the same for every object."""
        return _MODIFIED[kind]

    def created_name(self, kind: Kind) -> str:
        """The property that holds the time of creation."""
        return _CREATED[kind]

    def associations(self, source: Kind, target: Kind, index: int) -> list[Association] | None:
        """What a record is connected to; None where the two objects cannot be."""
        links = self._links.of(source, target, index)
        return links and [link for link in links if self.is_listed(self.state(target, link.index))]

    def companies_of(self, contact: int) -> list[int]:
        """Companies of a contact, the primary one first."""
        state = self._states.get(("contacts", contact))
        return (
            self._records.companies_of(contact)
            if state is None or state.companies is None
            else state.companies
        )

    def contact_of(self, kind: Kind, index: int) -> int | None:
        """The contact of an invoice, a deal and what else has one, followed through merges."""
        contact = self._contacts.get((kind, index), self._records.contact_of(index))
        while contact is not None and (state := self._states.get(("contacts", contact))) is not None:
            if state.merged_into is None:
                break
            contact = state.merged_into
        return contact

    def line_count(self, invoice: int) -> int:
        """Line items of an invoice."""
        return self._records.line_count(invoice)

    # Oracles -------------------------------------------------------------------------------------------

    def all(self, kind: Kind, *, archived: bool = False) -> Iterator[dict[str, Any]]:
        """Every live record (or archived one) with all its properties, in order of id."""
        for index in self.indexes(kind):
            state = self.state(kind, index)
            if self.is_listed(state, archived=archived):
                yield self.shown(kind, index, state, list(self.properties(kind, index, state)))

    def ids(self, kind: Kind, *, archived: bool = False) -> Iterator[str]:
        """Ids of all live records (or archived ones), in their order; no record is made for that."""
        for index in self.indexes(kind):
            if self.is_listed(self.state(kind, index), archived=archived):
                yield self.record_id(kind, index)

    def source_counts(self) -> dict[str, int]:
        """How many records a complete copy holds, by object, and how many are archived."""
        counts: dict[str, int] = {kind: sum(1 for _ in self.ids(kind)) for kind in KINDS}
        archived = {f"archived_{kind}": sum(1 for _ in self.ids(kind, archived=True)) for kind in KINDS[:3]}
        return {**counts, **archived}

    def source_totals(self) -> dict[str, dict[str, str]]:
        """Per currency: sums of the amounts billed, paid and due of live invoices, as decimal text."""
        names = ("hs_amount_billed", "hs_amount_paid", "hs_balance_due")
        totals: dict[str, dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(names, Decimal(0)))
        for invoice in self.all("invoices"):
            for name in names:
                totals[invoice["properties"]["hs_currency"]][name] += Decimal(invoice["properties"][name])
        return {code: {name: str(value) for name, value in sums.items()} for code, sums in totals.items()}

    # ---------------------------------------------------------------------------------------------------

    def _live(self, kind: Kind) -> Iterator[tuple[int, Properties]]:
        for index in self.indexes(kind):
            properties = self._owned(kind, index, self.state(kind, index))
            if properties is not None:
                yield index, properties

    def _owned(self, kind: Kind, index: int, state: State | None) -> Properties | None:
        """The properties by which a record keeps others from having the same; None where it is not live."""
        return self._plain(kind, index, state) if state and self.is_listed(state) else None

    def _exists(self, kind: Kind, index: int) -> bool:
        if kind == "line_items":
            invoice, number = divmod(index, LINES_PER_INVOICE)
            return self._exists("invoices", invoice) and number < self._records.line_count(invoice)
        return index < self._records.counts[kind] + self._added[kind]

    def _generated(self, kind: Kind, index: int) -> State:
        if kind == "line_items":
            return self._make_state(kind, index)
        if kind not in self._base:
            self._base[kind] = [self._make_state(kind, at) for at in range(self._records.counts[kind])]
        return self._base[kind][index]

    def _make_state(self, kind: Kind, index: int) -> State:
        modified = self._records.modified_ms(kind, index)
        # In the bin since some time between its last change and the start of the sandbox.
        archived = (modified + self._until) // 2 if self._records.is_archived(kind, index) else None
        return State(None, self._records.created_ms(kind, index), modified, archived_ms=archived)

    def _plain(self, kind: Kind, index: int, state: State) -> Properties:
        return self._records.properties(kind, index) if state.properties is None else state.properties
