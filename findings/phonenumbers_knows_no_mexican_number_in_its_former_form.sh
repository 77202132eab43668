#!/usr/bin/env bash
# phonenumbers 9.0.43: a Mexican mobile number as it was written until 2019 is no number, and not the one it became.
#
# Guess: a library that knows all numbering plans takes `+52 1 55 1234 5678`, which messengers and address books still
# hold, for the number without the 1, or at least for the same in `is_number_match`.
# Seen: it parses, is neither valid nor possible, and formats with its 1; the match is the weakest one, as of any two
# numbers of which one ends like the other. So two records of one person have no number in common. Of Argentina's 9,
# also a mark of mobile numbers (`+54 9 11 …` and `+54 11 …`), both forms are valid, and as far apart.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check phonenumbers==9.0.43
"$folder/venv/bin/python" - <<'PYTHON'
import phonenumbers as pn

for former, present, valid in (
    ("+5215512345678", "+525512345678", (False, True)),
    ("+5491112345678", "+541112345678", (True, True)),
):
    numbers = [pn.parse(text) for text in (former, present)]
    found = tuple(map(pn.is_valid_number, numbers))
    match = pn.is_number_match(former, present)
    written = [pn.format_number(number, pn.PhoneNumberFormat.E164) for number in numbers]
    print(former, present, "valid:", found, "match:", match, "E.164:", written)
    assert found == valid
    assert match == pn.MatchType.SHORT_NSN_MATCH
    assert written == [former, present]
assert not pn.is_possible_number(pn.parse("+5215512345678"))
PYTHON
