"""What an export must not do with its time: hold up its own threads, or import what it has no use for."""

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path

import psycopg

from unified.store.lists.blocks import Rows

# Of the first row so much that the server sends it before the second one is made.
_QUERY = b"""
COPY (SELECT CASE n WHEN 1 THEN repeat('x', 20000) ELSE pg_advisory_lock(4711)::text END
    FROM generate_series(1, 2) AS n) TO STDOUT
"""
_ONE_FILE = r"""
import sys
from pathlib import Path
from unified.sync.exports.parquet import Parquet
parquet = Parquet({"source_id": "text", "total": "numeric", "tags": "text[]"})
piece = Path(sys.argv[1])
piece.write_bytes(parquet.encoded(b'1\x010.10\x01["a"]\n'))
parquet.join([piece], piece.with_name("file"))
sys.exit("pandas was imported" if "pandas" in sys.modules else 0)
"""


async def test_the_process_goes_on_while_it_waits_for_a_row(database_url: str) -> None:
    """The second row comes once another connection of the same process lets it."""
    with psycopg.connect(database_url, autocommit=True) as other, psycopg.connect(database_url) as conn:
        other.execute("SELECT pg_advisory_lock(4711)")
        conn.execute("SET statement_timeout = '10s'")  # or a process that stands still would do so for ever
        with conn.cursor().copy(_QUERY):
            rows = Rows(conn.pgconn)
            assert rows.next() == b"x" * 20_000 + b"\n"
            unlock = partial(other.execute, "SELECT pg_advisory_unlock(4711)")
            second, _ = await asyncio.gather(asyncio.to_thread(rows.next), asyncio.to_thread(unlock))
            assert (second, rows.next()) == (b"\n", None)


def test_pandas_is_not_imported_to_write_parquet(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ONE_FILE, str(tmp_path / "piece")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
