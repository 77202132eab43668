"""Which partitions of a stream were read before: kept in its cursor, so that a new one is read whole.

There is a limit to what a cursor holds; beyond it all partitions follow one time, until the next full refresh.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from unified.kit.streams import Cursor, Page

MOST = 1_000
"""Partitions that are remembered."""

_KEY = "known"
_BYTES = 6


class Known:
    """The partitions that were read, by a hash of their names."""

    def __init__(self, hashes: Sequence[str] | None) -> None:
        """Take what a cursor held; None where it remembers none, and every partition counts as read."""
        self._hashes = None if hashes is None else set(hashes)

    @classmethod
    def load(cls, cursor: Cursor | None) -> "tuple[Known, Cursor | None]":
        """What a cursor remembers, and the cursor without it."""
        if cursor is None:
            return cls(()), None
        return cls(cursor.get(_KEY)), {name: value for name, value in cursor.items() if name != _KEY}

    def has(self, partition: str) -> bool:
        """Whether a partition was read before."""
        return self._hashes is None or _hash(partition) in self._hashes

    def add(self, partition: str) -> None:
        """Remember a partition, all of which has been read."""
        if self._hashes is not None:
            self._hashes.add(_hash(partition))
            if len(self._hashes) > MOST:
                self._hashes = None

    def kept_by(self, page: Page) -> Page:
        """A page whose cursor remembers them."""
        if page.cursor is None or self._hashes is None:
            return page
        return replace(page, cursor={**page.cursor, _KEY: sorted(self._hashes)})


def _hash(partition: str) -> str:
    return blake2b(partition.encode(), digest_size=_BYTES).hexdigest()
