#!/usr/bin/env bash
# singer-sdk 0.54.9: a field that is declared boolean is true when the source says "false".
#
# Guess: the SDK brings a record to its declared types, so "false", which is how HubSpot's properties and CSV answers
# write it, becomes false, or is refused as not fitting.
# Seen: whatever is not the number 0 becomes true, "false" and the empty text included, without a warning. Numbers
# and integers that come as text are left as text, so a boolean alone changes its meaning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check singer-sdk==0.54.9
"$folder/venv/bin/python" - > "$folder/out" 2> "$folder/log" <<'PYTHON'
from singer_sdk import Stream, Tap
from singer_sdk import typing as th


class Contacts(Stream):
    name = "contacts"
    primary_keys = ("id",)
    schema = th.PropertiesList(
        th.Property("id", th.StringType),
        th.Property("opted_out", th.BooleanType),
        th.Property("amount", th.NumberType),
    ).to_dict()

    def get_records(self, context):
        yield {"id": "1", "opted_out": "true", "amount": "19.99"}
        yield {"id": "2", "opted_out": "false", "amount": "19.99"}
        yield {"id": "3", "opted_out": "", "amount": "19.99"}
        yield {"id": "4", "opted_out": 0, "amount": "19.99"}


class Crm(Tap):
    name = "tap-crm"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self):
        return [Contacts(self)]


Crm(config={}).sync_all()
PYTHON
"$folder/venv/bin/python" - "$folder/out" "$folder/log" <<'PYTHON'
import json
import sys

messages = [json.loads(line) for line in open(sys.argv[1])]
records = [message["record"] for message in messages if message["type"] == "RECORD"]
for record in records:
    print(record)
assert [record["opted_out"] for record in records] == [True, True, True, False]
assert all(record["amount"] == "19.99" for record in records)
assert "opted_out" not in open(sys.argv[2]).read().lower()
PYTHON
