#!/usr/bin/env bash
# python-quickbooks 0.9.12: that a company's rate limit is reached is raised as an error of validation.
#
# Guess: a 429 (code 003001) is told apart from a body that Intuit refuses, as the client has classes of errors.
# Seen: it is the same ValidationException as of a refused query; a missing right (003100) is one as well, not an
# AuthorizationException; and a stale version (5010) or a taken name (6240) are of no class at all. Only the number in
# `error_code` says what to do; the status is not kept.
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

from quickbooks.exceptions import AuthorizationException, QuickbooksException, ValidationException
from quickbooks.objects.customer import Customer

found = {}
for status, code in ((429, "003001"), (403, "003100"), (400, "4000"), (400, "5010"), (400, "6240")):
    fault = {"Error": [{"Message": "no", "Detail": "no", "code": code}], "type": "SystemFault"}
    answer.update(status=status, body={"Fault": fault})
    try:
        Customer.count(qb=client)
    except QuickbooksException as error:
        found[code] = type(error)
        print(status, code, "is", type(error).__name__, vars(error))
        assert not hasattr(error, "status_code")
assert found["003001"] is found["003100"] is found["4000"] is ValidationException
assert found["5010"] is found["6240"] is QuickbooksException
assert not issubclass(ValidationException, AuthorizationException)
PYTHON
