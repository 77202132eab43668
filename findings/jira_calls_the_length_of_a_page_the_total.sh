#!/usr/bin/env bash
# jira 3.10.5: of a search in Jira Cloud, one page is read, and its length is called the total.
#
# Guess: `search_issues(jql, maxResults=200)` returns up to 200 issues, over as many pages as that takes, and `total` of
# the result says how many match.
# Seen: one page is asked for; Jira gives fewer issues a page than it is asked for (100, say), so 100 of 250 come.
# `total` is then 100, and 50 where 50 were asked for; of a Jira Server the same field is 250. `isLast` is None though
# Jira said false, and a loop that ends at `total` loses the rest without a warning. Only `nextPageToken` shows it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jira==3.10.5
"$folder/venv/bin/python" -W error - <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from jira import JIRA

PAGE = 100
issues = [{"id": str(number), "key": f"INV-{number}", "fields": {}} for number in range(250)]
kind = {"deploymentType": "Cloud", "versionNumbers": [1001, 0, 0]}


class Jira(BaseHTTPRequestHandler):
    """Answers a search as Jira Cloud does (`/search/jql`), or as a Jira Server does (`/search`)."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        size = min(int(query.get("maxResults", PAGE)), PAGE)
        start = int(query.get("nextPageToken") or query.get("startAt") or 0)
        page = issues[start : start + size]
        end = start + len(page)
        if parts.path.endswith("/serverInfo"):
            answer = kind
        elif parts.path.endswith("/search/jql"):
            more = {"nextPageToken": str(end)} if end < len(issues) else {}
            answer = {"issues": page, "isLast": not more, **more}
        elif parts.path.endswith("/search"):
            answer = {"issues": page, "startAt": start, "maxResults": size, "total": len(issues)}
        else:
            answer = []
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Jira)
threading.Thread(target=server.serve_forever, daemon=True).start()


def search() -> dict[int, tuple[int, int | None, bool | None, bool]]:
    """For each `maxResults`: how many issues came, `total`, `isLast`, and whether a page token is left."""
    jira = JIRA(f"http://127.0.0.1:{server.server_port}", basic_auth=("somebody", "not-a-token"))
    results = {size: jira.search_issues("project = INV", maxResults=size) for size in (50, 200, False)}
    return {
        size: (len(found), found.total, found.isLast, bool(found.nextPageToken)) for size, found in results.items()
    }


cloud = search()
kind = {"deploymentType": "Server", "versionNumbers": [9, 12, 0]}
own = search()
print("Cloud: ", cloud)
print("Server:", own)
assert cloud == {50: (50, 50, None, True), 200: (100, 100, None, True), False: (250, 250, None, False)}
assert {size: found[:2] for size, found in own.items()} == {50: (50, 250), 200: (100, 250), False: (250, 250)}
PYTHON
