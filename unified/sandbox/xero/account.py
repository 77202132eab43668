"""One organisation of the stand-in: what a change does to its tables.

Not here: HTTP (`unified.sandbox.xero.api`).
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from unified.sandbox.tables.account import TableAccount, sums

if TYPE_CHECKING:
    from unified.sandbox.tables.table import Record

FATES = {
    "Contacts": ("ContactStatus", "ARCHIVED"), "Invoices": ("Status", "DELETED"),
    "CreditNotes": ("Status", "DELETED"), "Payments": ("Status", "DELETED"),
}  # fmt: skip
"""How a record of each table ends: the field, and its word."""


class XeroAccount(TableAccount):
    """One organisation. Contacts are archived, and documents get a status: nothing is ever taken out of a list."""

    def delete(self, table: str, record_id: str, /) -> Record:
        """Archive a contact, delete a document."""
        field, word = FATES[table]
        if self._live(table, record_id).fields[field] == word:
            raise KeyError(f"{record_id} of {table} is {word} already")
        return self.update(table, record_id, **{field: word})

    def merge(self, loser: str, winner: str) -> Record:
        """Merge a contact into another one: it is archived, and its invoices move."""
        owner = {"ContactID": winner, "Name": self._live("Contacts", winner).fields["Name"]}
        for row in self.rows["Invoices"].live():
            if row.fields["Contact"]["ContactID"] == loser:
                self.update("Invoices", row.id, Contact=owner)
        return self.update("Contacts", loser, ContactStatus="ARCHIVED", MergedToContactID=winner)

    def all(self, table: str) -> dict[str, Record]:
        """Every record that is neither archived nor deleted, by id."""
        field, word = FATES[table]
        return {name: one for name, one in super().all(table).items() if one[field] != word}

    def source_counts(self) -> dict[str, int]:
        """How many records a complete copy holds, by table, and how many lines the invoices have."""
        lines = sum(len(one["LineItems"]) for one in self.all("Invoices").values())
        return {**{name: len(self.all(name)) for name in FATES}, "LineItems": lines}

    def source_totals(self) -> dict[str, Any]:
        """Sums of the invoices, by currency."""
        names = ("Total", "TotalTax", "AmountDue", "AmountPaid")
        amounts = {name: itemgetter(name) for name in names}
        return sums(self.all("Invoices").values(), itemgetter("CurrencyCode"), amounts)
