"""How one entity of a company is read: all of it by queries, then what changed, then single records.

Source: https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api, ``data-queries``
and ``change-data-capture``. A query's positions shift when a record changes, so pages go on from the time of the last
record instead. A query never shows what was deleted, nor a customer that was merged into another one: the change data
do, for thirty days, a thousand records at most and without pages. So documents are followed by them alone, and names
by queries, with a look at the change data once a day.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.errors import ProtocolError, StaleCursorError
from unified.kit.reading.changes import Since, provider_time
from unified.kit.reading.pages import misplaced
from unified.kit.reading.raw import by_ids, raw_record
from unified.kit.reading.refresh import Refresh, is_unfinished
from unified.kit.reading.windows import Window
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone

PAGE = 1000
_IDS = 100
_CDC_MOST = 1000
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = Since(lag=timedelta(minutes=5), keeps=timedelta(days=30))
_LOOK = timedelta(days=1)
_WHOLE = Window(0, 1)


class _Meta(msgspec.Struct):
    changed: str = msgspec.field(name="LastUpdatedTime", default="")


class _Head(msgspec.Struct):
    id: Any = msgspec.field(name="Id", default=None)
    status: Any = None
    active: Any = msgspec.field(name="Active", default=True)
    meta: _Meta = msgspec.field(name="MetaData", default_factory=_Meta)

    def changed_at(self) -> datetime | None:
        """At the company's own offset, which changes twice a year: only instants compare."""
        try:
            return datetime.fromisoformat(self.meta.changed).astimezone(UTC)
        except ValueError:
            return None


class _Queried(msgspec.Struct):
    found: dict[str, msgspec.Raw] = msgspec.field(name="QueryResponse")


class _CdcPart(msgspec.Struct):
    answers: list[dict[str, msgspec.Raw]] = msgspec.field(name="QueryResponse")


class _Cdc(msgspec.Struct):
    parts: list[_CdcPart] = msgspec.field(name="CDCResponse")


_HEAD = msgspec.json.Decoder(_Head)
_QUERIED = msgspec.json.Decoder(_Queried)
_CDC = msgspec.json.Decoder(_Cdc)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


