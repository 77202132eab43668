#!/usr/bin/env bash
# dagster 1.13.29: the outcome of an asset check can be reported once for each partition, and never again.
#
# Guess: `report_runless_asset_event` takes a check's outcome of a partition as often as one wants to report it, as it
# does for a check without partitions, and as it does for a partition's materialization: what was seen last counts.
# Seen: the first outcome of a partition is kept. The second one ends in an IntegrityError of the event log's
# table, whose key is check, run and partition, with an empty run for all that no run reported. So a partition that
# failed can't be reported as passing by whoever watches it; a run that reports it can, once for each run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dagster==1.13.29
DAGSTER_HOME=$folder "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import dagster as dg
from sqlalchemy.exc import IntegrityError

instance = dg.DagsterInstance.get()
asset = dg.AssetKey("invoices")


def outcome(passed, partition):
    evaluation = dg.AssetCheckEvaluation(
        asset_key=asset, check_name="fresh", passed=passed, metadata={}, partition=partition
    )
    try:
        instance.report_runless_asset_event(evaluation)
    except IntegrityError as error:
        return str(error.orig).partition(":")[0]
    return "taken"


whole = [outcome(passed, None) for passed in (True, False, True)]
single = [outcome(passed, "acme/stripe") for passed in (False, True)]
for _ in range(2):
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="acme/stripe"))
print("without a partition:", whole)
print("of one partition:", single)
assert whole == ["taken", "taken", "taken"]
assert single == ["taken", "UNIQUE constraint failed"]
PYTHON
