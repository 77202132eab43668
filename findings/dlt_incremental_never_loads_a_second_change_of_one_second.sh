#!/usr/bin/env bash
# dlt 1.31.0 with duckdb 2.0.1: a record that changes again within the second of its cursor is not loaded again.
#
# Guess: `incremental("updated_at")` asks for what is at least as new as the last value, and drops of that only rows that
# are the same as before.
# Seen: of rows at the last value, those with a known primary key are dropped, whatever they say now. An API that
# states whole seconds (Stripe, HubSpot's search, QuickBooks) gives a second change of that second the same time: the
# older state stays in the table until the record changes once more. Without a primary key on the resource the row
# is compared as a whole, and is loaded.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dlt==1.31.0 duckdb==2.0.1
cd "$folder"
export DLT_DATA_DIR=$folder/dlt RUNTIME__DLTHUB_TELEMETRY=false
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import dlt
import duckdb

SECOND = "2026-01-01T12:00:00Z"


def states(name, **hints):
    """What the table holds of an invoice after each of three loads; it changes twice in one second."""
    answers = iter([{"id": "in_1", "updated_at": SECOND, "status": state}] for state in ("draft", "open", "paid"))

    @dlt.resource(name="invoices", **hints)
    def invoices(since=dlt.sources.incremental("updated_at")):
        yield next(answers)

    pipeline = dlt.pipeline(name, destination=dlt.destinations.duckdb(f"{name}.db"), dataset_name="billing")
    seen = []
    for _ in range(3):
        pipeline.run(invoices())
        with duckdb.connect(f"{name}.db") as conn:
            seen.append([status for (status,) in conn.execute("SELECT status FROM billing.invoices").fetchall()])
    return seen


keyed = states("keyed", primary_key="id", write_disposition="merge")
print("with a primary key:", keyed)
plain = states("plain", write_disposition="append")
print("without:", plain)
assert keyed == [["draft"], ["draft"], ["draft"]]
assert plain == [["draft"], ["draft", "open"], ["draft", "open", "paid"]]
PYTHON