class Place(msgspec.Struct, array_like=True):
    """Where a query goes on: from a time, behind the records of that time that were read.

    Attributes:
        since: The time that is asked from.
        start: Position within what was asked for, from 1 on; more than that only where a whole page has one time.
        met: Ids of the records of that time that were read.
    """

    since: datetime = _BEGINNING
    start: int = 1
    met: list[str] = []

    @classmethod
    def load(cls, text: Any) -> "Place":
        """From a cursor."""
        return msgspec.json.decode(text, type=cls) if text else cls()

    def dump(self) -> str:
        """For a cursor."""
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of record.

    Attributes:
        name: As queries call it.
        is_name: Whether it is a name, which is never deleted but made inactive, and hidden then unless asked for.
    """

    name: str
    is_name: bool = False

    def __call__(self, adapter: BaseAdapter[Any], stream: Stream) -> "EntitySource":
        """What reads the stream of a connected adapter."""
        return EntitySource(self, adapter, stream)


class EntitySource:
    """Reads one entity of a company."""

    def __init__(self, entity: Entity, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Use a connected adapter."""
        self._entity = entity
        self._adapter = adapter
        self._stream = stream
        self._path = f"/v3/company/{adapter.config.realm_id}"

    def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All of it, or what changed; see :meth:`unified.kit.adapter.BaseAdapter.pull`."""
        return self._refresh(cursor) if cursor is None or is_unfinished(cursor) else self._changes(cursor)

    def fetch(self, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Single records; see :meth:`unified.kit.adapter.BaseAdapter.fetch`."""
        return by_ids(source_ids, self.some, clock=self._adapter.clock, size=_IDS)

    async def some(self, ids: Sequence[str]) -> list[RawRecord]:
        """Living records of some ids."""
        left = [one for one in dict.fromkeys(ids) if one.isdecimal()]
        found: list[msgspec.Raw] = []
        while left:
            batch = await self.query(f"Id IN ({', '.join(map(quoted, left))})")
            met = {head.id for one in batch if (head := _head(one)) is not None}
            if not met.intersection(left):
                break
            found += batch
            left = [one for one in left if one not in met]
        return self.living(found)[0]

    async def query(self, where: str, *, start: int = 1) -> list[msgspec.Raw]:
        """Records that fit, in the order of their last change; inactive ones are among them."""
        shown = " AND Active IN (true, false)" if self._entity.is_name else ""
        asked = (  # what is not a word of ours is quoted
            f"SELECT * FROM {self._entity.name} WHERE {where}{shown} ORDERBY MetaData.LastUpdatedTime ASC "  # noqa: S608
            f"STARTPOSITION {start} MAXRESULTS {PAGE}"
        )
        answer = await self._adapter.http.request(
            "GET", f"{self._path}/query", _QUERIED, params={"query": asked}
        )
        found = answer.found.get(self._entity.name)  # {"QueryResponse": {}} where there is none
        try:
            return _LIST.decode(found) if found is not None else []
        except msgspec.MsgspecError:
            raise ProtocolError(
                f"{self._adapter.label}: a query's answer is not a list of {self._entity.name}. The next run goes on "
                "from here"
            ) from None

    async def _refresh(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        refresh = Refresh.load(cursor) or Refresh(self._adapter.clock(), [_WHOLE], {})
        while refresh.windows:
            observed_at = self._adapter.clock()
            records, gone, onward = await self._page(Place.load(refresh.windows[0].page))
            then = refresh.then or {"since": self._complete_until().isoformat()}
            left = [] if onward is None else [replace(_WHOLE, page=onward.dump())]
            refresh = Refresh(refresh.started_at, left, then)
            yield refresh.page(records, observed_at, gone)
        yield refresh.end()

    async def _changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What changed since; a cursor of names holds up to when they were ``captured`` as well."""
        since = datetime.fromisoformat(cursor["since"])
        if not self._entity.is_name:
            yield await self._captured(since)
            return
        kept = {"captured": str(cursor.get("captured", cursor["since"]))}
        place: Place | None = Place.load(cursor.get("at")) if cursor.get("at") else Place(since)
        while place is not None:
            observed_at = self._adapter.clock()
            records, gone, place = await self._page(place)
            until = cursor.get("until") or max(since, self._complete_until()).isoformat()
            onward = {"until": until, "at": place.dump()} if place is not None else {}
            cursor = {"since": cursor["since"] if onward else until, **kept, **onward}
            yield Page(records, observed_at, cursor, gone)
        captured = datetime.fromisoformat(kept["captured"])
        if datetime.fromisoformat(cursor["since"]) - captured >= _LOOK:
            page = await self._captured(captured)
            yield replace(page, cursor={**cursor, "captured": cursor["since"]})

    async def _page(self, place: Place) -> tuple[list[RawRecord], list[Tombstone], Place | None]:
        """One page from a place on, and where the next one begins.

        A page may be shorter than was asked for, so the end is where nothing comes.

        Raises:
            ProtocolError: If a page repeats, or is not what was asked for.
        """
        found = await self.query(
            f"MetaData.LastUpdatedTime >= {quoted(written(place.since))}", start=place.start
        )
        heads = [_head(one) for one in found]
        new = [
            one for one, head in zip(found, heads, strict=True) if head is None or head.id not in place.met
        ]
        living, gone = self.living(new)
        if not found:
            return living, gone, None
        begin = place.since.replace(microsecond=0)
        times = [time for head in heads if head and (time := head.changed_at())]
        fault = misplaced([int(time.timestamp()) for time in times], low=begin.timestamp())
        if not new and place.start > 1:
            fault = "repeats the one before"
        if fault:
            raise ProtocolError(
                f"{self._adapter.label}: a page of {self._entity.name} {fault}. The next run goes on from here"
            )
        last = max(times, default=begin).replace(microsecond=0)
        if last > begin:
            met = [str(head.id) for head in heads if head and (time := head.changed_at()) and time >= last]
            return living, gone, Place(last, 1, met)
        # A page without a later time: on by position, and all of it is known.
        met = [*place.met, *(str(head.id) for head in heads if head)]
        return living, gone, Place(place.since, place.start + len(found), met)

    async def _captured(self, since: datetime) -> Page:
        """What changed by the change data: deleted ones are markers, which are confirmed by a read.

        Raises:
            StaleCursorError: If the change data do not go back so far, or show as much as they ever do: there is no
                next page, and what was deleted besides is in no other answer.
        """
        observed_at = self._adapter.clock()
        _TIMES.check(since, observed_at, label=self._adapter.label)
        params = {"entities": self._entity.name, "changedSince": written(since)}
        answer = await self._adapter.http.request("GET", f"{self._path}/cdc", _CDC, params=params)
        until = max(since, self._complete_until())
        parts = [part.get(self._entity.name) for one in answer.parts for part in one.answers]
        found = [record for part in parts if part is not None for record in _LIST.decode(part)]
        if len(found) >= _CDC_MOST:
            raise StaleCursorError(
                f"{self._adapter.label}: {len(found)} {self._stream.name} changed since {since:%Y-%m-%d %H:%M}, and "
                "QuickBooks shows no more than that; only a full refresh finds all that were deleted"
            )
        heads = [_head(one) for one in found]
        marked = {
            str(head.id): head.changed_at() or observed_at
            for head in heads
            if head and head.status == "Deleted"
        }
        there = await self.some(list(marked)) if marked else []
        shown = [
            one for one, head in zip(found, heads, strict=True) if head is None or head.status != "Deleted"
        ]
        living, inactive = self.living(shown)
        alive = {record.source_id for record in there}
        gone = [Tombstone(one, time) for one, time in marked.items() if one not in alive]
        return Page([*living, *there], observed_at, {"since": until.isoformat()}, [*inactive, *gone])

    def living(self, found: Sequence[msgspec.Raw]) -> tuple[list[RawRecord], list[Tombstone]]:
        """Active records, and inactive ones, which stand for deleted."""
        living: list[RawRecord] = []
        gone: list[Tombstone] = []
        for one in found:
            head = _head(one)
            if (
                head is not None
                and head.active is False
                and isinstance(head.id, str)
                and (at := head.changed_at())
            ):
                gone.append(Tombstone(head.id, at))
            else:
                living.append(raw_record(head and head.id, one))
        return living, gone

    def _complete_until(self) -> datetime:
        now = provider_time(self._adapter.http, self._adapter.clock)
        return _TIMES.settled(self._adapter.clock() - timedelta(days=1) if now is None else now)


def written(moment: datetime) -> str:
    """A time in a query, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quoted(text: str) -> str:
    """A text in a query."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _head(record: msgspec.Raw) -> _Head | None:
    try:
        return _HEAD.decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
