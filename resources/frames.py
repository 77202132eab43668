"""Frames that assets return and take: pandas and Arrow, amounts exact. Where they are kept is each I/O manager's."""

from typing import TYPE_CHECKING, Any

import dagster as dg

# Every run loads this module, and few of them need these: what does imports them.
if TYPE_CHECKING:
    import pyarrow as pa


def pyarrow() -> Any:
    """The module.

    Raises:
        DagsterInvariantViolationError: If it is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional
    except ImportError:
        msg = "frames in files need pyarrow: pip install 'unified-assets[files]'"
        raise dg.DagsterInvariantViolationError(msg) from None
    return pa


def reader_of(asset: dg.AssetKey, obj: Any) -> "pa.RecordBatchReader":
    """What an asset returned, batch by batch: a pandas DataFrame, a pyarrow Table, or a RecordBatchReader.

    Raises:
        DagsterInvariantViolationError: If it is none of these, or pyarrow is not installed.
    """
    pa = pyarrow()
    if isinstance(obj, pa.RecordBatchReader):
        return obj
    if not isinstance(obj, pa.Table):
        import pandas as pd  # noqa: PLC0415

        if not isinstance(obj, pd.DataFrame):
            msg = (
                f"{asset.to_user_string()} must return a pandas DataFrame, a pyarrow Table or a RecordBatchReader, "
                f"not {type(obj).__name__}"
            )
            raise dg.DagsterInvariantViolationError(msg)
        obj = pa.Table.from_pandas(obj, preserve_index=False)
    return obj.to_reader()


def taken(context: dg.InputContext, reader: "pa.RecordBatchReader") -> Any:
    """Rows in the form that an input's annotation asks for: a DataFrame, unless it says Table or RecordBatchReader."""
    pa = pyarrow()
    wanted = context.dagster_type.typing_type
    if wanted is pa.RecordBatchReader:
        return reader
    table = reader.read_all()
    return table if wanted is pa.Table else _frame_of(table)


def _frame_of(table: "pa.Table") -> Any:
    """A DataFrame with exact amounts, and integers and truths that may be missing."""
    import pandas as pd  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get)


def partition_of(context: dg.OutputContext | dg.InputContext) -> str | None:
    """The partition that is written or read; None of an asset without any."""
    return context.partition_key if context.has_partition_key else None
