"""Parquet files as frames: an asset that takes another one's file as an input gets its rows, and returns a frame.

For teams that live on files. What is in the tables gets there by the assets of :mod:`unified_assets.exports`.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

# Every run loads this module, and few of them need these: what does imports them.
if TYPE_CHECKING:
    import pyarrow as pa


class FilesIOManager(dg.ConfigurableIOManager):
    """Keeps each asset's output as a Parquet file: ``FOLDER/asset/key/partition.parquet``.

    An asset may return a pandas DataFrame or a pyarrow Table. An input is a DataFrame, or a Table where its annotation
    says so. Money stays ``Decimal``, and a column of decimals that of Arrow. A file is written beside its place and
    renamed, so a reader meets it whole.
    """

    folder: str = Field(
        default="files", description="The folder of the files; relative to where Dagster runs."
    )

    def path(self, asset: dg.AssetKey, partition: str | None) -> Path:
        """The file of an asset's partition.

        Raises:
            DagsterInvariantViolationError: If the asset's key or the partition's leads out of the folder.
        """
        base = Path(self.folder).resolve()
        parts = [*asset.path, *([partition] if partition is not None else [])]
        place = base.joinpath(*parts)
        file = place.with_name(f"{place.name}.parquet")
        if any(".." in Path(part).parts for part in parts) or not file.resolve().is_relative_to(base):
            name = "/".join(parts)
            raise dg.DagsterInvariantViolationError(
                f"{name!r} leads out of the folder of the files, {self.folder}"
            )
        return file

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write a frame.

        Raises:
            DagsterInvariantViolationError: If it is not a frame, or pyarrow is not installed.
        """
        pa, parquet = _pyarrow()
        file = self.path(context.asset_key, context.partition_key if context.has_partition_key else None)
        if not isinstance(obj, pa.Table):
            import pandas as pd  # noqa: PLC0415

            if not isinstance(obj, pd.DataFrame):
                name = context.asset_key.to_user_string()
                msg = f"{name} must return a pandas DataFrame or a pyarrow Table, not {type(obj).__name__}"
                raise dg.DagsterInvariantViolationError(msg)
            obj = pa.Table.from_pandas(obj, preserve_index=False)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            parquet.write_table(obj, beside, compression="zstd")
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
        context.add_output_metadata({"dagster/row_count": obj.num_rows, "path": dg.MetadataValue.path(file)})

    def load_input(self, context: dg.InputContext) -> Any:
        """The rows of the input's file.

        Raises:
            DagsterInvariantViolationError: If there is no such file yet, or pyarrow is not installed.
        """
        pa, parquet = _pyarrow()
        file = self.path(context.asset_key, context.partition_key if context.has_partition_key else None)
        if not file.is_file():
            name = context.asset_key.to_user_string()
            raise dg.DagsterInvariantViolationError(f"there is no {file} yet; materialize {name} first")
        table = parquet.read_table(file)
        return table if context.dagster_type.typing_type is pa.Table else _frame(table)


def _frame(table: "pa.Table") -> Any:
    """A DataFrame with exact amounts, and integers and truths that may be missing."""
    import pandas as pd  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional
        from pyarrow import parquet  # noqa: PLC0415 - optional
    except ImportError:
        msg = "Parquet needs pyarrow: pip install 'unified-assets[files]'"
        raise dg.DagsterInvariantViolationError(msg) from None
    return pa, parquet
