"""Which way each of Stripe's streams is read: all of it first, then what changed.

Customers and invoices are listed by windows of their creation, and followed by the events feed (``changes``). Events
are records of their own.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import Any

from adapters.stripe.changes import ObjectChanges, Position, event_pages, safe_since
from adapters.stripe.reading import BEGINNING, END, StripeReader
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.reading.refresh import Refresh, is_unfinished
from unified.kit.reading.windows import Window, WindowPage
from unified.kit.streams import Cursor, Page

# A first look at a history whose beginning is unknown: reaching back so many days, each twice as far as the
# last one.
_REACH_DAYS = (30, 60, 120, 240, 480, 960, 1_920, 3_840)

# Seconds by which the clock of a provider that does not say what time it is may be behind ours.
_CLOCKS_APART = 86_400


class Events:
    """The events feed, which Stripe keeps for 30 days."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Read through a connected adapter."""
        self._name = stream.name
        self._http = adapter.http
        self._readers = adapter.config.concurrency
        self._reader = StripeReader(adapter.http, adapter.clock)

    def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All events that are kept, or those since a cursor."""
        return event_pages(self._reader, cursor, readers=self._readers)

    def fetch(self, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Single ones. An event that is no longer kept is left out."""
        return self._reader.current(self._name, source_ids)


class Objects(Events):
    """Customers or invoices."""

    def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All of them, or those that changed since a cursor."""
        if cursor is None or is_unfinished(cursor):
            return self._refresh(cursor)
        return ObjectChanges(self._reader, self._name, cursor, readers=self._readers).pages()

    async def _refresh(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        refresh = Refresh.load(cursor) or await self._begin()
        reading = refresh.pages(
            self._window, readers=self._readers, is_saturated=lambda: self._http.is_saturated(self._name)
        )
        async with aclosing(reading) as pages:
            async for page in pages:
                yield page

    async def _begin(self) -> Refresh:
        started_at = self._reader.clock()
        # A key that may not read events fails now, not at the first incremental pull.
        await self._reader.touch("events")
        now = int(started_at.timestamp())
        since = safe_since(self._reader, otherwise=now - _CLOCKS_APART)
        edges = [END, *(now - days * 86_400 for days in _REACH_DAYS), BEGINNING]
        windows = [Window(low, high) for high, low in pairwise(edges)]
        return Refresh(started_at, windows, Position(since).dump())

    async def _window(self, window: Window) -> WindowPage:
        return await self._reader.listed(self._name, window)
