"""Reads a document's stream: one list, or a list for each partition, by the kit's own reader of lists.

Here is only what a document adds to it: ids and tombstones by rules, filter and transformations, partitions, budgets.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from unified.kit.declarations import Stream
from unified.kit.decoding import decode_exactly
from unified.kit.document.answers import IgnoredError
from unified.kit.document.lists.budgets import Spent
from unified.kit.document.lists.changing import change_of
from unified.kit.document.lists.known import Known
from unified.kit.document.lists.listing import id_keys, listing_of
from unified.kit.document.lists.partitions import Partitions
from unified.kit.errors import MappingError
from unified.kit.mapping.refusals import UNREADABLE
from unified.kit.reading.listing import ListSource, Onward
from unified.kit.reading.lists import Asked
from unified.kit.reading.paging import Position, within
from unified.kit.reading.raw import raw_record
from unified.kit.streams import Cursor, Page, RawRecord

if TYPE_CHECKING:
    from unified.kit.mapping.compiled import StreamMapping

_log = logging.getLogger(__name__)

# Statuses that say that a partition is no longer there.
_GONE = (404, 410)

_ALONE: Mapping[str, str] = MappingProxyType({})


class _LeftOut(RawRecord):
    """A record that the document's filter leaves out: to readers it is not there."""


class _Place(NamedTuple):
    """Where a reader of partitions is.

    Attributes:
        parents: Where the page of partitions begins.
        partition: The value of the partition that is read; None for the page's first.
        at: Where the page of its list begins.
        is_done: Whether nothing is left.
        has_hidden: Whether a partition was passed over that may be there all the same.
    """

    parents: Position | None = None
    partition: str | None = None
    at: Position | None = None
    is_done: bool = False
    has_hidden: bool = False


_PLACE = msgspec.json.Decoder(_Place)


