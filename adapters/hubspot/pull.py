"""The order in which a HubSpot stream is read: a full refresh by ranges of ids, and the changes since.

Search lags behind by some seconds (``search_lag``); what it shows is taken to have been so that long ago, and each pull
begins that much before the last one did. Now and then it lags much more, so each pull reads the last minutes before the
last one (``search_late``) a second time. Not here: how one kind of object is searched (``searched``).
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from adapters.hubspot.api import BATCH, Filter, HubSpotApi
from adapters.hubspot.mapping import COMPANY_PROPERTIES
from adapters.hubspot.related import Contacts, Further, Invoices
from adapters.hubspot.searched import Searched, modified_since
from adapters.hubspot.webhooks import OF_COMPANY
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.reading.changes import Since, Step, in_steps
from unified.kit.reading.raw import by_ids
from unified.kit.reading.refresh import Refresh, RefreshedSource
from unified.kit.reading.windows import Window, WindowPage, read_windows
from unified.kit.streams import Cursor, Page, RawRecord

# Searches under way at once: with five a second allowed, more would only wait.
READERS = 8
# HubSpot's servers do not share one clock to the second.
_OVERLAP = timedelta(seconds=10)
# https://knowledge.hubspot.com/records/restore-deleted-records: then archived records are gone for good.
_BIN_KEEPS = timedelta(days=90)
# Beyond all ids.
_BEYOND = 2**63
# Contacts completed at a time when a company changed that has very many.
_CHUNK = 500


class Objects(RefreshedSource):
    """Contacts, invoices, or records of a further object, as the stream is called."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Read through a connected adapter, as its settings say."""
        self._api = HubSpotApi(adapter.http)
        self._source = _whole_records(self._api, stream.name, adapter.config.properties)
        self._clock = adapter.clock
        self._since = since_of(adapter.config)
        hours = adapter.config.associations_hours if self._source.has_links else 0
        self._relink_after = timedelta(hours=hours) if hours else None
        self._searched = Searched(self._api, self._source, clock=self._clock, settled=self._settled)
        self.readers = min(adapter.config.concurrency, READERS)

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
                merged = self._searched.merged_away(page.records)
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
        windows, now = await self._searched.span(())
        since = self._since.settled(now).isoformat()
        return Refresh(started_at, windows, {"since": since, **self._linked(since)})

    async def window(self, window: Window) -> WindowPage:
        """A page of the search for all records."""
        return await self._searched.window(window)

    async def count(self) -> int:
        """By the search, which counts what it finds."""
        return await self._searched.count()

    # Changes

    async def changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What was modified, the contacts of modified companies, what was archived; once a day all that is associated.

        A cursor inside a pull holds ``until``, from where the next one will go on, the ``step`` and how far
        ``at`` it is. A contact deleted for good (GDPR) shows only in a full refresh.
        """
        since = datetime.fromisoformat(cursor["since"])
        changed_since = self._since.reach(since)
        if "until" not in cursor:
            windows, now = await self._searched.span((modified_since(self._source.modified, changed_since),))
            self._since.check(since, now, label=self._api.label)
            until = max(since, self._since.settled(now)).isoformat()
            cursor = {**cursor, "until": until, "step": "modified", "at": _dump(windows)}
            if self._is_relink_due(cursor, now):
                cursor["relinks"] = True
        modified = (modified_since(self._source.modified, changed_since),)
        steps: dict[str, Step] = {
            "modified": partial(self._found, modified),
            "renamed": partial(self._renamed, changed_since),
            "archived": partial(self._searched.archived, changed_since),
        }
        relinks = cursor.get("relinks", False)
        if relinks:
            steps["associated"] = partial(self._found, ())
        async with aclosing(in_steps(cursor, steps)) as pages:
            async for page in pages:
                yield page
        linked = self._linked(cursor["until"] if relinks else cursor.get("linked"))
        yield Page((), self._clock(), {"since": cursor["until"], **linked})

    def _linked(self, moment: str | None) -> Cursor:
        """What a cursor keeps of when all associations were read last."""
        return {} if moment is None or self._relink_after is None else {"linked": moment}

    def _is_relink_due(self, cursor: Cursor, now: datetime) -> bool:
        if self._relink_after is None:
            return False
        return "linked" not in cursor or now - datetime.fromisoformat(cursor["linked"]) >= self._relink_after

    async def _found(
        self, filters: Sequence[Filter], at: Sequence[Sequence[int]] | None
    ) -> AsyncGenerator[Page, None]:
        """What a search finds, from where it stands on."""
        begin = (
            (await self._searched.span(filters))[0] if at is None else [Window(low, high) for low, high in at]
        )

        async def fetch(window: Window) -> WindowPage:
            return await self._searched.window(window, filters)

        async with aclosing(read_windows(begin, fetch, readers=self.readers)) as pages:
            async for page, left in pages:
                yield Page(page.records, page.observed_at, {"at": _dump(left)}, page.tombstones)

    async def _renamed(self, since: datetime, at: tuple[int, int] | None) -> AsyncGenerator[Page, None]:
        """Contacts whose company changed: that does not modify them, yet they carry its name."""
        if not isinstance(self._source, Contacts):
            return
        changed, more = modified_since("hs_lastmodifieddate", since), True
        after, done = at or (0, 0)  # the company, and among the contacts of those that follow it the contact
        while more:
            observed_at = self._settled()
            filters = (("hs_object_id", "GT", after), changed)
            answer = await self._api.search("companies", filters, COMPANY_PROPERTIES)
            ids = self._source.companies.remember(answer.results)
            self._searched.check(answer, [*map(int, ids)], Window(after + 1, _BEYOND))
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

    def _settled(self) -> datetime:
        """As of when search is known to be right."""
        return self._since.settled(self._clock())


def since_of(config: Any) -> Since:
    """How changes are followed, as a connection's settings say."""
    late = timedelta(seconds=config.search_late if config.search_lag else 0)
    return Since(timedelta(seconds=config.search_lag), _OVERLAP, _BIN_KEEPS, late=late)


def _whole_records(api: HubSpotApi, stream: str, more: Sequence[str]) -> Contacts | Invoices | Further:
    if stream == "customers":
        return Contacts(api, more)
    return Invoices(api, more) if stream == "invoices" else Further(api, stream)


def _dump(windows: Sequence[Window]) -> list[list[int]]:
    return [[window.low, window.high] for window in windows]
