"""The webhook ingress against PostgreSQL's own measure: deliveries acknowledged and durable, pgbench's inserts.

    uv run --group dev python benchmarks/ingress.py [--rounds 3] [--seconds 5]

Both write the same bytes into the same server, one row a request, from 32 connections on the same machine, in turn.
pgbench speaks to the server directly and checks nothing; the ingress reads HTTP, looks the endpoint up, verifies the
signature, reads the event, drops repetitions and commits before it answers 200. In each round the same events go to
generic webhooks as well, whose options say how they are signed and where their ids and times stand. Then, at about half
the rate reached, how long one delivery waits; and how long a signature of 4 KB takes to check.

A sender written in Python takes as much of two cores as the ingress does. Where the harness (see
`benchmarks/harness.py`) and a C compiler are at hand, the load comes from its `blast`, as pgbench's does from C; its
half load is what a quarter of the connections reach, each of which sends when its last delivery is answered.
"""

import argparse
import json
import os
import select
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import time
import timeit
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import psycopg
from harness import HARNESS
from rig import SECRET, IngressProcess, Installation, install, postgres

from unified.kit.registry import get_verifier
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Delivery
from unified.store.server import programs

CONNECTIONS = 32
ENDPOINTS = 32
BODY_BYTES = 1_200

_TABLE = """
CREATE TABLE single_insert (
    id bigserial PRIMARY KEY, source text NOT NULL, event_id text NOT NULL, type text, payload bytea,
    received_at timestamptz NOT NULL DEFAULT now(), UNIQUE (source, event_id)
)
"""
_INSERT = """
INSERT INTO single_insert (source, event_id, type, payload)
VALUES ('stripe', 'evt_' || md5(random()::text || clock_timestamp()::text), 'customer.updated', :payload::bytea)
ON CONFLICT DO NOTHING;
"""


@dataclass(frozen=True)
class Outcome:
    """What a load got.

    Attributes:
        rate: Answers with 200 a second.
        answers: All of them.
        refused: Answers other than 200.
        p50_ms: Milliseconds from when each request was due to its answer: half of them took no longer.
        p99_ms: The same for 99 of 100.
    """

    rate: float
    answers: int
    refused: int
    p50_ms: float
    p99_ms: float


