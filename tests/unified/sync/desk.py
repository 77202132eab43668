"""A connector of another package, as one would write it: two kinds of customers, and three kinds of other records.

Its system is a server on loopback that lists what a test puts into it. Ids of different lists are equal on purpose.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    Account,
    AdapterConfig,
    Capability,
    CredentialField,
    CredentialKind,
    Stream,
)
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.reading.listing import Listing
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import Offset
from unified.kit.streams import Origin
from unified.schema import UnifiedCustomer, UnifiedInvoice, UnifiedRecord
from unified.schema.entities import CUSTOMERS, INVOICES, RECORDS

_PAGE = 2


class Desk:
    """The system: records by list and id."""

    def __init__(self) -> None:
        self.lists: dict[str, dict[str, dict[str, Any]]] = {stream.name: {} for stream in DeskAdapter.streams}
        self.url = ""

    def put(self, name: str, *records: dict[str, Any]) -> None:
        """Add records to a list, or change them."""
        self.lists[name] |= {record["id"]: record for record in records}

    @contextmanager
    def served(self) -> Iterator["Desk"]:
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place = urlsplit(self.path)
                rows = list(desk.lists[place.path.strip("/")].values())
                asked = parse_qs(place.query)
                if "ids" in asked:
                    rows = [row for row in rows if row["id"] in asked["ids"]]
                start = int(asked.get("start", ["0"])[0])
                body = json.dumps(rows[start : start + _PAGE]).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
            )
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            yield self
            server.shutdown()
            thread.join()


def _customer(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    return UnifiedCustomer(**origin.identify(raw["id"]), name=raw["name"], raw_data=raw)


def _bill(raw: dict[str, Any], origin: Origin) -> UnifiedInvoice:
    return UnifiedInvoice(**origin.identify(raw["id"]), customer_id=raw["account"], raw_data=raw)


def _record(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    custom = {"stage": raw["stage"]} if "stage" in raw else {}
    return UnifiedRecord(**origin.identify(raw["id"]), name=raw["title"], custom_fields=custom, raw_data=raw)


def _listed(name: str) -> Listing:
    return Listing(
        ListEndpoint(f"/{name}", Offset("start", _PAGE)), many=lambda ids: [("ids", one) for one in ids]
    )


class DeskConfig(AdapterConfig):
    base_url: str = "https://api.desk.example"


class DeskAdapter(BaseAdapter[DeskConfig]):
    name = "desk"
    display_name = "Desk"
    capabilities = frozenset({Capability.READ})
    config_model = DeskConfig
    credential_kind = CredentialKind.API_KEY
    credential_fields = (CredentialField("api_key", "API key", "from the settings page"),)
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream("accounts", CUSTOMERS, source=_listed("accounts"), to_unified=_customer),
        Stream("contacts", CUSTOMERS, source=_listed("contacts"), to_unified=_customer),
        Stream("bills", INVOICES, customers="accounts", source=_listed("bills"), to_unified=_bill),
        Stream("deals", RECORDS, source=_listed("deals"), to_unified=_record),
        Stream("tickets", RECORDS, source=_listed("tickets"), to_unified=_record),
    )

    def open_http(self) -> HttpClient:
        return HttpClient(
            self.config, label=self.label, limits={"default": RateLimit(10_000)}, auth=self.authentication()
        )

    async def test(self) -> Account:
        return Account("desk")