class DocumentSource(ListSource):
    """Reads a stream of a document."""

    def __init__(self, adapter: Any, stream: Stream, partition: Mapping[str, str] = _ALONE) -> None:
        """Read a stream of a connected adapter, or one partition of it.

        Args:
            adapter: The :class:`unified.kit.document.engine.DocumentAdapter`.
            stream: Its stream.
            partition: The partition's values by their names; those of its parents are among them.
        """
        self._document = adapter
        self._said = adapter.document.said.streams[stream.name]
        self._partition = partition
        listing = listing_of(self._said, adapter.filler(partition), adapter.may_ask, adapter.clock)
        super().__init__(listing, adapter, stream)
        self._mapping: StreamMapping = adapter.mappings[stream.name]
        scope = {"settings": adapter.config.said(), "partition": dict(partition)}
        self._change = change_of(self._said.filter, self._said.transformations, scope)
        what = f"{self._http.label}: {stream.name}"
        self._partitions = Partitions(self._said, what, self._parent, scope)
        self._known: Known | None = None
        self._has_hidden = False
        self._is_plain = self._change is None and id_keys(self._said.mapping.id) is not None

    async def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All of it, or what changed, within the document's budgets.

        Raises:
            ProviderError: If the pull costs more than the document allows; the next one goes on where this one stopped.
        """
        spent = Spent(self._document.document.said.budgets, self._document)
        changes = self._said.changes
        if changes is not None and changes.per_partition:
            self._known, cursor = Known.load(cursor)
        async with aclosing(super().pull(cursor)) as pages:
            async for found in pages:
                page = found if self._known is None else self._known.kept_by(found)
                # What was passed over may live on: then nothing counts as deleted for not having been met.
                yield replace(page, refresh_done=False) if page.refresh_done and self._has_hidden else page
                spent.add(page)

    async def look(self) -> None:
        """Ask for a page, to see whether the credential may read the stream.

        Of partitions none is asked for: which there are is known only when their parents are read. No job is begun.
        """
        if self._said.partition is None and self._said.job is None:
            _, asked, _ = self._next(self._span())
            await self._listing.endpoint.look(self._http, asked)

    # Records

    def record_of(self, item: msgspec.Raw) -> RawRecord:
        """The record in what stands for an item of the list."""
        return self._record(item)

    async def records(self, asked: Asked) -> list[RawRecord]:
        """The living records that the list holds where it is asked for some."""
        parts = self._listing.endpoint.pages(self._http, asked)
        found = [self._record(item) for part in [one async for one in parts] for item in part.items]
        return self._sorted_out(found)[0]

    def _record(self, item: msgspec.Raw) -> RawRecord:
        if self._is_plain:
            return super()._record(item)
        try:
            found = within(item, self._listing.record)
        except msgspec.MsgspecError:
            return raw_record(None, item)
        body = bytes(item if found is None else found)
        changed = body if self._change is None else self._change(body)
        source_id = self._mapping.id_of(body if changed is None else changed)
        return _LeftOut(source_id, body) if changed is None else raw_record(source_id, changed)

    def _deleted_at(self, record: RawRecord) -> datetime | None:
        if isinstance(record, _LeftOut):
            return self._clock()
        if self._said.mapping.tombstone is None:
            return None
        try:
            return self._mapping.deleted_at(decode_exactly(record.body), self._clock())
        except (MappingError, *UNREADABLE):
            return None

    # Partitions

    async def _read(self, params: Asked, begin: Position | None) -> AsyncGenerator[tuple[Page, Onward], None]:
        """Pages of the list, or of one partition's list after the other."""
        if self._said.partition is None or self._partition:
            async with aclosing(super()._read(params, begin)) as pages:
                async for page, onward in pages:
                    yield page, onward
            return
        observed_at = self._clock()
        place = self._place(begin)
        self._has_hidden = place.has_hidden
        if not place.is_done:
            name_of, value = self._partitions.name, self._document.filler().value
            async with aclosing(self._partitions.pages(place.parents, value)) as parts:
                async for partitions, parents_at, following, is_end in parts:
                    then = _Place(following, is_done=is_end)
                    is_resumed = place.partition is not None and parents_at == place.parents
                    resumed = next(
                        (
                            at
                            for at, one in enumerate(partitions if is_resumed else ())
                            if name_of(one) == place.partition
                        ),
                        0,
                    )
                    for at in range(resumed + 1, len(partitions) + 1):
                        partition = partitions[at - 1]
                        name = name_of(partition)
                        here = _Place(parents_at, name)
                        after = (
                            here._replace(partition=name_of(partitions[at])) if at < len(partitions) else then
                        )
                        asked = place.at if name == place.partition else None
                        async with aclosing(self._of(partition, params, asked)) as pages:
                            async for page, onward in pages:
                                onto = after if onward.is_end else here._replace(at=onward.at)
                                onto = onto._replace(has_hidden=self._has_hidden)
                                yield page, Onward(_written(onto), is_end=False)
        yield Page((), observed_at, None), Onward(None, is_end=True)

    async def _of(
        self, partition: Mapping[str, str], params: Asked, begin: Position | None
    ) -> AsyncGenerator[tuple[Page, Onward], None]:
        """Pages of one partition; none of one that the document passes over, which is logged."""
        source = DocumentSource(self._document, self._stream, partition)
        name = self._partitions.name(partition)
        if self._known is not None and not self._known.has(name):
            params = source._listing.refresh
        try:
            async with aclosing(source._read(params, begin)) as pages:
                async for page, onward in pages:
                    if onward.is_end and self._known is not None:
                        self._known.add(name)
                    yield page, onward
        except IgnoredError as error:
            _log.warning("%s; the document passes over this partition", error)
            self._has_hidden |= error.status not in _GONE

    async def _parent(self, name: str, begin: Position | None) -> AsyncGenerator[tuple[Page, Onward], None]:
        """Pages of a stream whose records are partitions."""
        parent = DocumentSource(self._document, self._document.stream(name))
        async with aclosing(parent._read(parent._listing.refresh, begin)) as pages:
            async for page, onward in pages:
                self._has_hidden |= parent._has_hidden
                yield page, onward

    def _place(self, begin: Position | None) -> _Place:
        try:
            return _Place() if begin is None else _PLACE.decode(str(begin))
        except msgspec.MsgspecError:
            return _Place()  # of a version of the document in which it was one list


def _written(place: _Place) -> str:
    return msgspec.json.encode(place).decode()
