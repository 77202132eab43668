"""What changed since the last pull, by the events feed that Stripe keeps for 30 days.

Stripe has no filter for modified objects. An event's payload is rendered in the API version of its day, so
an event only says *that* an object changed; the object is then read as it is now. Deletions are taken from
the event. See https://docs.stripe.com/api/events/list.

The feed runs newest first, so the newest event of a half-read feed must never become the cursor: what is
left of the feed is kept as windows, like an unfinished full refresh, and only a feed read to its end moves
``since``.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.stripe.reading import StripeReader
from unified.kit.errors import ProviderError
from unified.kit.reading.changes import Since, provider_time
from unified.kit.reading.ranges import BEGINNING, END, Place, ages, behind
from unified.kit.reading.windows import Window, WindowPage, read_windows
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone

# The feed reaches back 30 days; a cursor near its end can't be trusted to see all that happened since. Events show
# up a little late and share seconds, and clocks differ.
FEED = timedelta(days=30)
SINCE = Since(lag=timedelta(minutes=5), keeps=FEED - timedelta(days=1))

# How many events of the overlap a cursor remembers, so that a pull with nothing new asks for one page and no
# object. Beyond that, objects are read once more for nothing.
_MOST_REMEMBERED = 1_000

# How many objects one pull remembers to have read; beyond that it forgets them and may read some twice.
_MOST_READ = 100_000

# Which events are about a stream. ``customer.*`` would bring subscriptions and sources as well.
_EVENTS = {
    "customers": [("types[]", f"customer.{change}") for change in ("created", "updated", "deleted")],
    "subscriptions": [("type", "customer.subscription.*")],
    "disputes": [("type", "charge.dispute.*")],
    "refunds": [
        ("types[]", kind)
        for kind in ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
    ],
}  # of the others ``invoice.*``, ``charge.*``, …, whatever they are about beside

_log = logging.getLogger(__name__)


class _Subject(msgspec.Struct):
    id: Any = None
    object: Any = None
    created: Any = None


class _EventData(msgspec.Struct):
    object: _Subject


class _Event(msgspec.Struct):
    id: str
    created: int
    type: str
    data: _EventData


_EVENT = msgspec.json.Decoder(_Event)


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a stream has followed the feed; the stream's cursor.

    Attributes:
        since: Unix second by the provider's clock up to which all changes are stored.
        seen: Ids of events after ``since`` whose changes are stored as well.
        until: ``since`` of the next pull, known from this feed's first answer on.
        feed: Windows of events still to be read; None before a feed is begun.
        fresh: Windows of newly created objects still to be listed once the feed is read.
    """

    since: int
    seen: tuple[str, ...] = ()
    until: int | None = None
    feed: tuple[Window, ...] | None = None
    fresh: tuple[Window, ...] = ()

    @classmethod
    def load(cls, cursor: Cursor) -> "Position":
        """The position in a cursor."""
        return msgspec.convert(cursor, cls)

    def dump(self) -> Cursor:
        """The cursor that goes on from here."""
        cursor: Cursor = msgspec.to_builtins(self)
        return cursor


def safe_since(reader: StripeReader, *, otherwise: int) -> int:
    """The second from which the next pull has to ask, if the provider's last answer is all that is stored."""
    now = provider_time(reader.http, reader.clock)
    return otherwise if now is None else int(SINCE.settled(now).timestamp())


