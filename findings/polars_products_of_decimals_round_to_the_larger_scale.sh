#!/usr/bin/env bash
# polars 2.1.0 (duckdb 2.0.1 and pyarrow 26.0.1 beside it): a product of two exact columns has too few decimals.
#
# Guess: a product of two Decimal columns has the decimals of both, as in SQL, DuckDB and pyarrow, and so is exact.
# Seen: it has as many as the one with more, and is rounded to that, row by row: 0.40 units at 0.01 are 0.00, and a
# thousand such lines come to 0.00 instead of 4.00. A tax rate of three decimals cuts the tax to three. Casting a factor
# to a larger scale first keeps what that scale holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1
"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

two = pa.decimal128(10, 2)
lines = pa.table(
    {"quantity": pa.array([Decimal("0.40")] * 1000, two), "price": pa.array([Decimal("0.01")] * 1000, two)}
)
frame = pl.from_arrow(lines)
amounts = frame.select(pl.col("quantity") * pl.col("price")).to_series()
widened = frame.select(pl.col("quantity").cast(pl.Decimal(20, 4)) * pl.col("price")).to_series()
in_duckdb = duckdb.sql("SELECT sum(quantity * price) FROM lines").fetchall()[0][0]
in_pyarrow = pc.sum(pc.multiply(lines["quantity"], lines["price"])).as_py()
tax = (pl.Series([Decimal("19.99")]) * pl.Series([Decimal("0.077")]))[0]
print("polars:", amounts.dtype, amounts.sum(), "widened:", widened.sum(), "tax:", tax)
print("duckdb:", in_duckdb, "pyarrow:", in_pyarrow)
assert amounts.dtype.scale == 2 and amounts.sum() == 0
assert widened.sum() == in_duckdb == in_pyarrow == 4
assert tax == Decimal("1.539") != Decimal("19.99") * Decimal("0.077")
PYTHON
