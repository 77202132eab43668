#!/usr/bin/env bash
# pyarrow 26.0.1: a safe cast to decimal128(38, 9) makes another number of some that have too many digits.
#
# Guess: what the type can't hold is refused, by a cast of text, by one between two decimals, and by the JSON reader:
# safe=True is the default, and Rescaling "would cause data loss" is what pyarrow says of most such numbers.
# Seen: once the digits, moved to the new scale, pass 128 bits, they wrap around without an error.
# 6051621825266588433228221798262595.4 (34 digits before the point, where 29 fit) becomes
# 40211944618798995567779696029.527466496 by all three ways; a number with two digits less is refused. As text,
# -824330.1967 with 44 zeros behind it becomes 0, and with 20 zeros it is itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import pyarrow as pa
from pyarrow import json

TYPE = pa.decimal128(38, 9)
LONG, SHORTER = "6051621825266588433228221798262595.4", "60516218252665884332282217982625.4"
OTHER = "40211944618798995567779696029.527466496"


def of_text(number):
    return pa.array([number]).cast(TYPE)


def of_decimal(number):
    return pa.array([Decimal(number)]).cast(TYPE)


def of_json(number):
    options = json.ParseOptions(explicit_schema=pa.schema([("amount", TYPE)]))
    line = pa.BufferReader(f'{{"amount": {number}}}\n'.encode())
    return json.read_json(line, parse_options=options)["amount"]


SEEN = [
    *((way, LONG, OTHER) for way in (of_text, of_decimal, of_json)),
    *((way, SHORTER, None) for way in (of_text, of_decimal, of_json)),  # refused
    (of_text, "-824330.1967" + "0" * 44, "0"),
    (of_text, "-824330.1967" + "0" * 20, "-824330.1967"),
]

print("pyarrow", pa.__version__)
for way, number, becomes in SEEN:
    try:
        made = way(number)[0].as_py()
    except pa.ArrowInvalid as error:
        made = None
        print(way.__name__, number, "is refused:", error)
    else:
        print(way.__name__, number, "->", made)
    assert made == (None if becomes is None else Decimal(becomes)), (way.__name__, number)
PYTHON
