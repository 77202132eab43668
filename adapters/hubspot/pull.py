"""The order in which a HubSpot stream is read: a full refresh by ranges of ids, and the changes since.

Ids are unique and never change, so every search here is sorted and cut by ``hs_object_id``: exact, without
the 10,000-result cap of paging, and side by side. Search lags behind by some seconds (``search_lag``); what
it shows is taken to have been so that long ago, and each pull begins that much before the last one did. Now and then it
lags much more, so each pull reads the last minutes before the last one (``search_late``) a second time.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from adapters.hubspot.api import BATCH, Filter, HubSpotApi, SearchAnswer, read_archived
from adapters.hubspot.mapping import COMPANY_PROPERTIES
from adapters.hubspot.related import Contacts, Further, Invoices, read_id
from adapters.hubspot.webhooks import OF_COMPANY
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.reading.changes import Since, Step, in_steps
from unified.kit.reading.pages import misplaced
from unified.kit.reading.raw import by_ids
from unified.kit.reading.refresh import Refresh, RefreshedSource
from unified.kit.reading.windows import Window, WindowPage, read_windows
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone

# Searches under way at once: with five a second allowed, more would only wait.
_READERS = 8
# HubSpot's servers do not share one clock to the second.
_OVERLAP = timedelta(seconds=10)
# https://knowledge.hubspot.com/records/restore-deleted-records: then archived records are gone for good.
_BIN_KEEPS = timedelta(days=90)
# Beyond all ids.
_BEYOND = 2**63
# A search's body has 3,000 characters at most; so many are left for names of properties beside the filters. More are
# read by id, where the body has no such bound
# (https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm).
_LONGEST_PROPERTIES = 2_400
_AROUND_NAME = len('"",')
# Contacts completed at a time when a company changed that has very many.
_CHUNK = 500


class _Merged(msgspec.Struct, rename={"updated_at": "updatedAt"}):
    id: str
    updated_at: datetime
    properties: dict[str, str | None]


_MERGED = msgspec.json.Decoder(_Merged)


class Objects(RefreshedSource):
    """Contacts, invoices, or records of a further object, as the stream is called."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Read through a connected adapter, as its settings say."""
        self._api = HubSpotApi(adapter.http)
        self._source = _whole_records(self._api, stream.name, adapter.config.properties)
        self._clock = adapter.clock
        lag, late = adapter.config.search_lag, adapter.config.search_late
        self._since = Since(
            timedelta(seconds=lag), _OVERLAP, _BIN_KEEPS, late=timedelta(seconds=late if lag else 0)
        )
        self.readers = min(adapter.config.concurrency, _READERS)

    @property
    def properties(self) -> Sequence[str]:
        """What is read of each record."""
        return self._source.properties

    async def fetch(self, ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Read single records; :meth:`unified.kit.adapter.BaseAdapter.fetch`. An id merged away counts as gone.

        Args:
            ids: Ids of records, and references to all contacts of a company (``companies/…``).
        """

        async def read(some: Sequence[str]) -> Sequence[RawRecord]:
            found = await self._api.batch_read(self._source.kind, some, self._source.properties)
            return await self._source.complete(found)

        reading = by_ids(await self._resolve(ids), read, clock=self._clock, size=BATCH)
        async with aclosing(reading) as pages:
            async for page in pages:
                merged = _merged_away(page.records)
                named = {one.source_id for one in merged}
                # Of what was merged it is known when and into what, which says more than that it is not found.
                missing = [one for one in page.tombstones if one.source_id not in named]
                yield replace(page, tombstones=[*missing, *merged])

    async def _resolve(self, ids: Sequence[str]) -> list[str]:
        """Ids of records; a company's place is taken by those of its contacts."""
        companies = [one.removeprefix(OF_COMPANY) for one in ids if one.startswith(OF_COMPANY)]
        links = await self._api.associated("companies", "contacts", companies)
        contacts = (one for some in links.values() for one in some)
        return [*(one for one in ids if not one.startswith(OF_COMPANY)), *contacts]

    # Full refresh

    async def begin(self) -> Refresh:
        """All ids, in one window."""
        started_at = self._settled()
        windows, now = await self._span(())
        return Refresh(started_at, windows, {"since": self._since.settled(now).isoformat()})

    async def window(self, window: Window) -> WindowPage:
        """A page of the search for all records."""
        return await self._window(window, ())

    async def count(self) -> int:
        """By the search, which counts what it finds."""
        return (await self._api.search(self._source.kind, (), ("hs_object_id",), limit=1)).total

    # Changes

    async def changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What was modified, the contacts of modified companies, what was archived.

        A cursor inside a pull holds ``until``, from where the next one will go on, the ``step`` and how far
        ``at`` it is. A contact deleted for good (GDPR) shows only in a full refresh.
        """
        since = datetime.fromisoformat(cursor["since"])
        changed_since = self._since.reach(since)
        if "until" not in cursor:
            windows, now = await self._span((_modified_since(self._source.modified, changed_since),))
            self._since.check(since, now, label=self._api.label)
            until = max(since, self._since.settled(now)).isoformat()
            cursor = {"since": cursor["since"], "until": until, "step": "modified", "at": _dump(windows)}
        steps: dict[str, Step] = {
            "modified": partial(self._modified, changed_since),
            "renamed": partial(self._renamed, changed_since),
            "archived": partial(self._archived, changed_since),
        }
        async with aclosing(in_steps(cursor, steps)) as pages:
            async for page in pages:
                yield page
        yield Page((), self._clock(), {"since": cursor["until"]})

    async def _modified(self, since: datetime, at: Sequence[Sequence[int]]) -> AsyncGenerator[Page, None]:
        changed = (_modified_since(self._source.modified, since),)

        async def fetch(window: Window) -> WindowPage:
            return await self._window(window, changed)

        windows = [Window(low, high) for low, high in at]
        async with aclosing(read_windows(windows, fetch, readers=self.readers)) as pages:
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
            self._check(answer, [*map(int, ids)], Window(after + 1, _BEYOND))
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
        observed_at = self._clock()
        async with aclosing(self._api.archived(self._source.kind, at)) as parts:
            async for part in parts:
                archived = map(read_archived, part.items)
                gone = [Tombstone(one.id, one.archived_at) for one in archived if one.archived_at >= since]
                yield Page((), observed_at, {"at": part.following} if part.following else None, gone)
                observed_at = self._clock()

    # Searching by ranges of ids

    async def _span(self, filters: Collection[Filter]) -> tuple[tuple[Window, ...], datetime]:
        """The range of ids that a search finds, and HubSpot's time.

        Of two answers the earlier time: a clock that is ahead for one of them must not skip what follows.
        """
        kind = self._source.kind
        lowest = await self._api.search(kind, filters, ("hs_object_id",), limit=1)
        now = self._api.now(self._clock)
        highest = await self._api.search(kind, filters, ("hs_object_id",), limit=1, descending=True)
        now = min(now, self._api.now(self._clock))
        if not lowest.results or not highest.results:
            return (), now
        ids = [int(read_id(answer.results[0]) or 0) for answer in (lowest, highest)]
        if not all(ids) or lowest.total > ids[1] - ids[0] + 1:
            raise self._api.fault(f"does not say the lowest and highest id of its {lowest.total} {kind}")
        return (Window(ids[0], ids[1] + 1),), now

    async def _window(self, window: Window, filters: Collection[Filter]) -> WindowPage:
        observed_at = self._settled()
        span = (("hs_object_id", "GTE", window.low), ("hs_object_id", "LT", window.high))
        kind, properties = self._source.kind, self._source.properties
        fits = sum(len(name) + _AROUND_NAME for name in properties) <= _LONGEST_PROPERTIES
        answer = await self._api.search(kind, (*span, *filters), properties if fits else ("hs_object_id",))
        ids = [int(one) for one in map(read_id, answer.results) if one is not None]
        self._check(answer, ids, window)
        found = answer.results
        if not fits:  # an odd record without a readable id is kept, to be a reject
            odd = [record for record in found if read_id(record) is None]
            found = [*await self._api.batch_read(kind, list(map(str, ids)), properties), *odd]
        records = await self._source.complete(found)
        rest = Window(ids[-1] + 1, window.high) if len(answer.results) < answer.total else None
        return WindowPage(records, observed_at, rest, _merged_away(records))

    def _check(self, answer: SearchAnswer, ids: Sequence[int], window: Window) -> None:
        """Refuse a page that is not of its window or leads nowhere: reading on would lose records."""
        if reason := misplaced(ids, low=window.low, high=window.high):
            raise self._api.fault(f"returned a page that {reason}, as if one were repeated")
        if len(answer.results) < answer.total and not any(map(read_id, answer.results)):
            raise self._api.fault(f"returned no record of {answer.total} from which to go on")
        if ids and answer.total - len(answer.results) > window.high - 1 - ids[-1]:
            raise self._api.fault(f"says that {answer.total} records follow where there are not so many ids")

    def _settled(self) -> datetime:
        """As of when search is known to be right."""
        return self._since.settled(self._clock())


def _whole_records(api: HubSpotApi, stream: str, more: Sequence[str]) -> Contacts | Invoices | Further:
    if stream == "customers":
        return Contacts(api, more)
    return Invoices(api, more) if stream == "invoices" else Further(api, stream)


def _modified_since(name: str, since: datetime) -> Filter:
    return name, "GTE", int(since.timestamp() * 1000)


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
        gone += [Tombstone(one, merged.updated_at, merged.id) for one in ids if one and one != merged.id]
    return gone
