"""The management API: how long reads take with 100 clients at once, 1,000 workspaces and 10,000 connections.

    uv run --group dev python benchmarks/api.py [--seconds 10] [--workspaces 1000] [--clients 100]

The server is `unified serve`, beside its PostgreSQL and the clients on the same machine. Each
client keeps a connection and sends its next read when the last one is answered: a page of connections, one connection,
the members, the workspaces; half of them with API tokens, half with JWTs, each request for another workspace. Then the
same at a steady rate, half of the one reached, which is what a server that is not overloaded answers like.
"""

import argparse
import hashlib
import random
import secrets
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle

import jwt
import psycopg
from rig import IngressProcess, install, postgres

JWT_SECRET = "a-fake-secret-of-the-benchmarks-alone"  # noqa: S105 - opens nothing but this
ISSUER = "https://issuer.example.com"
CONNECTIONS_EACH = 10

_SEED = """
INSERT INTO workspaces (slug, name) SELECT 'bench-' || n, 'Bench ' || n FROM generate_series(1, {workspaces}) AS n;
INSERT INTO connector_configs (workspace_id, connector, name, settings)
SELECT id, 'stripe', 'stripe-' || n, '{{"concurrency": 4}}'
FROM workspaces CROSS JOIN generate_series(1, {each}) AS n WHERE slug LIKE 'bench-%';
INSERT INTO workspace_members (workspace_id, subject, role, added_by)
SELECT id, 'subject-' || slug, 'owner', 'bench' FROM workspaces WHERE slug LIKE 'bench-%';
INSERT INTO workspace_members (workspace_id, subject, role, added_by)
SELECT id, 'colleague-' || n, 'viewer', 'bench' FROM workspaces CROSS JOIN generate_series(1, 20) AS n
WHERE slug LIKE 'bench-%';
ANALYZE;
"""


@dataclass(frozen=True)
class Outcome:
    """What a load got.

    Attributes:
        rate: Answers with 200 a second.
        latencies: Seconds from when each request was due to its answer, sorted.
        refused: Answers other than 200.
    """

    rate: float
    latencies: list[float]
    refused: int

    def percentile(self, share: float) -> float:
        """Milliseconds that this share of the answers did not take longer than."""
        return self.latencies[int(share * (len(self.latencies) - 1))] * 1000


def seed(url: str, workspaces: int) -> list[bytes]:
    """Fill the database; requests, in an order of chance, one workspace after the other."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(_SEED.format(workspaces=workspaces, each=CONNECTIONS_EACH).encode())
        rows = admin.execute(
            """
            SELECT w.id, w.slug, min(c.id::text) FROM workspaces AS w
            JOIN connector_configs AS c ON c.workspace_id = w.id WHERE w.slug LIKE 'bench-%' GROUP BY 1, 2
            """
        ).fetchall()
        requests = []
        for number, (workspace_id, slug, connection_id) in enumerate(rows):
            if number % 2:
                prefix = f"uat_{secrets.token_hex(4)}"
                shown = f"{prefix}_{secrets.token_urlsafe(32)}"
                admin.execute(
                    """
                    INSERT INTO api_tokens (workspace_id, name, prefix, token_hash, scopes, created_by)
                    VALUES (%s, 'bench', %s, %s, %s, 'bench')
                    """,
                    (
                        workspace_id,
                        prefix,
                        hashlib.sha256(shown.encode()).digest(),
                        ["connections:read", "members:read"],
                    ),
                )
            else:
                now = int(time.time())
                said = {
                    "iss": ISSUER,
                    "aud": "unified",
                    "sub": f"subject-{slug}",
                    "iat": now,
                    "exp": now + 3600,
                }
                shown = jwt.encode(said, JWT_SECRET, "HS256")
            for path in (
                "/api/connectors/configs?limit=50",
                f"/api/connectors/configs/{connection_id}",
                "/api/members",
                "/api/workspaces",
            ):
                head = f"GET {path} HTTP/1.1\r\nHost: api.example.com\r\nX-Workspace: {slug}\r\n"
                requests.append(f"{head}Authorization: Bearer {shown}\r\n\r\n".encode())
    random.Random(1).shuffle(requests)  # noqa: S311 - an order, no secret
    return requests


def load(
    port: int, requests: Iterator[bytes], clients: int, seconds: float, rate: float | None = None
) -> Outcome:
    """Send requests for some time: each client when its last one is answered, or, given a rate, when one is due."""
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(clients):
        opened = socket.create_connection(("127.0.0.1", port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[opened.fileno()] = opened
        poll.register(opened, select.EPOLLIN)
    free = list(sockets)
    sent: dict[int, float] = {}
    came: dict[int, bytes] = {}
    latencies: list[float] = []
    refused = 0
    start = time.perf_counter()
    due = (start + number / rate for number in count()) if rate else None
    next_due = next(due) if due else start
    while (now := time.perf_counter()) < start + seconds or sent:
        while free and next_due <= now < start + seconds:
            number = free.pop()
            sockets[number].sendall(next(requests))
            sent[number], came[number] = next_due if due else now, b""
            next_due = next(due) if due else now
        wait = max(0.0, next_due - now) if free and now < start + seconds else 10
        for number, _ in poll.poll(wait):
            came[number] += sockets[number].recv(65_536)
            if _is_whole(came[number]):
                refused += not came[number].startswith(b"HTTP/1.1 200 ")
                latencies.append(time.perf_counter() - sent.pop(number))
                free.append(number)
    taken = time.perf_counter() - start
    for opened in sockets.values():
        opened.close()
    return Outcome((len(latencies) - refused) / taken, sorted(latencies), refused)


def _is_whole(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(found) and len(body) >= int(length)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--seconds", type=float, default=10, help="of each measurement")
    arguments.add_argument("--workspaces", type=int, default=1_000)
    arguments.add_argument("--clients", type=int, default=100)
    arguments.add_argument("--workers", type=int, default=1, help="processes of the server")
    options = arguments.parse_args()
    with postgres() as server:
        installation = install(server.url, 1)
        requests = cycle(seed(server.url, options.workspaces))
        settings = {
            "UNIFIED_JWT_SECRET": JWT_SECRET,
            "UNIFIED_JWT_ISSUER": ISSUER,
            "UNIFIED_JWT_AUDIENCE": "unified",
            "UNIFIED_API_RATE": "100000",
        }
        log = server.folder / "api.log"
        api = IngressProcess(server.url, installation.keys, log, workers=options.workers, **settings)
        try:
            load(api.port, requests, options.clients, min(options.seconds, 3))  # warms up
            busy = load(api.port, requests, options.clients, options.seconds)
            _print(f"{options.clients} clients, each as fast as it is answered", busy)
            steady = load(api.port, requests, options.clients, options.seconds, rate=busy.rate / 2)
            _print("at half of that rate", steady)
        finally:
            api.stop()


def _print(what: str, outcome: Outcome) -> None:
    p50, p95, p99 = (outcome.percentile(share) for share in (0.5, 0.95, 0.99))
    print(
        f"{what}: {outcome.rate:,.0f} reads a second, p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms,"
        f" {outcome.refused} refused"
    )


if __name__ == "__main__":
    main()
