"""Records in order of creation, generated while being read: nothing is stored but what was changed.

Not here: what a record looks like, and any provider's way of paging over the order.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from unified.sandbox.draw import IdCodec

Record = dict[str, Any]


class ByteCache:
    """Encoded records, the oldest thrown out once all exceed `limit` bytes: benchmarks read them often."""

    def __init__(self, limit: int = 192_000_000) -> None:
        self._limit = limit
        self._size = 0
        self._entries: dict[Hashable, bytes] = {}

    def get(self, key: Hashable) -> bytes | None:
        """The bytes stored under `key`, or None."""
        return self._entries.get(key)

    def put(self, key: Hashable, encoded: bytes) -> bytes:
        """Store and hand back."""
        self.drop(key)
        self._entries[key] = encoded
        self._size += len(encoded)
        while self._size > self._limit:
            oldest = next(iter(self._entries))
            self.drop(oldest)
        return encoded

    def drop(self, key: Hashable) -> None:
        """Forget one entry, where it is there."""
        self._size -= len(self._entries.pop(key, b""))


class Collection:
    """`size` generated records, then those added since, ordered by (`created`, index).

    A record's index never changes; its position in the order does not either, unless the clock went
    backward and a later record was created earlier. No record is created before the newest generated one:
    `add` lifts it.

    Args:
        size: number of generated records; their indexes are 0..size-1.
        created: index of a generated record → Unix seconds, never decreasing.
        make: index of a generated record → the record as it is kept.
        ids: index ↔ id.
        render: kept record → what the API shows.
    """

    def __init__(
        self,
        size: int,
        created: Callable[[int], int],
        make: Callable[[int], Record],
        ids: IdCodec,
        render: Callable[[Record], Record] = lambda record: record,
    ) -> None:
        self.ids = ids
        self._size = size
        self._created = created
        self._make = make
        self._render = render
        self._cache = ByteCache()
        self._added: list[tuple[int, int]] = []
        self._kept: dict[int, Record] = {}
        self._gone: set[int] = set()

    def __len__(self) -> int:
        """All positions, deleted records included."""
        return self._size + len(self._added)

    @property
    def next_index(self) -> int:
        """The index that the next added record gets."""
        return len(self)

    def created_at(self, position: int) -> int:
        """Unix seconds at which the record at a position was created."""
        return self._created(position) if position < self._size else self._added[position - self._size][0]

    def index_at(self, position: int) -> int:
        """The index of the record at a position."""
        return position if position < self._size else self._added[position - self._size][1]

    def first_at_or_after(self, created: int) -> int:
        """The first position whose record was created at `created` or later."""
        return bisect_left(range(len(self)), created, key=self.created_at)

    def position_of(self, record_id: str) -> int | None:
        """Position of a record that is still there, or None."""
        index = self.index_of(record_id)
        if index is None or index in self._gone:
            return None
        if index < self._size:
            return index
        return self._size + next(at for at, (_, added) in enumerate(self._added) if added == index)

    def index_of(self, record_id: str) -> int | None:
        """Index of a record that exists or once did, or None."""
        index = self.ids.decode(record_id)
        return index if index is not None and index < len(self) else None

    def is_gone(self, index: int) -> bool:
        """Whether the record was deleted."""
        return index in self._gone

    def get(self, index: int) -> Record:
        """The record as it is kept."""
        kept = self._kept.get(index)
        return self._make(index) if kept is None else kept

    def encoded(self, index: int) -> bytes:
        """The record as JSON, as the API shows it."""
        known = self._cache.get(index)
        return known if known is not None else self._cache.put(index, msgspec.json.encode(self.shown(index)))

    def shown(self, index: int) -> Record:
        """The record as the API shows it."""
        return self._render(self.get(index))

    def add(self, created: int, record: Record) -> None:
        """Add the record of `next_index`, made by the caller with that index's id."""
        index = self.next_index
        if self._size:
            created = max(created, self._created(self._size - 1))
        record["created"] = created
        self._kept[index] = record
        insort(self._added, (created, index))

    def put(self, index: int, record: Record) -> None:
        """Keep a changed record."""
        self._kept[index] = record
        self._cache.drop(index)

    def remove(self, index: int) -> None:
        """Delete: the position stays, the record is no longer listed."""
        self._gone.add(index)
        self._cache.drop(index)

    def live(self) -> Iterator[int]:
        """Indexes of all records that are there, newest first."""
        for position in range(len(self) - 1, -1, -1):
            index = self.index_at(position)
            if index not in self._gone:
                yield index

    def live_ids(self) -> Iterator[str]:
        """Ids of all records that are there, newest first; no record is made for that."""
        return map(self.ids.encode, self.live())

    def page(
        self,
        limit: int,
        *,
        low: int = 0,
        high: int | None = None,
        after: int | None = None,
        before: int | None = None,
        keep: Callable[[int], bool] | None = None,
    ) -> tuple[list[int], bool]:
        """One page, newest first, and whether more follow in the direction of travel.

        Args:
            limit: size of the page.
            low: first position that counts.
            high: position after the last that counts; None is the end.
            after: cursor position: older records only (`starting_after`).
            before: cursor position: newer records only (`ending_before`), the ones closest to the cursor.
            keep: further condition on an index.
        """
        high = len(self) if high is None else high
        if after is not None:
            high = min(high, after)
        positions = range(high - 1, low - 1, -1) if before is None else range(max(low, before + 1), high)
        found: list[int] = []
        for position in positions:
            index = self.index_at(position)
            if index in self._gone or (keep is not None and not keep(index)):
                continue
            if len(found) == limit:
                return (found if before is None else found[::-1]), True
            found.append(index)
        return (found if before is None else found[::-1]), False
