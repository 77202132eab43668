#!/usr/bin/env bash
# stripe 16.1.0: a price of 0.0000001 cents that is read and written back is sent as 1E-7.
#
# Guess: decimal text of the API, which is a Decimal in Python since version 15, goes back as it came: Stripe's OpenAPI
# file gives it the format decimal, which is a fixed-point number in OpenAPI's registry of formats.
# Seen: it is written by `str`, which gives what is smaller than 0.000001 an exponent: 0.0000001, a usual size of a
# price for one unit of what is metered, is 1E-7 in the request and in `str(price)`. A product that is zero may be 0E-7,
# and Decimal("100").normalize() is 1E+2. `format(amount, "f")` before a call keeps the digits.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check stripe==16.1.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import json
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl

import stripe

PRICE = {"id": "price_fake", "object": "price", "currency": "usd", "unit_amount_decimal": "0.0000001"}
sent = []


class Stripe(BaseHTTPRequestHandler):
    """Answers with one price, and keeps what is written."""

    def do_POST(self):
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        sent.append(form["unit_amount_decimal"])
        self.do_GET()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(PRICE).encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Stripe)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = stripe.StripeClient("sk_test_fake", base_addresses={"api": f"http://127.0.0.1:{server.server_port}"})
price = client.v1.prices.retrieve("price_fake")
amount = price.unit_amount_decimal
tenth = Decimal("0.1") * amount
for each in (amount, tenth, 0 * amount, Decimal("100").normalize(), Decimal("0.000001"), format(amount, "f")):
    client.v1.prices.create({"currency": "usd", "product": "prod_fake", "unit_amount_decimal": each})
server.shutdown()
shown = json.loads(str(price))["unit_amount_decimal"]
print("read:", PRICE["unit_amount_decimal"], "- shown:", shown, "- sent:", sent)
assert shown == "1E-7"
assert sent == ["1E-7", "1E-8", "0E-7", "1E+2", "0.000001", "0.0000001"]
PYTHON
