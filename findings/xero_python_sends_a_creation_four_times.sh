#!/usr/bin/env bash
# xero-python 15.2.0: a creation reaches the server four times where it closes the connection without an answer.
#
# Guess: a client without a retry setting sends a creation once, and says that the connection was lost.
# Seen: Xero creates by PUT (`create_contacts`, `create_invoices`, `create_payments`), which urllib3 takes for
# repeatable: PUT and GET are sent four times, POST (`update_or_create_contacts`) once. So one call may create four
# invoices, unless it was given an `idempotency_key`, and nothing public of the client switches that off.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xero-python==15.2.0 urllib3==2.8.0
"$folder/venv/bin/python" - <<'PYTHON'
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from urllib3.exceptions import ProtocolError
from xero_python.accounting import AccountingApi, Contact, Contacts, Invoice, Invoices
from xero_python.api_client import ApiClient, Configuration
from xero_python.api_client.oauth2 import OAuth2Token

received: Counter[str] = Counter()


class Closing(BaseHTTPRequestHandler):
    """Reads a request, body and all, and closes the connection."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        received[self.command] += 1
        self.close_connection = True

    do_GET = do_POST = do_PUT


server = ThreadingHTTPServer(("127.0.0.1", 0), Closing)
threading.Thread(target=server.serve_forever, daemon=True).start()
token = {"access_token": "fake", "token_type": "Bearer", "expires_in": 1800, "scope": []}
client = ApiClient(
    Configuration(oauth2_token=OAuth2Token("fake-id", "fake-secret")),
    oauth2_token_getter=lambda: token,
    oauth2_token_saver=lambda _: None,
)
api = AccountingApi(client, base_url=f"http://127.0.0.1:{server.server_port}")
contacts, invoices = Contacts(contacts=[Contact(name="Acme")]), Invoices(invoices=[Invoice(type="ACCREC")])
calls: list[tuple[str, str, Callable[[], object], int]] = [
    ("create_contacts", "PUT", lambda: api.create_contacts("tenant", contacts), 4),
    ("create_invoices", "PUT", lambda: api.create_invoices("tenant", invoices), 4),
    ("update_or_create_contacts", "POST", lambda: api.update_or_create_contacts("tenant", contacts), 1),
    ("get_contacts", "GET", lambda: api.get_contacts("tenant"), 4),
]
print("xero-python", version("xero-python"), "urllib3", version("urllib3"))
for name, method, call, times in calls:
    received.clear()
    try:
        call()
    except Exception as error:
        print(f"{name} ({method}) sent", received[method], type(error).__name__)
    assert received == {method: times}, received
PYTHON
