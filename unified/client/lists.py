"""A list as a client has it: all of its items one by one, single records, frames."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from unified.client import core
from unified.client.drivers import AsyncTransport, Transport, carried_out, carried_out_async
from unified.client.errors import UnusableQueryError
from unified.client.frames import ArrowFrame, PandasFrame
from unified.client.models import read

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_Item = TypeVar("_Item")
_Frame = TypeVar("_Frame", PandasFrame, ArrowFrame)
Since = str | datetime


class Found(Generic[_Item]):
    """Items of a list, read page by page as they are taken.

    Attributes:
        since: Once a page was read: what ``updated_since`` takes to go on with what changes after it.
    """

    def __init__(self, name: str, steps: core.Steps, transport: Transport) -> None:
        """Take the items of steps."""
        self.since: str | None = None
        self._items = self._taken(name, carried_out(steps, transport))

    def __iter__(self) -> Iterator[_Item]:
        return self._items

    def _taken(self, name: str, pages: Iterator[core.RawPage]) -> Iterator[_Item]:
        for page in pages:
            # It moves on once all of a page were taken, so that a reader who stops in its middle misses none.
            yield from (read(name, item) for item in page.items)
            self.since = page.since


class AsyncFound(Generic[_Item]):
    """Items of a list, read page by page as they are taken, with ``async for``.

    Attributes:
        since: Once a page was read: what ``updated_since`` takes to go on with what changes after it.
    """

    def __init__(self, name: str, steps: core.Steps, transport: AsyncTransport) -> None:
        """Take the items of steps."""
        self.since: str | None = None
        self._items = self._taken(name, carried_out_async(steps, transport))

    def __aiter__(self) -> AsyncIterator[_Item]:
        return self._items

    async def _taken(self, name: str, pages: AsyncIterator[core.RawPage]) -> AsyncIterator[_Item]:
        async for page in pages:
            for item in page.items:
                yield read(name, item)
            self.since = page.since


def _whole(query: dict[str, Any]) -> dict[str, Any]:
    """A query for typed rows, which have all of their fields."""
    if query.get("fields"):
        raise UnusableQueryError("fields chooses the columns of a frame; typed rows are whole")
    return query


class List(Generic[_Item]):
    """A list. Filters are those of the API (docs/api.md): ``status="open"``, ``total_min=Decimal(100)``."""

    def __init__(self, name: str, transport: Transport) -> None:
        """The list of that name."""
        self._name = name
        self._transport = transport

    def all(self, *, updated_since: Since | None = None, **query: Any) -> Found[_Item]:
        """All items that filters leave, page by page as they are taken.

        Args:
            updated_since: Only what changed since: a time, or the ``since`` of an earlier answer.
            query: Filters, ``include_deleted=True``, ``expand="lines"``.

        Raises:
            ClientError: As its kinds say, when the first item is taken or any later one.
        """
        query = _whole(query) | {"updated_since": updated_since}
        return Found(self._name, core.pages(self._name, query), self._transport)

    def get(self, connection: str, source_id: str, **query: Any) -> _Item:
        """One record.

        Args:
            connection: Name or id of its connection.
            source_id: Its id there.
            query: ``expand=["raw", "history"]``, and ``stream`` where several use that id.

        Raises:
            NotFoundError: If there is none.
        """
        steps = core.single(self._name, connection, source_id, _whole(query))
        (item,) = Found[_Item](self._name, steps, self._transport)
        return item

    def to_pandas(self, **query: Any) -> "pd.DataFrame":
        """All items that filters leave, as a pandas frame; money is ``Decimal``, times have their zone.

        Args:
            query: As for :meth:`all`; ``fields=["source_id", "total"]`` chooses columns.
        """
        return self._gathered(PandasFrame(self._name, query), query).done()

    def to_arrow(self, **query: Any) -> "pa.Table":
        """All items that filters leave, as an Arrow table; money is decimal. See :meth:`to_pandas`."""
        return self._gathered(ArrowFrame(self._name, query), query).done()

    def to_polars(self, **query: Any) -> "pl.DataFrame":
        """All items that filters leave, as a polars frame; money is decimal. See :meth:`to_pandas`."""
        return self._gathered(ArrowFrame(self._name, query), query).done_as_polars()

    def _gathered(self, frame: _Frame, query: dict[str, Any]) -> _Frame:
        for page in carried_out(core.pages(self._name, query), self._transport):
            frame.add(page)
        return frame


class AsyncList(Generic[_Item]):
    """A list, with ``await``."""

    def __init__(self, name: str, transport: AsyncTransport) -> None:
        """The list of that name."""
        self._name = name
        self._transport = transport

    def all(self, *, updated_since: Since | None = None, **query: Any) -> AsyncFound[_Item]:
        """All items that filters leave, with ``async for``; see :meth:`List.all`."""
        query = _whole(query) | {"updated_since": updated_since}
        return AsyncFound(self._name, core.pages(self._name, query), self._transport)

    async def get(self, connection: str, source_id: str, **query: Any) -> _Item:
        """One record; see :meth:`List.get`."""
        steps = core.single(self._name, connection, source_id, _whole(query))
        (item,) = [one async for one in AsyncFound[_Item](self._name, steps, self._transport)]
        return item

    async def to_pandas(self, **query: Any) -> "pd.DataFrame":
        """All items that filters leave, as a pandas frame; see :meth:`List.to_pandas`."""
        return (await self._gathered(PandasFrame(self._name, query), query)).done()

    async def to_arrow(self, **query: Any) -> "pa.Table":
        """All items that filters leave, as an Arrow table; see :meth:`List.to_arrow`."""
        return (await self._gathered(ArrowFrame(self._name, query), query)).done()

    async def to_polars(self, **query: Any) -> "pl.DataFrame":
        """All items that filters leave, as a polars frame; see :meth:`List.to_polars`."""
        return (await self._gathered(ArrowFrame(self._name, query), query)).done_as_polars()

    async def _gathered(self, frame: _Frame, query: dict[str, Any]) -> _Frame:
        async for page in carried_out_async(core.pages(self._name, query), self._transport):
            frame.add(page)
        return frame
