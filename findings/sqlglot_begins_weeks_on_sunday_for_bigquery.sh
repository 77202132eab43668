#!/usr/bin/env bash
# sqlglot 30.30.0: a report by week, translated from PostgreSQL to BigQuery, counts Sundays into the week after.
#
# Guess: date_trunc('week', d), which begins weeks on Monday in PostgreSQL, becomes WEEK(MONDAY) or ISOWEEK, as BigQuery's
# WEEK begins on Sunday. sqlglot knows that: of BigQuery's WEEK it makes DuckDB's week, moved by a day each way.
# Seen: it becomes WEEK, without a warning. Run through sqlglot's own translation of BigQuery to DuckDB, the same three
# amounts fall into other weeks: 1 and 6 of PostgreSQL's are 3 and 4. extract(dow …) and extract(isodow …) come out
# unchanged, as parts that BigQuery does not have.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sqlglot==30.30.0 duckdb==2.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import duckdb
import sqlglot

REPORT = "SELECT date_trunc('week', d) AS week, sum(amount) AS amount FROM invoices GROUP BY 1 ORDER BY 1"


def translate(query, read, write):
    return sqlglot.transpile(query, read=read, write=write, unsupported_level=sqlglot.ErrorLevel.RAISE)[0]


print("sqlglot", sqlglot.__version__)
conn = duckdb.connect()
conn.execute(
    "CREATE TABLE invoices AS SELECT * FROM (VALUES"
    " (DATE '2026-11-22', 1.00), (DATE '2026-11-23', 2.00), (DATE '2026-11-29', 4.00)) AS i(d, amount)"
)
there = translate(REPORT, "postgres", "bigquery")
print(there)
assert "TIMESTAMP_TRUNC(d, WEEK)" in there
seen = []
for query in (REPORT, translate(there, "bigquery", "duckdb")):
    seen.append([(f"{week:%a %d}", str(amount)) for week, amount in conn.execute(query).fetchall()])
    print(seen[-1])
assert seen == [[("Mon 16", "1.00"), ("Mon 23", "6.00")], [("Sun 22", "3.00"), ("Sun 29", "4.00")]]
days = translate("SELECT extract(dow FROM d), extract(isodow FROM d)", "postgres", "bigquery")
print(days)
assert days == "SELECT EXTRACT(DOW FROM d), EXTRACT(ISODOW FROM d)"
PYTHON
