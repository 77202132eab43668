#!/usr/bin/env bash
# python-quickbooks 0.9.12: the change data of QuickBooks Online are asked for from another instant than the one given.
#
# Guess: `change_data_capture([Customer], since)` takes a datetime, so an aware one is sent as the instant that it is.
# Seen: its offset is left out without a warning: 06:30 UTC and 23:30-07:00, one instant, are two requests seven hours
# apart, neither with an offset. Which instant that is depends on the zone that the other side supposes, so changes
# and deletions of hours may be missed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check python-quickbooks==0.9.12 intuit-oauth==1.2.6
OAUTHLIB_INSECURE_TRANSPORT=1 "$folder/venv/bin/python" - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from quickbooks import QuickBooks
from requests_oauthlib import OAuth2Session

asked = []
answer = {"status": 200, "body": {}}


class Company(BaseHTTPRequestHandler):
    """Keeps what is asked, and answers what it is told."""

    def do(self):
        text = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        asked.append((parse_qs(urlsplit(self.path).query), text))
        body = json.dumps(answer["body"]).encode()
        self.send_response(answer["status"])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Company)
threading.Thread(target=server.serve_forever, daemon=True).start()
QuickBooks.api_url_v3 = f"http://127.0.0.1:{server.server_port}/v3"
client = QuickBooks(company_id="1", minorversion=75, use_decimal=True)
client.session = OAuth2Session(token={"access_token": "fake"})

from datetime import datetime, timedelta, timezone

from quickbooks.cdc import change_data_capture
from quickbooks.objects.customer import Customer

answer["body"] = {"CDCResponse": [{"QueryResponse": [{}]}]}
since = datetime(2026, 4, 1, 6, 30, tzinfo=timezone.utc)
there = since.astimezone(timezone(timedelta(hours=-7)))
assert since == there
for moment in (since, there):
    change_data_capture([Customer], moment, qb=client)
    print(moment.isoformat(), "is asked for as", asked[-1][0]["changedSince"])
assert [one["changedSince"] for one, _ in asked] == [["2026-04-01T06:30:00"], ["2026-03-31T23:30:00"]]
PYTHON
