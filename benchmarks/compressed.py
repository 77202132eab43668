"""What compressed raw records cost and save: a first load, disk, the log, and all read back, beside the usual form.

    uv run --group dev python benchmarks/compressed.py [--rounds 3]

20,000 customers and as many invoices of the harness's fake API (see `benchmarks/harness.py`), by `unified sync`, in
turn with raw records as JSON and compressed, each into tables that were emptied before. To read back is `unified
remap`, which opens and maps every record and stores none, as none changes. Processor time is that of our processes and
PostgreSQL's. At the end, how many bytes of a row are which column's and which index's.
"""

import argparse
import json
import statistics
import sys
from typing import Any

import psycopg
from harness import NAME, STREAMS, UNIFIED, environment, fresh_connection, measure, unified
from psycopg import sql

FORMS = {"JSON": "expand", "compressed": "compress"}
_LEAVES = ("unified_customers_stripe", "unified_invoices_stripe")
_COLUMNS = """
    SELECT array_agg(attname::text) FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""
_INDEXES = """
    SELECT regexp_replace(pg_get_indexdef(indexrelid), '.* USING ', ''), pg_relation_size(indexrelid)::float8
    FROM pg_index WHERE indrelid = %s::regclass
"""
_SIZE = "SELECT sum(pg_total_relation_size(leaf::regclass)) / 1e6 FROM unnest(%s::text[]) AS leaf"


def bytes_of(conn: psycopg.Connection[Any], leaf: str) -> dict[str, float]:
    """Bytes a row of each column, as it is kept, and of each index, the most first."""
    (columns,) = _row(conn.execute(_COLUMNS, (leaf,)))
    sizes = sql.SQL(", ").join(
        sql.SQL("avg(coalesce(pg_column_size({}), 0))::float8").format(sql.Identifier(column))
        for column in columns
    )
    rows, *found = _row(
        conn.execute(sql.SQL("SELECT count(*), {} FROM {}").format(sizes, sql.Identifier(leaf)))
    )
    indexes = {name: size / rows for name, size in conn.execute(_INDEXES, (leaf,))}
    each = {**dict(zip(columns, found, strict=True)), **indexes}
    return dict(sorted(each.items(), key=lambda one: -one[1]))


def _row(cursor: psycopg.Cursor[Any]) -> Any:
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY gives one row
    return row


def main() -> None:
    """Run the rounds and print medians."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=3)
    rounds = arguments.parse_args().rounds
    bench = measure()
    found: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        for form in sorted(FORMS, reverse=bool(number % 2)):
            fresh_connection()
            unified("raw", FORMS[form], "bench")
            with psycopg.connect(environment()["DATABASE_URL"], autocommit=True) as conn:
                for leaf in _LEAVES:
                    conn.execute(f"VACUUM FULL {leaf}".encode())
                conn.execute("CHECKPOINT")
                for what, command in (("load", ["sync", NAME, *STREAMS]), ("remap", ["remap", NAME])):
                    done = bench.run([UNIFIED, *command], environment())
                    if done["rc"]:
                        sys.exit(f"{what} failed")
                    for measured in ("wall", "cpu", "pgcpu", "wal", "rss"):
                        found.setdefault((f"{what} {measured}", form), []).append(done[measured])
                (size,) = _row(conn.execute(_SIZE, (list(_LEAVES),)))
                found.setdefault(("disk MB", form), []).append(float(size))
                parts = {leaf: bytes_of(conn, leaf) for leaf in _LEAVES}
    for what in dict.fromkeys(name for name, _ in found):
        medians = [statistics.median(found[what, form]) for form in FORMS]
        print(f"| {what} |", *(f"{value:.2f} |" for value in medians))
    for leaf, each in parts.items():
        print(f"{leaf}, {form}:", ", ".join(f"{name} {size:.0f}" for name, size in each.items() if size))
    print(json.dumps({f"{what}, {form}": values for (what, form), values in found.items()}))


if __name__ == "__main__":
    main()
