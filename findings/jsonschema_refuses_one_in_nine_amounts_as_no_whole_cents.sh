#!/usr/bin/env bash
# jsonschema 4.26.0, beside fastjsonschema 2.22.3 and jsonschema-rs 0.61.2: multipleOf 0.01 refuses 0.07 and 0.29.
#
# Guess: {"multipleOf": 0.01}, which specifications of payment and accounting systems give for an amount, takes every
# amount of whole cents in all validators: the specification of JSON Schema speaks of numbers, not of doubles.
# Seen: of the 100,001 amounts from 0.00 to 1000.00 jsonschema refuses 11,426, since it divides two doubles and asks
# whether an integer comes out; the other two refuse none. Given the same amounts and the same schema as exact decimals
# (parse_float=Decimal on both sides), jsonschema refuses none. Fractions of a cent are refused by all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jsonschema==4.26.0 fastjsonschema==2.22.3 jsonschema-rs==0.61.2
"$folder/venv/bin/python" - <<'PYTHON'
import json
from decimal import Decimal

import fastjsonschema
import jsonschema
import jsonschema_rs

SCHEMA = '{"type": "number", "multipleOf": 0.01}'
AMOUNTS = [f"{cents // 100}.{cents % 100:02}" for cents in range(100_001)]


def by_fastjsonschema(check):
    def is_valid(amount):
        try:
            check(amount)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return is_valid


schema = json.loads(SCHEMA)
exact = jsonschema.Draft202012Validator(json.loads(SCHEMA, parse_float=Decimal))
validators = {
    "jsonschema": (jsonschema.Draft202012Validator(schema).is_valid, float, 11_426),
    "jsonschema, exact": (exact.is_valid, Decimal, 0),
    "fastjsonschema": (by_fastjsonschema(fastjsonschema.compile(schema)), float, 0),
    "jsonschema-rs": (jsonschema_rs.validator_for(schema).is_valid, float, 0),
}
for name, (is_valid, number, refused) in validators.items():
    found = [text for text in AMOUNTS if not is_valid(json.loads(text, parse_float=number))]
    print(f"{name}: {len(found):,} of {len(AMOUNTS):,} refused", *found[:5])
    assert len(found) == refused, name
    assert not is_valid(json.loads("0.015", parse_float=number)), name
PYTHON
