#!/usr/bin/env bash
# Daft 0.7.26: on the day on which clocks change, `date_trunc("1 day")` gives two days, one of them the day before.
#
# Guess: a time in a zone is cut to the midnight that its clock last showed, as `.date()` says and as it is in summer
# and in winter: one group for each day.
# Seen: the day is cut by the offset that the time itself has, not by the one of its midnight. In spring all from 3
# o'clock on is cut to 23:00 of the day before, in autumn to 01:00, so a report by day has one row more, and in spring
# most of Sunday's sales stand under Saturday. Weeks begin on Thursday, as 1970 did.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check daft==0.7.26
"$folder/venv/bin/python" - <<'PYTHON'
from datetime import date, datetime

import daft
import pyarrow as pa

BERLIN = pa.timestamp("us", "Europe/Berlin")


def by(unit: str, *times: str) -> list[tuple[str, int]]:
    """What each truncated time has of one sale for each time."""
    at = pa.array([datetime.fromisoformat(time) for time in times], BERLIN)
    sales = daft.from_arrow(pa.table({"at": at, "sales": [1] * len(times)}))
    assert len(set(sales.select(daft.col("at").date()).to_pydict()["at"])) == 1, "one day of the calendar"
    grouped = sales.groupby(daft.col("at").date_trunc(unit).alias("begins")).agg(daft.col("sales").sum())
    found = grouped.sort("begins").to_arrow().to_pydict()
    return [(begins.isoformat(), count) for begins, count in zip(found["begins"], found["sales"], strict=True)]


summer = by("1 day", "2025-07-15T00:30+02:00", "2025-07-15T12:00+02:00", "2025-07-15T23:30+02:00")
spring = by("1 day", "2025-03-30T00:30+01:00", "2025-03-30T12:00+02:00", "2025-03-30T23:30+02:00")
autumn = by("1 day", "2025-10-26T00:30+02:00", "2025-10-26T12:00+01:00", "2025-10-26T23:30+01:00")
[(week, _)] = by("1 week", "2025-07-15T12:00+02:00")
print("an ordinary day:", summer)
print("clocks forward: ", spring)
print("clocks back:    ", autumn)
print("week:           ", week, datetime.fromisoformat(week).strftime("%A"))
assert summer == [("2025-07-15T00:00:00+02:00", 3)]
assert spring == [("2025-03-29T23:00:00+01:00", 2), ("2025-03-30T00:00:00+01:00", 1)]
assert autumn == [("2025-10-26T00:00:00+02:00", 1), ("2025-10-26T01:00:00+02:00", 2)]
assert date.fromisoformat(week[:10]).isoweekday() == 4
PYTHON
