"""Columns of Arrow for what PostgreSQL keeps: which type holds all values of a column exactly.

pyarrow is imported when it is asked for: it is not installed unless one asks for it. Not here: how values get there
(:mod:`unified.client.frames`, :mod:`unified.sync.exports.parquet`).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# What a column of decimals holds at least, so that one list gives one type from day to day; more where there is more.
_SCALE = 9
_PRECISION, _LARGEST_PRECISION = 38, 76


def decimal_type(whole: int = 0, scale: int = 0) -> "pa.DataType":
    """The type of a column of exact numbers.

    Args:
        whole: Digits before the point that a value has at most.
        scale: Digits behind it.

    Returns:
        ``decimal128(38, 9)`` or with a larger scale, ``decimal256(76, …)`` where that is too small, and text where no
        decimal holds them all.
    """
    import pyarrow as pa  # noqa: PLC0415 - optional

    scale = max(_SCALE, scale)
    if whole + scale <= _PRECISION:
        return pa.decimal128(_PRECISION, scale)
    return pa.decimal256(_LARGEST_PRECISION, scale) if whole + scale <= _LARGEST_PRECISION else pa.string()


def scalar_type(kind: str) -> "pa.DataType":
    """The type of a column that PostgreSQL keeps as ``kind``; what JSON has nested is text, and so is a number.

    Which decimal a column of numbers needs follows from its values (:func:`decimal_type`).
    """
    import pyarrow as pa  # noqa: PLC0415 - optional

    types = {
        "boolean": pa.bool_(),
        "bigint": pa.int64(),
        "timestamptz": pa.timestamp("us", "UTC"),
        "text[]": pa.list_(pa.string()),
    }
    return types.get(kind, pa.string())
