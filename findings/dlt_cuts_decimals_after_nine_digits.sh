#!/usr/bin/env bash
# dlt 1.31.0 with duckdb 2.0.1: a Decimal is stored with nine decimals.
#
# Guess: exact amounts are dlt's `decimal` type, and one that does not fit its default DECIMAL(38, 9) fails the
# load, as one with too many digits before the point does.
# Seen: digits after the ninth decimal are cut off without a warning: a unit price of 0.000000000123 is stored as 0.
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


from decimal import Decimal

prices = [Decimal("0.1234567890123"), Decimal("0.000000000123")]
stored = load("prices", [{"id": number, "price": price} for number, price in enumerate(prices)])
print(stored.types, stored.fetchall())
assert [price for _, price in stored.fetchall()] == [Decimal("0.123456789"), Decimal("0E-9")]
PYTHON
