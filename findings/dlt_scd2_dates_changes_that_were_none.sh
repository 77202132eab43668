#!/usr/bin/env bash
# dlt 1.31.0 with duckdb 2.0.1: a history (`scd2`) has new versions of records that did not change.
#
# Guess: with the strategy scd2 a record gets a new version when a value of it differs from the one in the table.
# Seen: what is compared is a hash of the record as it came, before it becomes the table's types. 1.10 and 1.1, an
# instant as Z and as +00:00, and a null that is sent or left out each end a version and begin one that is the same in
# every column. An API that now writes its times or its nulls otherwise changes every record of the table on that day.
# The order of keys makes no difference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dlt==1.31.0 duckdb==2.0.1
cd "$folder"
export DLT_DATA_DIR=$folder/dlt RUNTIME__DLTHUB_TELEMETRY=false RUNTIME__LOG_LEVEL=ERROR
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from decimal import Decimal

import dlt
import duckdb

FIRST = {"id": 1, "price": Decimal("1.10"), "changed": "2026-01-01T12:00:00Z", "phone": None}
AGAIN = {
    "the same": FIRST,
    "keys in another order": dict(reversed(FIRST.items())),
    "a price without its zero": FIRST | {"price": Decimal("1.1")},
    "an instant with another offset": FIRST | {"changed": "2026-01-01T12:00:00+00:00"},
    "a null left out": {key: value for key, value in FIRST.items() if value is not None},
}
TYPES = {"price": {"data_type": "decimal"}, "changed": {"data_type": "timestamp"}, "phone": {"data_type": "text"}}


def versions(states):
    """How many versions a table has after a load of each state, and how many of them differ in a column."""
    states = iter(states)
    name = "history"

    @dlt.resource(write_disposition={"disposition": "merge", "strategy": "scd2"}, columns=TYPES)
    def customers():
        yield next(states)

    pipeline = dlt.pipeline(name, destination=dlt.destinations.duckdb("history.db"), dataset_name=name, dev_mode=True)
    pipeline.run(customers())
    pipeline.run(customers())
    with duckdb.connect("history.db") as conn:
        conn.execute(f"USE {pipeline.dataset_name}")
        return tuple(
            len(conn.execute(f"SELECT {distinct} id, price, changed, phone FROM customers").fetchall())
            for distinct in ("", "DISTINCT")
        )


found = {what: versions([FIRST, state]) for what, state in AGAIN.items()}
for what, (rows, different) in found.items():
    print(f"{what}: {rows} versions, {different} of them different")
assert found == dict(zip(AGAIN, [(1, 1), (1, 1), (2, 1), (2, 1), (2, 1)], strict=True))
PYTHON
