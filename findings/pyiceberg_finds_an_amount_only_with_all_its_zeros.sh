#!/usr/bin/env bash
# pyiceberg 0.12.0: a filter on amounts is refused unless the number is written with exactly the column's digits.
#
# Guess: 19.99 is found in a column decimal(38, 9), as 20 is, and as every engine that reads Iceberg finds it: the value
# of a decimal does not depend on its zeros.
# Seen: 19.99 "could not be converted" there, in a filter's text and as a Decimal; 19.990000000 is found. In a column
# decimal(12, 2) 19.99 is found, while 19.9, 0.1 and 19.990 are refused. Integers are converted: 20 and >= 20 find.
# `delete` takes the same filters, so a person's amounts must be padded by whoever asks.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pyiceberg[sql-sqlite,pyarrow]==0.12.0' pyarrow==26.0.1
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os
from decimal import Decimal

import pyarrow as pa
import pyiceberg
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo

AMOUNTS = [Decimal("19.99"), Decimal("20.00"), Decimal("0.10"), Decimal("19.90")]
FOUND = [
    ("nine = 19.99", None),  # refused
    ("nine = 19.990000000", 1),
    ("nine = 20", 1),
    ("two = 19.99", 1),
    ("two = 19.990", None),
    ("two = 19.9", None),
    ("two = 0.1", None),
    ("two >= 20", 1),
    (EqualTo("nine", Decimal("19.99")), None),
    (EqualTo("nine", Decimal("19.990000000")), 1),
]

print("pyiceberg", pyiceberg.__version__)
folder = os.environ["FOLDER"]
catalog = SqlCatalog("local", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
catalog.create_namespace("books")
schema = pa.schema([("nine", pa.decimal128(38, 9)), ("two", pa.decimal128(12, 2))])
table = catalog.create_table("books.invoices", schema)
table.append(pa.table({"nine": AMOUNTS, "two": AMOUNTS}, schema=schema))
for row_filter, rows in FOUND:
    try:
        found = table.scan(row_filter=row_filter).to_arrow().num_rows
    except ValueError as error:
        found = None
        print(row_filter, "->", error)
    else:
        print(row_filter, "->", found, "row")
    assert found == rows, row_filter
PYTHON
