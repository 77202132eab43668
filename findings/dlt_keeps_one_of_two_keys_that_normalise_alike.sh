#!/usr/bin/env bash
# dlt 1.31.0 with duckdb 2.0.1: of two keys of a record, one is dropped without a word.
#
# Guess: keys that become the same column name raise, or get names of their own, as a value of another type does
# (`amount__v_double`).
# Seen: `userID` and `user_id` both become `user_id`; the later one in the record overwrites the other. A nested
# `{"address": {"city": …}}` meets a flat `address__city` in the same way, and there the nested value stays. The
# load succeeds with no warning; APIs that renamed a field and send both spellings lose one.
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


spelled = load("spelled", [{"id": 1, "userID": "a", "user_id": "b"}])
print(spelled.columns, spelled.fetchall())
assert spelled.fetchall() == [(1, "b")]
turned = load("turned", [{"id": 1, "user_id": "b", "userID": "a"}])
print(turned.columns, turned.fetchall())
assert turned.fetchall() == [(1, "a")]
nested = load("nested", [{"id": 1, "address": {"city": "Bern"}, "address__city": "Rome"}])
print(nested.columns, nested.fetchall())
assert nested.fetchall() == [(1, "Bern")]
PYTHON
