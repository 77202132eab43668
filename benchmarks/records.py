"""How long a page of the records API takes among many customers: 100 rows, over HTTP, under row level security.

    uv run --group dev python benchmarks/records.py --customers 1000000

The server is `unified serve` beside its PostgreSQL, with one client who asks again as soon as it is answered. Every
page has 100 rows with all of their fields; pages are taken all over the list.
"""

import argparse
import hashlib
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import httpx
import psycopg
from api import load
from rig import IngressProcess, install, postgres

ALLOWED_MS = 30.0
BATCH = 10_000
PAGES = 200

_FILL = """
    INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, created_at, updated_at, observed_at, synced_at, is_active, name, email, emails,
        phone, currency, billing_address, custom_fields, raw_data)
    SELECT %(workspace)s, %(connection)s, 'stripe', 'customers', 'cus_' || lpad(n::text, 8, '0'), gen_random_uuid(),
        '1.1.0', n, now(), now(), now(), now(), true, 'Customer ' || n, 'ada.' || n || '@example.com',
        ARRAY['ada.' || n || '@example.com'], '+49 30 ' || lpad(n::text, 8, '0'), 'EUR',
        '{"line1": "1 High Street", "city": "Berlin", "postal_code": "10115", "country": "DE"}',
        '{"segment": "b2b", "account_manager": "Grace"}', json_build_object('id', n, 'padding', repeat('x', 600))
    FROM generate_series(%(begin)s::integer + 1, %(begin)s::integer + %(count)s) AS n
"""
_FILL_INVOICES = """
    INSERT INTO unified_invoices (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, is_active, customer_id, status, total, currency,
        issue_date, line_items)
    SELECT %(workspace)s, %(connection)s, 'stripe', 'invoices', 'in_' || lpad(n::text, 8, '0'), gen_random_uuid(),
        '1.1.0', n, now(), now(), true, 'cus_' || lpad((1 + n %% 1000)::text, 8, '0'),
        (ARRAY['paid', 'open', 'draft'])[1 + n %% 3], n + 0.01, 'EUR', now() - n * interval '1 minute',
        '[{"description": "work", "amount": "10.00", "quantity": "1"}]'
    FROM generate_series(%(begin)s::integer + 1, %(begin)s::integer + %(count)s) AS n
"""


@dataclass(frozen=True)
class Filled:
    """A database with the records of one connection.

    Attributes:
        url: Of the database.
        keys: Its master keys.
        token: What reads it over the API.
        folder: For logs.
    """

    url: str
    keys: str
    token: str
    folder: Path

    @contextmanager
    def serving(self, **variables: str) -> Iterator[int]:
        """The port of `unified serve`, while it runs with these variables."""
        log = self.folder / "api.log"
        api = IngressProcess(self.url, self.keys, log, UNIFIED_API_RATE="100000", **variables)
        try:
            yield api.port
        finally:
            api.stop()


def main() -> None:
    """Fill a database, ask, and print."""
    options = wanted(__doc__)
    with filled(options.customers) as database, database.serving() as port:
        _measure(port, database.token, options)


def wanted(document: str | None) -> argparse.Namespace:
    """The options of a benchmark that asks for records, which its docstring describes."""
    arguments = argparse.ArgumentParser(description=(document or "").partition("\n")[0])
    arguments.add_argument(
        "--customers", type=int, default=200_000, help="of one connection; half as many invoices"
    )
    arguments.add_argument("--seconds", type=float, default=8, help="of each measurement")
    return arguments.parse_args()


@contextmanager
def filled(customers: int) -> Iterator[Filled]:
    """A server with that many customers, and half as many invoices."""
    with postgres() as server:
        installation = install(server.url, 1)
        yield Filled(server.url, installation.keys, fill(server.url, customers), server.folder)


def fill(url: str, customers: int) -> str:
    """Customers and invoices of one connection; a token that reads them."""
    with psycopg.connect(url, autocommit=True) as admin:
        found = admin.execute("SELECT workspace_id, id FROM connector_configs LIMIT 1").fetchone()
        assert found  # noqa: S101 - it was just installed
        place = {"workspace": found[0], "connection": found[1]}
        for statement, count in ((_FILL, customers), (_FILL_INVOICES, customers // 2)):
            began = time.perf_counter()
            for begin in range(0, count, BATCH):
                admin.execute(statement.encode(), {**place, "begin": begin, "count": BATCH})
            print(f"{count:,} rows in {time.perf_counter() - began:.0f} s", flush=True)
        admin.execute("VACUUM ANALYZE unified_customers, unified_invoices")
        prefix = f"uat_{secrets.token_hex(4)}"
        token = f"{prefix}_{secrets.token_urlsafe(32)}"
        admin.execute(
            """
            INSERT INTO api_tokens (workspace_id, name, prefix, token_hash, scopes, created_by)
            VALUES (%s, 'bench', %s, %s, '{connections:read,records:read,records:raw}', 'bench')
            """,
            (found[0], prefix, hashlib.sha256(token.encode()).digest()),
        )
    return token


def _measure(port: int, token: str, options: argparse.Namespace) -> None:
    chance = random.Random(1)  # noqa: S311 - places in a list
    numbers = [chance.randrange(options.customers) for _ in range(PAGES)]
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}/api", headers={"authorization": f"Bearer {token}"}, timeout=60
    ) as client:
        places = list(cursors(client, "customers"))
        changes = list(cursors(client, "customers?updated_since=2020-01-01T00:00:00Z"))
    kinds = {
        "the first page": ["customers?limit=100"],
        "pages all over the list": [f"customers?limit=100&cursor={one}" for one in places],
        "pages in the order of changes": [
            f"customers?limit=100&updated_since=2020-01-01T00:00:00Z&cursor={one}" for one in changes
        ],
        "one customer by e-mail": [f"customers?email=ada.{n + 1}@example.com" for n in numbers],
        "100 invoices of a customer, with lines": [
            f"invoices?customer_id=cus_{1 + n % 1000:08}&limit=100&expand=lines" for n in numbers
        ],
        "open invoices, with lines": ["invoices?status=open&limit=100&expand=lines"],
        "one customer by its id": [f"customers/stripe-0/cus_{n + 1:08}" for n in numbers],
    }
    print(f"{options.customers:,} customers; ms, {ALLOWED_MS:.0f} at p95 are allowed")
    for kind, paths in kinds.items():
        head = f"HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer {token}\r\n\r\n"
        requests = [f"GET /api/{path} {head}".encode() for path in chance.sample(paths, len(paths))]
        load(port, cycle(requests), 1, 1)  # warms up
        found = load(port, cycle(requests), 1, options.seconds)
        p50, p95 = found.percentile(0.5), found.percentile(0.95)
        verdict = "" if p95 <= ALLOWED_MS else "  too slow"
        print(f"{kind:40} p50 {p50:6.1f}  p95 {p95:6.1f}  refused {found.refused}{verdict}", flush=True)


def cursors(client: httpx.Client, path: str) -> Iterator[str]:
    """Cursors of places all over a list."""
    join = "&" if "?" in path else "?"
    cursor, number = "", 0
    while True:
        answer = client.get(f"/{path}{join}limit=1000&fields=source_id{cursor}").raise_for_status().json()
        if answer["next"] is None:
            return
        number += 1
        if number % 5 == 0:
            yield answer["next"]
        cursor = f"&cursor={answer['next']}"


if __name__ == "__main__":
    main()
