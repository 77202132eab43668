"""Tables as pandas frames: an asset that takes ``stripe/customers`` as an input gets its rows as a DataFrame.

Unified tables are read only here; what a user's asset returns goes to a table of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from resources.store import DatabaseResource
from unified.kit.registry import get_adapter
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.records import derived, tables
from unified.store.records.tables import Column, StreamKey

# Every run loads this module, and few of them need pandas, which takes half a second: what does imports it.
if TYPE_CHECKING:
    import pandas as pd

# Columns of other types hold Python's own values (str, Decimal, UUID, dict, list …) and None.
_DTYPES = {
    "boolean": "boolean",
    "bigint": "Int64",
    "double precision": "float64",
    "timestamptz": "datetime64[us, UTC]",
}


class TablesIOManager(dg.ConfigurableIOManager):
    """Reads unified and derived tables into DataFrames, and writes DataFrames to derived tables.

    A partition key names a connection (``workspace/name``). An input of several partitions becomes one
    frame, but only within a workspace: partitions of several are refused, because what an asset made of them
    would belong to no workspace alone.

    Frames hold live records; tombstones stay in the tables. Money and other numerics are ``Decimal``,
    timestamps are in UTC, and what is missing is None, NaT or NA. A frame's index is not stored.
    """

    database: dg.ResourceDependency[DatabaseResource]
    with_raw_data: bool = Field(
        default=False, description="Load the raw record as well; it is by far the largest column."
    )

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame":
        """The rows of the input's partitions, one below the other.

        Raises:
            DagsterInvariantViolationError: If the partitions are not those of one workspace's connections.
            StoreError: If the database fails, or a connection is gone.
        """
        asset = context.asset_key
        keys = list(context.asset_partition_keys) if context.has_asset_partitions else []
        workspaces = sorted({key.partition("/")[0] for key in keys})
        if len(workspaces) != 1:
            msg = (
                f"{asset.to_user_string()} is loaded for one workspace at a time, not for "
                f"{' and '.join(workspaces) or 'none'}; partition the asset that takes it by connection"
            )
            raise dg.DagsterInvariantViolationError(msg)
        return asyncio.run(self._load(asset.path, keys))

    def handle_output(self, context: dg.OutputContext, obj: "pd.DataFrame") -> None:
        """Replace the partition's rows by a frame.

        Raises:
            DagsterInvariantViolationError: If it is not a frame, or the asset is not partitioned by connection.
            StoreError: If the database fails, the connection is gone, or a column can't be stored.
        """
        import pandas as pd  # noqa: PLC0415

        asset = context.asset_key
        if not isinstance(obj, pd.DataFrame):
            msg = f"{asset.to_user_string()} must return a pandas DataFrame, not {type(obj).__name__}"
            raise dg.DagsterInvariantViolationError(msg)
        if not context.has_asset_partitions:
            msg = f"{asset.to_user_string()} needs partitions_def=connections_of(…): rows belong to a connection"
            raise dg.DagsterInvariantViolationError(msg)
        asyncio.run(self._store(asset.path, context.asset_partition_key, obj))
        declared = context.definition_metadata.get("dagster/column_schema")
        said = {one.name: one.description for one in declared.columns} if declared else {}
        context.add_output_metadata(
            {
                "dagster/row_count": len(obj),
                "dagster/table_name": derived.table_name(asset.path),
                "dagster/column_schema": dg.TableSchema(
                    [
                        dg.TableColumn(str(name), str(column.dtype), said.get(str(name)))
                        for name, column in obj.items()
                    ]
                ),
            }
        )

    async def _load(self, path: Sequence[str], keys: Sequence[str]) -> "pd.DataFrame":
        import pandas as pd  # noqa: PLC0415

        frames = []
        async with self.database.open() as db:
            for key in keys:
                async with aclosing(self._chunks(db, path, await Registry(db).find(key))) as chunks:
                    frames += [_frame(columns, rows) async for columns, rows in chunks]
        return pd.concat(frames, ignore_index=True)

    async def _chunks(
        self, db: Database, path: Sequence[str], connection: ConnectionSummary
    ) -> AsyncGenerator[tuple[Sequence[Column], Sequence[tuple[Any, ...]]], None]:
        streams = {stream.name: stream for stream in get_adapter(connection.connector).all_streams()}
        if path[0] != connection.connector or path[-1] not in streams:
            async for chunk in derived.read_chunks(db, derived.table_name(path), connection):
                yield chunk
            return
        key = StreamKey.of(connection, streams[path[-1]])
        columns = {column.name: column for column in key.table.columns}
        without = () if self.with_raw_data else ("raw_data",)
        async for names, rows in tables.read_chunks(db, key, without=without):
            yield [columns[name] for name in names], rows

    async def _store(self, path: Sequence[str], key: str, frame: "pd.DataFrame") -> None:
        values = frame.astype(object).where(frame.notna(), None)
        async with self.database.open() as db:
            await derived.replace(
                db,
                derived.table_name(path),
                await Registry(db).find(key),
                [str(name) for name in frame.columns],
                list(values.itertuples(index=False, name=None)),
            )


def _frame(columns: Sequence[Column], rows: Sequence[tuple[Any, ...]]) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415

    frame = pd.DataFrame(rows, columns=[column.name for column in columns], dtype=object)
    return frame.astype({column.name: _DTYPES[column.type] for column in columns if column.type in _DTYPES})
