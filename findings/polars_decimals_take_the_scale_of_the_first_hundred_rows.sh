#!/usr/bin/env bash
# polars 2.1.0, CPython 3.11: a frame made of rows of exact amounts rounds them.
#
# Guess: `pl.DataFrame(rows, orient="row")` gives a Decimal column that holds what was given, as it does for
# the same values as a column, or an error.
# Seen: the scale is taken from the first 100 rows (`infer_schema_length`), and a later amount with more digits
# is rounded to it without a word: 2.22555 becomes 2.23. `pl.read_database(query, cursor)` builds its frame this
# way. As a column the same values stay exact; so do rows with `infer_schema_length=None`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import polars as pl

amounts = [Decimal("1.10")] * 150 + [Decimal("2.22555")]
rows = [(amount,) for amount in amounts]

by_rows = pl.DataFrame(rows, schema=["amount"], orient="row")["amount"]
by_column = pl.DataFrame({"amount": amounts})["amount"]
by_all_rows = pl.DataFrame(rows, schema=["amount"], orient="row", infer_schema_length=None)["amount"]
print("rows:    ", by_rows.dtype, by_rows[-1], by_rows.sum())
print("column:  ", by_column.dtype, by_column[-1], by_column.sum())
print("all rows:", by_all_rows.dtype, by_all_rows[-1], by_all_rows.sum())
assert by_rows[-1] == Decimal("2.23") and by_rows.sum() == Decimal("167.23")
assert by_column.sum() == by_all_rows.sum() == Decimal("167.22555") == sum(amounts)
PYTHON
