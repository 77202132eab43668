"""The account's own objects, all of them in one stream: which there are is found out from their schemas, each time.

Streams are the same for every connection, and names of custom objects are not. So a record says which object it is of,
and its id begins with that object's type: ``2-123456:789``. Each object is read as any other is (``searched``).

An object that is new is read whole, beside what changed of the others. One that has gone from the list of schemas is
looked for among the deleted ones, which HubSpot lets go only when they have no records left: only then are its records
gone, and by a full refresh, which asks for each of them before. Else they stay.
Reference: https://developers.hubspot.com/docs/api-reference/latest/crm/objects/schemas/guide
"""

import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from adapters.hubspot.api import BATCH, Filter, HubSpotApi
from adapters.hubspot.pull import READERS, since_of
from adapters.hubspot.related import Custom
from adapters.hubspot.searched import Searched, modified_since
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.errors import StaleCursorError
from unified.kit.reading.changes import Step, in_steps
from unified.kit.reading.raw import by_ids
from unified.kit.reading.refresh import Refresh, RefreshedSource
from unified.kit.reading.windows import Window, WindowPage, read_windows, side_by_side
from unified.kit.streams import Cursor, Page, RawRecord

_log = logging.getLogger(__name__)


class CustomObjects(RefreshedSource):
    """Records of all custom objects."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Read through a connected adapter, as its settings say."""
        del stream
        self._api = HubSpotApi(adapter.http)
        self._clock = adapter.clock
        self._since = since_of(adapter.config)
        self._types: Mapping[str, Custom] | None = None
        self.readers = min(adapter.config.concurrency, READERS)

    async def fetch(self, ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Read single records; :meth:`unified.kit.adapter.BaseAdapter.fetch`."""
        of_type: dict[str, list[str]] = defaultdict(list)
        for one in dict.fromkeys(ids):
            of_type[one.partition(":")[0]].append(one)
        types = await self._known()
        absent = of_type.keys() - types.keys()
        unknown = absent - await self._deleted(absent)
        self._warn(unknown)
        for name in unknown:  # nothing is said of these, and so they stay
            del of_type[name]
        for name, some in of_type.items():
            pages = by_ids(some, partial(self._read, types.get(name)), clock=self._clock, size=BATCH)
            async with aclosing(pages) as reading:
                async for page in reading:
                    yield page

    async def _read(self, source: Custom | None, ids: Sequence[str]) -> Sequence[RawRecord]:
        """Records of one object; none of one that was deleted."""
        if source is None:
            return []
        numbers = [one.partition(":")[2] for one in ids]
        return await source.complete(await self._api.batch_read(source.kind, numbers, source.properties))

    # Full refresh

    async def begin(self) -> Refresh:
        """All ids of each object, in a window of its own."""
        started_at = self._settled()
        types = await self._known()
        windows, now = await self._spans(dict.fromkeys(types, ()))
        return Refresh(
            started_at, windows, {"since": self._since.settled(now).isoformat(), "types": [*types]}
        )

    async def window(self, window: Window) -> WindowPage:
        """A page of the search for all records of an object."""
        return await self._window(window, None)

    async def count(self) -> int:
        """Of all objects together."""
        types = await self._known()
        return sum(await side_by_side(self._searched(one).count() for one in types.values()))

    # Changes

    async def changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What was modified, all of the objects that are new, and what was archived.

        A cursor inside a pull holds what that of any other object does (``pull``), and the types that it reads: those
        that were known before (``types``) and those that are to be known afterwards (``then``).
        """
        since = datetime.fromisoformat(cursor["since"])
        known, reach = frozenset(cursor["types"]), self._since.reach(since)
        types = await self._known()
        if "until" not in cursor:
            kept = await self._undeleted(known - types.keys())
            filters = {
                name: (modified_since(one.modified, reach),) if name in known else ()
                for name, one in types.items()
            }
            windows, now = await self._spans(filters)
            self._since.check(since, now, label=self._api.label)
            until = max(since, self._since.settled(now)).isoformat()
            at = [window.dump() for window in windows]
            cursor = {**cursor, "until": until, "then": [*types, *kept], "step": "modified", "at": at}
        steps: dict[str, Step] = {
            "modified": partial(self._modified, known, reach),
            "archived": partial(self._archived, reach),
        }
        async with aclosing(in_steps(cursor, steps)) as pages:
            async for page in pages:
                yield page
        yield Page((), self._clock(), {"since": cursor["until"], "types": cursor["then"]})

    async def _modified(
        self, known: frozenset[str], since: datetime, at: Sequence[Sequence[Any]]
    ) -> AsyncGenerator[Page, None]:
        async def fetch(window: Window) -> WindowPage:
            return await self._window(window, since if window.of in known else None)

        async with aclosing(read_windows([*map(Window.load, at)], fetch, readers=self.readers)) as pages:
            async for page, left in pages:
                here = {"at": [window.dump() for window in left]}
                yield Page(page.records, page.observed_at, here, page.tombstones)

    async def _archived(self, since: datetime, at: Sequence[str | None] | None) -> AsyncGenerator[Page, None]:
        """The bin of each object, in the order of their types; ``at`` is a type and a position in its bin."""
        types = await self._known()
        begin, after = (at[0] or "", at[1]) if at else ("", None)
        names = [name for name in sorted(types) if name >= begin]
        for number, name in enumerate(names, 1):
            following = names[number] if number < len(names) else None
            bin_of = self._searched(types[name]).archived(since, after if name == begin else None)
            async with aclosing(bin_of) as pages:
                async for page in pages:
                    there = [name, page.cursor["at"]] if page.cursor else [following, None]
                    yield replace(page, cursor={"at": there} if there[0] else None)
        if not names:
            yield Page((), self._clock(), None)

    # What both need

    async def _window(self, window: Window, since: datetime | None) -> WindowPage:
        source = (await self._known()).get(window.of or "")
        if source is None:
            if await self._deleted({window.of or ""}):
                return WindowPage((), self._settled(), None)
            raise self._api.fault(f"no longer lists the custom object {window.of}")
        filters = () if since is None else (modified_since(source.modified, since),)
        return await self._searched(source).window(window, filters)

    async def _spans(self, filters: Mapping[str, Sequence[Filter]]) -> tuple[list[Window], datetime]:
        """The ranges of ids that searches of objects find, and the earliest time that HubSpot said."""
        types = await self._known()
        now = self._api.now(self._clock)
        found = await side_by_side(self._searched(types[name]).span(some) for name, some in filters.items())
        windows = [
            replace(window, of=name)
            for name, (spans, _) in zip(filters, found, strict=True)
            for window in spans
        ]
        return windows, min((at for _, at in found), default=now)

    async def _known(self) -> Mapping[str, Custom]:
        """The objects that there are, by type; asked for once."""
        if self._types is None:
            schemas = await self._api.schemas()
            self._types = {one.object_type_id: Custom(self._api, one) for one in schemas}
        return self._types

    async def _deleted(self, names: Collection[str]) -> set[str]:
        """Which objects that are not listed were deleted."""
        if not names:
            return set()
        return {one.object_type_id for one in await self._api.schemas(archived=True)} & {*names}

    async def _undeleted(self, names: Collection[str]) -> list[str]:
        """Objects that are neither listed nor deleted, in their order, which a warning names.

        Raises:
            StaleCursorError: If any was deleted: a full refresh finds out which records are gone with it.
        """
        deleted = await self._deleted(names)
        if deleted:
            raise StaleCursorError(
                f"{self._api.label}: HubSpot lists {', '.join(sorted(deleted))} as a deleted custom object"
            )
        self._warn(names)
        return sorted(names)

    def _warn(self, unknown: Collection[str]) -> None:
        if unknown:
            _log.warning(
                "%s: HubSpot lists %s neither among the custom objects nor among the deleted ones; the records stay as "
                "they are. Look for it in HubSpot, and at the rights of this connection's credential",
                self._api.label,
                ", ".join(sorted(unknown)),
            )

    def _searched(self, source: Custom) -> Searched:
        return Searched(self._api, source, clock=self._clock, settled=self._settled)

    def _settled(self) -> datetime:
        """As of when search is known to be right."""
        return self._since.settled(self._clock())
