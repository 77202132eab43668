"""The order in which a stream is read: a full refresh by ranges of ids, and the changes since.

Ids are unique and never change, so all records are read by them, side by side. Changes follow the time at which the
system last touched a record (``SystemModstamp``; ``LastModifiedDate`` can be set back and misses what happens by
itself), and where several share a second, their ids. Every page is a query of its own, which goes on by key: no
locator is kept, so a run may be killed anywhere.

Not here: which fields are read (``objects``), and what each kind of record adds (``people``, ``invoices``).
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from adapters.salesforce.api import (
    COLLECTION,
    NO_FIELD,
    PAGE,
    RETRIEVED,
    Opened,
    SalesforceApi,
    listed,
    literal,
    selected,
)
from adapters.salesforce.objects import SObject, full_id, id_at, number_of
from adapters.salesforce.rows import Head, Rows, head_of, written
from unified.kit.declarations import Stream
from unified.kit.errors import RequestRefusedError, UnavailableError
from unified.kit.reading.changes import Since, Step, in_steps, provider_time
from unified.kit.reading.pages import misplaced
from unified.kit.reading.raw import by_ids, raw_record
from unified.kit.reading.refresh import Refresh, RefreshedSource
from unified.kit.reading.windows import Window, WindowPage
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone

# Rows with an older stamp may appear five minutes late; twice that is asked for again.
_OVERLAP = timedelta(minutes=10)
# https://help.salesforce.com/s/articleView?id=sf.home_delete.htm: so long the bin shows what was deleted.
_BIN_KEEPS = timedelta(days=15)

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Records(RefreshedSource):
    """The records of one object."""

    def __init__(self, adapter: Opened, stream: Stream, name: str) -> None:
        """Read the object of that name through a connected adapter."""
        del stream
        self._api = SalesforceApi(adapter)
        self.object = SObject(self._api, name)
        self._http, self._clock = adapter.http, adapter.clock
        self._since = Since(timedelta(0), _OVERLAP, _BIN_KEEPS)
        self.readers = adapter.config.concurrency

    @property
    def label(self) -> str:
        """Names the connection in errors."""
        return self._api.label

    async def prepare(self) -> object:
        """Find out which fields the user may see.

        Raises:
            PermissionDeniedError: If the user may not see the object.
        """
        return await self.object.described()

    # What a kind of record says for itself

    async def wanted(self) -> list[str]:
        """Conditions on the records that a full refresh reads."""
        return []

    def is_wanted(self, head: Head) -> bool:
        """Whether a record is one of this stream's."""
        del head
        return True

    async def related(self) -> list[str]:
        """What is read of the records that these name: ``Account.Name``."""
        return []

    async def completed(self, rows: Sequence[tuple[Head, msgspec.Raw]]) -> list[RawRecord]:
        """The raw records of rows."""
        return [raw_record(head.id, raw) for head, raw in rows]

    async def steps(self, since: datetime) -> dict[str, Step]:
        """What has to be looked at beside the records that changed themselves."""
        del since
        return {}

    # Single records

    def fetch(self, ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Read single records; :meth:`unified.kit.adapter.BaseAdapter.fetch`. An id merged away counts as gone."""
        known: dict[str, Tombstone] = {}

        async def read(some: Sequence[str]) -> Sequence[RawRecord]:
            asked = [one for one in some if number_of(one) is not None]
            if not asked:
                return ()
            records: list[RawRecord] = []
            async with aclosing(self.by_key([f"Id IN {listed(asked)}"], deleted=True)) as pages:
                async for rows, _ in pages:
                    living, dead = self._sorted_out(rows)
                    known.update((one.source_id, one) for one in dead if one.merged_into)
                    records += await self.completed(living)
            return records

        return by_ids(map(full_id, ids), read, clock=self._clock, size=COLLECTION, known=known)

    # Full refresh

    async def begin(self) -> Refresh:
        """All ids, in one window."""
        started_at = self._clock()
        await self.object.described()
        where = await self.wanted()
        lowest = await self._edge(where, "ASC")
        since = self._now()
        highest = await self._edge(where, "DESC")
        if lowest == highest and lowest is not None and await self.count() != 1:
            raise self._api.fault(f"says that the lowest id of {self.object.name} is the highest as well")
        windows = () if lowest is None or highest is None else (Window(lowest, highest + 1),)
        return Refresh(started_at, windows, {"since": since.isoformat()})

    async def window(self, window: Window) -> WindowPage:
        """A page of the records with ids in a range."""
        observed_at = self._clock()
        span = [f"Id >= {literal(id_at(window.low))}", f"Id < {literal(id_at(window.high))}"]
        rows = await self.query([*span, *await self.wanted()], "Id")
        numbers = [head.number for head in rows.heads if head.number is not None]
        self._check(rows, misplaced(numbers, low=window.low, high=window.high), numbers)
        rest = Window(numbers[-1] + 1, window.high) if rows.more else None
        records = await self.completed(list(zip(rows.heads, rows.records, strict=True)))
        return WindowPage(records, observed_at, rest)

    async def count(self) -> int | None:
        """By a query that counts; Salesforce may give up on that where there are millions."""
        where = await self.wanted()
        try:
            counted = await self._api.query(selected(["COUNT()"], self.object.name, where))
        except UnavailableError as error:
            if error.code == "QUERY_TIMEOUT":
                return None
            raise
        if counted.records:
            raise self._api.fault(
                f"answered a count of {self.object.name} with records, as if a page were repeated"
            )
        return counted.total_size

    async def _edge(self, where: Collection[str], direction: str) -> int | None:
        """The lowest or the highest id."""
        soql = selected(["Id"], self.object.name, where, order=f"Id {direction}", limit=1)
        found = (await self._api.query(soql)).records
        number = head_of(found[0]).number if found else None
        if found and number is None:
            raise self._api.fault(f"does not say the lowest and highest id of {self.object.name}")
        return number

    # Changes

    async def changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What the system touched or deleted since, then what follows from other records.

        A cursor inside a pull holds ``until``, from where the next one will go on, the ``step`` and how far ``at`` it
        is. What was deleted without the bin shows only in a full refresh.
        """
        since = datetime.fromisoformat(cursor["since"])
        reach = self._since.reach(since)
        if "until" not in cursor:
            await self.object.described()
            now = self._now()
            self._since.check(since, now, label=self._api.label)
            until = max(since, self._since.settled(now)).isoformat()
            cursor = {"since": cursor["since"], "until": until, "step": "changed", "at": None}
        steps: dict[str, Step] = {"changed": partial(self._changed, reach), **await self.steps(reach)}
        async with aclosing(in_steps(cursor, steps)) as pages:
            async for page in pages:
                yield page
        yield Page((), self._clock(), {"since": cursor["until"]})

    async def _changed(self, since: datetime, at: tuple[str, str] | None) -> AsyncGenerator[Page, None]:
        more, low = True, 0
        while more:
            observed_at = self._clock()
            rows = await self.query([_behind(since, at)], "SystemModstamp, Id", deleted=True)
            places = [head.place for head in rows.heads if head.place is not None]
            self._check(rows, misplaced(places, low=low), places)
            living, gone = self._sorted_out(rows)
            last = next((head for head in reversed(rows.heads) if head.place is not None), None)
            at = (written(last.changed_at), last.id) if last and last.changed_at else at
            more, low = rows.more, (places[-1] + 1 if places else low)
            yield Page(await self.completed(living), observed_at, {"at": at} if more else None, gone)

    def _sorted_out(self, rows: Rows) -> tuple[list[tuple[Head, msgspec.Raw]], list[Tombstone]]:
        """Rows that are records of this stream, and those that are gone: deleted, merged, or another kind by now."""
        living, gone = [], []
        for head, raw in zip(rows.heads, rows.records, strict=True):
            if head.is_deleted is not True and self.is_wanted(head):
                living.append((head, raw))
            elif head.number is not None and head.changed_at is not None:
                winner = head.master if number_of(head.master) is not None else None
                gone.append(Tombstone(head.id, head.changed_at, winner))
        return living, gone

    # Queries

    async def by_key(
        self, where: Collection[str], after: str | None = None, *, deleted: bool = False
    ) -> AsyncGenerator[tuple[Rows, datetime], None]:
        """All records that fit conditions, page by page in the order of their ids.

        Args:
            where: Conditions, all of which must hold.
            after: Begin behind this id.
            deleted: Whether what is in the bin is meant as well.

        Yields:
            Pages, and when each was asked for. A short one may have more behind it.
        """
        more = True
        while more:
            observed_at = self._clock()
            behind = [f"Id > {literal(after)}"] if after else []
            rows = await self.query([*where, *behind], "Id", deleted=deleted)
            numbers = [head.number for head in rows.heads if head.number is not None]
            self._check(rows, misplaced(numbers, low=(number_of(after) or 0) + 1), numbers)
            after, more = rows.last_id or after, rows.more
            yield rows, observed_at

    async def query(self, where: Collection[str], order: str, *, deleted: bool = False) -> Rows:
        """A page of records with all fields that may be read; described anew where one of them is gone.

        Args:
            where: Conditions, all of which must hold.
            order: Fields to order by.
            deleted: Whether what is in the bin is meant as well.
        """
        try:
            return await self._queried(where, order, deleted=deleted)
        except RequestRefusedError as error:
            if error.code != NO_FIELD:
                raise
        await self.object.described(anew=True)
        return await self._queried(where, order, deleted=deleted)

    async def _queried(self, where: Collection[str], order: str, *, deleted: bool) -> Rows:
        fields, related = await self.object.fields(), await self.related()
        query = partial(selected, name=self.object.name, where=where, order=order, limit=PAGE)
        soql = query((*fields, *related))
        if self._api.fits(soql):
            answer = await self._api.query(soql, deleted=deleted)
            records = answer.records
        else:
            known = [name for name in Head.__struct_encode_fields__ if name in fields]
            answer = await self._api.query(query((*known, *related)), deleted=deleted)
            records = await self._widened(answer.records, fields)
        return Rows(records, [head_of(one) for one in records], not answer.done or len(records) == PAGE)

    async def _widened(self, records: Sequence[msgspec.Raw], fields: Collection[str]) -> list[msgspec.Raw]:
        """Rows with all fields: more names than fit into a URL travel in a body, by id."""
        ids = [
            head.id
            for head in map(head_of, records)
            if head.number is not None and head.is_deleted is not True
        ]
        whole: dict[Any, dict[str, msgspec.Raw] | None] = dict.fromkeys(ids)
        for at in range(0, len(ids), RETRIEVED):
            for raw in await self._api.retrieve(self.object.name, ids[at : at + RETRIEVED], fields):
                if bytes(raw) != b"null":
                    whole[head_of(raw).id] = _FIELDS.decode(raw)
        made = []
        for raw in records:
            record_id = head_of(raw).id
            more = whole.get(record_id)
            if more is not None:
                made.append(msgspec.Raw(msgspec.json.encode({**more, **_FIELDS.decode(raw)})))
            elif record_id not in whole:
                made.append(raw)
            # Else it was deleted meanwhile, which the bin shows the next pull: half a record is not stored.
        return made

    def _check(self, rows: Rows, fault: str | None, known: Sequence[int]) -> None:
        """Refuse a page that does not follow from what was asked for: reading on would lose records."""
        if fault:
            raise self._api.fault(
                f"returned a page of {self.object.name} that {fault}, as if one were repeated"
            )
        if rows.more and not known:
            raise self._api.fault(f"returned no readable record of {self.object.name}, yet more follow")

    def _now(self) -> datetime:
        now = provider_time(self._http, self._clock)
        if now is None:
            raise self._api.fault("sends no Date header, without which changes can't be followed")
        return now


def _behind(since: datetime, at: Sequence[str] | None) -> str:
    """The condition for what changed since, behind the last record that was read."""
    if at is None:
        return f"SystemModstamp >= {written(since)}"
    stamp, record_id = at
    return f"((SystemModstamp = {stamp} AND Id > {literal(record_id)}) OR SystemModstamp > {stamp})"
