"""The PostgreSQL server that comes with the package: started when needed, stopped by the last who leaves.

It lives in ``<home>/postgres``, speaks over a Unix socket that only its user can open, and needs nothing
installed. Every process that opens it holds a shared lock; the kernel drops that lock however the process
ends, so a killed process does not keep the server alive for ever. If the server itself is killed, the next of
them to miss it starts it again. A server of one's own (``DATABASE_URL``) makes all this unused. How a server is
run is in :mod:`unified.store.server.cluster`.
"""

import atexit
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from unified.store.errors import HomeError, UnreachableError
from unified.store.server.cluster import Cluster

DATABASE = "unified"
_PORTS = range(1, 65536)
_AGAIN_SECONDS = 10.0
"""How long a server that could not be started again is left alone."""

_logger = logging.getLogger(__name__)

# What differs from PostgreSQL's defaults, and why.
_SERVER_SETTINGS = """\
# Written by unified/store/server/embedded.py at each start; changes made here are lost.
unix_socket_permissions = 0700                  # whoever can open the socket is the superuser
max_connections = 200                           # Dagster keeps several per process
max_wal_size = 2GB                              # a first load must not force a checkpoint every few seconds
checkpoint_timeout = 15min
jit = off                                       # compiling costs more than the short statements here can gain
idle_in_transaction_session_timeout = 10min     # a stuck client must not hold locks and dead rows for ever
tcp_keepalives_idle = 60
log_min_messages = warning
log_error_verbosity = terse                     # DETAIL lines would write whole rows into the log
timezone = 'UTC'
log_timezone = 'UTC'
"""


# Whoever opens the socket is the superuser. Over the network come readers alone, each with its password.
_LOGINS = """\
# Written by unified/store/server/embedded.py at each start; changes made here are lost.
local   all         all                               trust
host    unified     +unified_reader  127.0.0.1/32     scram-sha-256
host    all         all              all              reject
"""


@dataclass
class _Joined:
    """This process's part in a running server."""

    cluster: Cluster
    url: str
    users: IO[str]
    not_before: float = 0.0  # by the monotonic clock: when it may be started again


_joined: dict[Path, _Joined] = {}
_thread_lock = threading.Lock()


def is_made() -> bool:
    """Whether an installation without ``DATABASE_URL`` is there already. Asking makes none."""
    return (home_path() / "postgres").is_dir()


def home() -> Path:
    """The folder of everything that an installation without ``DATABASE_URL`` keeps on disk.

    Returns:
        ``$UNIFIED_HOME``, or ``.unified`` in the current directory; made readable by its owner alone.

    Raises:
        HomeError: If it can't be made.
    """
    folder = home_path()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file, not a folder" if folder.is_file() else error.strerror
        msg = f"no data can be kept in {folder}: {reason}; set UNIFIED_HOME to a folder that can be made and written"
        raise HomeError(msg) from error
    return folder


def home_path() -> Path:
    """Where that folder is, or would be. Asking makes none."""
    return Path(os.environ.get("UNIFIED_HOME") or ".unified").absolute()


def start(folder: Path) -> str:
    """Start the server whose data is in ``folder``, or join it where it runs already.

    Args:
        folder: As :func:`home` gives it. The data goes to ``folder/postgres``.

    Returns:
        URL of the ``unified`` database for the server's superuser. The database itself may not exist yet.

    Raises:
        UnreachableError: If the server does not start; its log says why.
    """
    with _thread_lock:
        if folder not in _joined:
            data = (folder / "postgres").resolve()
            cluster = Cluster(data, _SERVER_SETTINGS, _LOGINS, listening_port(folder))
            with _starting_or_stopping(folder):
                cluster.start()
                # It may run already, and have been started before the port was changed.
                cluster = replace(cluster, port=cluster.listening())
                users = _open_lock(folder / "postgres.users")
                fcntl.flock(users, fcntl.LOCK_SH)
                _joined[folder] = _Joined(cluster, cluster.url(DATABASE), users)
        return _joined[folder].url


def revive(url: str) -> bool:
    """Start a server again that this process joined and that was killed meanwhile.

    Safe to call from any thread and process at any time: one of them starts it, the others wait for that. A server
    that does not start is left alone for some seconds.

    Args:
        url: Of any database on it, as :func:`start` made it. Any other URL is left alone.

    Returns:
        Whether the server now takes connections.
    """
    with _thread_lock:
        found = [
            (folder, joined)
            for folder, joined in _joined.items()
            if urlsplit(joined.url).query == urlsplit(url).query
        ]
        if not found or time.monotonic() < found[0][1].not_before:
            return False
        folder, joined = found[0]
        with _starting_or_stopping(folder):
            if joined.cluster.is_ready():
                return True
            try:
                joined.cluster.start()
            except UnreachableError as error:
                joined.not_before = time.monotonic() + _AGAIN_SECONDS
                _logger.warning("starting the embedded PostgreSQL server again failed: %s", error)
                return False
            _logger.warning("the embedded PostgreSQL server was gone, and has been started again")
            return True


def listen(folder: Path, port: int | None) -> None:
    """Have the server listen on 127.0.0.1 from its next start on.

    Only readers are let in there, each with its password. Until then a server that runs goes on as it is.

    Args:
        folder: As for :func:`start`.
        port: Where; None closes it again.
    """
    file = folder / "postgres.port"
    if port is None:
        file.unlink(missing_ok=True)
    else:
        file.write_text(f"{port}\n")


def listening_port(folder: Path) -> int | None:
    """Where the server listens from its next start on, as :func:`listen` says; None where only on its socket.

    Raises:
        HomeError: If what is written there is not a port.
    """
    file = folder / "postgres.port"
    if not file.exists():
        return None
    text = file.read_text().strip()
    if not text.isdecimal() or int(text) not in _PORTS:
        msg = f"{file} does not hold a port from {_PORTS.start} to {_PORTS.stop - 1}; `unified db listen` writes it"
        raise HomeError(msg)
    return int(text)


def listens_at(folder: Path) -> int | None:
    """Where the server that this process has joined listens on 127.0.0.1; None where only on its socket."""
    with _thread_lock:
        return _joined[folder].cluster.port if folder in _joined else None


def leave(folder: Path) -> None:
    """Give up the server of ``folder``; the last process to do so stops it. Called at exit by itself."""
    with _thread_lock:
        joined = _joined.pop(folder, None)
        if joined is None:
            return
        with _starting_or_stopping(folder), joined.users:
            try:
                fcntl.flock(joined.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process still uses it
            joined.cluster.stop()


@atexit.register
def _leave_all() -> None:
    for folder in list(_joined):
        leave(folder)


@contextmanager
def _starting_or_stopping(folder: Path) -> Iterator[None]:
    """One process at a time starts or stops it; others wait, so none joins a server that is going down."""
    with _open_lock(folder / "postgres.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _open_lock(path: Path) -> IO[str]:
    return open(path, "a", opener=lambda name, flags: os.open(name, flags, 0o600))
