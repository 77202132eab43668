#!/usr/bin/env bash
# polars 2.1.0, CPython 3.11: a Series of Decimals of different scales loses amounts.
#
# Guess: values that do not fit 38 digits at a common scale raise, as pyarrow 26.0.1 widens to 256 bits.
# Seen: the column takes the largest scale, and a value that no longer fits beside it becomes null: no error, no
# warning, and `sum()` leaves it out. One price with ten decimals is enough to lose a large amount.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 pyarrow==26.0.1
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import polars as pl
import pyarrow as pa

amounts = [Decimal("12345678901234567890123456789.12"), Decimal("0.0000000001")]
series = pl.Series(amounts)
array = pa.array(amounts)
print("polars: ", series.dtype, series.to_list(), "sum", series.sum())
print("pyarrow:", array.type, array.to_pylist())
assert series.null_count() == 1 and series[0] is None
assert series.sum() == Decimal("0.0000000001")
assert array.to_pylist() == amounts and pa.types.is_decimal256(array.type)
PYTHON
