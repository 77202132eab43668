#!/usr/bin/env bash
# schemathesis 4.32.5, pytest 9.2.0, pytest-xdist 3.8.0: with --dist=loadfile one operation of a schema is tested.
#
# Guess: `@schema.parametrize()` makes a test for each operation, and xdist runs each of them somewhere, as it does
# without the option.
# Seen: all operations get the same node id. The schedulers of loadfile and loadscope keep tests by node id, so of
# three tests one is run and reported; the rest is not skipped, not failed and not counted, and the session is green.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check schemathesis==4.32.5 pytest==9.2.0 pytest-xdist==3.8.0
cd "$folder"
cat > test_schema.py <<'PYTHON'
import schemathesis
from hypothesis import settings

ANSWER = {"responses": {"200": {"description": "ok"}}}
PATHS = {path: {"get": ANSWER} for path in ("/customers", "/invoices", "/events")}
schema = schemathesis.openapi.from_dict({"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": PATHS})


@schema.parametrize()
@settings(max_examples=1, database=None, deadline=None)
def test_operation(case):
    with open("ran.txt", "a") as file:
        file.write(case.path + "\n")
PYTHON

ran() {
  rm -f ran.txt
  "$folder/venv/bin/python" -m pytest -q -p no:cacheprovider "$@" test_schema.py | tail -1
  sort -u ran.txt | wc -l
}
ran -n 2 | tee load.txt
ran -n 2 --dist=loadfile | tee loadfile.txt
[ "$(tail -1 load.txt)" = 3 ]
[ "$(tail -1 loadfile.txt)" = 1 ]
grep -q "^1 passed" loadfile.txt
