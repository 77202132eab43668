"""Which partitions a document's stream has: read from its parents page by page, combined with values one by one.

Not here: how a partition's list is read, and what is kept of where a pull stopped (`reading`).
"""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from itertools import product
from math import prod
from typing import Any, NamedTuple

import msgspec

from unified.kit.document.asking.partitions import Parent, Values, fields_of
from unified.kit.document.lists.changing import Change, change_of
from unified.kit.document.streams import DocumentStream
from unified.kit.errors import ConfigurationError
from unified.kit.reading.listing import Onward
from unified.kit.reading.paging import Position, within
from unified.kit.streams import Page, RawRecord

_log = logging.getLogger(__name__)

_MOST_LISTED = 100_000

Reads = Callable[[str, Position | None], AsyncGenerator[tuple[Page, Onward], None]]
"""Reads a parent's list, by its stream's name, from a position on."""


class _At(NamedTuple):
    """Where a reader of parents is, in one of several that are combined.

    Attributes:
        alternative: Which of several streams is read.
        page: Where its page begins; None for the first.
        value: The value whose combinations with the next are read.
    """

    alternative: int = 0
    page: Position | None = None
    value: str | None = None


_Place = tuple[_At, ...]
_PLACE = msgspec.json.Decoder(_Place)


class PartitionPage(NamedTuple):
    """Some partitions.

    Attributes:
        partitions: The values of each, by name.
        at: Where this page begins.
        following: Where the next one does.
        is_end: Whether there is none.
    """

    partitions: Sequence[Mapping[str, str]]
    at: Position | None
    following: Position | None
    is_end: bool


