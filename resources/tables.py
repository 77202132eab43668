"""Tables as pandas frames: an asset that takes ``stripe/customers`` as an input gets its rows as a DataFrame.

Unified tables are read only here; what a user's asset returns goes to a table of its own.
"""

import asyncio
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from resources.store import DatabaseResource
from store import derived, tables
from store.database import Database
from store.registry import Registry

_UNIFIED = frozenset(tables.TABLES)


class TablesIOManager(dg.ConfigurableIOManager):
    """Reads unified and derived tables into DataFrames, and writes DataFrames to derived tables.

    A partition key names a connection (``workspace/name``), so a frame never mixes workspaces. Money and other
    numerics stay ``Decimal``; timestamps are in UTC.
    """

    database: dg.ResourceDependency[DatabaseResource]
    with_raw_data: bool = Field(
        default=False, description="Load the raw record as well; it is by far the largest column."
    )

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """The rows of the input's partitions, one below the other."""
        return asyncio.run(self._load(tuple(context.asset_key.path), list(context.asset_partition_keys)))

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame | None) -> None:
        """Replace the partition's rows by a frame; None writes nothing."""
        if obj is None:
            return
        if not isinstance(obj, pd.DataFrame):
            msg = f"{context.asset_key.to_user_string()} must return a pandas DataFrame, not {type(obj).__name__}"
            raise dg.DagsterInvariantViolationError(msg)
        asyncio.run(self._store(tuple(context.asset_key.path), context.partition_key, obj))
        context.add_output_metadata({"rows": len(obj), "columns": list(map(str, obj.columns))})

    async def _load(self, path: tuple[str, ...], keys: list[str]) -> pd.DataFrame:
        async with self.database.open() as db:
            frames = [frame for key in keys async for frame in self._frames(db, path, key)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    async def _frames(self, db: Database, path: tuple[str, ...], key: str) -> Any:
        connection = await Registry(db).find(key)
        if path[-1] in _UNIFIED:
            skip = frozenset() if self.with_raw_data else frozenset(("raw_data",))
            chunks = tables.read_chunks(db, path[-1], connection, without=skip)
        else:
            chunks = derived.read(db, derived.table_name(path), connection.workspace_id, key)
        async for columns, rows in chunks:
            yield pd.DataFrame.from_records(rows, columns=columns)

    async def _store(self, path: tuple[str, ...], key: str, frame: pd.DataFrame) -> None:
        async with self.database.open() as db:
            connection = await Registry(db).find(key)
            values = frame.astype(object).where(frame.notna(), None)
            await derived.replace(
                db,
                derived.table_name(path),
                connection.workspace_id,
                key,
                {str(name): _postgres_type(column) for name, column in frame.items()},
                values.itertuples(index=False, name=None),
            )


def _postgres_type(column: "pd.Series[Any]") -> str:
    """The PostgreSQL type that holds a column exactly."""
    if pd.api.types.is_bool_dtype(column):
        return "boolean"
    if pd.api.types.is_integer_dtype(column):
        return "bigint"
    if pd.api.types.is_float_dtype(column):
        return "double precision"
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return "timestamptz"
    if pd.api.types.is_datetime64_any_dtype(column):
        return "timestamp"
    kind = pd.api.types.infer_dtype(column, skipna=True)
    return {"decimal": "numeric", "date": "date", "datetime": "timestamptz"}.get(kind, "text")
