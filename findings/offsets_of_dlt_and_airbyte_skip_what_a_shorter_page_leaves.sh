#!/usr/bin/env bash
# dlt 1.31.0 and airbyte-cdk 7.39.1: offset paging ends early at an API that gives fewer rows than it is asked for.
#
# Guess: the next offset is the last one and what came, and the end is what `total_path` says or an empty page; so
# an API whose pages are smaller than the asked limit (a cap that was lowered, say) costs requests, not rows.
# Seen: dlt adds the limit that it asked for: with ten invoices in pages of three it reads three of them and stops,
# though each answer says that there are ten; with a limit of four it leaves out every fourth. airbyte-cdk takes the
# first page that is short for the last one. Both report a complete load.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dlt==1.31.0
python3 -m venv "$folder/airbyte"
"$folder/airbyte/bin/pip" install --quiet --disable-pip-version-check airbyte-cdk==7.39.1
cat > "$folder/invoices.py" <<'PYTHON'
"""Ten invoices by offset and limit, on loopback; a page holds three at most."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

asked: list[int] = []


class Invoices(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        offset = int(query.get("offset", ["0"])[0])
        asked.append(offset)
        size = min(int(query["limit"][0]), 3)
        page = [{"number": number} for number in range(1, 11)][offset : offset + size]
        body = json.dumps({"invoices": page, "total": 10}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Invoices)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
PYTHON
PYTHONPATH=$folder "$folder/venv/bin/python" - <<'PYTHON'
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import OffsetPaginator
from invoices import address, asked


def read(limit):
    asked.clear()
    paginator = OffsetPaginator(limit=limit, total_path="total")
    pages = RESTClient(address).paginate("/invoices", paginator=paginator, data_selector="invoices")
    return [invoice["number"] for page in pages for invoice in page], list(asked)


for limit, numbers in ((3, list(range(1, 11))), (4, [1, 2, 3, 5, 6, 7, 9, 10]), (100, [1, 2, 3])):
    seen, offsets = read(limit)
    print(f"dlt, limit {limit}: {seen}, offsets {offsets}")
    assert seen == numbers
PYTHON
PYTHONPATH=$folder "$folder/airbyte/bin/python" -W ignore - <<'PYTHON'
import logging

from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from invoices import address, asked

logging.disable(logging.INFO)


def read(limit):
    asked.clear()
    option = {"type": "RequestOption", "inject_into": "request_parameter"}
    retriever = {
        "type": "SimpleRetriever",
        "requester": {"type": "HttpRequester", "url_base": address, "path": "/invoices", "http_method": "GET"},
        "record_selector": {
            "type": "RecordSelector",
            "extractor": {"type": "DpathExtractor", "field_path": ["invoices"]},
        },
        "paginator": {
            "type": "DefaultPaginator",
            "page_size_option": option | {"field_name": "limit"},
            "page_token_option": option | {"field_name": "offset"},
            "pagination_strategy": {"type": "OffsetIncrement", "page_size": limit},
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
    source = ConcurrentDeclarativeSource(catalog=catalog, config={}, state=[], source_config=manifest)
    messages = list(source.read(logging.getLogger("sync"), {}, catalog, []))
    states = [m.trace.stream_status.status.value for m in messages if m.trace and m.trace.stream_status]
    return [m.record.data["number"] for m in messages if m.record], list(asked), states[-1]


for limit, numbers in ((3, list(range(1, 11))), (4, [1, 2, 3]), (100, [1, 2, 3])):
    seen, offsets, state = read(limit)
    print(f"airbyte-cdk, limit {limit}: {seen}, offsets {offsets}, {state}")
    assert seen == numbers
    assert state == "COMPLETE"
PYTHON