class Partitions:
    """The partitions of a stream."""

    def __init__(self, said: DocumentStream, what: str, reads: Reads, scope: Mapping[str, Any]) -> None:
        """Take what a document says.

        Args:
            said: The stream.
            what: Names the connection and the stream in errors.
            reads: Reads parents.
            scope: What filters see besides the record.
        """
        self._axes = said.parents
        self._values = [one for one in said.partitions if isinstance(one, Values)]
        self._fields = [name for one in said.partitions for name in fields_of(one)]
        self._what = what
        self._reads = reads
        self._filters: dict[Parent, Change | None] = {
            one: change_of(one.filter, (), scope) for several in said.parents for one in several
        }

    def name(self, partition: Mapping[str, str]) -> str:
        """The value that a partition is asked by; all of them where it is asked by several."""
        values = [partition[field] for field in self._fields]
        return values[0] if len(values) == 1 else msgspec.json.encode(values).decode()

    async def pages(
        self, begin: Position | None, value: Callable[[str], Any]
    ) -> AsyncGenerator[PartitionPage, None]:
        """Partitions page by page, from a position on.

        Args:
            begin: Where a page began; None for the first.
            value: Fills in an expression over the settings.

        Raises:
            ConfigurationError: If values are no list of texts, or have too many combinations.
        """
        listed = self._listed(value)
        if not self._axes:
            yield PartitionPage(listed, None, None, is_end=True)
            return
        async with aclosing(self._combined(self._axes, self._place(begin))) as pages:
            async for found, at, then in pages:
                following = None if then is None else self._written(then)
                yield PartitionPage(_Combined(found, listed), self._written(at), following, then is None)

    async def _combined(
        self, axes: Sequence[tuple[Parent, ...]], begin: _Place
    ) -> AsyncGenerator[tuple[list[dict[str, str]], _Place, _Place | None], None]:
        """Each record of the first parents with each of the others, whose lists are read for it."""
        start = begin[0] if begin else _At()
        async with aclosing(self._of(axes[0], start)) as pages:
            async for found, at, then in pages:
                after = None if then is None else (then,)
                if len(axes) == 1:
                    yield found, (at,), after
                    continue
                is_resumed = at.alternative == start.alternative and at.page == start.page
                names = [msgspec.json.encode([*one.values()]).decode() for one in found]
                first = names.index(start.value) if is_resumed and start.value in names else None
                for place in range(first or 0, len(found)):
                    here = at._replace(value=names[place])
                    beyond = (at._replace(value=names[place + 1]),) if place + 1 < len(found) else after
                    inner = begin[1:] if place == first else ()
                    async with aclosing(self._combined(axes[1:], inner)) as deeper:
                        async for others, deep, onward in deeper:
                            together = [{**found[place], **one} for one in others]
                            yield together, (here, *deep), beyond if onward is None else (here, *onward)

    async def _of(
        self, several: Sequence[Parent], begin: _At
    ) -> AsyncGenerator[tuple[list[dict[str, str]], _At, _At | None], None]:
        """The records of one parent after the other, page by page."""
        blank = {one.partition_field: "" for one in several}
        for alternative in range(begin.alternative, len(several)):
            said = several[alternative]
            at = begin.page if alternative == begin.alternative else None
            async with aclosing(self._reads(said.stream, at)) as pages:
                async for page, onward in pages:
                    values = dict.fromkeys(
                        self._value(one, said) for one in page.records if self._counts(one, said)
                    )
                    found = [{**blank, said.partition_field: one} for one in values if one is not None]
                    then: _At | None = _At(alternative, onward.at)
                    if onward.is_end:
                        then = _At(alternative + 1) if alternative + 1 < len(several) else None
                    yield found, _At(alternative, at), then
                    at = onward.at

    def _counts(self, record: RawRecord, said: Parent) -> bool:
        change = self._filters[said]
        return change is None or change(bytes(record.body)) is not None

    def _value(self, record: RawRecord, said: Parent) -> str | None:
        try:
            found = within(msgspec.Raw(record.body), said.parent_key)
            return None if found is None else str(msgspec.json.decode(found, type=str | int))
        except msgspec.MsgspecError:
            _log.warning(
                "%s: a record of %s has no readable %s, so what is below it is not read",
                self._what, said.stream, ".".join(said.parent_key),
            )  # fmt: skip
            return None

    def _listed(self, value: Callable[[str], Any]) -> list[dict[str, str]]:
        """The combinations of values."""
        values = {one.partition_field: self._texts(one, value) for one in self._values}
        if prod(map(len, values.values())) > _MOST_LISTED:
            raise ConfigurationError(
                f"{self._what}: the values of its partitions have more than {_MOST_LISTED:,} combinations; correct its "
                "settings"
            )
        return [dict(zip(values, one, strict=True)) for one in product(*values.values())]

    def _texts(self, said: Values, value: Callable[[str], Any]) -> list[str]:
        found = said.values if isinstance(said.values, tuple) else value(said.values)
        if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
            raise ConfigurationError(
                f"{self._what}: its partitions are not a list of texts; correct its settings"
            )
        return list(dict.fromkeys(one.strip() for one in found if one.strip()))

    @property
    def _is_one(self) -> bool:
        """Whether there is one parent stream, whose positions are the partitions' own."""
        return len(self._axes) == 1 and len(self._axes[0]) == 1

    def _place(self, begin: Position | None) -> _Place:
        if begin is None or self._is_one:
            return (_At(page=begin),)
        try:
            found = _PLACE.decode(str(begin))
        except msgspec.MsgspecError:
            return ()
        return (
            found
            if all(0 <= at.alternative < len(one) for at, one in zip(found, self._axes, strict=False))
            else ()
        )

    def _written(self, place: _Place) -> Position | None:
        return place[0].page if self._is_one else msgspec.json.encode(place).decode()


class _Combined(Sequence[Mapping[str, str]]):
    """The parents of a page, each with all that is listed: combined one by one, as there may be millions."""

    def __init__(self, parents: Sequence[Mapping[str, str]], listed: Sequence[Mapping[str, str]]) -> None:
        self._parents = parents
        self._listed = listed

    def __len__(self) -> int:
        return len(self._parents) * len(self._listed)

    def __getitem__(self, at: Any) -> Any:
        parent, other = divmod(range(len(self))[at], len(self._listed))
        return {**self._parents[parent], **self._listed[other]}
