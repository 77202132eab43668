#!/usr/bin/env bash
# python-quickbooks 0.9.12 with `use_decimal=True`: an amount that was read as a number is written as text.
#
# Guess: with exact amounts a record that is read and saved unchanged goes back with the types that it came with.
# Seen: every amount with a fraction is sent in quotes ("19.99", of a type that Intuit's schema calls decimal), whole
# ones beside it are sent as numbers. Without `use_decimal` all are numbers, and are read through a double.
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

from quickbooks.objects.invoice import Invoice

amounts = {"TotalAmt": 119.99, "Balance": 100}
lines = [{"Id": "1", "Amount": 19.99, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"Qty": 1}}]
answer["body"] = {"Invoice": {"Id": "5", "SyncToken": "3", **amounts, "Line": lines}}
Invoice.get("5", qb=client).save(qb=client)
sent = json.loads(asked[-1][1])
print("read", amounts, "sent", {name: sent[name] for name in amounts}, "line", repr(sent["Line"][0]["Amount"]))
assert (sent["TotalAmt"], sent["Balance"], sent["Line"][0]["Amount"]) == ("119.99", 100, "19.99")
client.use_decimal = False
Invoice.get("5", qb=client).save(qb=client)
assert json.loads(asked[-1][1])["TotalAmt"] == 119.99
PYTHON