def load(port: int, requests: "deque[bytes]", *, rate: float | None = None) -> Outcome:
    """Send requests over 32 connections: each as soon as a connection is free, or, given a rate, when it is due."""
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(CONNECTIONS):
        opened = socket.create_connection(("127.0.0.1", port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[opened.fileno()] = opened
        poll.register(opened, select.EPOLLIN)
    free = list(sockets)
    sent: dict[int, float] = {}
    latencies: list[float] = []
    refused = 0
    start = time.perf_counter()
    due = (start + number / rate for number in count()) if rate else None
    next_due = next(due) if due else start
    while requests or sent:
        now = time.perf_counter()
        while requests and free and next_due <= now:
            number = free.pop()
            sockets[number].sendall(requests.popleft())
            sent[number] = next_due if due else now
            next_due = next(due) if due else now
        for number, _ in poll.poll(max(0.0, next_due - now) if requests and free else 10):
            answer = sockets[number].recv(4096)
            refused += not answer.startswith(b"HTTP/1.1 200 ")
            latencies.append(time.perf_counter() - sent.pop(number))
            free.append(number)
    seconds = time.perf_counter() - start
    for opened in sockets.values():
        opened.close()
    latencies.sort()
    p50, p99 = (latencies[int(share * (len(latencies) - 1))] * 1000 for share in (0.5, 0.99))
    return Outcome((len(latencies) - refused) / seconds, len(latencies), refused, p50, p99)


def full_load(
    port: int, requests: "deque[bytes]", blast: Path | None, connections: int = CONNECTIONS
) -> Outcome:
    """Send requests, each as soon as a connection is free, by the harness's sender where there is one."""
    if blast is None:
        return load(port, requests)
    with tempfile.NamedTemporaryFile() as file:
        for request in requests:
            file.write(struct.pack("<I", len(request)) + request)
        file.flush()
        command = [blast, file.name, "127.0.0.1", str(port), str(connections), str(len(requests))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return Outcome(
        (told["n"] - told["err"]) / told["wall"], told["n"], told["err"], told["p50_ms"], told["p99_ms"]
    )


def compiled_blast(folder: Path) -> Path | None:
    """The harness's sender, or None where it or a compiler is absent."""
    source, compiler = HARNESS / "blast.c", shutil.which("gcc")
    if compiler is None or not source.is_file():
        return None
    subprocess.run([compiler, "-O2", "-o", folder / "blast", source], check=True)
    return folder / "blast"


def single_inserts(url: str, body: bytes, seconds: int) -> float:
    """Rows a second that pgbench inserts and commits one by one."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_INSERT.replace("\n", " "))
        script.flush()
        done = subprocess.run(
            [
                _pgbench(), "--no-vacuum", "--protocol=prepared", f"--file={script.name}",
                f"--client={CONNECTIONS}", "--jobs=1", f"--time={seconds}", f"--define=payload=\\x{body.hex()}", url,
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    return next(float(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("tps"))


def _pgbench() -> str:
    """Where pgbench is: in ``PGBIN``, or beside the embedded server's programs."""
    found = shutil.which("pgbench", path=os.environ.get("PGBIN", str(programs.folder())))
    return found or "pgbench"


def signature_seconds() -> float:
    """Seconds that checking Stripe's signature of 4 KB takes."""
    verifier = get_verifier("stripe")
    body = b"x" * 4096
    now = datetime.now(UTC)
    moment = int(now.timestamp())
    signature = verifier.sign(SECRET.encode(), b"%d." % moment + body)
    headers = {"stripe-signature": b"t=%d,v1=%b" % (moment, signature)}
    delivery = Delivery("POST", "https://hooks.example.com/", headers, body, now)
    secrets = [Secret(SECRET)]
    return min(timeit.repeat(lambda: verifier.verify(delivery, secrets), number=1000, repeat=5)) / 1000


def stored(url: str) -> int:
    """Events in the inbox."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM webhook_inbox").fetchone()
    return row[0] if row else 0


def signed_requests(
    installation: Installation, numbers: Iterator[int], how_many: int, *, is_generic: bool = False
) -> "deque[bytes]":
    """Requests with events that were not sent before."""
    chosen = [next(numbers) for _ in range(how_many)]
    return deque(
        installation.request(number, f"evt_{number:020}", BODY_BYTES, is_generic=is_generic)
        for number in chosen
    )


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=5, help="of each measurement")
    arguments.add_argument("--workers", type=int, default=1, help="of the ingress")
    options = arguments.parse_args()
    with postgres() as server:
        _measure(server.url, server.folder, options)


def _measure(url: str, folder: Path, options: argparse.Namespace) -> None:
    rounds, seconds = options.rounds, options.seconds
    installation = install(url, ENDPOINTS, generic=ENDPOINTS)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLE.encode())
    ingress = IngressProcess(url, installation.keys, folder / "ingress.log", workers=options.workers)
    blast = compiled_blast(folder)
    numbers = count()
    try:
        for is_generic in (True, False):  # warms up
            warming = signed_requests(installation, numbers, 3_000, is_generic=is_generic)
            rate = full_load(ingress.port, warming, blast).rate
        ratios, singles, rates, generic = [], [], [], []
        for number in range(rounds):
            body = installation.request(0, "evt_0", BODY_BYTES).partition(b"\r\n\r\n")[2]
            singles.append(single_inserts(url, body, seconds))
            outcome, cost = _costing(
                url, ingress, signed_requests(installation, numbers, int(rate * seconds)), blast
            )
            rate = outcome.rate
            of_generic = signed_requests(installation, numbers, int(rate * seconds), is_generic=True)
            generic.append(cost / _costing(url, ingress, of_generic, blast)[1])
            rates.append(rate)
            ratios.append(rate / singles[-1])
            print(
                f"round {number + 1}: pgbench {singles[-1]:,.0f}/s, ingress {rate:,.0f}/s, ratio {ratios[-1]:.2f}; "
                f"p50 {outcome.p50_ms:.1f} ms, p99 {outcome.p99_ms:.1f} ms, "
                f"{outcome.refused} refused; {cost * 1e6:.0f} µs of the ingress' time each, of generic webhooks "
                f"{cost / generic[-1] * 1e6:.0f}"
            )
        half = statistics.median(rates) / 2
        waiting = signed_requests(installation, numbers, int(half * seconds))
        if blast:
            calm = full_load(ingress.port, waiting, blast, CONNECTIONS // 4)
        else:
            calm = load(ingress.port, waiting, rate=half)
    finally:
        ingress.stop()
    print("load sent by", "the harness's blast" if blast else "Python")
    print(f"acknowledged and durable: {statistics.median(ratios):.2f} of pgbench (median)")
    print(
        f"generic beside Stripe's, by the ingress' time: {statistics.median(generic):.2f}; 0.7 is asked for"
    )
    print(
        f"at {calm.rate / (2 * half):.0%} of that ({calm.rate:,.0f}/s): p50 {calm.p50_ms:.1f} ms, "
        f"p99 {calm.p99_ms:.1f} ms, {calm.refused} refused"
    )
    print(f"signature of 4 KB: {signature_seconds() * 1e6:.1f} µs")


def _costing(
    url: str, ingress: IngressProcess, requests: "deque[bytes]", blast: Path | None
) -> tuple[Outcome, float]:
    """Send requests: the outcome, and seconds of the ingress' processor time for each."""
    before, used = stored(url), ingress.cpu()
    outcome = full_load(ingress.port, requests, blast)
    acknowledged = outcome.answers - outcome.refused
    if stored(url) - before != acknowledged:
        raise SystemExit(f"{acknowledged} acknowledged, {stored(url) - before} stored")
    return outcome, (ingress.cpu() - used) / outcome.answers


if __name__ == "__main__":
    main()
