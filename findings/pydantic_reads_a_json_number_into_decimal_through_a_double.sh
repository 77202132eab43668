#!/usr/bin/env bash
# pydantic 2.14.4 (pydantic-core 2.50.5): a Decimal field loses digits of a JSON number.
#
# Guess: `model_validate_json` has the number's text at hand and gives its digits to Decimal, as msgspec 0.22.0
# does with the same type.
# Seen: the number is a double first. 12345678901234567890.123 becomes 12345678901234567000, and 1.10 becomes
# 1.1, so the scale that a provider wrote is gone too. Only a JSON string reaches Decimal by its digits.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydantic==2.14.4 msgspec==0.22.0
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import msgspec
import pydantic


class Line(pydantic.BaseModel):
    amount: Decimal


class Exact(msgspec.Struct):
    amount: Decimal


for digits in ("12345678901234567890.123", "0.1234567890123456789", "1.10"):
    body = f'{{"amount": {digits}}}'
    read = Line.model_validate_json(body).amount
    exact = msgspec.json.decode(body, type=Exact).amount
    quoted = Line.model_validate_json(f'{{"amount": "{digits}"}}').amount
    print(f"{digits}: pydantic {read}, msgspec {exact}, pydantic from a string {quoted}")
    assert str(read) != digits
    assert str(exact) == str(quoted) == digits
PYTHON
