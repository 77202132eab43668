#!/usr/bin/env bash
# python-quickbooks 0.9.12: a record that is read and saved unchanged states what its source never said.
#
# Guess: `get` and `save` send back what was read, as the update is a whole one (`sparse` false) that overwrites.
# Seen: what an answer leaves out comes back as the class's own values: an invoice without them has an ExchangeRate of
# 1, a HomeTotalAmt of 0, taxes excluded and online payment allowed, and its lines the number 0, where Intuit's schema
# asks for a positive one.
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

line = {"Id": "1", "Amount": 10, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"Qty": 1}}
stored = {"Id": "5", "SyncToken": "3", "TotalAmt": 10, "CurrencyRef": {"value": "EUR"}, "Line": [line]}
answer["body"] = {"Invoice": stored}
Invoice.get("5", qb=client).save(qb=client)
sent = json.loads(asked[-1][1])
added = {name: value for name, value in sent.items() if name not in stored and value not in ("", [])}
print("added", added)
print("line", {name: value for name, value in sent["Line"][0].items() if name not in line})
assert sent["sparse"] is False
assert {"ExchangeRate": 1, "HomeTotalAmt": 0, "GlobalTaxCalculation": "TaxExcluded", "AllowIPNPayment": True}.items() <= added.items()
assert sent["Line"][0]["LineNum"] == 0
PYTHON
