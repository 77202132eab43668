"""Tables of a DuckDB file as frames: an asset that takes another one's table as an input gets its rows.

For teams that live on files and ask them in SQL. One file holds all assets: ``files/invoices`` is the table
``files.invoices``, and the column ``dagster_partition`` says which partition a row is of.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from resources.frames import partition_of, pyarrow, reader_of, taken
from unified.schema.arrow import decimal_type

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

PARTITION = "dagster_partition"
_LOOK_SECONDS = 0.1


class DuckDBIOManager(dg.ConfigurableIOManager):
    """Keeps each asset's output as a table of a DuckDB file, a partition's rows replaced by one transaction.

    An asset may return a pandas DataFrame, a pyarrow Table, or a RecordBatchReader, which is stored batch by batch. An
    input is a DataFrame, or a Table where its annotation says so. Decimals are ``DECIMAL(38, 9)``, as in exported
    files: one that needs more digits is refused, and never rounded. A column that is new is added to the table.

    DuckDB lets one process write at a time; another one waits for it.
    """

    database: str = Field(default="unified.duckdb", description="The file; relative to where Dagster runs.")
    patience_seconds: float = Field(
        default=60.0, ge=0, description="How long to wait for another process that has the file."
    )

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Replace the rows of the partition, or of an asset without partitions the table.

        Raises:
            DagsterInvariantViolationError: If it is not a frame, a decimal is too long, another process keeps the file,
                or duckdb is not installed.
        """
        partition = partition_of(context)
        reader = _exact(context.asset_key, reader_of(context.asset_key, obj))
        table = _table(context.asset_key)
        with self._open() as conn:
            conn.execute("BEGIN")
            conn.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(_schema(context.asset_key))}")
            conn.register("returned", reader.schema.empty_table())
            if partition is None:
                conn.execute(f"DROP TABLE IF EXISTS {table}")
            named = f"SELECT *, NULL::VARCHAR AS {PARTITION} FROM returned"  # noqa: S608 - names of ours
            conn.execute(f"CREATE TABLE IF NOT EXISTS {table} AS {named}")
            _add_columns(conn, context.asset_key, named)
            conn.execute(f"DELETE FROM {table} WHERE {PARTITION} IS NOT DISTINCT FROM ?", [partition])  # noqa: S608
            conn.unregister("returned")
            conn.register("returned", reader)
            (rows,) = conn.execute(
                f"INSERT INTO {table} BY NAME SELECT *, ? AS {PARTITION} FROM returned",  # noqa: S608 - names of ours
                [partition],
            ).fetchone() or (0,)
            conn.execute("COMMIT")
        context.add_output_metadata(
            {
                "dagster/row_count": rows,
                "dagster/table_name": ".".join(context.asset_key.path),
                "path": dg.MetadataValue.path(self._file),
            }
        )

    def load_input(self, context: dg.InputContext) -> Any:
        """The rows of the input's partition, without the column that names it.

        Raises:
            DagsterInvariantViolationError: If there is no such table yet, another process keeps the file, or duckdb is
                not installed.
        """
        partition = partition_of(context)
        with self._open() as conn:
            if not _columns(conn, context.asset_key):
                name = context.asset_key.to_user_string()
                raise dg.DagsterInvariantViolationError(
                    f"there is no table {name} in {self._file} yet; materialize {name} first"
                )
            found = conn.sql(
                f"SELECT * EXCLUDE ({PARTITION}) FROM {_table(context.asset_key)} "  # noqa: S608 - names of ours
                f"WHERE {PARTITION} IS NOT DISTINCT FROM ?",
                params=[partition],
            )
            return taken(context, found.to_arrow_table().to_reader())

    @property
    def _file(self) -> Path:
        return Path(self.database).resolve()

    @contextmanager
    def _open(self) -> Iterator["DuckDBPyConnection"]:
        pyarrow()
        try:
            import duckdb  # noqa: PLC0415 - optional
        except ImportError:
            msg = "DuckDB needs duckdb: pip install 'unified-assets[duckdb]'"
            raise dg.DagsterInvariantViolationError(msg) from None
        self._file.parent.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + self.patience_seconds
        while True:
            try:
                conn = duckdb.connect(self._file)
                break
            except duckdb.IOException as error:
                said = str(error)  # it has no codes, and speaks one language
                if "lock" not in said.lower():
                    raise dg.DagsterInvariantViolationError(f"{self._file} can't be opened: {said}") from None
                if time.monotonic() > until:
                    msg = f"another process has {self._file} open since {self.patience_seconds:.0f} s; close it there"
                    raise dg.DagsterInvariantViolationError(msg) from None
                time.sleep(_LOOK_SECONDS)
        with closing(conn):
            yield conn


def _exact(asset: dg.AssetKey, reader: "pa.RecordBatchReader") -> "pa.RecordBatchReader":
    """The same rows with decimals of one type, so that a partition's do not take their scale from another's.

    A value that this type does not hold ends the reading with an error.
    """
    pa = pyarrow()
    schema = pa.schema(
        [
            field.with_type(decimal_type()) if pa.types.is_decimal(field.type) else field
            for field in reader.schema
        ]
    )

    def batches() -> Iterator[Any]:
        for batch in reader:
            try:
                yield from pa.Table.from_batches([batch]).cast(schema).to_batches()
            except pa.ArrowInvalid as error:
                msg = f"{asset.to_user_string()} has an amount that DECIMAL(38, 9) does not hold; return text: {error}"
                raise dg.DagsterInvariantViolationError(msg) from None

    return pa.RecordBatchReader.from_batches(schema, batches())


def _add_columns(conn: "DuckDBPyConnection", asset: dg.AssetKey, named: str) -> None:
    there = _columns(conn, asset)
    for name, kind, *_ in conn.execute(f"DESCRIBE {named}").fetchall():
        if name not in there:
            conn.execute(f"ALTER TABLE {_table(asset)} ADD COLUMN {_quoted(name)} {kind}")


def _columns(conn: "DuckDBPyConnection", asset: dg.AssetKey) -> set[str]:
    """Names of the columns of an asset's table; none where there is no table."""
    found = conn.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = ? AND table_name = ?",
        [_schema(asset), asset.path[-1]],
    )
    return {name for (name,) in found.fetchall()}


def _schema(asset: dg.AssetKey) -> str:
    return "_".join(asset.path[:-1]) or "main"


def _table(asset: dg.AssetKey) -> str:
    return f"{_quoted(_schema(asset))}.{_quoted(asset.path[-1])}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
