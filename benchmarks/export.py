"""An export of invoices with lines to Parquet, beside `pandas.read_sql` and `to_parquet` of the same rows.

    uv run --group dev python benchmarks/export.py --invoices 1000000

Each in a process of its own, in turn, on one server: seconds from the start of the process to the whole file, seconds
of CPU of the process and of the server, and the process's peak memory. pandas reads the table as psycopg gives it, with
exact amounts and lines as Python's objects, which pyarrow then turns into columns. The files are compared.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psycopg
import pyarrow.compute as pc
from pyarrow import parquet
from rig import PostgresServer, install, postgres

_FILL = """
    INSERT INTO unified_invoices (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, created_at, observed_at, synced_at, is_active, customer_id, invoice_number,
        status, subtotal, tax, total, currency, issue_date, due_date, amount_due, amount_paid,
        amount_remaining, line_items)
    SELECT w.workspace_id, w.id, 'stripe', 'invoices', 'in_' || lpad(n::text, 24, '0'), gen_random_uuid(), '1.1.0', n,
        now(), now(), now(), true, 'cus_' || n %% 1000, 'INV-' || n, (ARRAY['paid', 'open', 'draft'])[1 + n %% 3],
        n + 0.01, 0.19, n + 0.2, 'EUR', now() - n * interval '1 minute', now(), n + 0.2, 0, n + 0.2,
        (SELECT jsonb_agg(jsonb_build_object('description', 'Work in week ' || line, 'quantity', '1', 'unit_price',
            (n + 0.01)::text, 'amount', (n + 0.01)::text, 'source_id', 'il_' || n || '_' || line, 'tax', '0.19',
            'discount', null, 'item_id', 'price_' || line, 'period_start', '2026-01-01T00:00:00Z', 'period_end', null))
         FROM generate_series(0, n %% 4) AS line)
    FROM (SELECT workspace_id, id FROM connector_configs LIMIT 1) AS w,
        generate_series(%(begin)s::integer, %(end)s::integer) AS n
"""
_BATCH = 50_000

_PANDAS = """
import sys, json, pandas, psycopg, warnings
warnings.simplefilter("ignore")  # pandas would rather be given SQLAlchemy
with psycopg.connect(sys.argv[1]) as conn:
    columns = sys.argv[3].split(",")
    query = f"SELECT {', '.join(columns)} FROM unified_invoices WHERE deleted_at IS NULL"
    frame = pandas.read_sql(query, conn, coerce_float=False)
for column in ("unified_id", "connection_id"):
    frame[column] = frame[column].astype(str)
frame["custom_fields"] = frame["custom_fields"].map(json.dumps)
frame.to_parquet(sys.argv[2], compression="zstd")
"""


def main() -> None:
    """Fill a database, export, and print."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--invoices", type=int, default=100_000, help="with 2.5 lines each")
    arguments.add_argument("--rounds", type=int, default=1)
    options = arguments.parse_args()
    with postgres() as server:
        install(server.url, 1)
        _fill(server.url, options.invoices)
        ours, theirs = server.folder / "ours.parquet", server.folder / "theirs.parquet"
        for _ in range(options.rounds):
            _measure(server, ours, theirs)


def _fill(url: str, invoices: int) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        for begin in range(1, invoices + 1, _BATCH):
            conn.execute(_FILL, {"begin": begin, "end": min(begin + _BATCH - 1, invoices)})
        conn.execute("VACUUM ANALYZE unified_invoices")


def _measure(server: PostgresServer, ours: Path, theirs: Path) -> None:
    unified = str(Path(sys.executable).with_name("unified"))
    export = [unified, "export", "invoices", "--workspace", "bench", "--to", str(ours)]
    one = _run(export, server)
    columns = [name for name in parquet.read_schema(ours).names if name != "connection"]
    other = _run([sys.executable, "-c", _PANDAS, server.url, str(theirs), ",".join(columns)], server)
    print(f"unified export: {one}; pandas: {other}")
    print(
        f"ratio {other.seconds / one.seconds:.1f}, of CPU {other.cpu / one.cpu:.1f}, "
        f"with the server's {(other.cpu + other.server) / (one.cpu + one.server):.1f}; load {os.getloadavg()[0]:.0f}"
    )
    sums = [pc.sum(parquet.read_table(file, columns=["total"])["total"]).as_py() for file in (ours, theirs)]
    print(f"sums of the totals: {sums[0]} and {sums[1]}; {parquet.read_metadata(ours).num_rows:,} rows")


class _Run(NamedTuple):
    """Of a process: seconds, seconds of its CPU and of the server's, and its peak memory in MB."""

    seconds: float
    cpu: float
    server: float
    peak: int

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, CPU {self.cpu:.1f} s and {self.server:.1f} s of the server, {self.peak} MB"


def _run(command: list[str], server: PostgresServer) -> _Run:
    watched = [sys.executable, "-c", _WATCH, *command]
    before, begin = server.cpu(), time.perf_counter()
    done = subprocess.run(
        watched, env=_environment(server.url), check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - begin
    cpu, peak = done.stdout.split()[-2:]
    return _Run(seconds, float(cpu), server.cpu() - before, int(peak) // 1024)


# CPU of a process's children, and the largest of them in KiB: the one.
_WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def _environment(url: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": url}


if __name__ == "__main__":
    main()
