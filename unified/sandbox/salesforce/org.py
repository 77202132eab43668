"""One org's records and the changes that are made to them: merged, taken out of the bin, gone for good.

Not here: HTTP (`api`), and what records look like (`objects`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from unified.sandbox.salesforce.fields import identifier, moment
from unified.sandbox.salesforce.objects import FIELDS
from unified.sandbox.tables.account import TableAccount, sums
from unified.sandbox.tables.table import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unified.sandbox.provider import Call
    from unified.sandbox.salesforce.soql import Query
    from unified.sandbox.tables.table import Record, Rows

ORGANIZATION = identifier("00D", 1)
_LOCATORS = 50


class Org(TableAccount):
    """The data behind one access token.

    Attributes:
        hidden: fields, as `Contact.Phone`, and objects that field and object security hide from the user.
        blocks_duplicates: whether a duplicate rule refuses contacts with an e-mail address that another one has.
        locked: records that somebody else is changing, until they are asked for once.
        locators: rows that a query has not handed out yet, by the locator that asks for them.
    """

    def __init__(self, key: str, **how: Any) -> None:
        super().__init__(key, **how)
        self.hidden: set[str] = set()
        self.locators: dict[str, tuple[int, list[Record]]] = {}
        self.blocks_duplicates = False
        self.locked: set[str] = set()
        self.serial = 0

    def merge(self, table: str, winner: str, loser: str, /) -> Record:
        """Merge a record into another one: it is deleted, and says into which."""
        rows, row = self.rows[table], self._live(table, loser)
        row.fields = {**row.fields, "MasterRecordId": self._live(table, winner).id}
        rows.remove(row, self._clock.time())
        self._live(table, winner).updated = self._clock.time()
        return self._changed("delete", rows, row)

    def undelete(self, table: str, record_id: str, /) -> Record:
        """Take a record out of the bin."""
        rows, row = self.rows[table], self.rows[table].find(record_id)
        if row is None or not row.is_deleted:
            raise KeyError(f"the sandbox has no {table} {record_id} in its bin")
        row.is_deleted, row.updated = False, self._clock.time()
        return self._changed("update", rows, row)

    def hide(self, *names: str) -> None:
        """Hide fields (`Contact.Phone`) or objects (`Invoice`) from the user, from now on."""
        self.hidden.update(names)

    def keep_rest(self, total: int, left: list[Record], size: int) -> str:
        """The locator that asks for the rest of a query: the user has some at a time, and the oldest ends."""
        self.serial += 1
        locator = f"01gfake{self.serial:011}-{size}"
        self.locators[locator] = (total, left)
        if len(self.locators) > _LOCATORS:
            del self.locators[next(iter(self.locators))]
        return locator

    def forget_locators(self) -> None:
        """Every query locator has ended: another query of the user took its place, or two days are over."""
        self.locators.clear()

    def fields(self, table: str) -> dict[str, Any]:
        """The fields of an object that the user may see, by name; none where the object is hidden."""
        if table in self.hidden or table not in FIELDS:
            return {}
        return {one.name: one for one in FIELDS[table] if f"{table}.{one.name}" not in self.hidden}

    def records(self, query: Query, *, deleted: bool = False) -> Iterator[Seen]:
        """Records as SOQL sees them, in the order of ids, and none that the query's bounds leave out."""
        if query.source == "Organization":
            yield Seen(self, _ORGANIZATION_ROW)
            return
        rows = list(self.rows[query.source])  # ids ascend as records are created
        low, high = 0, len(rows)
        for sign, asked in query.bounds:
            if sign in (">", ">=", "="):
                side = bisect_right if sign == ">" else bisect_left
                low = max(low, side(rows, asked, key=_fifteen))
            if sign in ("<", "<=", "="):
                side = bisect_left if sign == "<" else bisect_right
                high = min(high, side(rows, asked, key=_fifteen))
        downwards = query.by_id and query.order[0][1]
        for at in range(high - 1, low - 1, -1) if downwards else range(low, high):
            if deleted or not rows[at].is_deleted:
                yield Seen(self, rows[at])

    def source_counts(self) -> dict[str, int]:
        """How many records a complete copy holds, by object: a person account once, lines with their invoices."""
        counts = super().source_counts()
        invoices = self.all("Invoice")
        return {
            **counts,
            "Contact": sum(not row.fields["IsPersonAccount"] for row in self.rows["Contact"].live()),
            "InvoiceLine": sum(
                row.fields["InvoiceId"] in invoices for row in self.rows["InvoiceLine"].live()
            ),
        }

    def source_totals(self) -> dict[str, Any]:
        """Sums of the invoices, by currency."""
        amounts = {name: itemgetter(name) for name in ("TotalAmount", "TotalTaxAmount", "TotalAmountWithTax")}
        return sums(self.all("Invoice").values(), itemgetter("CurrencyIsoCode"), amounts)

    def _changed(self, change: str, rows: Rows, row: Row) -> Record:
        record = rows.shown(row)
        self.serial += 1
        self._announce(
            [{"serial": self.serial, "object": rows.table.name, "change": change, "record": record}]
        )
        return record


def _fifteen(row: Row) -> str:
    return row.id[:15]


def org_of(call: Call[TableAccount]) -> Org:
    """The org of a request."""
    assert isinstance(call.account, Org)  # noqa: S101 - the stand-in opens no other
    return call.account


class Seen:
    """A record as a query looks at it, field by field: most are passed over, so none is made whole for that."""

    __slots__ = ("_org", "_row")

    def __init__(self, org: Org, row: Row) -> None:
        self._org, self._row = org, row

    def get(self, name: str) -> Any:
        """A field; the account that a record names is one as well, to be looked at in turn."""
        row = self._row
        if name == "Id":
            return row.id
        if name == "IsDeleted":
            return row.is_deleted
        if name == "SystemModstamp" or (name == "LastModifiedDate" and name not in row.fields):
            return moment(row.updated)  # the latter can be set back, and then is a field like others
        if name == "CreatedDate":
            return moment(row.created)
        if name == "Account":
            account = self._org.rows["Account"].find(row.fields.get("AccountId") or "")
            return None if account is None else Seen(self._org, account)
        return row.fields.get(name)


_ORGANIZATION_ROW = Row(
    0,
    ORGANIZATION,
    {"Name": "Acme", "InstanceName": "EU99", "OrganizationType": "Developer Edition", "IsSandbox": False},
    0.0,
    0.0,
)
