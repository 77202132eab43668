"""What other layouts of the tables, and compressed pages in the log, would spare of disk and log.

    uv run --group dev python benchmarks/compressed.py --rounds 1
    uv run --group dev python benchmarks/layouts.py [--rounds 3]

The customers and invoices that the first command left are inserted again, batch by batch, into an empty table like
theirs: as it is, then with one change after the other, each on top of those before. Then one row of twenty, and one of
a hundred, is updated after a checkpoint, by each `wal_compression` that the server has. Log and processor time are of
the statements alone; nothing else may use the server meanwhile.
"""

import argparse
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from harness import environment

_LEAVES = ("unified_customers_stripe", "unified_invoices_stripe")
_BATCHES = "SELECT DISTINCT changed_xid FROM {leaf} ORDER BY 1"
_STAGE = """
    DROP TABLE IF EXISTS staged;
    CREATE TEMPORARY TABLE staged AS SELECT {columns} FROM {leaf} WHERE changed_xid = '{batch}' ORDER BY {order}
"""
_INSERT = "INSERT INTO clone ({columns}) SELECT {columns} FROM {source} {conflict}"
_CONFLICT = """
    ON CONFLICT (workspace_id, connection_id, source_id, stream) DO UPDATE SET content_hash = 0
    WHERE clone.content_hash <> excluded.content_hash
"""
_LOOKED_UP = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = 'clone'::regclass AND pg_get_indexdef(indexrelid) ~ '(email_key|tax_number|customer_id)'
"""
_UPDATE = """
    UPDATE clone SET content_hash = content_hash + 1, synced_at = now(), changed_xid = pg_current_xact_id()
    WHERE abs(hashtext(source_id)) % {share} = 0
"""


class Layout(NamedTuple):
    """What differs from the tables as they are; each has what those before it have.

    Attributes:
        what: For print.
        conflict: Whether a stored row is asked for.
        order: Of the rows within a batch.
        drop: Columns that are missing.
        looked_up: Whether look-ups have indexes without the workspace.
        key: Of the table, where it is another one.
    """

    what: str
    conflict: bool = False
    order: str = "source_id"
    drop: bool = False
    looked_up: bool = False
    key: str | None = None


_ORDERED = Layout("rows by `unified_id`", order="unified_id")
_LOOKS = _ORDERED._replace(what="look-ups by connection, without the workspace", looked_up=True)
_DROPPED = _LOOKS._replace(what="no `phone_key` and `company_key`", drop=True)
_KEYED = _DROPPED._replace(what="keys without the workspace", key="connection_id, source_id, stream")
_LAYOUTS = (
    Layout("as a merge", conflict=True),
    Layout("plainly inserted"),
    _ORDERED,
    _LOOKS,
    _DROPPED,
    _KEYED,
)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=3)
    rounds = arguments.parse_args().rounds
    found: dict[str, list[dict[str, float]]] = {}
    with psycopg.connect(environment()["DATABASE_URL"], autocommit=True) as conn:
        for number in range(rounds):
            for layout in _LAYOUTS[:: -1 if number % 2 else 1]:
                found.setdefault(layout.what, []).append(_inserted(conn, layout))
        methods = _row(conn, "SELECT enumvals FROM pg_settings WHERE name = 'wal_compression'")[0]
        methods = [method for method in methods if method != "on"]  # pglz
        for share in (20, 100):
            for number in range(rounds):
                for method in methods[:: -1 if number % 2 else 1]:
                    what = f"one of {share} updated, wal_compression {method}"
                    found.setdefault(what, []).append(_updated(conn, share, method))
        _run(conn, "DROP TABLE IF EXISTS clone")
    for layout in _LAYOUTS:
        _print(layout.what, found.pop(layout.what))
    for what, measured in found.items():
        _print(what, measured)


def _print(what: str, measured: list[dict[str, float]]) -> None:
    medians = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
    print(f"| {what} |", *(f"{name} {value:.2f} |" for name, value in medians.items()))


def _inserted(conn: psycopg.Connection[Any], layout: Layout) -> dict[str, float]:
    """Insert both tables' rows into one of that layout: MB of log and disk, CPU seconds."""
    total = {"log MB": 0.0, "disk MB": 0.0, "CPU s": 0.0}
    for leaf in _LEAVES:
        columns = _clone(conn, leaf)
        if layout.drop and "customers" in leaf:
            _run(conn, "ALTER TABLE clone DROP COLUMN phone_key, DROP COLUMN company_key")
        if layout.looked_up:
            for index, definition in _run(conn, _LOOKED_UP).fetchall():
                _run(conn, "DROP INDEX {index}", index=index)
                _run(conn, definition.replace("(workspace_id, ", "("))
        if layout.key:
            changed = "ALTER TABLE clone DROP CONSTRAINT clone_pkey, ADD PRIMARY KEY ({key})"
            _run(conn, changed, key=layout.key)
        _run(conn, "CHECKPOINT")
        for (batch,) in _run(conn, _BATCHES, leaf=leaf).fetchall():
            _run(conn, _STAGE, columns=columns, leaf=leaf, batch=batch, order=layout.order)
            conflict = _CONFLICT if layout.conflict else ""
            with _counted(conn, total):
                _run(conn, _INSERT, columns=columns, source="staged", conflict=conflict)
        total["disk MB"] += _row(conn, "SELECT pg_total_relation_size('clone')::float8 / 1e6")[0]
    return total


def _updated(conn: psycopg.Connection[Any], share: int, method: str) -> dict[str, float]:
    """Update a share of the rows of both tables, after a checkpoint: MB of log, CPU seconds."""
    total = {"log MB": 0.0, "CPU s": 0.0}
    _run(conn, "SET wal_compression = {method}", method=method)
    for leaf in _LEAVES:
        columns = _clone(conn, leaf)
        _run(conn, _INSERT, columns=columns, source=leaf, conflict="")
        _run(conn, "VACUUM ANALYZE clone")
        _run(conn, "CHECKPOINT")
        with _counted(conn, total):
            _run(conn, _UPDATE, share=share)
    return total


def _clone(conn: psycopg.Connection[Any], leaf: str) -> str:
    """Make an empty table like a leaf; its columns that are not generated."""
    _run(conn, "DROP TABLE IF EXISTS clone; CREATE TABLE clone (LIKE {leaf} INCLUDING ALL)", leaf=leaf)
    query = """
        SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = 'clone'::regclass AND attnum > 0 AND attgenerated = '' AND attname <> 'changed_xid'
    """
    return str(_row(conn, query)[0])


@contextmanager
def _counted(conn: psycopg.Connection[Any], total: dict[str, float]) -> Iterator[None]:
    """Add what a block logs, and the processor time that the server's process takes for it."""
    before, began = _log_bytes(conn), _cpu_seconds(conn)
    yield
    total["CPU s"] += _cpu_seconds(conn) - began
    total["log MB"] += (_log_bytes(conn) - before) / 1e6


def _log_bytes(conn: psycopg.Connection[Any]) -> float:
    return float(_row(conn, "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8")[0])


def _cpu_seconds(conn: psycopg.Connection[Any]) -> float:
    return int(Path(f"/proc/{conn.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def _run(conn: psycopg.Connection[Any], query: str, **parts: Any) -> psycopg.Cursor[Any]:
    return conn.execute((query.format(**parts) if parts else query).encode())


def _row(conn: psycopg.Connection[Any], query: str) -> Any:
    row = _run(conn, query).fetchone()
    assert row is not None  # noqa: S101 - each gives one row
    return row


if __name__ == "__main__":
    main()
