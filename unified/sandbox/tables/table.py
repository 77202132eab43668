"""A kind of record, declared once, and its rows in one account: generated, then created, changed and deleted.

Not here: which events a change makes (`unified.sandbox.tables.account`), and how rows are listed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from unified.sandbox.draw import Draw, seed_of
from unified.sandbox.history import change_time, creation_times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Record = dict[str, Any]


class Tables(Protocol):
    """What a record may be made from of the rest of its account."""

    @property
    def rows(self) -> Mapping[str, Rows]:
        """All tables, by name."""

    @property
    def until(self) -> int:
        """Unix seconds of the newest generated record."""


@dataclass(frozen=True)
class New:
    """What a record is made from: whose it is, chance, its number in the table, its Unix time of creation."""

    account: Tables
    draw: Draw
    index: int
    created: int


@dataclass(frozen=True)
class Table:
    """One kind of record of a system.

    Attributes:
        name: what its lists are called, such as `customers`.
        noun: what one record is called, such as `customer`.
        make: a new record's fields, without id and times.
        ids: number in the table, seed of the account → id. The same for the same two.
        count: generated records, unless an account is made with another number.
        id: field of the id.
        created: field of the time of creation, or None.
        updated: field of the time of the last change, or None.
        deleted: field that is true of a deleted record; None where nothing is shown of one.
        moment: Unix seconds as the API writes a time.
        settle: mends what follows from other fields of a record, after every change.
        writable: changes that the API takes: `create`, `update`, `delete`.
    """

    name: str
    noun: str
    make: Callable[[New], Record]
    ids: Callable[[int, int], str]
    count: int = 100
    id: str = "id"
    created: str | None = None
    updated: str | None = None
    deleted: str | None = None
    moment: Callable[[float], Any] = int
    settle: Callable[[Record], Record] = lambda record: record
    writable: frozenset[str] = field(default_factory=frozenset)


@dataclass(slots=True)
class Row:
    """A record as it stands."""

    index: int
    id: str
    fields: Record
    created: float
    updated: float
    is_deleted: bool = False


class Rows:
    """The rows of one table in one account, made when they are first asked for.

    Args:
        table: what they are.
        account: whose they are.
        count: how many are generated; about 2 % of them are deleted already where a deleted one is shown.
    """

    def __init__(self, table: Table, account: Tables, count: int, seed: int) -> None:
        self.table = table
        self._account = account
        self._count = count
        self._seed = seed_of(seed, table.name)
        self._kept: dict[str, Row] = {}

    def __iter__(self) -> Iterator[Row]:
        """All of them, deleted ones included, in order of creation."""
        return iter(self._rows.values())

    def __len__(self) -> int:
        """How many there are, deleted ones included."""
        return len(self._rows)

    def id_of(self, index: int) -> str:
        """The id of a record by its number."""
        return self.table.ids(index, self._seed)

    def find(self, record_id: str) -> Row | None:
        """A record by its id, deleted or not."""
        return self._rows.get(record_id)

    def live(self) -> list[Row]:
        """Those that are not deleted."""
        return [row for row in self if not row.is_deleted]

    def shown(self, row: Row) -> Record:
        """A record as the API shows it."""
        table = self.table
        record = {table.id: row.id, **row.fields}
        if table.created is not None:
            record[table.created] = table.moment(row.created)
        if table.updated is not None:
            record[table.updated] = table.moment(row.updated)
        if table.deleted is not None:
            record[table.deleted] = row.is_deleted
        return record

    def add(self, fields: Record, now: float) -> Row:
        """A new record; what `fields` leave out is generated. One with an id of its own keeps it."""
        index = len(self._rows)
        made = {**self._made(index, int(now)), **fields}
        record_id = str(made.pop(self.table.id, self.id_of(index)))
        if record_id in self._rows:
            raise ValueError(f"there is a {self.table.noun} {record_id} already")
        row = self._rows[record_id] = Row(index, record_id, self.table.settle(made), now, now)
        return row

    def change(self, row: Row, fields: Record, now: float) -> None:
        """Change fields. Raises ValueError for one that its record does not have."""
        if unknown := fields.keys() - row.fields.keys():
            raise ValueError(
                f"cannot update {self.table.noun} {row.id}: no field {', '.join(sorted(unknown))}"
            )
        row.fields = self.table.settle({**row.fields, **fields})
        row.updated = now

    def remove(self, row: Row, now: float) -> None:
        """Delete a record."""
        row.is_deleted, row.updated = True, now

    @property
    def _rows(self) -> dict[str, Row]:
        if self._count and not self._kept:
            until = self._account.until
            times = creation_times(self._count, until)
            for index in range(self._count):
                draw, created = Draw(self._seed ^ 1, index), times(index)
                fields = self.table.settle(self._made(index, created))
                updated = change_time(draw, created, until) if self.table.updated else created
                is_deleted = self.table.deleted is not None and draw.chance(20)
                self._kept[self.id_of(index)] = Row(
                    index, self.id_of(index), fields, created, updated, is_deleted
                )
        return self._kept

    def _made(self, index: int, created: int) -> Record:
        return self.table.make(New(self._account, Draw(self._seed, index), index, created))
