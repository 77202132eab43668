"""A stream that is read from one list: the usual case, as a declaration.

All of it first, page after page; then what changed, by a time that the list can filter by. Both go on after a pause
at the page where they stopped. Records that a list shows as deleted become tombstones, and single records are read by
their ids. Where that is all that a stream needs, it says ``source=Listing(…)`` and needs no code.

Not here: histories that are worth several readers at once (``windows``), and changes that have to be put together
from several requests (``changes.in_steps``); an adapter writes a source of its own for these.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from unified.kit.declarations import Stream
from unified.kit.errors import (
    ConfigurationError,
    NotFoundError,
    ProviderError,
    RequestRefusedError,
    SingleRecordsError,
)
from unified.kit.reading.changes import Since, provider_time
from unified.kit.reading.lists import Asked, ListEndpoint, Parameters
from unified.kit.reading.pages import read_pages
from unified.kit.reading.paging import Part, Path, Position, cut, items_in, within
from unified.kit.reading.raw import by_ids, raw_record
from unified.kit.reading.refresh import Refresh, is_unfinished
from unified.kit.reading.windows import Window, as_far_as_done, side_by_side
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone

# By so much the clock of a provider that does not say what time it is may be behind ours.
_CLOCKS_APART = timedelta(days=1)

_USUAL_TIMES = Since(lag=timedelta(minutes=5))

# Providers state times to the second, and some ask for later ones only.
_SAME_SECOND = timedelta(seconds=1)

# A list without ranges is one window.
_WHOLE = Window(0, 1)

_ANYTHING = msgspec.json.Decoder(msgspec.Raw)


def _at_second(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listing:
    """How one list makes a stream.

    Attributes:
        endpoint: The list.
        record: Where an item of it has the record; no keys where it is the record itself.
        id: Where a record has its id, a text or a number.
        refresh: What a full refresh asks for beside the endpoint's own parameters, such as an order that no change
            moves a record in.
        since: The parameters that ask for what changed since a time, oldest change first. None where the list can't be
            asked so: then every pull reads all of it.
        until: The parameters that end what ``since`` asks for, where the list wants an end as well.
        step: How long a span is asked for at once, where it is not all that changed; needs ``until``.
        begin: Where the first load begins, which then goes by steps as well; None where all of the list is asked for.
        times: What is known about that time.
        since_header: The header and its value that ask for it, where parameters do not; ``since`` then orders the list.
        grows: Whether a list of changes is in an order that no change moves a record in, and nothing leaves it while it
            is read: numbered pages may then bring a record twice, and skip none.
        changed_at: Says when a record changed last, of the decoded record. Needed where pages are numbered, as a change
            would move records over their edges: the list is then asked on from the last time that was read.
        deleted_at: Says when a record of the list was deleted, of the decoded record; None of a living one.
        merged_into: Says which record holds a deleted one now, of the decoded record, where it was merged.
        is_erased: Says whether that was for the sake of a person's privacy, of the decoded record: what is stored of
            a customer is emptied then.
        one: Path of a single record below ``base_url``, with ``{id}`` in it.
        one_is_listed: Whether the answer to ``one`` is built as the list's, with one item.
        one_params: What a request to ``one`` asks for, such as the digits of amounts; ``{id}`` in a value is the id.
        one_record: Where the answer to ``one`` has what the list has as an item.
        one_limit: The rate limit that such requests count against, where that is not the list's.
        many: The parameters that ask the list for some ids; used instead of ``one``.
        batch: Ids in one such request.
        is_gone: Whether a 404 to ``one`` says that the record does not exist, and not that the path is wrong: by
            default it never does.
        complete: Completes a record by further requests, such as an invoice's lines. It is given the connected adapter
            and the record, and answers None where that is gone meanwhile. Where it fails, the records before it are
            kept, and the next pull reads the page again.
    """

    endpoint: ListEndpoint
    record: Path = ()
    id: Path = ("id",)
    refresh: Asked = ()
    since: Callable[[datetime], Asked] | None = None
    until: Callable[[datetime], Asked] | None = None
    step: timedelta | None = None
    begin: datetime | None = None
    times: Since = _USUAL_TIMES
    since_header: Callable[[datetime], tuple[str, str]] | None = None
    grows: bool = False
    changed_at: Callable[[dict[str, Any]], datetime | None] | None = None
    deleted_at: Callable[[dict[str, Any]], datetime | None] | None = None
    merged_into: Callable[[dict[str, Any]], str | None] = lambda _: None
    is_erased: Callable[[dict[str, Any]], bool] = lambda _: False
    one: str | None = None
    one_is_listed: bool = False
    one_params: Parameters = ()
    one_record: Path = ()
    one_limit: str | None = None
    many: Callable[[Sequence[str]], Asked] | None = None
    batch: int = 100
    is_gone: Callable[[NotFoundError], bool] = lambda _: False
    complete: Callable[[Any, RawRecord], Coroutine[Any, Any, RawRecord | None]] | None = None

    def __call__(self, adapter: Any, stream: Stream) -> "ListSource":
        """What reads the stream of a connected adapter."""
        return ListSource(self, adapter, stream)


class Onward(NamedTuple):
    """Where a list goes on: at a position, None for its start, or nowhere."""

    at: Position | None
    is_end: bool


class ListSource:
    """Reads a stream as a :class:`Listing` says."""

    def __init__(self, listing: Listing, adapter: Any, stream: Stream) -> None:
        """Read through a connected :class:`unified.kit.adapter.BaseAdapter`.

        Raises:
            ConfigurationError: If changes would be lost between numbered pages.
        """
        shifts = listing.endpoint.paging.shifts and not listing.grows and not stream.entity.is_log
        if shifts and listing.since is not None and listing.changed_at is None:
            raise ConfigurationError(
                f"{adapter.label}: {stream.name} are read by numbered pages, and a change would move records over "
                "their edges; declare changed_at"
            )
        self._listing = listing
        self._adapter = adapter
        self._stream = stream
        self._http = adapter.http
        self._clock: Callable[[], datetime] = adapter.clock
        self._id_in = cut(listing.id)

    def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All of it, or what changed; see :meth:`unified.kit.adapter.BaseAdapter.pull`.

        A log is never refreshed: what happened stays true when the provider forgets it.
        """
        if self._stream.entity.is_log:
            return self._changes(cursor or {})
        if cursor is None or is_unfinished(cursor) or self._listing.since is None:
            return self._refresh(cursor)
        return self._changes(cursor)

    def fetch(self, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Single records; see :meth:`unified.kit.adapter.BaseAdapter.fetch`."""
        read, size = (self._some, self._listing.batch) if self._listing.many else (self._each, self._at_once)
        known: dict[str, Tombstone] = {}

        async def living(ids: Sequence[str]) -> Sequence[RawRecord]:
            records, gone = self._sorted_out(await read(ids))
            known.update((one.source_id, one) for one in gone)
            return await self._completed(records)

        return by_ids(
            source_ids,
            living,
            clock=self._clock,
            size=size,
            missing_is_gone=not self._stream.entity.is_log,
            known=known,
        )

    @property
    def _at_once(self) -> int:
        readers: int = self._adapter.config.concurrency
        return readers

    async def _refresh(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All of it, as one window with a page in it, or step by step."""
        refresh = Refresh.load(cursor) or Refresh(self._clock(), [self._span()], {})
        while refresh.windows:
            window, params, rest = self._next(refresh.windows[0])
            async with aclosing(self._read(params, window.page)) as pages:
                async for page, onward in pages:
                    # The first answer says what time it is there, and so where the changes go on from afterwards.
                    then = refresh.then or {"since": self._complete_until().isoformat()}
                    left = rest if onward.is_end else [replace(window, page=onward.at)]
                    refresh = Refresh(refresh.started_at, left, then)
                    yield refresh.page(page.records, page.observed_at, page.tombstones)
        yield refresh.end()

    def _span(self) -> Window:
        """What a full refresh reads: seconds since 1970, where it begins at a time."""
        if self._listing.begin is None:
            return _WHOLE
        high = int(self._clock().timestamp()) + 1
        return Window(min(int(self._listing.begin.timestamp()), high - 1), high)

    def _next(self, window: Window) -> tuple[Window, Asked, Sequence[Window]]:
        """A window, what asks for its first step, and what is left behind that."""
        listing = self._listing
        if listing.begin is None or listing.since is None:
            return window, listing.refresh, []
        if window.high == _WHOLE.high:  # it was one list when the refresh began
            window = self._span()
        step = window.high - window.low if listing.step is None else int(listing.step.total_seconds())
        end = min(window.low + step, window.high)
        params = [*listing.refresh, *self._between(_at_second(window.low), _at_second(end))]
        return window, params, [Window(end, window.high)] if end < window.high else []

    def _between(self, since: datetime, until: datetime) -> Asked:
        """What asks for the changes of a span."""
        listing = self._listing
        assert listing.since is not None  # noqa: S101 - else nothing calls this
        return [*listing.since(since), *(listing.until(until) if listing.until else ())]

    async def _changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What changed since the last pull.

        A cursor inside a pull holds ``until``, from where the next pull goes on, where a page begins (``at``), and the
        time that was asked from if that has moved on (``from``).
        """
        since = datetime.fromisoformat(cursor["since"]) if "since" in cursor else None
        asked = self._listing.begin if since is None else self._listing.times.reach(since)
        asked = datetime.fromisoformat(cursor["from"]) if "from" in cursor else asked
        is_checked, is_done = since is None, False
        while not is_done:
            end = self._end(asked)
            source, params = self._asking(asked, end)
            pages_of = source._read(params, cursor.get("at"))  # noqa: SLF001 - a source like this one
            async with aclosing(pages_of) as pages:
                async for page, onward in pages:
                    if since is not None and not is_checked:
                        self._check(since)
                        is_checked = True
                    if "until" not in cursor:
                        until = (
                            self._complete_until() if since is None else max(since, self._complete_until())
                        )
                        cursor = {**cursor, "until": until.isoformat()}
                    is_done = onward.is_end and end is None
                    later = end if onward.is_end else self._later(page, asked)
                    if later is not None:
                        cursor = {**cursor, "from": later.isoformat(), "at": None}
                    else:
                        cursor = {"since": cursor["until"]} if is_done else {**cursor, "at": onward.at}
                    yield replace(page, cursor=cursor)
                    if later is not None:
                        asked = later
                        break

    def _end(self, asked: datetime | None) -> datetime | None:
        """Where the next step of a pull ends; None of the last one, which ends at the present."""
        step = self._listing.step
        if asked is None or step is None or self._listing.until is None:
            return None
        return asked + step if asked + step < self._clock() else None

    def _asking(self, asked: datetime | None, end: datetime | None) -> "tuple[ListSource, Asked]":
        """What reads the changes since then, with the header that says so, and the parameters that do."""
        listing = self._listing
        if asked is None or listing.since is None:
            return self, listing.refresh
        if listing.since_header is None:
            return self, self._between(asked, end or self._clock())
        endpoint = replace(listing.endpoint, headers=dict([listing.since_header(asked)]))
        changed = ListSource(replace(listing, endpoint=endpoint), self._adapter, self._stream)
        return changed, listing.since(asked)

    def _later(self, page: Page, asked: datetime | None) -> datetime | None:
        """From which time to ask on, instead of the next page; None where that is safe, or the time stands still.

        A record that changes while the list is read moves to its end, and the first one of the next page to this one.
        """
        if asked is None or self._listing.changed_at is None or not self._listing.endpoint.paging.shifts:
            return None
        times = [time for record in page.records if (time := self._time(self._listing.changed_at, record))]
        latest = max(times, default=asked)  # which may be the first second of year 1, as Go writes no time
        return latest - _SAME_SECOND if latest > asked + _SAME_SECOND else None

    def _check(self, since: datetime) -> None:
        now = provider_time(self._http, self._clock)
        if not self._stream.entity.is_log:
            self._listing.times.check(since, now, label=self._http.label)
        elif self._listing.times.is_stale(since, now):
            _log.warning(
                "%s: the provider no longer keeps all %s since %s", self._http.label, self._stream.name, since
            )

    def _complete_until(self) -> datetime:
        """Up to when the list is complete, by the provider's last answer."""
        now = provider_time(self._http, self._clock)
        return self._listing.times.settled(self._clock() - _CLOCKS_APART if now is None else now)

    async def _read(self, params: Asked, begin: Position | None) -> AsyncGenerator[tuple[Page, Onward], None]:
        """Pages without a cursor from a position on, each with where to go on.

        Raises:
            ProviderError: If a record can't be completed, once the page as far as it was has been yielded.
        """
        endpoint = self._listing.endpoint
        observed_at = self._clock()
        asked = begin
        first: Part | None = None
        if begin is not None:
            try:
                first = await endpoint.page(self._http, begin, params)
            except RequestRefusedError as error:
                _log.warning(
                    "%s; it does not know where the last run stopped, and is read from its start", error
                )
                begin = None

        async def read(at: Position | None) -> Part:
            nonlocal asked, first
            asked = at
            part, first = first, None
            return part or await endpoint.page(self._http, at, params)

        reading = read_pages(
            read, what=endpoint.what(self._http), begin=begin, may_be_empty=endpoint.may_be_empty
        )
        async with aclosing(reading) as parts:
            async for part in parts:
                living, gone = self._sorted_out(map(self._record, part.items))
                records, failure = await self._as_far_as_whole(living)
                found = [record for record in records if record is not None]
                if failure is None:
                    onward = Onward(part.following, part.following is None)
                    here = Onward(asked, is_end=False)  # the rest of its page is read anew
                    yield Page(found, observed_at, None, gone), onward if part.is_whole else here
                elif not records:
                    raise failure
                else:
                    yield Page(found, observed_at, None, gone), Onward(asked, is_end=False)
                    raise failure
                observed_at = self._clock()

    def _sorted_out(self, records: Iterable[RawRecord]) -> tuple[list[RawRecord], list[Tombstone]]:
        """Living records, and those that the source shows as deleted."""
        living: list[RawRecord] = []
        gone: list[Tombstone] = []
        for record in records:
            deleted_at = self._deleted_at(record)
            if deleted_at is not None and record.source_id is not None:
                said = msgspec.json.decode(record.body)
                into, erase = self._listing.merged_into(said), self._listing.is_erased(said)
                gone.append(Tombstone(record.source_id, deleted_at, into, erase))
            else:
                living.append(record)
        return living, gone

    async def _as_far_as_whole(
        self, records: Sequence[RawRecord]
    ) -> tuple[Sequence[RawRecord | None], ProviderError | None]:
        """Records, completed up to the first that fails, and its error; most lists have them whole."""
        if self._listing.complete is None:
            return records, None
        return await as_far_as_done(self._whole(one) for one in records)

    async def _whole(self, record: RawRecord) -> RawRecord | None:
        """A record, completed; None where it is gone meanwhile."""
        complete = self._listing.complete
        return record if complete is None else await complete(self._adapter, record)

    async def _completed(self, records: Sequence[RawRecord]) -> Sequence[RawRecord]:
        whole = await side_by_side(self._whole(record) for record in records)
        return [record for record in whole if record is not None]

    def _record(self, item: msgspec.Raw) -> RawRecord:
        """An item's record; a reject where it has another form, which keeps the others of its page as they are."""
        try:
            body = within(item, self._listing.record)
            found = None if body is None else self._id_in(body)
            source_id = None if found is None else msgspec.json.decode(found, type=str | int)
        except msgspec.MsgspecError:
            return raw_record(None, item)
        return raw_record(None if source_id is None else str(source_id), item if body is None else body)

    def _deleted_at(self, record: RawRecord) -> datetime | None:
        return None if self._listing.deleted_at is None else self._time(self._listing.deleted_at, record)

    @staticmethod
    def _time(read: Callable[[dict[str, Any]], datetime | None], record: RawRecord) -> datetime | None:
        """What a declared function reads of a record; None of an odd one, of which the mapping says what is wrong."""
        try:
            time = read(msgspec.json.decode(record.body))
            return time.astimezone(UTC) if time else None
        except (msgspec.MsgspecError, AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return None

    # Single records

    async def _some(self, ids: Sequence[str]) -> Sequence[RawRecord]:
        """Records of some ids, by the list."""
        many = self._listing.many
        assert many is not None  # noqa: S101 - else nothing calls this
        pages = self._listing.endpoint.pages(self._http, many(ids))
        return [self._record(item) for part in [part async for part in pages] for item in part.items]

    async def _each(self, ids: Sequence[str]) -> Sequence[RawRecord]:
        """Records of some ids, one request each."""
        found = await side_by_side([self._one(one) for one in ids])
        return [record for record in found if record is not None]

    async def _one(self, source_id: str) -> RawRecord | None:
        if self._listing.one is None:
            raise SingleRecordsError(
                f"{self._http.label}: single {self._stream.name} can't be read; wait for the next sync"
            )
        path = self._listing.one.format(id=quote(source_id, safe=""))
        asked = [(name, value.replace("{id}", source_id)) for name, value in self._listing.one_params]
        limit = self._listing.one_limit or self._listing.endpoint.limit
        try:
            answer = await self._http.request("GET", path, _ANYTHING, params=asked or None, limit=limit)
        except NotFoundError as error:
            if not self._listing.is_gone(error):
                raise
            return None
        return self._record(self._only(answer))

    def _only(self, answer: msgspec.Raw) -> msgspec.Raw:
        """The item in the answer to ``one``; the answer itself, which then is a reject, where it has another form."""
        try:
            if not self._listing.one_is_listed:
                return within(answer, self._listing.one_record) or answer
            items = items_in(answer, self._listing.endpoint.items)
        except msgspec.MsgspecError:
            return answer
        return items[0] if len(items) == 1 else answer
