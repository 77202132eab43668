#!/usr/bin/env bash
# DuckDB 2.0.1: a batch with two states of one row is merged without an error, and which state stays is chance.
#
# Guess: MERGE refuses a source that matches a row of the target twice, as the SQL standard and PostgreSQL do, and so
# does INSERT … ON CONFLICT DO UPDATE, as in PostgreSQL; or the last state wins, as one after the other would.
# Seen: of two values written side by side the first stays, by MERGE, ON CONFLICT DO UPDATE and INSERT OR REPLACE; by
# UPDATE … FROM sometimes the one and sometimes the other. Of a table of 500,000 states MERGE keeps one from the middle
# that changes from run to run. MERGE counts all of them as changed. Where the row is new, MERGE inserts both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import duckdb

STATES = "(VALUES (1, 'older'), (1, 'newer')) AS s(id, state)"
REPLACES = (
    f"MERGE INTO t USING {STATES} ON t.id = s.id WHEN MATCHED THEN UPDATE SET state = s.state",
    f"INSERT INTO t SELECT * FROM {STATES} ON CONFLICT (id) DO UPDATE SET state = excluded.state",
    f"INSERT OR REPLACE INTO t SELECT * FROM {STATES}",
)

print("duckdb", duckdb.__version__)
conn = duckdb.connect()
for statement in REPLACES:
    conn.execute("CREATE OR REPLACE TABLE t (id INTEGER PRIMARY KEY, state VARCHAR)")
    conn.execute("INSERT INTO t VALUES (1, 'first of all')")
    conn.execute(statement)
    rows = conn.execute("SELECT * FROM t").fetchall()
    print(statement.split(" AS s")[0], "->", rows)
    assert rows == [(1, "older")]

conn.execute("CREATE OR REPLACE TABLE new (id INTEGER, state VARCHAR)")
conn.execute(
    f"MERGE INTO new USING {STATES} ON new.id = s.id WHEN MATCHED THEN UPDATE SET state = s.state"
    " WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.state)"
)
rows = conn.execute("SELECT * FROM new").fetchall()
print("a new row:", rows)
assert sorted(rows) == [(1, "newer"), (1, "older")]

conn.execute("CREATE TABLE states AS SELECT 1 AS id, n AS state FROM range(500_000) AS r(n)")
kept = set()
for _ in range(8):
    conn.execute("CREATE OR REPLACE TABLE one AS SELECT 1 AS id, -1::BIGINT AS state")
    [(changed,)] = conn.execute(
        "MERGE INTO one USING states AS s ON one.id = s.id WHEN MATCHED THEN UPDATE SET state = s.state"
    ).fetchall()
    [(state,)] = conn.execute("SELECT state FROM one").fetchall()
    assert changed == 500_000
    kept.add(state)
print("of 0 to 499999 stays, in eight runs:", *sorted(kept))
assert kept != {499_999}
PYTHON
