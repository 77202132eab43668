"""The order in which a HubSpot stream is read: a full refresh by ranges of ids, and the changes since.

Ids are unique and never change, so every search here is sorted and cut by ``hs_object_id``: exact, without
the 10,000-result cap of paging, and side by side. Search lags behind by some seconds (``search_lag``); what
it shows is taken to have been so that long ago, and each pull begins that much before the last one did.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec

from adapters.hubspot.api import BATCH, Filter, HubSpotApi, SearchAnswer, following
from adapters.hubspot.mapping import COMPANY_PROPERTIES
from adapters.hubspot.related import Contacts, Source, read_id
from adapters.hubspot.webhooks import OF_COMPANY
from unified.kit.reading.windows import Refresh, Window, WindowPage, read_windows
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone

# Searches under way at once: with five a second allowed, more would only wait.
_READERS = 8
# HubSpot's servers do not share one clock to the second.
_OVERLAP = timedelta(seconds=10)
# https://knowledge.hubspot.com/records/restore-deleted-records: then archived records are gone for good.
_BIN_KEEPS = timedelta(days=90)
# The step of a cursor after the last one.
_DONE = "done"
# Contacts completed at a time when a company changed that has very many.
_CHUNK = 500


Step = Callable[[datetime, Any], AsyncGenerator[Page, None]]
"""Reads one kind of change since a time, from where its last page's cursor left off (None is the start)."""


class _Merged(msgspec.Struct, rename={"updated_at": "updatedAt"}):
    id: str
    updated_at: datetime
    properties: dict[str, str | None]


_MERGED = msgspec.json.Decoder(_Merged)


