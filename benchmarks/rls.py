"""What row level security costs: the same queries with it and without it, in turn, on one server and one set of data.

    uv run --group dev python benchmarks/rls.py

With it: as the app's role, with a workspace set and no condition on it. Without: as a superuser, whom no policy binds,
with the condition written out. Both sides return the same rows, which is checked.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from rig import postgres

from unified.cli.installation import migrate_database
from unified.store.server.roles import APP_ROLE

ALLOWED = 1.2
EXECUTIONS = 25

# {mine} is the condition that a policy stands for.
QUERIES = {
    "connections of a workspace": """
        SELECT id, connector, name, sync_status, last_sync_at FROM connector_configs WHERE {mine} ORDER BY name
    """,
    "a page of customers": """
        SELECT source_id, name, email FROM unified_customers
        WHERE {mine} AND source_system = 'stripe' AND connection_id = %(connection)s AND source_id > 'cus_0000100'
        ORDER BY source_id LIMIT 100
    """,
    "one customer of any source": """
        SELECT name, email FROM unified_customers WHERE {mine} AND connection_id = %(connection)s
            AND source_id = 'cus_0000042'
    """,
    "revenue by currency and status": """
        SELECT currency, status, count(*), sum(total) FROM unified_invoices WHERE {mine} GROUP BY 1, 2 ORDER BY 1, 2
    """,
    "customers joined with their invoices": """
        SELECT c.source_id, count(*), sum(i.total) FROM unified_customers AS c
        JOIN unified_invoices AS i ON (i.workspace_id, i.connection_id, i.source_system, i.customer_id)
            = (c.workspace_id, c.connection_id, c.source_system, c.source_id)
        WHERE {c_mine} AND {i_mine} GROUP BY 1 ORDER BY 3 DESC LIMIT 20
    """,
    "state of each sync": """
        SELECT DISTINCT ON (connector_config_id, stream) connector_config_id, stream, started_at, error_message
        FROM sync_history WHERE {mine} ORDER BY connector_config_id, stream, started_at DESC
    """,
}

_FILL = (
    "INSERT INTO workspaces (slug, name) SELECT 'w-' || n, 'W' FROM generate_series(1, %(workspaces)s) AS n",
    """
    INSERT INTO connector_configs (workspace_id, connector, name)
    SELECT id, CASE WHEN n %% 2 = 0 THEN 'stripe' ELSE 'hubspot' END, 'c-' || n
    FROM workspaces, generate_series(1, 10) AS n
    """,
    """
    INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, is_active, name, email)
    SELECT workspace_id, id, connector, 'customers', 'cus_' || lpad(n::text, 7, '0'), gen_random_uuid(), '1.1.0', n,
        now(), now(), true, 'Customer ' || n, n || '@example.com'
    FROM connector_configs, generate_series(1, %(records)s) AS n WHERE name IN ('c-1', 'c-2')
    """,
    """
    INSERT INTO unified_invoices (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, is_active, customer_id, status, total, currency)
    SELECT workspace_id, id, connector, 'invoices', 'in_' || lpad(n::text, 7, '0'), gen_random_uuid(), '1.1.0', n,
        now(), now(), true, 'cus_' || lpad((n %% 50)::text, 7, '0'), (ARRAY['paid', 'open', 'draft'])[1 + n %% 3],
        n, 'EUR'
    FROM connector_configs, generate_series(1, %(records)s) AS n WHERE name IN ('c-1', 'c-2')
    """,
    """
    INSERT INTO sync_history (workspace_id, connector_config_id, stream, mode, started_at)
    SELECT workspace_id, id, 'customers', 'full', now() - n * interval '1h'
    FROM connector_configs, generate_series(1, 20) AS n WHERE name IN ('c-1', 'c-2')
    """,
)


def main() -> None:
    """Measure each query, and print what it costs with and without."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workspaces", type=int, default=1_000, help="each with ten connections")
    arguments.add_argument(
        "--records", type=int, default=200, help="customers, and invoices, of each of two of them"
    )
    arguments.add_argument("--rounds", type=int, default=60, help="of 25 executions of each side, in turn")
    arguments.add_argument("--explain", action="store_true", help="print the plans as well")
    options = arguments.parse_args()
    with filled(options.workspaces, options.records) as url:
        _compare(url, options.rounds, explain=options.explain)


@contextmanager
def filled(workspaces: int, records: int) -> Iterator[str]:
    """A server of its own with the database of :func:`fill`: its URL, a superuser's."""
    with postgres() as server:
        migrate_database(server.url)
        with psycopg.connect(server.url, autocommit=True) as conn:
            fill(conn, workspaces, records)
        yield server.url


def fill(conn: psycopg.Connection[Any], workspaces: int, records: int) -> None:
    """Fill a migrated database with workspaces, each with ten connections, two of which have records."""
    for statement in _FILL:
        query = statement.replace("%(workspaces)s", str(workspaces)).replace("%(records)s", str(records))
        conn.execute(query.replace("%%", "%").encode())
    conn.execute("VACUUM ANALYZE")


def _compare(url: str, rounds: int, *, explain: bool) -> None:
    with psycopg.connect(url) as plain, psycopg.connect(url) as bound:
        found = plain.execute(
            """
            SELECT workspace_id, id FROM connector_configs WHERE name = 'c-2' AND connector = 'stripe'
            ORDER BY id LIMIT 1
            """
        ).fetchone()
        assert found  # noqa: S101 - it was just filled
        values = {"workspace": found[0], "connection": found[1]}
        bound.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(APP_ROLE)))
        bound.execute("SELECT set_config('app.workspace_id', %(workspace)s::text, true)", values)
        worst = 0.0
        print(f"{'':40} {'rows':>5} {'without':>10} {'with':>10} {'ratio':>7}")
        for name, query in QUERIES.items():
            sides = list(zip((plain, bound), _sides(query), strict=True))
            rows, same = (conn.execute(statement, values).fetchall() for conn, statement in sides)
            assert rows == same  # noqa: S101 - or there is nothing to compare
            if explain:
                for conn, statement in sides:
                    lines = conn.execute(b"EXPLAIN (ANALYZE) " + statement, values).fetchall()
                    print(*(line for (line,) in lines), sep="\n")
            times: tuple[list[float], list[float]] = ([], [])
            for number in range(rounds):
                # Each side goes first as often as the other.
                for side in (0, 1) if number % 2 else (1, 0):
                    times[side].append(_timed(*sides[side], values))
            off, on = (statistics.median(side) for side in times)
            worst = max(worst, on / off)
            print(f"{name:40} {len(rows):5} {off * 1e6:7.0f} µs {on * 1e6:7.0f} µs {on / off:7.2f}")
        print(f"the worst ratio is {worst:.2f}, {ALLOWED} is allowed")


def _sides(query: str) -> tuple[bytes, bytes]:
    """A query with the condition written out, and without it."""
    names = {"mine": "", "c_mine": "c.", "i_mine": "i."}
    written = {name: f"{alias}workspace_id = %(workspace)s" for name, alias in names.items()}
    return query.format(**written).encode(), query.format(**dict.fromkeys(names, "true")).encode()


def _timed(conn: psycopg.Connection[Any], query: bytes, values: dict[str, Any]) -> float:
    """Median seconds of a query inside the transaction that is open; the first few warm up the server process."""
    times = []
    for _ in range(EXECUTIONS):
        began = time.perf_counter()
        conn.execute(query, values).fetchall()
        times.append(time.perf_counter() - began)
    return statistics.median(times[5:])


if __name__ == "__main__":
    main()
