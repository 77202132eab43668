#!/usr/bin/env bash
# cloudevents 2.2.0: an event that says no time gets the moment at which it is read.
#
# Guess: `time` is optional in CloudEvents 1.0, so an event without it has none.
# Seen: both the JSON format and the binary headers give it the time of reading, which cannot be told from one of the
# sender's, and is written out again as the event's. The same event, delivered twice, has two times, so "the newer
# one wins" lets an old state that was delivered again win.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0
"$folder/venv/bin/python" - <<'PYTHON'
import time
from datetime import UTC, datetime

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

structured = b'{"specversion": "1.0", "id": "1", "source": "/crm", "type": "customer.updated", "data": {"id": 7}}'
headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/crm", "ce-type": "customer.updated"}
binary = HTTPMessage(headers, b'{"id": 7}')
began = datetime.now(UTC)
for name, read in {
    "JSON": lambda: JSONFormat().read(CloudEvent, structured),
    "headers": lambda: from_http_event(binary),
}.items():
    first = read()
    time.sleep(0.01)
    again = read()
    print(f"{name}: {first.get_time()} then {again.get_time()}")
    assert began <= first.get_time() < again.get_time()
written = JSONFormat().write(JSONFormat().read(CloudEvent, structured))
print("written again:", written)
assert b'"time"' in written and b'"time"' not in structured
PYTHON
