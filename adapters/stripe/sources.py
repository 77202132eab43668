"""Which way each of Stripe's streams is read: all of it first, then what changed.

Objects are listed by windows of their creation, and followed by the events feed (``changes``). Events and balance
transactions are logs: what was made stays as it is.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from adapters.stripe.changes import ObjectChanges, Position, log_pages, safe_since
from adapters.stripe.reading import StripeReader
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.reading.ranges import ages
from unified.kit.reading.refresh import Refresh, RefreshedSource
from unified.kit.reading.windows import Window, WindowPage
from unified.kit.streams import Cursor, Page

# Seconds by which the clock of a provider that does not say what time it is may be behind ours.
_CLOCKS_APART = 86_400


class Log:
    """The events feed, which Stripe keeps for 30 days, or balance transactions, which no event tells of."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Read through a connected adapter."""
        self._name = stream.name
        self._since = adapter.connection.since.get(stream.name)
        self.readers = adapter.config.concurrency
        self._reader = StripeReader(adapter.http, adapter.clock)

    def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All that are kept, or those since a cursor."""
        return log_pages(self._reader, self._name, cursor, readers=self.readers)

    def fetch(self, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Single ones. An event that is no longer kept is left out."""
        return self._reader.current(self._name, source_ids)


class Objects(RefreshedSource, Log):
    """Objects that change, and events that say so."""

    async def begin(self) -> Refresh:
        """By age. A key that may not read events fails now, not at the first incremental pull."""
        started_at = self._reader.clock()
        await self._reader.touch("events")
        since = safe_since(self._reader, otherwise=int(started_at.timestamp()) - _CLOCKS_APART)
        return Refresh(started_at, ages(started_at, self._since), Position(since).dump())

    async def window(self, window: Window) -> WindowPage:
        """A page of the list."""
        return await self._reader.listed(self._name, window)

    def is_saturated(self) -> bool:
        """Whether the list's own limit is used up."""
        return self._reader.http.is_saturated(self._name)

    def changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What the events feed says."""
        return ObjectChanges(self._reader, self._name, cursor, readers=self.readers).pages()