class Pull:
    """One pull of one stream."""

    def __init__(
        self,
        api: HubSpotApi,
        source: Source,
        clock: Callable[[], datetime],
        *,
        search_lag: float,
        readers: int,
    ) -> None:
        """Prepare to read ``source``.

        Args:
            api: The portal.
            source: What to read.
            clock: Tells when a state was observed.
            search_lag: Seconds by which search may be behind.
            readers: Requests that may be under way at once.
        """
        self._api = api
        self._source = source
        self._clock = clock
        self._lag = timedelta(seconds=search_lag)
        self._readers = min(readers, _READERS)

    @property
    def properties(self) -> Sequence[str]:
        """What is read of each record."""
        return self._source.properties

    def pages(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """Read from where the cursor stands; see :meth:`unified.kit.adapter.BaseAdapter.pull`."""
        return self._refresh(cursor) if cursor is None or "refresh" in cursor else self._changes(cursor)

    async def fetch(self, ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Read single records; :meth:`unified.kit.adapter.BaseAdapter.fetch`. An id merged away counts as gone.

        Args:
            ids: Ids of records, and references to all contacts of a company (``companies/…``).
        """
        ids = await self._resolve(ids)
        for first in range(0, len(ids), BATCH):
            wanted = ids[first : first + BATCH]
            observed_at = self._clock()
            found = await self._api.batch_read(self._source.kind, wanted, self._source.properties)
            records = await self._source.complete(found)
            met = {record.source_id for record in records}
            gone = [Tombstone(one, observed_at) for one in wanted if one not in met]
            yield Page(records, observed_at, None, gone)

    async def _resolve(self, ids: Sequence[str]) -> list[str]:
        """Ids of records, each once; a company's place is taken by those of its contacts."""
        companies = [one.removeprefix(OF_COMPANY) for one in ids if one.startswith(OF_COMPANY)]
        links = await self._api.associated("companies", "contacts", companies)
        contacts = (one for some in links.values() for one in some)
        return list(dict.fromkeys((*(one for one in ids if not one.startswith(OF_COMPANY)), *contacts)))

    # Full refresh

    async def _refresh(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All live records. What is made or modified meanwhile comes with the changes that follow."""
        refresh = Refresh.load(cursor)
        if cursor is None or refresh is None:
            started_at = self._settled()
            windows, now = await self._span(())
            refresh, then = Refresh(started_at, windows), {"since": (now - self._lag).isoformat()}
        else:
            then = {"since": cursor["since"]}

        async def fetch(window: Window) -> WindowPage:
            return await self._window(window, ())

        reading = refresh.pages(fetch, readers=self._readers, then=then, source_count=self._count)
        async with aclosing(reading) as pages:
            async for page in pages:
                yield replace(page, cursor={**(page.cursor or {}), **then})

    async def _count(self) -> int:
        return (await self._api.search(self._source.kind, (), ("hs_object_id",), limit=1)).total

    # Changes

    async def _changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What was modified, what hangs on a modified company, what was archived.

        A cursor inside a pull holds ``until``, from where the next one will go on, the ``step`` and how far
        ``at`` it is. A contact deleted for good (GDPR) shows only in a full refresh.
        """
        since = datetime.fromisoformat(cursor["since"])
        if "until" not in cursor:
            windows, now = await self._span((_modified_since(self._source.modified, since),))
            if now - since > _BIN_KEEPS:
                raise self._api.stale(f"is from {since:%Y-%m-%d}, and records archived then are gone by now")
            until = max(since, now - self._lag).isoformat()
            cursor = {"since": cursor["since"], "until": until, "step": "modified", "at": _dump(windows)}
        steps: dict[str, Step] = {
            "modified": self._modified, "renamed": self._renamed, "archived": self._archived
        }  # fmt: skip
        names = [*steps, _DONE]
        for name in names[names.index(cursor["step"]) : -1]:
            at = cursor["at"] if name == cursor["step"] else None
            async with aclosing(steps[name](since, at)) as pages:
                async for page in pages:
                    yield replace(page, cursor={**cursor, "step": name, **(page.cursor or {})})
        yield Page((), self._clock(), {"since": cursor["until"]})

    async def _modified(self, since: datetime, at: Sequence[Sequence[int]]) -> AsyncGenerator[Page, None]:
        changed = (_modified_since(self._source.modified, since),)

        async def fetch(window: Window) -> WindowPage:
            page = await self._window(window, changed)
            return replace(page, tombstones=_merged_away(page.records))

        windows = [Window(low, high) for low, high in at]
        async with aclosing(read_windows(windows, fetch, readers=self._readers)) as pages:
            async for page, left in pages:
                yield Page(page.records, page.observed_at, {"at": _dump(left)}, page.tombstones)

    async def _renamed(self, since: datetime, at: tuple[int, int] | None) -> AsyncGenerator[Page, None]:
        """Contacts whose company changed: that does not modify them, yet they carry its name."""
        if not isinstance(self._source, Contacts):
            return
        changed, more = _modified_since("hs_lastmodifieddate", since), True
        after, done = at or (0, 0)  # the company, and among the contacts of those that follow it the contact
        while more:
            observed_at = self._settled()
            filters = (("hs_object_id", "GT", after), changed)
            answer = await self._api.search("companies", filters, COMPANY_PROPERTIES)
            ids = self._source.companies.remember(answer.results)
            self._check(answer, [after, *map(int, ids)])
            links = await self._api.associated("companies", "contacts", ids)
            contacts = sorted(
                one for one in {int(one) for some in links.values() for one in some} if one > done
            )
            for first in range(0, len(contacts), _CHUNK):
                chunk = contacts[first : first + _CHUNK]
                found = await self._api.batch_read("contacts", list(map(str, chunk)), self._source.properties)
                yield Page(await self._source.complete(found), observed_at, {"at": [after, chunk[-1]]})
            more = len(ids) < answer.total
            after, done = int(ids[-1]) if ids else after, 0

    async def _archived(self, since: datetime, at: str | None) -> AsyncGenerator[Page, None]:
        """Archiving modifies nothing and hides from search: the whole bin is read, for what came in since."""
        after, more = at, True
        while more:
            observed_at = self._clock()
            answer = await self._api.archived(self._source.kind, after)
            gone = [
                Tombstone(one.id, one.archived_at)
                for one in answer.results
                if one.archived_at >= since - _OVERLAP
            ]
            last, after = after, following(answer.paging)
            more = after is not None
            if more and after == last:
                raise self._api.fault(f"repeats a page of archived {self._source.kind}")
            yield Page((), observed_at, {"at": after} if more else {"step": _DONE, "at": None}, gone)

    # Searching by ranges of ids

    async def _span(self, filters: Collection[Filter]) -> tuple[tuple[Window, ...], datetime]:
        """The range of ids that a search finds, and HubSpot's time.

        Of two answers the earlier time: a clock that is ahead for one of them must not skip what follows.
        """
        kind = self._source.kind
        lowest = await self._api.search(kind, filters, ("hs_object_id",), limit=1)
        now = self._api.now
        highest = await self._api.search(kind, filters, ("hs_object_id",), limit=1, descending=True)
        # A clock of HubSpot's that is ahead must not skip what follows: its word counts up to our own time.
        now = min(now, self._api.now, self._clock())
        if not lowest.results or not highest.results:
            return (), now
        ids = [int(read_id(answer.results[0]) or 0) for answer in (lowest, highest)]
        if not all(ids) or lowest.total > ids[1] - ids[0] + 1:
            raise self._api.fault(f"does not tell the lowest and highest id of its {lowest.total} {kind}")
        return (Window(ids[0], ids[1] + 1),), now

    async def _window(self, window: Window, filters: Collection[Filter]) -> WindowPage:
        observed_at = self._settled()
        span = (("hs_object_id", "GTE", window.low), ("hs_object_id", "LT", window.high))
        answer = await self._api.search(self._source.kind, (*span, *filters), self._source.properties)
        records = await self._source.complete(answer.results)
        ids = [int(record.source_id) for record in records if record.source_id is not None]
        self._check(answer, [window.low - 1, *ids, window.high])
        rest = Window(ids[-1] + 1, window.high) if len(answer.results) < answer.total else None
        return WindowPage(records, observed_at, rest)

    def _check(self, answer: SearchAnswer, ids: Sequence[int]) -> None:
        """Refuse a page that repeats, is out of order or leads nowhere: reading on would lose records.

        Args:
            answer: The page.
            ids: The ids on it, between the ones that bound it.
        """
        if any(one >= other for one, other in pairwise(ids)):
            raise self._api.fault("returned records that were not asked for, as if a page were repeated")
        if len(answer.results) < answer.total and not any(map(read_id, answer.results)):
            raise self._api.fault(f"returned no record of {answer.total} from which to go on")

    def _settled(self) -> datetime:
        """As of when search is known to be right."""
        return self._clock() - self._lag


def _modified_since(name: str, since: datetime) -> Filter:
    return name, "GTE", int((since - _OVERLAP).timestamp() * 1000)


def _dump(windows: Sequence[Window]) -> list[list[int]]:
    return [[window.low, window.high] for window in windows]


def _merged_away(records: Sequence[RawRecord]) -> list[Tombstone]:
    """Records that were merged into these: they vanish from search without ever being archived.

    The merged record is a new one, made at the merge
    (https://developers.hubspot.com/changelog/updated-merge-functionality-for-contacts-and-companies).
    """
    gone = []
    for record in records:
        try:
            merged = _MERGED.decode(record.body)
        except msgspec.MsgspecError:
            continue  # it will be a reject of its own
        ids = (merged.properties.get("hs_merged_object_ids") or "").split(";")
        gone += [Tombstone(one, merged.updated_at) for one in ids if one and one != merged.id]
    return gone
