"""What a reader's views cost: the same questions of views and tables, in turn, on one server and one set of data.

    uv run --group dev python benchmarks/readers.py

Of the views as a granted reader; of the tables as the same reader, tombstones left out by hand; and of the tables as a
superuser, whom no policy binds, with the workspace written out as well. All return the same rows, which is checked.
What counts is the time that the server's process was on a core for (Linux): on a busy machine a clock says little.
"""

import argparse
import asyncio
import statistics
from pathlib import Path

import psycopg
from rls import filled

from unified.store.database import Database
from unified.store.readers import granted, roles

ALLOWED = 1.1
READER = "bench_bi"

# {customers} and so on: the view, or the table with its condition.
QUESTIONS = {
    "how many customers": "SELECT count(*) FROM {customers}",
    "revenue by month and currency": """
        SELECT date_trunc('month', synced_at), currency, count(*), sum(total) FROM {invoices}
        WHERE status = 'paid' GROUP BY 1, 2 ORDER BY 1, 2
    """,
    "amounts of lines by currency": """
        SELECT currency, count(*), sum(amount) FROM {invoice_lines} GROUP BY 1 ORDER BY 1
    """,
    "customers joined with their invoices": """
        SELECT c.source_id, count(*), sum(i.total) FROM {customers} AS c
        JOIN {invoices} AS i ON (i.connection_id, i.customer_id) = (c.connection_id, c.source_id)
        GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 20
    """,
    "a name that contains a word": """
        SELECT source_id, name FROM {customers} WHERE name ~* 'MER 9999' ORDER BY 1, 2
    """,
    "a page of customers": """
        SELECT source_id, name, email FROM {customers}
        WHERE connection_id = '{connection}' AND source_id > 'cus_0000100' ORDER BY source_id LIMIT 1000
    """,
    "one customer by its address": """
        SELECT source_id, name FROM {customers} WHERE connection_id = '{connection}' AND email_key = '4242@example.com'
    """,
}
_LINES = """
    UPDATE unified_invoices SET line_items =
        '[{"source_id": "il_1", "amount": "10.10"}, {"source_id": "il_2", "amount": "0.20"}]'
"""


def main() -> None:
    """Measure each question, and print what it costs of the views and of the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workspaces", type=int, default=20)
    arguments.add_argument(
        "--records", type=int, default=10_000, help="of each kind, of each of two connections"
    )
    arguments.add_argument("--executions", type=int, default=200, help="of each question and side, in turn")
    arguments.add_argument("--explain", action="store_true", help="print the plans as well")
    options = arguments.parse_args()
    with filled(options.workspaces, options.records) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(_LINES)
            conn.execute("VACUUM FULL ANALYZE unified_invoices")
        asyncio.run(_grant(url))
        _compare(url, options.executions, explain=options.explain)


async def _grant(url: str) -> None:
    async with Database.open(url) as db:
        async with db.scheduler() as conn:
            rows = await conn.execute("SELECT id FROM workspaces WHERE slug = 'w-1'")
            ((workspace,),) = await rows.fetchall()
        await granted.grant(db, workspace, READER)


def _compare(url: str, executions: int, *, explain: bool) -> None:
    with psycopg.connect(url) as plain, psycopg.connect(roles.url_of(url, READER)) as reader:
        for conn in (plain, reader):
            # One process a session, whose time is all that a question costs.
            conn.execute("SET max_parallel_workers_per_gather = 0")
        found = plain.execute(
            "SELECT w.id, c.id FROM workspaces AS w JOIN connector_configs AS c ON c.workspace_id = w.id"
            " WHERE w.slug = 'w-1' AND c.name = 'c-2'"
        ).fetchone()
        assert found  # noqa: S101 - it was just filled
        worst = 0.0
        print(
            f"{'':40} {'rows':>5}{'no policy':>11}{'tables':>11}{'views':>11}{'views / tables':>17}{'/ no policy':>13}"
        )
        for name, question in QUESTIONS.items():
            sides = list(zip((plain, reader, reader), _sides(question, *found), strict=True))
            rows, *others = (conn.execute(statement).fetchall() for conn, statement in sides)
            assert rows  # noqa: S101 - or there is nothing to compare
            assert others == [rows, rows]  # noqa: S101 - as above
            if explain:
                for conn, statement in sides:
                    lines = conn.execute(b"EXPLAIN (ANALYZE) " + statement).fetchall()
                    print(*(line for (line,) in lines), sep="\n")
            times: tuple[list[float], ...] = ([], [], [])
            for number in range(executions):
                # Each side goes first as often as the others.
                for place in range(len(sides)):
                    side = (number + place) % len(sides)
                    times[side].append(_cost(*sides[side]))
            free, tables, views = map(statistics.median, times)
            worst = max(worst, views / tables)
            took = "".join(f"{side * 1e6:8.0f} µs" for side in (free, tables, views))
            print(f"{name:40} {len(rows):5}{took}{views / tables:7.2f}{views / free:7.2f}", flush=True)
        print(f"the worst ratio of views to tables is {worst:.2f}, {ALLOWED} is allowed")


def _cost(conn: psycopg.Connection, statement: bytes) -> float:
    """Seconds that the session's own server process was on a core for."""
    began = _on_core(conn)
    conn.execute(statement).fetchall()
    return _on_core(conn) - began


def _on_core(conn: psycopg.Connection) -> float:
    # https://docs.kernel.org/scheduler/sched-stats.html
    return int(Path(f"/proc/{conn.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def _sides(question: str, workspace: object, connection: object) -> tuple[bytes, bytes, bytes]:
    """A question of the tables, with the workspace written out and without, and of the views."""
    names = ("customers", "invoices", "invoice_lines")
    tables = {name: f"(SELECT * FROM unified_{name} WHERE deleted_at IS NULL)" for name in names}  # noqa: S608
    where = f"WHERE workspace_id = '{workspace}' AND"
    mine = {name: place.replace("WHERE", where) for name, place in tables.items()}
    views = {name: f"data.{name}" for name in names}
    text = question.replace("{connection}", str(connection))
    return _filled(text, mine), _filled(text, tables), _filled(text, views)


def _filled(question: str, places: dict[str, str]) -> bytes:
    for name, place in places.items():
        alias = "" if " AS " in question else f" AS {name}"
        question = question.replace(f"{{{name}}} AS", f"{place} AS").replace(f"{{{name}}}", place + alias)
    return question.encode()


if __name__ == "__main__":
    main()
