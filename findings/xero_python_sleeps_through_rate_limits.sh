#!/usr/bin/env bash
# xero-python 15.2.0: over a limit, a call sleeps as long as Retry-After says, three times, before it says so.
#
# Guess: a call over a limit ends at once with `RateLimitException`, whose `rate_limit` says which limit it was, and
# `_request_timeout` bounds a call.
# Seen: Xero sends Retry-After with its limits of a minute and of a day. urllib3 obeys it inside of GET and PUT, three
# times, whatever `_request_timeout` is (a day's limit: hours, without a word), before the exception is raised, and each
# request in vain counts against the limit. Only POST, and a refusal without Retry-After, end at once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xero-python==15.2.0 urllib3==2.8.0
"$folder/venv/bin/python" - <<'PYTHON'
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from xero_python.accounting import AccountingApi, Contact, Contacts
from xero_python.api_client import ApiClient, Configuration
from xero_python.api_client.oauth2 import OAuth2Token
from xero_python.exceptions import RateLimitException

WAIT_SECONDS = 2
retry_after: list[str] = [str(WAIT_SECONDS)]
received: list[str] = []


class Limited(BaseHTTPRequestHandler):
    """Refuses every request as Xero does over a limit."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        received.append(self.command)
        self.send_response(429)
        self.send_header("x-rate-limit-problem", "day")
        for seconds in retry_after:
            self.send_header("retry-after", seconds)
        self.send_header("content-length", "0")
        self.end_headers()

    do_PUT = do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Limited)
threading.Thread(target=server.serve_forever, daemon=True).start()
token = {"access_token": "fake", "token_type": "Bearer", "expires_in": 1800, "scope": []}
client = ApiClient(
    Configuration(oauth2_token=OAuth2Token("fake-id", "fake-secret")),
    oauth2_token_getter=lambda: token,
    oauth2_token_saver=lambda _: None,
)
api = AccountingApi(client, base_url=f"http://127.0.0.1:{server.server_port}")
contacts = Contacts(contacts=[Contact(name="Acme")])


def called(name: str, call: Callable[[], object], requests: int) -> None:
    received.clear()
    began = time.monotonic()
    try:
        call()
    except RateLimitException as error:
        took = time.monotonic() - began
        print(f"{name}: {len(received)} requests in {took:.1f} s, RateLimitException of the {error.rate_limit}")
    assert len(received) == requests
    assert took >= (requests - 1) * WAIT_SECONDS


print("xero-python", version("xero-python"), "urllib3", version("urllib3"), "Retry-After", WAIT_SECONDS)
called("GET", lambda: api.get_contacts("tenant", _request_timeout=1), 4)
called("PUT", lambda: api.create_contacts("tenant", contacts, _request_timeout=1), 4)
called("POST", lambda: api.update_or_create_contacts("tenant", contacts), 1)
retry_after.clear()
called("GET without Retry-After", lambda: api.get_contacts("tenant"), 1)
PYTHON
