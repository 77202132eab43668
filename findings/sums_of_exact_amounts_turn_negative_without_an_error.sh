#!/usr/bin/env bash
# pyarrow 25.0.1, pandas 3.1.1, polars 2.1.0, daft 0.7.26 (duckdb 2.0.1 beside them): a sum of Decimals wraps around.
#
# Guess: a sum that needs more than the 38 digits of its type raises, or is made in 256 bits.
# Seen: in pyarrow, in pandas on Arrow types, in polars' `group_by` and in daft it wraps at 2^127: three positive
# amounts have a negative sum, without an error. polars' own `Series.sum` and DuckDB raise. Amounts with 18 decimals
# (a PostgreSQL numeric without a precision, tokens) leave twenty digits before the point for the sum.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    pyarrow==25.0.1 pandas==3.1.1 polars==2.1.0 daft==0.7.26 duckdb==2.0.1
"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import daft
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

amounts = [Decimal("99999999999999999999.123456789012345678")] * 3
kind = pa.decimal128(38, 18)
balances = pa.table({"account": ["a"] * 3, "amount": pa.array(amounts, kind)})
frame = pd.DataFrame({"account": ["a"] * 3, "amount": pd.Series(amounts, dtype=pd.ArrowDtype(kind))})
sums = {
    "pyarrow": pc.sum(balances["amount"]).as_py(),
    "pyarrow group_by": balances.group_by("account").aggregate([("amount", "sum")])["amount_sum"][0].as_py(),
    "pandas": frame["amount"].sum(),
    "polars group_by": pl.from_arrow(balances).group_by("account").sum()["amount"][0],
    "daft": daft.from_arrow(balances).sum("amount").to_pydict()["amount"][0],
}
for name, total in sums.items():
    print(f"{name}: {total}")
    assert total == Decimal("-40282366920938463466.004237064731174422")
for name, total in {
    "polars": lambda: pl.from_arrow(balances)["amount"].sum(),
    "duckdb": lambda: duckdb.sql("SELECT sum(amount) FROM balances").fetchall(),
}.items():
    try:
        raise SystemExit(f"{name} has a sum now: {total()}")
    except (pl.exceptions.ComputeError, duckdb.OutOfRangeException) as error:
        print(f"{name}: {error}")
PYTHON
