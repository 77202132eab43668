#!/usr/bin/env bash
# Daft 0.7.26: amounts from Python can be summed, and neither added to, multiplied nor compared with 19.99.
#
# Guess: a column of Decimal gets the digits that it needs, or 38; either way amount + 1, amount * amount and
# amount == Decimal("0.1") work, with a result of at most 38 digits.
# Seen: the column gets 38 digits, whatever it holds, and the type of a result is reckoned before a row is looked at: a
# sum of two such columns needs 39 digits, a product 76, and "exceed bounds of [1, 38]". A comparison with a Decimal of
# another scale is refused as well. After a cast to decimal128(12, 2) all of them work.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check daft==0.7.26
DAFT_ANALYTICS_ENABLED=0 DO_NOT_TRACK=true "$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import daft
from daft import DataType, col

QUESTIONS = {
    "amount + 1": col("amount") + 1,
    "amount + amount": col("amount") + col("amount"),
    "amount * amount": col("amount") * col("amount"),
    'amount == Decimal("2.500")': col("amount") == Decimal("2.500"),
}

print("daft", daft.__version__)
read = daft.from_pydict({"amount": [Decimal("1.00"), Decimal("2.50"), Decimal("19.99")]})
assert read.schema()["amount"].dtype == DataType.decimal128(38, 2)
assert read.sum("amount").to_pydict() == {"amount": [Decimal("23.49")]}
cast = read.select(col("amount").cast(DataType.decimal128(12, 2)))
for text, question in QUESTIONS.items():
    try:
        answer = read.select(question.alias("a")).to_pydict()
    except Exception as error:  # noqa: BLE001 - Daft's own class comes and goes
        answer = str(error).strip().splitlines()[-1]
    after = cast.select(question.alias("a")).to_pydict()["a"]
    print(f"{text}: {answer}; after a cast: {[str(one) for one in after]}")
    assert isinstance(answer, str), text
PYTHON
