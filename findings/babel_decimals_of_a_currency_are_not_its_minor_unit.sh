#!/usr/bin/env bash
# babel 2.19.0 and iso4217 1.16.20260101: the decimals of fifteen currencies are not those of ISO 4217.
#
# Guess: `get_currency_precision` gives the minor unit of ISO 4217, so amounts in minor units can be turned with it.
# Seen: it gives the decimals that people write, of Unicode's CLDR: none for Hungarian forints, Colombian pesos,
# Indonesian rupiahs and eleven more, where ISO 4217 has two, and none for Iraqi dinars, where it has three: 12345 in
# the minor unit of IQD become 12345 dinars instead of 12.345. For 150 other currencies the two agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check babel==2.19.0 iso4217==1.16.20260101
"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

from babel.numbers import get_currency_precision
from iso4217 import Currency

units = {currency.code: currency.exponent for currency in Currency if currency.exponent is not None}
apart = {code: (get_currency_precision(code), unit) for code, unit in units.items()}
apart = {code: both for code, both in sorted(apart.items()) if both[0] != both[1]}
print(len(units), "currencies; babel's and ISO's decimals of those that differ:", apart)
assert len(units) == 165 and apart == {
    **dict.fromkeys("AFN ALL COP HUF IDR IRR KPW LAK LBP MGA MMK SOS SYP YER".split(), (0, 2)),
    "IQD": (0, 3),
}
dinars = [Decimal(12345).scaleb(-decimals) for decimals in apart["IQD"]]
print("IQD 12345 in minor units:", *dinars)
assert dinars == [Decimal(12345), Decimal("12.345")]
PYTHON
