#!/usr/bin/env bash
# airbyte-cdk 7.39.1: a page token that reads as a number is sent back as another text, and the sync ends early.
#
# Guess: a connector's `cursor_value: "{{ response['next'] }}"` sends an opaque token back as it came.
# Seen: what an expression gives is read as a Python literal: the token 12e4 is sent as 120000.0, 2026_001 as 2026001,
# 0x1f as 31 and 12E400 as inf. A server that answers an unknown token with an empty page ends the stream: two of three
# invoices are missing, and the sync is reported as complete. A token of hexadecimal digits meets it by chance.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check airbyte-cdk==7.39.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

tokens: list[str] = []
asked: list[str | None] = []


class Invoices(BaseHTTPRequestHandler):
    """Three pages of one invoice each, behind the tokens of `tokens`; a token that it never gave has an empty page."""

    def do_GET(self) -> None:
        token = parse_qs(urlsplit(self.path).query).get("cursor", [None])[0]
        asked.append(token)
        given: list[str | None] = [None, *tokens]
        page = given.index(token) if token in given else None
        answer = {
            "invoices": [] if page is None else [{"number": page + 1}],
            "next": None if page is None else [*tokens, None][page],
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


logging.disable(logging.INFO)
server = ThreadingHTTPServer(("127.0.0.1", 0), Invoices)
threading.Thread(target=server.serve_forever, daemon=True).start()
retriever = {
    "type": "SimpleRetriever",
    "requester": {
        "type": "HttpRequester",
        "url_base": f"http://127.0.0.1:{server.server_port}",
        "path": "/invoices",
        "http_method": "GET",
    },
    "record_selector": {
        "type": "RecordSelector",
        "extractor": {"type": "DpathExtractor", "field_path": ["invoices"]},
    },
    "paginator": {
        "type": "DefaultPaginator",
        "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "cursor"},
        "pagination_strategy": {
            "type": "CursorPagination",
            "cursor_value": "{{ response['next'] }}",
            "stop_condition": "{{ not response['next'] }}",
        },
    },
}
stream = {
    "type": "DeclarativeStream",
    "name": "invoices",
    "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}},
    "retriever": retriever,
}
manifest = {
    "version": "7.0.0",
    "type": "DeclarativeSource",
    "check": {"type": "CheckStream", "stream_names": ["invoices"]},
    "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    "streams": [stream],
}
chosen = {
    "stream": {"name": "invoices", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
    "sync_mode": "full_refresh",
    "destination_sync_mode": "append",
}
catalog = ConfiguredAirbyteCatalogSerializer.load({"streams": [chosen]})


def sync(first: str, second: str) -> tuple[list[int], list[str | None], list[str]]:
    """The numbers of the invoices read, the tokens asked for, and the states that the stream was reported in."""
    tokens[:] = [first, second]
    asked.clear()
    source = ConcurrentDeclarativeSource(catalog=catalog, config={}, state=[], source_config=manifest)
    messages = list(source.read(logging.getLogger("sync"), {}, catalog, []))
    states = [m.trace.stream_status.status.value for m in messages if m.trace and m.trace.stream_status]
    return [m.record.data["number"] for m in messages if m.record], list(asked), states


plain = sync("page-2", "page-3")
print(plain)
assert plain[:2] == ([1, 2, 3], [None, "page-2", "page-3"])
for token, sent in (("12e4", "120000.0"), ("2026_001", "2026001"), ("0x1f", "31"), ("12E400", "inf")):
    numbers, requests, states = sync(token, "page-3")
    print(token, numbers, requests, states)
    assert (numbers, requests) == ([1], [None, sent])
    assert states[-1] == "COMPLETE"
PYTHON
