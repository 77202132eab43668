"""One kind of object, searched by ranges of ids: all of it, what was modified since a time, what was archived since.

Ids are unique and never change, so every search here is sorted and cut by ``hs_object_id``: exact, without
the 10,000-result cap of paging, and side by side. Not here: in which order a stream does so (``pull``, ``custom``).
"""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import msgspec

from adapters.hubspot.api import Filter, HubSpotApi, SearchAnswer, read_archived
from adapters.hubspot.related import read_id
from unified.kit.reading.pages import misplaced
from unified.kit.reading.windows import Window, WindowPage
from unified.kit.streams import Page, RawRecord, Tombstone

# A search's body has 3,000 characters at most; so many are left for names of properties beside the filters. More are
# read by id, where the body has no such bound
# (https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm).
_LONGEST_PROPERTIES = 2_400
_AROUND_NAME = len('"",')


class Whole(Protocol):
    """A kind of object, and what makes its records whole; ``related`` has them.

    Attributes:
        kind: HubSpot's name of the object, or the id of its type.
        modified: The property that holds the time of its last modification.
        properties: What is read of it.
    """

    kind: str
    modified: str
    properties: Sequence[str]

    def key(self, record_id: str) -> str:
        """What a record is kept under."""

    async def complete(self, found: Sequence[msgspec.Raw]) -> list[RawRecord]:
        """Records as they are kept, completed by what they are associated with."""


class _Merged(msgspec.Struct, rename={"updated_at": "updatedAt"}):
    id: str
    updated_at: datetime
    properties: dict[str, str | None]


_MERGED = msgspec.json.Decoder(_Merged)


class Searched:
    """Searches one kind of object."""

    def __init__(
        self,
        api: HubSpotApi,
        source: Whole,
        *,
        clock: Callable[[], datetime],
        settled: Callable[[], datetime],
    ) -> None:
        """Search through an open connection.

        Args:
            api: The connection's API.
            source: What is searched.
            clock: Says our time.
            settled: Says as of when search is known to be right.
        """
        self._api = api
        self._source = source
        self._clock = clock
        self._settled = settled

    async def span(self, filters: Collection[Filter]) -> tuple[tuple[Window, ...], datetime]:
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

    async def window(self, window: Window, filters: Collection[Filter] = ()) -> WindowPage:
        """A page of the search for what filters let through, within a range of ids."""
        observed_at = self._settled()
        span = (("hs_object_id", "GTE", window.low), ("hs_object_id", "LT", window.high))
        kind, properties = self._source.kind, self._source.properties
        fits = sum(len(name) + _AROUND_NAME for name in properties) <= _LONGEST_PROPERTIES
        answer = await self._api.search(kind, (*span, *filters), properties if fits else ("hs_object_id",))
        ids = [int(one) for one in map(read_id, answer.results) if one is not None]
        self.check(answer, ids, window)
        found = answer.results
        if not fits:  # an odd record without a readable id is kept, to be a reject
            odd = [record for record in found if read_id(record) is None]
            found = [*await self._api.batch_read(kind, list(map(str, ids)), properties), *odd]
        records = await self._source.complete(found)
        rest = replace(window, low=ids[-1] + 1) if len(answer.results) < answer.total else None
        return WindowPage(records, observed_at, rest, self.merged_away(records))

    async def count(self) -> int:
        """How many there are, by the search, which counts what it finds."""
        return (await self._api.search(self._source.kind, (), ("hs_object_id",), limit=1)).total

    async def archived(self, since: datetime, at: str | None) -> AsyncGenerator[Page, None]:
        """Archiving modifies nothing and hides from search: the whole bin is read, for what came in since.

        Args:
            since: When the last pull began.
            at: Where a page begins; None is the bin's start.

        Yields:
            Tombstones, with a cursor that holds where the next page begins; None after the last one.
        """
        observed_at = self._clock()
        async with aclosing(self._api.archived(self._source.kind, at)) as parts:
            async for part in parts:
                archived = map(read_archived, part.items)
                gone = [
                    Tombstone(self._source.key(one.id), one.archived_at)
                    for one in archived
                    if one.archived_at >= since
                ]
                yield Page((), observed_at, {"at": part.following} if part.following else None, gone)
                observed_at = self._clock()

    def check(self, answer: SearchAnswer, ids: Sequence[int], window: Window) -> None:
        """Refuse a page that is not of its window or leads nowhere: reading on would lose records."""
        if reason := misplaced(ids, low=window.low, high=window.high):
            raise self._api.fault(f"returned a page that {reason}, as if one were repeated")
        if len(answer.results) < answer.total and not any(map(read_id, answer.results)):
            raise self._api.fault(f"returned no record of {answer.total} from which to go on")
        if ids and answer.total - len(answer.results) > window.high - 1 - ids[-1]:
            raise self._api.fault(f"says that {answer.total} records follow where there are not so many ids")

    def merged_away(self, records: Sequence[RawRecord]) -> list[Tombstone]:
        """Records that were merged into these: they vanish from search without ever being archived.

        The merged record is a new one, made at the merge
        (https://developers.hubspot.com/changelog/updated-merge-functionality-for-contacts-and-companies).
        """
        gone, key = [], self._source.key
        for record in records:
            try:
                merged = _MERGED.decode(record.body)
            except msgspec.MsgspecError:
                continue  # it will be a reject of its own
            ids = (merged.properties.get("hs_merged_object_ids") or "").split(";")
            gone += [
                Tombstone(key(one), merged.updated_at, key(merged.id))
                for one in ids
                if one and one != merged.id
            ]
        return gone


def modified_since(name: str, since: datetime) -> Filter:
    """What a search asks for to find what was modified since a time, by the property of that name."""
    return name, "GTE", int(since.timestamp() * 1000)
