"""Reads a document's stream: one list, or a list for each partition, by the kit's own reader of lists.

Here is only what a document adds to it: ids and tombstones by rules, filter and transformations, partitions, budgets.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from itertools import product
from math import prod
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
from unified.kit.document.streams import Parent, Values
from unified.kit.errors import ConfigurationError, MappingError
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


_MOST_LISTED = 100_000


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


class _Combined(Sequence[Mapping[str, str]]):
    """The parents of a page, each with all that is listed: combined one by one, as there may be millions."""

    def __init__(self, field: str, parents: Sequence[str], listed: Sequence[Mapping[str, str]]) -> None:
        self._field = field
        self._parents = parents
        self._listed = listed

    def __len__(self) -> int:
        return len(self._parents) * len(self._listed)

    def __getitem__(self, at: Any) -> Any:
        parent, other = divmod(range(len(self))[at], len(self._listed))
        return {self._field: self._parents[parent], **self._listed[other]}


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
        parent = self._said.parent
        self._has_list = None if parent is None else change_of(parent.filter, (), scope)
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
            await self._listing.endpoint.page(self._http, None, asked)

    # Records

    def record_of(self, item: msgspec.Raw) -> RawRecord:
        """The record in what stands for an item of the list."""
        return self._record(item)

    async def records(self, asked: Asked) -> list[RawRecord]:
        """The living records that the list holds where it is asked for some."""
        parts = self._listing.endpoint.pages(self._http, asked)
        return [record for part in [one async for one in parts] for record in self._records(part)[0]]

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
            async with aclosing(self._partitions(place.parents)) as parts:
                async for partitions, parents_at, then in parts:
                    is_resumed = place.partition is not None and parents_at == place.parents
                    resumed = next(
                        (
                            at
                            for at, one in enumerate(partitions if is_resumed else ())
                            if self._name(one) == place.partition
                        ),
                        0,
                    )
                    for at in range(resumed + 1, len(partitions) + 1):
                        partition = partitions[at - 1]
                        name = self._name(partition)
                        here = _Place(parents_at, name, has_hidden=self._has_hidden)
                        after = (
                            here._replace(partition=self._name(partitions[at]))
                            if at < len(partitions)
                            else then
                        )
                        asked = place.at if name == place.partition else None
                        async with aclosing(self._of(partition, params, asked)) as pages:
                            async for page, onward in pages:
                                onto = after if onward.is_end else here._replace(at=onward.at)
                                yield page, Onward(_written(onto), is_end=False)
        yield Page((), observed_at, None), Onward(None, is_end=True)

    def _name(self, partition: Mapping[str, str]) -> str:
        """The value that a partition is asked by; all of them where it is asked by several."""
        values = [partition[one.partition_field] for one in self._said.partitions]
        return values[0] if len(values) == 1 else msgspec.json.encode(values).decode()

    async def _of(
        self, partition: Mapping[str, str], params: Asked, begin: Position | None
    ) -> AsyncGenerator[tuple[Page, Onward], None]:
        """Pages of one partition; none of one that the document passes over, which is logged."""
        source = DocumentSource(self._document, self._stream, partition)
        name = self._name(partition)
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

    async def _partitions(
        self, begin: Position | None
    ) -> AsyncGenerator[tuple[Sequence[Mapping[str, str]], Position | None, _Place], None]:
        """Partitions page by page, each page with its position, and with the place behind it."""
        said = self._said.parent
        values = {
            one.partition_field: self._values(one) for one in self._said.partitions if isinstance(one, Values)
        }
        if prod(map(len, values.values())) > _MOST_LISTED:
            raise ConfigurationError(
                f"{self._http.label}: the values of {self._stream.name}'s partitions have more than {_MOST_LISTED:,} "
                "combinations; correct its settings"
            )
        listed = [dict(zip(values, one, strict=True)) for one in product(*values.values())]
        if said is None:
            yield listed, None, _Place(is_done=True)
        else:
            parent = DocumentSource(self._document, self._document.stream(said.stream))
            at = begin
            async with aclosing(parent._read(parent._listing.refresh, begin)) as pages:
                async for page, onward in pages:
                    found = [
                        self._value(record, said) for record in page.records if self._is_partition(record)
                    ]
                    names = dict.fromkeys(one for one in found if one is not None)
                    self._has_hidden |= parent._has_hidden
                    then = _Place(onward.at, is_done=onward.is_end)
                    yield _Combined(said.partition_field, [*names], listed), at, then
                    at = onward.at

    def _values(self, said: Values) -> list[str]:
        found = said.values if isinstance(said.values, tuple) else self._document.filler().value(said.values)
        if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
            raise ConfigurationError(
                f"{self._http.label}: partitions of {self._stream.name} are not a list of texts; correct its settings"
            )
        return list(dict.fromkeys(one.strip() for one in found if one.strip()))

    def _is_partition(self, record: RawRecord) -> bool:
        return self._has_list is None or self._has_list(bytes(record.body)) is not None

    def _value(self, record: RawRecord, said: Parent) -> str | None:
        try:
            found = within(msgspec.Raw(record.body), said.parent_key)
            return None if found is None else str(msgspec.json.decode(found, type=str | int))
        except msgspec.MsgspecError:
            _log.warning(
                "%s: a record of %s has no readable %s, so its %s are not read",
                self._http.label, said.stream, ".".join(said.parent_key), self._stream.name,
            )  # fmt: skip
            return None

    def _place(self, begin: Position | None) -> _Place:
        try:
            return _Place() if begin is None else _PLACE.decode(str(begin))
        except msgspec.MsgspecError:
            return _Place()  # of a version of the document in which it was one list


def _written(place: _Place) -> str:
    return msgspec.json.encode(place).decode()
