#!/usr/bin/env bash
# simple-salesforce 1.12.10: an update with None clears a field one by one, and leaves it as it is in bulk.
#
# Guess: `sf.bulk2.Contact.update(records=[{"Id": ..., "Phone": None}])` does to many records what
# `sf.Contact.update(id, {"Phone": None})` does to one: the phone is cleared.
# Seen: the one sends a JSON null, the other an empty cell, as for a key that a record does not have. Salesforce
# documents that Bulk API 2.0 ignores empty cells in an update, and that `#N/A` clears; the job reports each record as
# processed. A "#N/A" in the records is sent as such.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check simple-salesforce==1.12.10
"$folder/venv/bin/python" - <<'PYTHON'
import csv
import io
import json

import requests
from requests.adapters import BaseAdapter
from simple_salesforce import Salesforce

sent = []


class Org(BaseAdapter):
    """Takes an update and a job; the client alone decides what they hold."""

    def send(self, request, **_):
        sent.append((request.method, request.path_url, request.body))
        is_job = "/jobs/" in request.path_url
        state = {"POST": "Open", "PATCH": "UploadComplete"}.get(request.method, "JobComplete")
        answer = requests.Response()
        answer.status_code = 201 if request.method == "PUT" else 200 if is_job else 204
        answer.headers["Content-Type"] = "application/json"
        job = {"id": "7505", "state": state, "numberRecordsProcessed": 3, "numberRecordsFailed": 0}
        answer._content = json.dumps(job).encode() if answer.status_code == 200 else b""
        answer.request, answer.url = request, request.url
        return answer

    def close(self):
        pass


session = requests.Session()
session.mount("https://", Org())
sf = Salesforce(instance_url="https://org.example", session_id="not-a-session", session=session)

sf.Contact.update("003A", {"Phone": None})
one = json.loads(sent[-1][2])
print("one:", one)
assert one == {"Phone": None}

records = [{"Id": "003A", "Phone": None}, {"Id": "003B"}, {"Id": "003C", "Phone": "#N/A"}]
outcome = sf.bulk2.Contact.update(records=records)
(body,) = [body for method, _, body in sent if method == "PUT"]
rows = list(csv.DictReader(io.StringIO(body.decode())))
print("bulk:", rows)
print("outcome:", outcome)
assert rows == [{"Id": "003A", "Phone": ""}, {"Id": "003B", "Phone": ""}, {"Id": "003C", "Phone": "#N/A"}]
assert outcome[0]["numberRecordsProcessed"] == 3
assert outcome[0]["numberRecordsFailed"] == 0
PYTHON
