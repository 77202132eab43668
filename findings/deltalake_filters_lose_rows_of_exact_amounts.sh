#!/usr/bin/env bash
# deltalake 1.6.6 with pyarrow 26.0.1, polars 2.1.0 and duckdb 2.0.1: a filter on an exact amount finds no row.
#
# Guess: min and max in a table's log only save reading files that cannot hold the amount, so a filter finds what a
# read without a filter finds.
# Seen: they are written as JSON numbers with a double's digits, and read back as decimals: for 90071992547409.93, alone
# in a DECIMAL(20, 2) column, both are 90071992547409.92. `to_pyarrow_dataset` and what is built on it (DuckDB,
# `to_pandas` with filters) and `pl.scan_delta` leave the file out, so `=` and, by the side that the double lies on,
# `>=` or `<=` give no row, without a warning. With nine decimals 123456789.123456789 is lost.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 pandas==3.1.1
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, write_deltalake

found = {}
for text, scale in (("19.99", 2), ("90071992547409.93", 2), ("123456789.123456789", 9)):
    amount, kind = Decimal(text), pa.decimal128(20, scale)
    path = f"{os.environ['FOLDER']}/{text}"
    write_deltalake(path, pa.table({"amount": pa.array([amount], kind)}))
    table = DeltaTable(path)
    dataset = table.to_pyarrow_dataset()
    assert dataset.to_table()["amount"].to_pylist() == [amount]
    field, exact = ds.field("amount"), pa.scalar(amount, kind)
    found[text] = {
        "=": dataset.to_table(filter=field == exact).num_rows,
        ">=": dataset.to_table(filter=field >= exact).num_rows,
        "<=": dataset.to_table(filter=field <= exact).num_rows,
        "duckdb": len(duckdb.sql(f"SELECT * FROM dataset WHERE amount = {text}").fetchall()),
        "pandas": len(table.to_pandas(filters=[("amount", "=", amount)])),
        "polars": pl.scan_delta(path).filter(pl.col("amount") == amount).collect().height,
    }
    print(text, next(dataset.get_fragments()).partition_expression, found[text])
assert set(found["19.99"].values()) == {1}
cents, parts = found["90071992547409.93"], found["123456789.123456789"]
assert (cents["="], cents[">="], cents["<="], cents["duckdb"], cents["pandas"]) == (0, 0, 1, 0, 0)
assert (parts["="], parts[">="], parts["<="], parts["duckdb"], parts["pandas"]) == (0, 1, 0, 0, 0)
assert parts["polars"] == 0
PYTHON
