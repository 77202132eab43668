#!/usr/bin/env bash
# jmespath 1.1.0: `to_number` cuts the cents off an exact amount.
#
# Guess: on JSON that was read with `parse_float=Decimal`, `to_number` returns a number as it is, as JMESPath specifies,
# or refuses a type that it does not know, as `sum` does.
# Seen: a Decimal is neither an int nor a float to it, so it goes through `int()`: 19.99 becomes 19, 0.75 becomes 0, and
# a sum of lines that holds `to_number` to be safe is wrong without an error. The same amounts as text stay whole.
# Comparisons take Decimals, `sum` refuses them, and `type` gives null.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jmespath==1.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import json
from decimal import Decimal

import jmespath

as_numbers = '{"lines": [{"amount": 19.99}, {"amount": 0.75}, {"amount": -0.5}, {"amount": 100}]}'
as_texts = '{"lines": [{"amount": "19.99"}, {"amount": "0.75"}, {"amount": "-0.5"}, {"amount": "100"}]}'
readings = {
    "doubles": json.loads(as_numbers),
    "texts": json.loads(as_texts),
    "decimals": json.loads(as_numbers, parse_float=Decimal),
}
numbers = {name: jmespath.search("lines[].to_number(amount)", read) for name, read in readings.items()}
sums = {name: jmespath.search("sum(lines[].to_number(amount))", read) for name, read in readings.items()}
print(numbers, sums)
assert numbers["doubles"] == numbers["texts"] == [19.99, 0.75, -0.5, 100]
assert numbers["decimals"] == [19, 0, 0, 100] and {type(number) for number in numbers["decimals"]} == {int}
assert (sums["texts"], sums["decimals"]) == (120.24, 119)

assert jmespath.search("lines[?amount > `19`].amount", readings["decimals"]) == [Decimal("19.99"), 100]
assert jmespath.search("lines[].type(amount)", readings["decimals"]) == ["number"]
try:
    jmespath.search("sum(lines[].amount)", readings["decimals"])
except jmespath.exceptions.JMESPathTypeError as error:
    print("sum:", error)
else:
    raise AssertionError("it adds up")
PYTHON
