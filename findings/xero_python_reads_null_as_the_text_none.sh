#!/usr/bin/env bash
# xero-python 15.2.0: a JSON null is read as the text "None", and goes back to Xero as that.
#
# Guess: null becomes None, whatever the field's type, and what is None is left out of a write.
# Seen: a text becomes "None" (Xero's OpenAPI file says of an account's SystemAccount that it may be null; that field's
# setter even lists "None" among its values), a boolean False, payment terms an object with an empty text in it. A
# contact that is read and written back gets the tax number "None". A null list raises a bare TypeError, and a null time
# a ValueError: either costs all records of the page.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xero-python==15.2.0 urllib3==2.8.0
"$folder/venv/bin/python" - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from xero_python.accounting import AccountingApi, Contacts
from xero_python.api_client import ApiClient, Configuration
from xero_python.api_client.oauth2 import OAuth2Token

ID = "5f6b1a3e-0000-4000-8000-000000000001"
answer: dict[str, object] = {}
written: list[dict[str, object]] = []


class Xero(BaseHTTPRequestHandler):
    """Answers what `answer` holds, and keeps what is written."""

    def do_GET(self) -> None:
        if size := int(self.headers.get("content-length", 0)):
            written.append(json.loads(self.rfile.read(size)))
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Xero)
threading.Thread(target=server.serve_forever, daemon=True).start()
token = {"access_token": "fake", "token_type": "Bearer", "expires_in": 1800, "scope": []}
client = ApiClient(
    Configuration(oauth2_token=OAuth2Token("fake-id", "fake-secret")),
    oauth2_token_getter=lambda: token,
    oauth2_token_saver=lambda _: None,
)
api = AccountingApi(client, base_url=f"http://127.0.0.1:{server.server_port}")


def contact(**fields: object) -> object:
    answer.clear()
    answer["Contacts"] = [{"ContactID": ID, "Name": "Acme", **fields}]
    return api.get_contacts("tenant").contacts[0]


print("xero-python", version("xero-python"))
answer["Accounts"] = [{"AccountID": ID, "Code": "200", "Name": "Sales", "Type": "REVENUE", "SystemAccount": None}]
(account,) = api.get_accounts("tenant").accounts
print("SystemAccount null:", repr(account.system_account))
assert account.system_account == "None"

acme = contact(TaxNumber=None, IsCustomer=None, PaymentTerms=None)
print("TaxNumber null:", repr(acme.tax_number), "IsCustomer null:", acme.is_customer, "PaymentTerms null:", end=" ")
print(acme.payment_terms.to_dict())
assert (acme.tax_number, acme.is_customer) == ("None", False)
assert acme.payment_terms.bills == ""

api.update_or_create_contacts("tenant", Contacts(contacts=[contact(TaxNumber=None)]))
print("written back:", written[-1])
assert written[-1]["Contacts"][0]["TaxNumber"] == "None"

for field, kind in (("Phones", TypeError), ("UpdatedDateUTC", ValueError)):
    try:
        contact(**{field: None})
    except (TypeError, ValueError) as error:
        print(f"{field} null:", type(error).__name__, error)
        assert type(error) is kind
    else:
        raise AssertionError(f"{field} null is read")
PYTHON
