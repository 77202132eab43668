#!/usr/bin/env bash
# dlt 1.31.0 with duckdb 2.0.1: which of two times is the later one is decided by their letters, and rows are lost.
#
# Guess: a cursor field whose column dlt itself makes a timestamp is compared as a time.
# Seen: the texts of the answer are compared. Go writes no trailing zeros (RFC 3339, as many APIs do), so a change half a
# second after 12:00:00Z is 12:00:00.5Z, which sorts before it, and is dropped as older; an offset other than the
# last one's shifts the cursor by hours: after 21:00:00+09:00, which is 12:00 UTC, nothing of the next nine hours is
# loaded. No warning says so. In the table both columns are timestamps, and right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dlt==1.31.0 duckdb==2.0.1
cd "$folder"
export DLT_DATA_DIR=$folder/dlt RUNTIME__DLTHUB_TELEMETRY=false
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from datetime import datetime

import dlt
import duckdb


def loaded(name, times):
    """Numbers of the invoices that are in the table after a load for each time, in the order of the times."""
    answers = iter([{"id": number, "updated_at": time}] for number, time in enumerate(times, 1))
    assert [*map(datetime.fromisoformat, times)] == sorted(map(datetime.fromisoformat, times))

    @dlt.resource(primary_key="id", write_disposition="merge")
    def invoices(since=dlt.sources.incremental("updated_at")):
        yield next(answers)

    pipeline = dlt.pipeline(name, destination=dlt.destinations.duckdb(f"{name}.db"), dataset_name="billing")
    for _ in times:
        pipeline.run(invoices())
    with duckdb.connect(f"{name}.db") as conn:
        rows = conn.execute("SELECT id, typeof(updated_at) FROM billing.invoices ORDER BY id").fetchall()
    assert {kind for _, kind in rows} == {"TIMESTAMP WITH TIME ZONE"}
    return [number for number, _ in rows]


of_go = loaded("fractions", ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00.5Z", "2026-01-01T12:00:01Z"])
print("fractions without trailing zeros:", of_go)
offsets = loaded("offsets", ["2026-01-01T21:00:00+09:00", "2026-01-01T12:30:00Z", "2026-01-01T21:30:00Z"])
print("another offset:", offsets)
assert of_go == [1, 3]
assert offsets == [1, 3]
PYTHON
