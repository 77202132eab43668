"""What a raw record costs in each form that it might be kept in: to store, on disk, in the log, and to read.

    uv run --group dev --with zstandard python benchmarks/raw_forms.py [--rounds 3]

20,000 customers and as many invoices of the harness's fake API (see `benchmarks/harness.py`), by binary COPY into a
table of nothing else, each form in turn. To read is one field of every record: by ``->>`` where PostgreSQL can,
otherwise decompressed and decoded here. Processor time is that of this process and of its server process, so that a
busy machine changes little.
"""

import argparse
import statistics
import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import psutil
import psycopg
import zstandard
from harness import API, measure

RECORDS = 20_000
KINDS = ("customers", "invoices")

_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_FIELD = "SELECT sum((raw ->> 'created')::bigint) FROM raw_forms"
_FIELD_OF_PAGES = """
    SELECT sum((record ->> 'created')::bigint) FROM raw_forms CROSS JOIN LATERAL json_array_elements(raw) AS record
"""

_Rows = Sequence[tuple[bytes, bytes]]


class Form(NamedTuple):
    """A form.

    Attributes:
        name: For print.
        column: The column's type, and how it is stored.
        rows: Makes ids and stored bytes of ids and records.
        field: Asks for one field of all; None where PostgreSQL can't.
        opened: Makes what opens stored bytes, where it can't.
    """

    name: str
    column: str
    rows: Callable[[_Rows], _Rows]
    field: str | None = None
    opened: Callable[[], Callable[[bytes], bytes]] | None = None


class Cost(NamedTuple):
    """Medians, µs a record and MB in all."""

    client: float
    server: float
    disk: float
    log: float
    read: float


class _Listed(msgspec.Struct):
    data: list[msgspec.Raw]


class _Named(msgspec.Struct):
    id: str


def records_of(kind: str) -> _Rows:
    """Ids and JSON texts."""
    found: list[tuple[bytes, bytes]] = []
    after = ""
    while len(found) < RECORDS:
        with urllib.request.urlopen(f"{API}/v1/{kind}?limit=100{after}") as answer:  # noqa: S310 - loopback
            page = msgspec.json.decode(answer.read(), type=_Listed)
        ids = [msgspec.json.decode(one, type=_Named).id for one in page.data]
        found += [(name.encode(), bytes(one)) for name, one in zip(ids, page.data, strict=True)]
        after = f"&starting_after={ids[-1]}"
    return found


def forms_of(records: _Rows) -> list[Form]:
    """All forms; the dictionary is of each twentieth record."""
    dictionary = zstandard.train_dictionary(2**16, [body for _, body in records[::20]])
    each = zstandard.ZstdCompressor(3, dict_data=dictionary)
    page = zstandard.ZstdCompressor(1)
    return [
        Form("`json` lz4", "json COMPRESSION lz4", list, _FIELD),
        Form("`jsonb` lz4", "jsonb COMPRESSION lz4", lambda r: [(i, b"\1" + b) for i, b in r], _FIELD),
        Form("20 a page, `json` lz4", "json COMPRESSION lz4", lambda r: _pages(r, 20), _FIELD_OF_PAGES),
        Form("100 a page, `json` lz4", "json COMPRESSION lz4", lambda r: _pages(r, 100), _FIELD_OF_PAGES),
        Form(
            "zstd with a dictionary",
            "bytea",
            lambda r: [(i, each.compress(b)) for i, b in r],
            opened=lambda: zstandard.ZstdDecompressor(dict_data=dictionary).decompress,
        ),
        Form(
            "100 a page, zstd",
            "bytea",
            lambda r: [(i, page.compress(b)) for i, b in _pages(r, 100)],
            opened=lambda: zstandard.ZstdDecompressor().decompress,
        ),
    ]


def _pages(records: _Rows, size: int) -> _Rows:
    return [
        (b"%d" % start, b"[" + b",".join(body for _, body in records[start : start + size]) + b"]")
        for start in range(0, len(records), size)
    ]


def tried(conn: psycopg.Connection[Any], form: Form, records: _Rows) -> Cost:
    """Store records in one form, and read them."""
    server = psutil.Process(conn.info.backend_pid)

    def taken(process: psutil.Process) -> float:
        return sum(process.cpu_times()[:2])

    conn.execute("DROP TABLE IF EXISTS raw_forms")
    conn.execute(f"CREATE TABLE raw_forms (id text PRIMARY KEY, raw {form.column})".encode())
    if form.opened:
        conn.execute("ALTER TABLE raw_forms ALTER raw SET STORAGE EXTERNAL")
    conn.execute("CHECKPOINT")
    before = time.process_time()
    rows = form.rows(records)
    client = time.process_time() - before
    copied = [b"\0\2" + b"".join(len(value).to_bytes(4, "big") + value for value in row) for row in rows]
    log, before = _number(conn, "pg_current_wal_lsn() - '0/0'"), taken(server)
    with conn.cursor().copy("COPY raw_forms FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"".join([_HEADER, *copied, _TRAILER]))
    stored = taken(server) - before
    log = _number(conn, "pg_current_wal_lsn() - '0/0'") - log
    disk = _number(conn, "pg_total_relation_size('raw_forms')")
    before, own = taken(server), time.process_time()
    if form.field:
        conn.execute(form.field.encode())
    elif form.opened:
        opened = form.opened()
        for (body,) in conn.execute("SELECT raw FROM raw_forms", binary=True):
            msgspec.json.decode(opened(body))
    read = taken(server) - before + time.process_time() - own
    each = 1e6 / len(records)
    return Cost(client * each, stored * each, disk / 1e6, log / 1e6, read * each)


def _number(conn: psycopg.Connection[Any], what: str) -> float:
    row = conn.execute(f"SELECT ({what})::float8".encode()).fetchone()
    assert row is not None  # noqa: S101 - one row without FROM
    return float(row[0])


def main() -> None:
    """Try all forms in turn, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--rounds", type=int, default=3)
    rounds = arguments.parse_args().rounds
    with psycopg.connect(measure().DSN, autocommit=True) as conn:
        for kind in KINDS:
            records = records_of(kind)
            forms = forms_of(records)
            costs = [[tried(conn, form, records) for form in forms] for _ in range(rounds)]
            for form, measured in zip(forms, zip(*costs, strict=True), strict=True):
                medians = [statistics.median(values) for values in zip(*measured, strict=True)]
                print(f"| {kind}, {form.name} |", *(f"{value:.1f} |" for value in medians))
        conn.execute("DROP TABLE raw_forms")


if __name__ == "__main__":
    main()
