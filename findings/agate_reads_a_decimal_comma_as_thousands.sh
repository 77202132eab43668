#!/usr/bin/env bash
# agate 1.14.2 (the tables below csvkit): amounts with a decimal comma become other numbers, in two ways in one column.
#
# Guess: a column of amounts as German, French or Brazilian systems export them, 19,99 and 1.234,56, is no number for a
# reader that expects a point: it stays text, as 1.234.567 does.
# Seen: every comma is removed as a separator of thousands, wherever it stands, and the column is inferred as a number:
# 19,99 is 1999, 0,5 is 5, and 1.234,56 is 1.23456. Signs of currencies are removed as well, so $5 and €5 are one
# number, and 5% is 5. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check agate==1.14.2
"$folder/venv/bin/python" - <<'PYTHON'
import io

import agate

SEEN = {
    ("19,99", "1.234,56", "0,5"): ["1999", "1.23456", "5"],
    ("$5", "€5"): ["5", "5"],
    ("5%", "50%"): ["5", "50"],
    ("1.234.567", "5"): None,  # text
}

print("agate", agate.__version__ if hasattr(agate, "__version__") else "1.14.2")
for written, numbers in SEEN.items():
    rows = "".join(f'{row},"{amount}"\n' for row, amount in enumerate(written))
    table = agate.Table.from_csv(io.StringIO("id,amount\n" + rows))
    is_number = isinstance(table.column_types[1], agate.Number)
    read = [str(value) for value in table.columns["amount"]]
    print(written, "->", read, "numbers" if is_number else "text")
    assert is_number == (numbers is not None), written
    assert read == (numbers or list(written))
PYTHON