class ObjectChanges:
    """One pull of changed objects."""

    def __init__(self, reader: StripeReader, stream: str, cursor: Cursor, *, readers: int) -> None:
        """Go on from a cursor.

        Args:
            reader: Reads from the account.
            stream: Of objects that have events.
            cursor: As :class:`Position` dumped it.
            readers: Pages of events under way at once.
        """
        self._reader = reader
        self._stream = stream
        self._kind = stream.removesuffix("s")
        self._readers = readers
        self._position = Position.load(cursor)
        self._is_current = False
        self._seen = frozenset(self._position.seen)
        self._recent: dict[str, None] = {}
        self._deleted: set[str] = set()
        self._read: set[str] = set()

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Read the feed to its end, then the objects created meanwhile.

        Raises:
            StaleCursorError: Before the first page, if the feed no longer reaches back to the cursor.
        """
        started_at = self._reader.clock()
        feed = self._position.feed
        windows = (Window(self._position.since, END),) if feed is None else feed
        async with aclosing(read_windows(windows, self._changes, readers=self._readers)) as pages:
            async for page, left in pages:
                self._position = replace(self._position, feed=tuple(left))
                yield _page(page, self._position)
        # 100 of them come with one request, and in a state that no event read so far is newer than.
        async with aclosing(read_windows(self._position.fresh, self._fresh, readers=self._readers)) as pages:
            async for page, left in pages:
                self._position = replace(self._position, fresh=tuple(left))
                yield _page(page, self._position)
        until = self._position.since if self._position.until is None else self._position.until
        yield Page((), started_at, Position(until, seen=tuple(self._recent)[:_MOST_REMEMBERED]).dump())

    async def _changes(self, window: Window) -> WindowPage:
        """One page of the feed, as the objects that it is about.

        Where reading one of them fails, the page ends before its event: what was read before is kept.
        """
        types = _EVENTS.get(self._stream) or [("type", f"{self._kind}.*")]
        page = await self._reader.events(window, types)
        events = [event for event in map(self._decode, page.items) if event is not None]
        ids, tombstones = self._changed(events)
        records: list[RawRecord] = []
        observed_at, rest, done, is_cut = page.observed_at, page.rest, 0, False
        try:
            async for now in self._reader.current(self._stream, ids):
                observed_at = now.observed_at
                records += now.records
                tombstones += now.tombstones
                done += len(now.records) + len(now.tombstones)
        except ProviderError:
            unread = set(ids[done:])
            self._read -= unread
            read = takewhile(lambda event: event.data.object.id not in unread, events)
            rest = behind(window, [Place(event.id, event.created) for event in read])
            if rest is None:
                raise
            is_cut = True
        return WindowPage(records, observed_at, rest, tombstones, is_cut)

    def _changed(self, events: Sequence[_Event]) -> tuple[list[str], list[Tombstone]]:
        """Ids of objects to read again, and objects that were deleted, by a page of events."""
        until = self._until()
        changed: dict[str, None] = {}
        tombstones = []
        for event in events:
            recent = event.created >= until
            if recent:
                self._recent[event.id] = None
            subject = event.data.object
            # A preview of an invoice (invoice.upcoming) has no id: there is nothing to read yet.
            if event.id in self._seen or subject.object != self._kind or not isinstance(subject.id, str):
                continue
            if event.type == f"{self._kind}.deleted":
                self._deleted.add(subject.id)
                tombstones.append(Tombstone(subject.id, datetime.fromtimestamp(event.created, UTC)))
            elif isinstance(subject.created, int) and subject.created >= self._position.since:
                self._position = replace(self._position, fresh=(Window(self._position.since, END),))
            elif recent or subject.id not in self._read:
                # An event of before this pull needs one reading, however often the object changed.
                changed[subject.id] = None
        if len(self._read) > _MOST_READ:
            self._read.clear()
        self._read.update(changed)
        return [object_id for object_id in changed if object_id not in self._deleted], tombstones

    async def _fresh(self, window: Window) -> WindowPage:
        return await self._reader.listed(self._stream, window)

    def _decode(self, raw: msgspec.Raw) -> _Event | None:
        try:
            return _EVENT.decode(raw)
        except msgspec.ValidationError as error:
            _log.warning(
                "%s: an event can't be read, so the change in it is unknown: %s",
                self._reader.http.label,
                error,
            )
            return None

    def _until(self) -> int:
        """``since`` of the next pull, by the first answer of this one, which also shows if it is too late."""
        if not self._is_current:
            since = datetime.fromtimestamp(self._position.since, UTC)
            SINCE.check(since, self._reader.http.server_time, label=self._reader.http.label)
            self._is_current = True
        until = self._position.until
        if until is None:
            until = safe_since(self._reader, otherwise=self._position.since)
            self._position = replace(self._position, until=until)
        return until


async def log_pages(
    reader: StripeReader, stream: str, cursor: Cursor | None, *, readers: int
) -> AsyncGenerator[Page, None]:
    """Read what never changes once it is made: all of it, or what was made since a cursor.

    No page belongs to a full refresh: an event that leaves the feed after 30 days still happened.

    Args:
        reader: Reads from the account.
        stream: ``events`` or ``balance_transactions``.
        cursor: As :class:`Position` dumped it, or None.
        readers: Pages under way at once.
    """
    started_at = reader.clock()
    edge = int((started_at - FEED).timestamp())
    kept = (Window(edge, END), Window(BEGINNING, edge)) if stream == "events" else tuple(ages(started_at))
    position = Position(BEGINNING, feed=kept) if cursor is None else Position.load(cursor)

    async def fetch(window: Window) -> WindowPage:
        return await reader.listed(stream, window)

    windows = (Window(position.since, END),) if position.feed is None else position.feed
    is_checked = cursor is None or stream != "events"
    async with aclosing(read_windows(windows, fetch, readers=readers)) as pages:
        async for page, left in pages:
            since = datetime.fromtimestamp(position.since, UTC)
            if not is_checked and SINCE.is_stale(since, reader.http.server_time):
                _log.warning("%s: Stripe no longer keeps all events since %s", reader.http.label, since)
            is_checked = True
            until = safe_since(reader, otherwise=position.since) if position.until is None else position.until
            position = replace(position, until=until, feed=tuple(left))
            yield _page(page, position)
    yield Page((), started_at, Position(position.since if position.until is None else position.until).dump())


def _page(page: WindowPage, position: Position) -> Page:
    return Page(page.records, page.observed_at, position.dump(), tombstones=page.tombstones)
