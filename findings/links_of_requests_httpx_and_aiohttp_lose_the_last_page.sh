#!/usr/bin/env bash
# requests 2.34.2, httpx 0.28.1, httpx2 2.16.2, aiohttp 3.14.5, dlt 1.31.0, singer-sdk 0.54.9: the last page isn't read.
#
# Guess: `response.links["next"]` is there whenever the Link header names a next page, so a loop over it reads all.
# Seen: the key is the whole text of `rel`, which RFC 8288 lets hold several relations: a server whose next page is the
# last one may say rel="next last" once, and the links then have a key "next last" and none "next". So exactly the last
# page is left out, and of a list of two pages one is read. The `HeaderLinkPaginator` of dlt and that of singer-sdk are
# built on requests' links and end there as well. Nothing warns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  requests==2.34.2 httpx==0.28.1 httpx2==2.16.2 aiohttp==3.14.5 dlt==1.31.0 singer-sdk==0.54.9
export DLT_DATA_DIR=$folder/dlt RUNTIME__DLTHUB_TELEMETRY=false
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import aiohttp
import httpx
import httpx2
import requests
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import HeaderLinkPaginator
from singer_sdk.pagination import HeaderLinkPaginator as SingerPaginator

LAST = 3


class Invoices(BaseHTTPRequestHandler):
    """Three pages of one invoice; a Link header names every relation of a page once."""

    def do_GET(self):
        [page] = map(int, parse_qs(urlsplit(self.path).query).get("page", ["1"]))
        relations = {}
        for relation, number in (("first", 1), ("prev", page - 1), ("next", page + 1), ("last", LAST)):
            if 1 <= number <= LAST:
                relations.setdefault(number, []).append(relation)
        links = (f'<{url}?page={number}>; rel="{" ".join(each)}"' for number, each in relations.items())
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Link", ", ".join(links))
        self.end_headers()
        self.wfile.write(json.dumps([page]).encode())

    def log_message(self, *_):
        pass


def all_pages(get):
    found, following = [], url
    while following:
        answer = get(following)
        found += answer.json()
        following = answer.links.get("next", {}).get("url")
    return found


async def with_aiohttp():
    found, following = [], url
    async with aiohttp.ClientSession() as session:
        while following:
            async with session.get(following) as answer:
                found += await answer.json()
                following = answer.links.get("next", {}).get("url")
    return found


def with_singer():
    found, paginator = [], SingerPaginator()
    while not paginator.finished:
        following = paginator.current_value
        answer = requests.get(following.geturl() if following else url)
        found += answer.json()
        paginator.advance(answer)
    return found


server = ThreadingHTTPServer(("127.0.0.1", 0), Invoices)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/invoices"
pages = RESTClient(url, paginator=HeaderLinkPaginator()).paginate()
read = {
    "requests": all_pages(requests.get),
    "httpx": all_pages(httpx.get),
    "httpx2": all_pages(httpx2.get),
    "aiohttp": asyncio.run(with_aiohttp()),
    "dlt": [invoice for page in pages for invoice in page],
    "singer-sdk": with_singer(),
}
header = requests.get(url + "?page=2").headers["Link"].replace(url, "…")
print(header, "on page 2 of 3:", read)
assert 'rel="next last"' in header
assert all(invoices == [1, 2] for invoices in read.values())
server.shutdown()
PYTHON
