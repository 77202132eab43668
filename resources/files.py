"""Parquet files as frames: an asset that takes another one's file as an input gets its rows, and returns a frame.

For teams that live on files. What is in the tables gets there by the assets of :mod:`unified_assets.exports`.
"""

import os
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from resources.frames import partition_of, pyarrow, reader_of, taken


class FilesIOManager(dg.ConfigurableIOManager):
    """Keeps each asset's output as a Parquet file: ``FOLDER/asset/key/partition.parquet``.

    An asset may return a pandas DataFrame, a pyarrow Table, or a RecordBatchReader, which is written batch by batch and
    never held whole. An input is a DataFrame, or a Table or RecordBatchReader where its annotation says so. Money stays
    ``Decimal``, and a column of decimals that of Arrow. A file is written beside its place and renamed, so a reader
    meets it whole.
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
        pyarrow()
        from pyarrow import parquet  # noqa: PLC0415 - optional

        file = self.path(context.asset_key, partition_of(context))
        reader = reader_of(context.asset_key, obj)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        rows = 0
        try:
            with parquet.ParquetWriter(beside, reader.schema, compression="zstd") as out:
                for batch in reader:
                    out.write_batch(batch)
                    rows += batch.num_rows
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
        context.add_output_metadata({"dagster/row_count": rows, "path": dg.MetadataValue.path(file)})

    def load_input(self, context: dg.InputContext) -> Any:
        """The rows of the input's file.

        Raises:
            DagsterInvariantViolationError: If there is no such file yet, or pyarrow is not installed.
        """
        pa = pyarrow()
        from pyarrow import parquet  # noqa: PLC0415 - optional

        file = self.path(context.asset_key, partition_of(context))
        if not file.is_file():
            name = context.asset_key.to_user_string()
            raise dg.DagsterInvariantViolationError(f"there is no {file} yet; materialize {name} first")
        opened = parquet.ParquetFile(file)
        return taken(context, pa.RecordBatchReader.from_batches(opened.schema_arrow, opened.iter_batches()))
