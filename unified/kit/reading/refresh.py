"""A full refresh: all live records of a stream, read by windows, resumable after every page.

What changes while it runs is left to the pulls of changes that follow: where they go on from is settled before the
first page is read (``then``), and travels in the refresh's cursor. A refresh that a run was cut off in goes on where
it stood, however long ago that was.

Where a system says nothing of what was deleted, but lists ids at little cost, a refresh may compare: it reads no record
and only finds out which are still there.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime

from unified.kit.reading.windows import Fetch, Window, WindowPage, read_windows
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone

_KEY = "refresh"


def is_unfinished(cursor: Cursor | None) -> bool:
    """Whether a cursor stands inside a full refresh: the only thing that others may ask of a cursor."""
    return cursor is not None and _KEY in cursor


@dataclass(frozen=True, slots=True)
class Refresh:
    """A full refresh under way.

    Attributes:
        started_at: When it began. What it has not met by its end no longer exists.
        windows: What is still to be read.
        then: The cursor with which pulls of changes go on after it.
        compares: Whether only ids are listed, to find out what was deleted.
    """

    started_at: datetime
    windows: Sequence[Window]
    then: Cursor
    compares: bool = False

    @classmethod
    def load(cls, cursor: Cursor | None) -> "Refresh | None":
        """The unfinished refresh in a cursor, or None."""
        if cursor is None or _KEY not in cursor:
            return None
        kept = cursor[_KEY]
        then = {name: value for name, value in cursor.items() if name != _KEY}
        windows = [*map(Window.load, kept["windows"])]
        return cls(datetime.fromisoformat(kept["started_at"]), windows, then, kept.get("compares", False))

    def dump(self) -> Cursor:
        """The cursor that goes on with this refresh."""
        kept: Cursor = {
            "started_at": self.started_at.isoformat(),
            "windows": [window.dump() for window in self.windows],
        }
        return {_KEY: {**kept, "compares": True} if self.compares else kept, **self.then}

    async def pages(
        self,
        fetch: Fetch,
        *,
        readers: int,
        is_saturated: Callable[[], bool] = lambda: False,
        source_count: Callable[[], Awaitable[int | None]] | None = None,
    ) -> AsyncGenerator[Page, None]:
        """Read all windows, and close with a page that ends the refresh.

        Args:
            fetch: Reads one page of records of a window.
            readers: Pages under way at once.
            is_saturated: As for :func:`unified.kit.reading.windows.read_windows`.
            source_count: Asks the source how many live records it has, where it can say so.
        """
        reading = read_windows(self.windows, fetch, readers=readers, is_saturated=is_saturated)
        async with aclosing(reading) as pages:
            async for page, left in pages:
                here = replace(self, windows=left)
                yield here.page(page.records, page.observed_at, page.tombstones, page.met)
        yield self.end(await source_count() if source_count else None)

    def page(
        self,
        records: Sequence[RawRecord],
        observed_at: datetime,
        tombstones: Sequence[Tombstone] = (),
        met: Sequence[str] = (),
    ) -> Page:
        """A page of this refresh, after which it is as far as its windows say."""
        return Page(
            records, observed_at, self.dump(), tombstones, refresh_started_at=self.started_at, met=met
        )

    def end(self, source_count: int | None = None) -> Page:
        """The page that ends it: what it has not met no longer exists."""
        return Page(
            (),
            self.started_at,
            self.then,
            refresh_started_at=self.started_at,
            refresh_done=True,
            source_count=source_count,
        )


class RefreshedSource(ABC):
    """A stream that is read whole by windows, and followed by its changes from then on; an adapter says how.

    Attributes:
        readers: Pages under way at once.
    """

    readers: int

    def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All of it, or what changed; see :meth:`unified.kit.adapter.BaseAdapter.pull`."""
        return self._refresh(cursor) if cursor is None or is_unfinished(cursor) else self.changes(cursor)

    async def _refresh(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        refresh = Refresh.load(cursor) or await self.begin()
        reading = refresh.pages(
            self.ids if refresh.compares else self.window,
            readers=self.readers,
            is_saturated=self.is_saturated,
            source_count=self.count,
        )
        async with aclosing(reading) as pages:
            async for page in pages:
                yield page

    @abstractmethod
    async def begin(self) -> Refresh:
        """A new full refresh: its windows, and the cursor with which changes are followed after it."""

    @abstractmethod
    async def window(self, window: Window) -> WindowPage:
        """One page of a window."""

    async def ids(self, window: Window) -> WindowPage:
        """One page of a window of a refresh that compares: ids alone."""
        raise NotImplementedError(f"{type(self).__name__} begins no refresh that compares ({window})")

    @abstractmethod
    def changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What changed since a cursor."""

    def is_saturated(self) -> bool:
        """Whether requests for windows wait for a rate limit; see :func:`unified.kit.reading.windows.read_windows`."""
        return False

    async def count(self) -> int | None:
        """How many live records the source has, where it can say so."""
        return None
