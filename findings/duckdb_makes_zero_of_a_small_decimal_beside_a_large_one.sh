#!/usr/bin/env bash
# duckdb 2.0.1 with pandas 3.1.1: a pandas column of Decimals is read with digits cut off.
#
# Guess: a column whose values need more than DECIMAL(38) falls back to DOUBLE or fails.
# Seen: DuckDB chooses DECIMAL(38, s) with as many decimals as the largest value leaves room for, and cuts the
# others to it: 0.0000000001 beside 29 digits becomes 0E-9, silently. A table that is created with
# DECIMAL(38, 10) first refuses the large value with a ConversionException.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1 pandas==3.1.1
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import duckdb
import pandas as pd

frame = pd.DataFrame({"amount": [Decimal("12345678901234567890123456789.12"), Decimal("0.0000000001")]})
read = duckdb.sql("SELECT amount, typeof(amount) FROM frame").fetchall()
print(read)
assert read[1] == (Decimal("0E-9"), "DECIMAL(38,9)")
assert frame["amount"][1] != read[1][0]

conn = duckdb.connect()
conn.execute("CREATE TABLE amounts (amount DECIMAL(38, 10))")
try:
    conn.execute("INSERT INTO amounts VALUES ('12345678901234567890123456789.12')")
except duckdb.ConversionException as error:
    print("declared:", str(error).splitlines()[0])
else:
    raise AssertionError("the declared column took it")
PYTHON
