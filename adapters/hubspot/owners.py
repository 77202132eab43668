"""Owners: the people and queues that records are assigned to (``hubspot_owner_id``).

HubSpot has no search for them and says nothing of what changed, so each pull reads both of its lists: one request for
500 owners. Not here: objects that are searched (``pull``).
Reference: https://developers.hubspot.com/docs/api-reference/latest/crm/owners/guide
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from adapters.hubspot.api import HubSpotApi
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.reading.raw import by_ids, id_of, raw_record
from unified.kit.reading.refresh import Refresh
from unified.kit.reading.windows import Window
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone

# The list of active owners, then that of archived ones: who is archived in between is gone, and not missed.
_ACTIVE, _ARCHIVED = Window(0, 1), Window(1, 2)
# All that are asked for by their ids are looked up in one reading of the list.
_AT_ONCE = 100_000


class _Archived(msgspec.Struct, rename="camel"):
    id: str
    updated_at: datetime


_ARCHIVED_OWNER = msgspec.json.Decoder(_Archived)


class Owners:
    """Reads the owners whole, each time."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Read through a connected adapter."""
        del stream
        self._api = HubSpotApi(adapter.http)
        self._clock = adapter.clock

    async def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """Active owners as records and archived ones as tombstones: :meth:`unified.kit.adapter.BaseAdapter.pull`."""
        now = self._clock()
        refresh = Refresh.load(cursor) or Refresh(now, [_ACTIVE, _ARCHIVED], {"read_at": now.isoformat()})
        while refresh.windows:
            window, *rest = refresh.windows
            is_archived, observed_at = window.low == _ARCHIVED.low, self._clock()
            async with aclosing(self._api.owners(archived=is_archived, after=window.page)) as parts:
                async for part in parts:
                    left = (
                        [*rest] if part.following is None else [replace(window, page=part.following), *rest]
                    )
                    refresh = replace(refresh, windows=left)
                    found = [_gone(one, observed_at) if is_archived else _living(one) for one in part.items]
                    records = [one for one in found if isinstance(one, RawRecord)]
                    tombstones = [one for one in found if isinstance(one, Tombstone)]
                    yield refresh.page(records, observed_at, tombstones)
                    observed_at = self._clock()
        yield refresh.end()

    def fetch(self, ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Single owners, looked up in the list of active ones; see :meth:`unified.kit.adapter.BaseAdapter.fetch`."""

        async def read(some: Sequence[str]) -> Sequence[RawRecord]:
            asked = set(some)
            async with aclosing(self._api.owners(archived=False)) as parts:
                found = [_living(one) async for part in parts for one in part.items]
            return [one for one in found if one.source_id in asked]

        return by_ids(ids, read, clock=self._clock, size=_AT_ONCE)


def _living(owner: msgspec.Raw) -> RawRecord:
    """An active owner; a reject of one without an id."""
    return raw_record(id_of(owner), owner)


def _gone(owner: msgspec.Raw, observed_at: datetime) -> Tombstone | RawRecord:
    """An archived owner's tombstone; HubSpot dates the change and not the archiving. A reject of one without an id."""
    try:
        archived = _ARCHIVED_OWNER.decode(owner)
    except msgspec.MsgspecError:
        record = raw_record(id_of(owner), owner)
        return record if record.source_id is None else Tombstone(record.source_id, observed_at)
    return Tombstone(archived.id, min(archived.updated_at, observed_at))
