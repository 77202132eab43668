#!/usr/bin/env bash
# dlt 1.31.0 (`rest_api`): a customer whose key holds a # has the details of another customer.
#
# Guess: a key that is put into a path, as in `customers/{resources.customers.id}`, is encoded as one part of it, as
# clients made from an OpenAPI document do: A#1 is asked for as A%231.
# Seen: it is put there as it stands. All from # on is never sent, so A is asked for, and what comes is loaded with A#1
# as its parent: A's details are in the table twice, and those of A#1 nowhere, without an error. What follows a ? is
# sent as a query, which servers pass over as well, and 50%25 is read as 50%. A / asks for another path.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dlt==1.31.0
export DLT_DATA_DIR=$folder/dlt RUNTIME__DLTHUB_TELEMETRY=false
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from dlt.sources.rest_api import rest_api_source

CUSTOMERS = ["A", "A#1", "B", "B?2", "50%", "50%25"]


class Api(BaseHTTPRequestHandler):
    """Lists customers, and tells of each whose details they are."""

    def do_GET(self):
        _, *key = urlsplit(self.path).path.strip("/").split("/")
        known = {customer: {"id": customer, "details_of": customer} for customer in CUSTOMERS}
        body = known[unquote(*key)] if key else [{"id": customer} for customer in CUSTOMERS]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
details = {
    "name": "details",
    "endpoint": {"path": "customers/{resources.customers.id}"},
    "include_from_parent": ["id"],
}
source = rest_api_source(
    {
        "client": {"base_url": f"http://127.0.0.1:{server.server_port}/", "paginator": "single_page"},
        "resources": ["customers", details],
    }
)
found = {each["_customers_id"]: each["details_of"] for each in source.resources["details"]}
server.shutdown()
print("each customer and whose details were read:", found)
assert found == {"A": "A", "A#1": "A", "B": "B", "B?2": "B", "50%": "50%", "50%25": "50%"}
PYTHON
