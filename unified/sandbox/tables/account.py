"""The tables behind one API key, and the changes that tests or requests make to them.

Not here: HTTP (`unified.sandbox.tables.api`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from unified.sandbox.draw import seed_of
from unified.sandbox.tables.table import Record, Row, Rows, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from unified.sandbox.clock import Clock


@dataclass(frozen=True)
class Feed:
    """The events that changes make.

    Attributes:
        table: the table that keeps them.
        make: change (`create`, `update` or `delete`), the table and the record as it is now → the event's fields, or
            None where there is no event.
    """

    table: str
    make: Callable[[str, Table, Record], Record | None]


def sums(
    records: Iterable[Record],
    currency: Callable[[Record], str],
    amounts: Mapping[str, Callable[[Record], float]],
) -> dict[str, dict[str, str]]:
    """Exact sums of amounts, each by its digits, by currency."""
    totals: dict[str, dict[str, Decimal]] = {}
    for record in records:
        of = totals.setdefault(currency(record), dict.fromkeys(amounts, Decimal(0)))
        for name, amount in amounts.items():
            of[name] += Decimal(str(amount(record)))
    return {code: {name: str(total) for name, total in of.items()} for code, of in totals.items()}


class TableAccount:
    """The data behind one key.

    Args:
        key: chooses the data, together with `seed`.
        seed: same seed and key, same records.
        tables: what there is, with the number of generated records of each.
        feed: the events that changes make, if any.
        clock: dates every change.
        until: Unix seconds of the newest generated record.
        announce: called with the event of each change.
    """

    def __init__(
        self,
        key: str,
        *,
        seed: int,
        tables: Mapping[Table, int],
        feed: Feed | None,
        clock: Clock,
        until: int,
        announce: Callable[[Sequence[Record]], None],
    ) -> None:
        base = seed_of(seed, key)
        self.until = until
        self.rows = {table.name: Rows(table, self, count, base) for table, count in tables.items()}
        self._feed = feed
        self._clock = clock
        self._announce = announce

    def create(self, table: str, /, **fields: Any) -> Record:
        """Create a record; what `fields` leave out is generated."""
        rows = self.rows[table]
        return self._changed("create", rows, rows.add(fields, self._clock.time()))

    def update(self, table: str, record_id: str, /, **fields: Any) -> Record:
        """Change fields of a record."""
        rows, row = self.rows[table], self._live(table, record_id)
        rows.change(row, fields, self._clock.time())
        return self._changed("update", rows, row)

    def delete(self, table: str, record_id: str, /) -> Record:
        """Delete a record."""
        rows, row = self.rows[table], self._live(table, record_id)
        rows.remove(row, self._clock.time())
        return self._changed("delete", rows, row)

    def all(self, table: str) -> dict[str, Record]:
        """What a complete copy of a table holds: every record that is not deleted, by id."""
        rows = self.rows[table]
        return {row.id: rows.shown(row) for row in rows.live()}

    def source_counts(self) -> dict[str, int]:
        """How many records a complete copy holds, by table."""
        return {name: len(rows.live()) for name, rows in self.rows.items()}

    def source_totals(self) -> dict[str, Any]:
        """Sums that a complete copy must hold: none, unless a system's own account knows some."""
        return {}

    def _live(self, table: str, record_id: str) -> Row:
        row = self.rows[table].find(record_id)
        if row is None or row.is_deleted:
            raise KeyError(f"the sandbox has no {self.rows[table].table.noun} {record_id}, or it was deleted")
        return row

    def _changed(self, change: str, rows: Rows, row: Row) -> Record:
        record = rows.shown(row)
        if self._feed is not None and rows.table.name != self._feed.table:
            self._publish(self._feed.make(change, rows.table, record))
        return record

    def _publish(self, event: Record | None) -> None:
        """Keep an event in the feed, and deliver it."""
        if self._feed is not None and event is not None:
            feed = self.rows[self._feed.table]
            self._announce([feed.shown(feed.add(event, self._clock.time()))])
