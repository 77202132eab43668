"""Pages as columns: pandas frames, Arrow tables, polars frames. Money stays exact, times keep their zone.

The libraries are imported when they are asked for; pyarrow and polars are not installed unless one asks for them
(``unified-assets[frames]``).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from unified.client.core import RawPage
from unified.client.errors import ClientError
from unified.extras import how_to_install
from unified.schema.arrow import decimal_type, scalar_type
from unified.store.lists.declared import LISTS
from unified.store.records.tables import column_type

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_READ: Mapping[str, Callable[[str], Any]] = {"numeric": Decimal, "timestamptz": datetime.fromisoformat}


class PandasFrame:
    """Gathers a pandas frame: times as ``datetime64[us, UTC]``, all else as Python's own values."""

    def __init__(self, name: str, query: Mapping[str, Any]) -> None:
        """Of the list of that name, with the fields that a query chooses."""
        self._pd = _library("pandas")
        self._types = _types(name, query)
        self._frames: list[pd.DataFrame] = []

    def add(self, page: RawPage) -> None:
        """Take the items of a page."""
        columns = {column: _values(page, column, kind) for column, kind in self._types.items()}
        self._frames.append(self._pd.DataFrame(columns, dtype=object))

    def done(self) -> "pd.DataFrame":
        """The frame."""
        frame: pd.DataFrame = self._pd.concat(self._frames, ignore_index=True)
        for column, kind in self._types.items():
            if kind == "timestamptz":
                frame[column] = frame[column].astype("datetime64[us, UTC]")
        return frame


class ArrowFrame:
    """Gathers an Arrow table page by page. Money is decimal, what JSON has nested is JSON text."""

    def __init__(self, name: str, query: Mapping[str, Any]) -> None:
        """Of the list of that name, with the fields that a query chooses."""
        self._pa = _library("pyarrow")
        self._types = _types(name, query)
        self._chunks: dict[str, list[Any]] = {column: [] for column in self._types}

    def add(self, page: RawPage) -> None:
        """Take the items of a page."""
        for column, kind in self._types.items():
            values = _values(page, column, kind)
            if kind == "jsonb":
                values = [None if value is None else msgspec.json.encode(value).decode() for value in values]
            # Of decimals, the type that this page's need.
            wanted = None if kind == "numeric" else scalar_type(kind)
            self._chunks[column].append(self._pa.array(values, type=wanted))

    def done(self) -> "pa.Table":
        """The table."""
        columns = {}
        for column, kind in self._types.items():
            chunks = self._chunks[column]
            if kind == "numeric":
                wanted = self._decimal(chunks)
                chunks = [chunk.cast(wanted) for chunk in chunks]
            columns[column] = self._pa.chunked_array(chunks)
        return self._pa.table(columns)

    def done_as_polars(self) -> "pl.DataFrame":
        """The table, as polars has it."""
        polars = _library("polars")
        frame: pl.DataFrame = polars.from_arrow(self.done())
        return frame

    def _decimal(self, chunks: "Sequence[pa.Array]") -> "pa.DataType":
        """The type that holds all of some chunks exactly."""
        found = [chunk.type for chunk in chunks if self._pa.types.is_decimal(chunk.type)]
        scale = max((one.scale for one in found), default=0)
        return decimal_type(max((one.precision - one.scale for one in found), default=0), scale)


def _types(name: str, query: Mapping[str, Any]) -> dict[str, str]:
    """The columns that a query leaves, each with the type that PostgreSQL keeps it in."""
    which = LISTS[name]
    chosen, expand = (_several(query.get(key)) for key in ("fields", "expand"))
    added = {field for one in expand for field in which.expansions.get(one, ())}
    wanted = {*(chosen or which.usual), *added}
    fields = which.item.model_fields.items()
    return {field: column_type(info.annotation, info.metadata) for field, info in fields if field in wanted}


def _several(value: Any) -> list[str]:
    return value.split(",") if isinstance(value, str) else list(value or ())


def _values(page: RawPage, column: str, kind: str) -> list[Any]:
    read = _READ.get(kind)
    values = [item.get(column) for item in page.items]
    return [None if value is None else read(value) for value in values] if read else values


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise ClientError(f"this needs {name}: {how_to_install('frames')}") from None
