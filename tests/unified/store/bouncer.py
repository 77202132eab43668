"""A real pgbouncer in front of the tests' server; what needs one is skipped where there is none."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.waiting import LIMIT_SECONDS

_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def pooled(url: str, mode: str, **settings: str) -> Iterator[str]:
    """The URL of a database by way of a pgbouncer of that ``pool_mode``, for the length of a block.

    Written for pgbouncer 1.18, which has no prepared statements in transaction mode.
    """
    if _PROGRAM is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    there = conninfo_to_dict(url)
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        folder = Path(name)
        values = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "ignore_startup_parameters": "extra_float_digits,options",
            **settings,
        }
        target = " ".join(
            f"{key}={there[key]}" for key in ("host", "port", "user", "password") if there.get(key)
        )
        lines = ["[databases]", f"* = {target}", "[pgbouncer]", *(f"{k} = {v}" for k, v in values.items())]
        (folder / "pgbouncer.ini").write_text("\n".join(lines))
        # It refuses to be root; the server's own user gets to its socket.
        is_root = os.getuid() == 0
        host = str(there.get("host", ""))
        owner = Path(host).stat().st_uid if is_root and host.startswith("/") else 65_534 if is_root else None
        folder.chmod(0o755)
        process = subprocess.Popen(
            [_PROGRAM, "-q", str(folder / "pgbouncer.ini")], user=owner, stderr=subprocess.DEVNULL
        )
        try:
            yield _answering(f"postgresql://{there['user']}@127.0.0.1:{port}/{there['dbname']}")
        finally:
            process.terminate()
            process.wait()


def _answering(url: str) -> str:
    deadline = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return url
