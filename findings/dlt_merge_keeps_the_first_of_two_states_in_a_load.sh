#!/usr/bin/env bash
# dlt 1.31.0 with duckdb 2.0.1: `write_disposition="merge"` with a primary key keeps a record's older state.
#
# Guess: of two states of one record in one load the later one wins, as it does when they come in two loads.
# Seen: within a load the first one stays (no `dedup_sort` was given), so a page that is read again because a record
# changed while paging leaves the table at the state before the change.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dlt==1.31.0 duckdb==2.0.1
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os

import dlt
import duckdb

os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
folder = os.environ["FOLDER"]


def load(name, rows, **options):
    path = f"{folder}/{name}.duckdb"
    pipeline = dlt.pipeline(name, destination=dlt.destinations.duckdb(path), dataset_name="d", pipelines_dir=folder)
    pipeline.run(rows, table_name="t", **options)
    return duckdb.connect(path).sql("SELECT * EXCLUDE (_dlt_load_id, _dlt_id) FROM d.t ORDER BY 1")


states = [{"id": 1, "status": "open"}, {"id": 1, "status": "paid"}]
merge = {"write_disposition": "merge", "primary_key": "id"}
together = load("together", states, **merge).fetchall()
for state in states:
    apart = load("apart", [state], **merge).fetchall()
print("one load:", together, "two loads:", apart)
assert together == [(1, "open")]
assert apart == [(1, "paid")]
PYTHON
