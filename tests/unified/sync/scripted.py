"""Providers that hold exactly the records that a test gives them, and answer by HTTP as Stripe and HubSpot document."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Record = dict[str, Any]
Answer = tuple[int, bytes]


@dataclass
class StripeAccount:
    """What one key opens; records as the bytes that are sent."""

    account: str
    customers: list[bytes]
    events: list[Record] = field(default_factory=list)
    single: dict[str, Record] = field(default_factory=dict)


@dataclass
class Script:
    """What both providers hold, and what they were asked to create.

    Attributes:
        stripe: Accounts by key.
        portal_id: HubSpot's.
        objects: HubSpot's records by kind.
        on_create: HubSpot's answer to a batch that creates contacts: status and body.
        created: Kinds of the records that requests asked to create, one for each request.
    """

    stripe: dict[str, StripeAccount] = field(default_factory=dict)
    portal_id: int = 1
    objects: dict[str, list[Record]] = field(default_factory=dict)
    on_create: tuple[int, Record] = (500, {})
    created: list[str] = field(default_factory=list)

    def answer(self, method: str, target: str, key: str, body: bytes) -> Answer:
        """Answer one request."""
        url = urlsplit(target)
        system, _, path = url.path[1:].partition("/")
        query = parse_qsl(url.query)
        if system == "stripe":
            return self._stripe(method, path.split("/"), query, self.stripe[key], parse_qsl(body.decode()))
        return self._hubspot(path.split("/"), json.loads(body or b"{}"))

    def _stripe(
        self,
        method: str,
        path: list[str],
        query: list[tuple[str, str]],
        account: StripeAccount,
        form: list[tuple[str, str]],
    ) -> Answer:
        match path:
            case ["v1", "account"]:
                return _ok({"id": account.account, "object": "account"})
            case ["v1", "customers", one]:
                held = {json.loads(raw)["id"]: raw for raw in account.customers}
                if method == "POST" and one in held:
                    changed = _dump(
                        json.loads(held[one]) | {name: value for name, value in form if "[" not in name}
                    )
                    account.customers = [changed if raw == held[one] else raw for raw in account.customers]
                    return 200, changed
                raw = held.get(one) or json.dumps(account.single.get(one)).encode()
                return (200, raw) if raw != b"null" else (404, _STRIPE_MISSING)
            case ["v1", name] if method == "POST":
                self.created.append(name)
                return 400, b'{"error": {"message": "nothing is created", "type": "invalid_request_error"}}'
            case ["v1", name]:
                rows = {"customers": account.customers, "events": [*map(_dump, account.events)]}.get(name, [])
                return _stripe_list(name, rows, query)
        return 404, _STRIPE_MISSING

    def _hubspot(self, path: list[str], asked: Record) -> Answer:
        match path:
            case ["account-info", _, "details"]:
                return _ok(
                    {"portalId": self.portal_id, "accountType": "STANDARD", "uiDomain": "app.hubspot.com"}
                )
            case ["crm", "objects", _, kind, "search"]:
                found = [one for one in self.objects.get(kind, ()) if _matches(one, asked["filterGroups"])]
                down = asked["sorts"][0]["direction"] == "DESCENDING"
                found.sort(key=lambda one: int(one["id"]), reverse=down)
                shown = [_shown(one, asked["properties"]) for one in found[: asked["limit"]]]
                return _ok({"total": len(found), "results": shown})
            case ["crm", "objects", _, kind, "batch", "read"]:
                by = asked.get("idProperty", "hs_object_id")
                held = {
                    one["properties"][by]: one
                    for one in self.objects.get(kind, ())
                    if by in one["properties"]
                }
                wanted = [one["id"] for one in asked["inputs"]]
                results = [_shown(held[one], asked["properties"]) for one in wanted if one in held]
                missing = [one for one in wanted if one not in held]
                gone = {
                    "status": "error", "category": "OBJECT_NOT_FOUND", "message": "not found",
                    "context": {"ids": missing},
                }  # fmt: skip
                return _ok({"results": results, "errors": [gone] if missing else []}, 207 if missing else 200)
            case ["crm", "objects", _, kind, "batch", "create"]:
                self.created.append(kind)
                status, answer = self.on_create
                return _ok(answer, status)
            case ["crm", "objects", _, kind, "batch", "update"]:
                changes = {one["id"]: one for one in asked["inputs"]}
                results = []
                for one in self.objects.get(kind, ()):
                    if one["id"] in changes:
                        one["properties"] |= changes[one["id"]]["properties"]
                        trace = changes[one["id"]]["objectWriteTraceId"]
                        results.append({**one, "objectWriteTraceId": trace})
                return _ok({"results": results})
        return _ok({"results": []})  # no associations, and an empty bin


_STRIPE_MISSING = (
    b'{"error": {"message": "No such object", "type": "invalid_request_error", "code": "resource_missing"}}'
)


def _ok(answer: Record, status: int = 200) -> Answer:
    return status, _dump(answer)


def _dump(record: Record) -> bytes:
    return json.dumps(record).encode()


def _stripe_list(name: str, rows: list[bytes], query: list[tuple[str, str]]) -> Answer:
    """All that the filters leave, on one page; customers on a test clock only where that is asked for."""
    bounds: dict[str, Callable[[int, int], bool]] = {
        "created[gte]": int.__ge__, "created[gt]": int.__gt__, "created[lte]": int.__le__, "created[lt]": int.__lt__,
    }  # fmt: skip
    types = [value for key, value in query if key in ("type", "types[]")]
    clocks = [value for key, value in query if key == "test_clock"]
    behind = dict(query).get("starting_after")
    kept = []
    for raw in rows:
        one = json.loads(raw)
        is_asked_for = (
            all(bounds[key](one["created"], int(value)) for key, value in query if key in bounds)
            and (not types or any(fnmatch(one["type"], kind) for kind in types))
            and one.get("test_clock") in (clocks or [None])
        )
        if is_asked_for:
            kept.append((one["created"], one["id"], raw))
    kept.sort(reverse=True)
    ids = [one[1] for one in kept]
    data = b",".join(raw for _, _, raw in kept[ids.index(behind) + 1 if behind in ids else 0 :])
    return 200, b'{"object":"list","url":"/v1/%b","has_more":false,"data":[%b]}' % (name.encode(), data)


def _matches(one: Record, groups: list[Record]) -> bool:
    def value(name: str) -> Any:
        if name == "hs_object_id":
            return int(one["id"])
        if name in ("lastmodifieddate", "hs_lastmodifieddate"):
            return int(datetime.fromisoformat(one["updatedAt"]).timestamp() * 1000)
        return one["properties"].get(name)

    def holds(asked: Record) -> bool:
        found, operand = value(asked["propertyName"]), asked.get("value")
        match asked["operator"]:
            case "GTE":
                return bool(found >= int(operand))
            case "GT":
                return bool(found > int(operand))
            case "LT":
                return bool(found < int(operand))
        return found in asked["values"]

    return not groups or any(all(map(holds, group["filters"])) for group in groups)


def _shown(one: Record, properties: list[str]) -> Record:
    chosen = {name: one["properties"].get(name) for name in ("hs_object_id", *properties)}
    return {**one, "properties": chosen}


@contextmanager
def served(script: Script) -> Iterator[str]:
    """Serve it on loopback; the URL, below which ``/stripe`` and ``/hubspot`` are."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            key = self.headers.get("authorization", "").removeprefix("Bearer ")
            status, answer = script.answer(self.command, self.path, key, body)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
