#!/usr/bin/env bash
# sqlglot 30.30.0 with duckdb 2.0.1: PostgreSQL's numeric is translated to a type of three decimals, or of none.
#
# Guess: NUMERIC without a precision, which holds every digit in PostgreSQL, becomes a wide type, or is reported as
# unsupported, as `unsupported_level=RAISE` asks for.
# Seen: it becomes a bare DECIMAL, which each system reads in its own way: DuckDB as DECIMAL(18, 3), so 0.0004 becomes
# 0.000; by their manuals Snowflake as NUMBER(38, 0) and MySQL as DECIMAL(10, 0), so cents are gone. BigQuery's NUMERIC
# and BIGNUMERIC, of 9 and 38 decimals, become DECIMAL and DECIMAL(38, 5). Nothing is raised, though the other way round
# is known: a bare NUMBER of Snowflake is given its (38, 0).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sqlglot==30.30.0 duckdb==2.0.1
"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import duckdb
import sqlglot


def translated(query: str, read: str, write: str) -> str:
    return sqlglot.transpile(query, read=read, write=write, unsupported_level=sqlglot.ErrorLevel.RAISE)[0]


for write in ("duckdb", "snowflake", "mysql"):
    table = translated("CREATE TABLE prices (price NUMERIC)", "postgres", write)
    print(write, table)
    assert table == "CREATE TABLE prices (price DECIMAL)"
expected = {
    ("postgres", "SELECT CAST('0.0004' AS NUMERIC)"): Decimal("0.000"),
    ("bigquery", "SELECT CAST('0.0004' AS NUMERIC)"): Decimal("0.000"),
    ("bigquery", "SELECT CAST('0.0000004' AS BIGNUMERIC)"): Decimal("0.00000"),
}
for (read, query), seen in expected.items():
    again = translated(query, read, "duckdb")
    kept = duckdb.sql(again).fetchall()[0][0]
    print(read, query, "->", again, "=", kept)
    assert str(kept) == str(seen)
assert translated("SELECT CAST(x AS NUMBER)", "snowflake", "duckdb") == "SELECT CAST(x AS DECIMAL(38, 0))"
PYTHON
