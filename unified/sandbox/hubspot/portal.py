"""One HubSpot portal: the changes that tests and writes make to its records.

Not here: the records as they stand (``standing``), and HTTP.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unified.sandbox.draw import seed_of
from unified.sandbox.hubspot.events import EventMaker
from unified.sandbox.hubspot.records import (
    CUSTOM,
    LINES_PER_INVOICE,
    SINGULAR,
    Kind,
    Properties,
)
from unified.sandbox.hubspot.settings.owners import Owners
from unified.sandbox.hubspot.settings.schemas import Schemas
from unified.sandbox.hubspot.standing import Standing, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unified.sandbox.clock import Clock


class HubSpotPortal(Standing):
    """The data behind one access token.

    Args:
        key: chooses the data, together with `seed`.
        seed: same seed and key, same records.
        counts: generated contacts, companies and invoices.
        until: Unix seconds of the newest generated record.
        clock: dates every change.
        announce: called with the events of each change.
        owners: generated owners.
    """

    def __init__(
        self,
        key: str,
        *,
        seed: int,
        counts: dict[Kind, int],
        until: int,
        clock: Clock,
        announce: Callable[[list[dict[str, Any]]], None],
        owners: int = 0,
    ) -> None:
        super().__init__(key, seed=seed, counts=counts, until=until, clock=clock)
        self.schemas = Schemas(CUSTOM[:2] if counts[CUSTOM[0]] else ())
        self.owners = Owners(seed_of(seed, key) ^ 10, owners, until * 1000, clock)
        self._announce = announce
        self._events = EventMaker(self.portal_id, seed_of(seed, key))

    def create(
        self, kind: Kind, properties: Properties, companies: list[int] | None = None, *, source: str = "CRM"
    ) -> dict[str, Any]:
        """Create a record; what `properties` leave out is generated. `source` is what its event says."""
        record = self._add(kind, properties, companies)
        self._announce([self._events.creation(kind, record["id"], self._now_ms(), source)])
        return record

    def update(
        self, kind: Kind, record_id: str, properties: Properties, *, source: str = "CRM"
    ) -> dict[str, Any]:
        """Change properties of a record; bumps its date of modification."""
        index = self._index(kind, record_id)
        before = self.state(kind, index)
        if unknown := [name for name in properties if name not in self.property_names(kind)]:
            raise ValueError(f"cannot update {SINGULAR[kind]} {record_id}: no property {', '.join(unknown)}")
        changed = {**self._plain(kind, index, before), **properties}
        now = self._now_ms()
        self._put(kind, index, replace(before, properties=changed, modified_ms=now, before=before))
        self._announce(list(self._events.property_changes(kind, record_id, properties, now, source)))
        return self.full(kind, index)

    def archive(self, kind: Kind, record_id: str, *, source: str = "CRM") -> None:
        """Put a record into the bin; does not bump its date of modification."""
        index = self._index(kind, record_id)
        before, now = self.state(kind, index), self._now_ms()
        self._put(kind, index, replace(before, archived_ms=now, before=before))
        self._announce([self._events.deletion(kind, record_id, now, source)])

    @contextmanager
    def all_or_none(self, *, keep: bool) -> Iterator[None]:
        """Take back every change of a block that raises, unless they are to be kept all the same."""
        if keep:
            yield
            return
        states, added, announce = dict(self._states), dict(self._added), self._announce
        events: list[dict[str, Any]] = []
        self._announce = events.extend
        try:
            yield
        except BaseException:
            self._states, self._added = states, added
            self._keys.clear()
            self._links.clear()
            raise
        else:
            announce(events)
        finally:
            self._announce = announce

    def define_property(self, kind: Kind, name: str, *, unique: bool = False) -> None:
        """Add a property of the portal's own to an object; `unique` makes it a key of its records."""
        self._defined[kind].append(name)
        if unique:
            self._keys.add(kind, name)

    def set_rule(self, kind: Kind, name: str, pattern: str | None) -> None:
        """From now on refuse writes over the API after which a property does not match; None ends the rule."""
        self._rules[kind].pop(name, None)
        if pattern is not None:
            self._rules[kind][name] = pattern

    def create_contact(
        self, *, company_ids: list[str] | None = None, **properties: str | None
    ) -> dict[str, Any]:
        """Create a contact; properties override the generated ones. The first company is the primary one."""
        companies = None if company_ids is None else [self._index("companies", one) for one in company_ids]
        return self.create("contacts", properties, companies)

    def update_contact(self, contact_id: str, **properties: str | None) -> dict[str, Any]:
        """Change properties; bumps `lastmodifieddate`."""
        return self.update("contacts", contact_id, properties)

    def archive_contact(self, contact_id: str) -> None:
        """Archive; does not bump `lastmodifieddate`, search no longer shows it."""
        self.archive("contacts", contact_id)

    def merge_contacts(self, primary_id: str, other_id: str) -> dict[str, Any]:
        """Merge two contacts into a new one with a new id; both old ids lead to it and are no longer listed.

        https://developers.hubspot.com/changelog/updated-merge-functionality-for-contacts-and-companies
        """
        old = [self._index("contacts", one) for one in (primary_id, other_id)]
        first = self.state("contacts", old[0])
        merged = {
            **self._plain("contacts", old[0], first),
            "hs_merged_object_ids": f"{primary_id};{other_id}",
        }
        record = self._add("contacts", merged, self.companies_of(old[0]))
        into = self._index("contacts", record["id"])
        for index in old:
            before = self.state("contacts", index)
            self._put("contacts", index, replace(before, merged_into=into, before=before))
        ids = primary_id, other_id
        self._announce([self._events.merge("contacts", ids, record["id"], self._now_ms())])
        return record

    def create_company(self, **properties: str | None) -> dict[str, Any]:
        """Create a company."""
        return self.create("companies", properties)

    def update_company(self, company_id: str, **properties: str | None) -> dict[str, Any]:
        """Change properties; the company's contacts are not bumped."""
        return self.update("companies", company_id, properties)

    def archive_company(self, company_id: str) -> None:
        """Archive a company; its contacts lose the association, unbumped."""
        self.archive("companies", company_id)

    def create_invoice(self, *, lines: int = 1, **properties: str | None) -> dict[str, Any]:
        """Create an invoice with so many generated lines (at most 256), from which its amounts follow."""
        self._records.line_counts[self._records.counts["invoices"] + self._added["invoices"]] = lines
        return self.create("invoices", properties)

    def update_invoice(self, invoice_id: str, **properties: str | None) -> dict[str, Any]:
        """Change properties, `hs_invoice_status` for instance; amounts stay as they are unless given."""
        return self.update("invoices", invoice_id, properties)

    def archive_invoice(self, invoice_id: str) -> None:
        """Archive an invoice."""
        self.archive("invoices", invoice_id)

    def associate(self, kind: Kind, record_id: str, contact_id: str | None) -> None:
        """Put another contact in the place of a record's, or none; that modifies neither of them."""
        contact = None if contact_id is None else self._index("contacts", contact_id)
        self._contacts[kind, self._index(kind, record_id)] = contact
        self._links.clear()

    def define_object(self, kind: Kind) -> None:
        """Define a custom object, with the records that it has."""
        self.schemas.defined.add(kind)
        self.schemas.deleted.discard(kind)

    def delete_object(self, kind: Kind) -> None:
        """Delete a custom object; all of its records have to be archived before."""
        if any(True for _ in self.ids(kind)):
            raise ValueError(f"{kind} has records")
        self.schemas.defined.discard(kind)
        self.schemas.deleted.add(kind)

    def hide_object(self, kind: Kind, *, hidden: bool = True) -> None:
        """Show a custom object to nobody, as to a token without the right to it; or show it again."""
        (self.schemas.hidden.add if hidden else self.schemas.hidden.discard)(kind)

    def create_owner(self, **fields: Any) -> dict[str, Any]:
        """Add an owner; fields override the generated ones."""
        return self.owners.create(**fields)

    def update_owner(self, owner_id: str, **fields: Any) -> dict[str, Any]:
        """Change fields of an owner."""
        return self.owners.update(owner_id, **fields)

    def archive_owner(self, owner_id: str) -> None:
        """Archive an owner; what is assigned to it stays so."""
        self.owners.archive(owner_id)

    # ---------------------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return int(self._clock.time() * 1000)

    def _index(self, kind: Kind, record_id: str) -> int:
        index = self.find(kind, record_id)
        if index is None or not self.is_listed(self.state(kind, index)):
            raise KeyError(f"the sandbox has no {SINGULAR[kind]} {record_id}, or it is archived")
        return index

    def _put(self, kind: Kind, index: int, state: State) -> None:
        self._changes += 1
        state.changed_at, state.version = self._clock.time(), self._changes
        before = self._states.get((kind, index))
        if before is None and index < self._records.counts[kind]:
            before = self._generated(kind, index)
        self._keys.move(kind, index, self._owned(kind, index, before), self._owned(kind, index, state))
        self._states[kind, index] = state
        self._links.clear()

    def _add(self, kind: Kind, properties: Properties, companies: list[int] | None = None) -> dict[str, Any]:
        index, now = self._records.counts[kind] + self._added[kind], self._now_ms()
        self._added[kind] += 1
        merges: Properties = {"hs_merged_object_ids": None} if kind in ("contacts", "companies") else {}
        made = {**self._records.properties(kind, index), **merges, **properties}
        if kind == "invoices":
            for line in range(self._records.line_count(index)):
                self._put("line_items", index * LINES_PER_INVOICE + line, State(None, now, now))
        self._put(kind, index, State(made, now, now, companies=companies))
        return self.full(kind, index)
