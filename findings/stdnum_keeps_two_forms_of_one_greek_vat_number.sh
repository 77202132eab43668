#!/usr/bin/env bash
# python-stdnum 2.2: a European VAT number's compact form is not a key.
#
# Guess: `stdnum.eu.vat.compact` gives one form for one number, and `get_cc_module` finds a module by the prefix
# that the number begins with.
# Seen: Greek numbers may begin with EL or, as many systems write it, GR; both are valid and both stay as they are,
# so one company compares unequal. `get_cc_module("el", "vat")` and `get_cc_module("xi", "vat")` find nothing, though
# `eu.vat` accepts both prefixes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check python-stdnum==2.2
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
from stdnum import get_cc_module
from stdnum.eu import vat

forms = ("EL094259216", "GR 094259216")
for form in forms:
    print(form, "valid", vat.is_valid(form), "compact", vat.compact(form), "country", vat.guess_country(form))
assert all(map(vat.is_valid, forms))
assert len({vat.compact(form) for form in forms}) == 2
for prefix in ("el", "xi", "gr"):
    print("module of", prefix, get_cc_module(prefix, "vat"))
assert vat.is_valid("XI980780684")
assert get_cc_module("el", "vat") is None and get_cc_module("xi", "vat") is None
assert get_cc_module("gr", "vat") is not None
PYTHON
