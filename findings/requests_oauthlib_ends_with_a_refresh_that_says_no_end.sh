#!/usr/bin/env bash
# requests-oauthlib 2.0.0, oauthlib 4.0.1, requests 2.34.2: after a refresh without `expires_in` no request is sent.
#
# Guess: a refreshed token whose answer doesn't say how long it is good, as RFC 6749 allows and as Salesforce answers,
# is used until it is refused, as authlib 1.9.6 does.
# Seen: the end of the token before stays in force. The refresh succeeds, `token_updater` gets the new token, and the
# request is then refused here with TokenExpiredError, unsent; so is each later one, and each refreshes once more,
# while the session's `token` shows no end at all. It begins with a token whose end is known: from the provider's first
# answer, or from the caller, whom the manual asks to state it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  requests-oauthlib==2.0.0 oauthlib==4.0.1 requests==2.34.2 authlib==1.9.6
OAUTHLIB_INSECURE_TRANSPORT=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import TokenExpiredError
from requests_oauthlib import OAuth2Session

asked = []


class Provider(BaseHTTPRequestHandler):
    """Refreshes as often as it is asked, without an `expires_in`."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        asked.append("refresh")
        self.answer({"access_token": f"fake-{asked.count('refresh')}", "token_type": "Bearer"})

    def do_GET(self):
        asked.append(self.headers["Authorization"])
        self.answer({})

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
ended = {"access_token": "fake-0", "refresh_token": "fake", "token_type": "Bearer", "expires_at": int(time.time()) - 1}

updated = []
session = OAuth2Session(
    "fake",
    token=ended,
    auto_refresh_url=url + "/token",
    auto_refresh_kwargs={"client_id": "fake"},
    token_updater=updated.append,
)
for _ in range(3):
    try:
        session.get(url + "/invoices")
    except TokenExpiredError as error:
        print("requests-oauthlib:", repr(error), "- the session's token:", session.token)
    else:
        raise AssertionError("the request was sent")
print("asked:", asked)
assert asked == ["refresh"] * 3
assert [token["access_token"] for token in updated] == ["fake-1", "fake-2", "fake-3"]
assert "expires_at" not in session.token

asked.clear()
session = AuthlibSession("fake", token=ended, token_endpoint=url + "/token")
for _ in range(3):
    session.get(url + "/invoices")
print("authlib asked:", asked)
assert asked == ["refresh", *["Bearer fake-1"] * 3]
server.shutdown()
PYTHON
