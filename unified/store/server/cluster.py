"""One PostgreSQL cluster on disk, run by the programs that a wheel brings: made, started, looked at, stopped.

Who shares it, and when it is started and stopped, is the business of :mod:`unified.store.server.embedded`.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from unified.store.errors import UnreachableError
from unified.store.server import programs
from unified.store.server.patience import Patience

PATIENCE_SECONDS = 120.0
"""How long a starting server may show no progress, in its log or its state, before it is given up."""
SUPERUSER = "postgres"
DEFAULT_PORT = 5432
ADDRESS = "127.0.0.1"

# Sorted by code point and lower-cased by Unicode on every system, whatever language its user speaks.
_INITDB = (
    "--auth=trust",
    "--encoding=utf8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    f"--username={SUPERUSER}",
)
# Of pg_ctl, which sees a server that ends at once; how long a living one may take is for Patience to say.
_START_LIMIT_SECONDS = 86_400
_STOP_LIMIT_SECONDS = 300
_LOOK_SECONDS = 0.05
_MAX_SOCKET_PATH = 100  # bytes; Linux takes 107, macOS 103
# Lines of postmaster.pid (https://www.postgresql.org/docs/current/storage-file-layout.html).
_PROCESS, _PORT, _SOCKET_FOLDER, _ADDRESS, _STATUS = 0, 3, 4, 5, 7


@dataclass(frozen=True)
class Cluster:
    """A cluster and its server.

    Attributes:
        data: Folder of its files, resolved. It need not exist yet, but the folder that it is in.
        settings: What the server is to differ in from PostgreSQL's defaults.
        logins: The content of its ``pg_hba.conf``: who is let in, by which way.
        port: Where it listens on this machine's own address, 127.0.0.1; None where only its socket is open.
    """

    data: Path
    settings: str
    logins: str
    port: int | None = None

    @property
    def log(self) -> Path:
        """Where the server writes."""
        return self.data / "log"

    def process(self) -> psutil.Process | None:
        """The running server; not any other process that has the number which a killed one left behind."""
        with suppress(psutil.Error, ValueError):
            found = psutil.Process(int(self._line(_PROCESS)))
            if str(self.data) in found.cmdline():  # that of a zombie is empty
                return found
        return None

    def is_ready(self) -> bool:
        """Whether the server runs and takes connections."""
        return self._line(_STATUS) == "ready" and self.process() is not None

    def socket_folder(self) -> Path:
        """Where its socket is: beside the data, or elsewhere if that path would be too long for a socket's."""
        if len(os.fsencode(self.data / ".s.PGSQL.5432")) <= _MAX_SOCKET_PATH:
            return self.data
        name = f"{self.data}-{self.data.stat().st_ino}"
        return _private_folder() / hashlib.sha256(name.encode()).hexdigest()[:10]

    def url(self, database: str) -> str:
        """URL of a database on the running server, for its superuser.

        Raises:
            UnreachableError: If the server does not run.
        """
        if not (folder := self._line(_SOCKET_FOLDER)):
            msg = f"the embedded PostgreSQL server has ended; its log is {self.log}"
            raise UnreachableError(msg)
        port = self._line(_PORT)
        place = f"host={quote(folder, safe='/')}" + (f"&port={port}" if port != str(DEFAULT_PORT) else "")
        return f"postgresql://{SUPERUSER}@/{database}?{place}"

    def listening(self) -> int | None:
        """The port on 127.0.0.1 at which the running server listens; None where only its socket is open."""
        return int(self._line(_PORT)) if self._line(_ADDRESS) else None

    def start(self) -> None:
        """Start the server unless it runs, the cluster made where there is none; return when it takes connections.

        Raises:
            UnreachableError: If it does not start, with the reason that it gives.
        """
        try:
            programs.let_server_pass(self.data)
            if not (self.data / "PG_VERSION").exists():
                self._initialise()
            if self.process() is None:
                self._configure()
            patience = Patience(PATIENCE_SECONDS, self._progress)
            while not self.is_ready():
                if self.process() is None:
                    self._launch(patience)
                self._wait(patience)
        except (OSError, subprocess.SubprocessError) as error:
            raise self._failure(str(error)) from error

    def stop(self) -> None:
        """End the server and what its clients are doing; return when it has ended."""
        stop = ("pg_ctl", "-D", str(self.data), "-w")
        if programs.run(*stop, "-m", "fast", f"-t{_STOP_LIMIT_SECONDS}", "stop").wait() and self.process():
            # As safe as a power cut: the next start recovers.
            programs.run(*stop, "-m", "immediate", "stop").wait()

    def _initialise(self) -> None:
        """Make the cluster beside its place and move it there: one that was left half-made would never start."""
        making = self.data.with_name(f"{self.data.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        programs.make_folder(making)
        with tempfile.TemporaryFile() as output:
            if programs.run("initdb", "-D", str(making), *_INITDB, output=output).wait():
                raise self._failure(programs.reason_in(output))
        making.rename(self.data)

    def _configure(self) -> None:
        """Settings apart from PostgreSQL's own file, which only learns where to find them."""
        logins = self.data / "unified_hba.conf"
        (self.data / "unified.conf").write_text(f"{self.settings}hba_file = '{_quoted(logins)}'\n")
        logins.write_text(self.logins)
        for own in (self.data / "unified.conf", logins):
            own.chmod(0o644)
        main = self.data / "postgresql.conf"
        include = "include_if_exists = 'unified.conf'\n"
        if include not in main.read_text():
            with main.open("a") as file:
                file.write(include)

    def _launch(self, patience: Patience) -> None:
        """Start the server's process once; returns without it where it has to be tried again."""
        # Left by a killed server. If a process of this user has that number now, or nobody has collected the killed
        # one yet, PostgreSQL would take it for running.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        folder = self.socket_folder()
        port = self.port or DEFAULT_PORT
        (folder / f".s.PGSQL.{port}.lock").unlink(missing_ok=True)
        if folder != self.data:
            programs.make_folder(folder, exist_ok=True)
        written = self._written()
        address = ADDRESS if self.port else ""
        own = f"-h '{address}' -p {port} -k '{folder}'"
        wait = ("-w", f"-t{_START_LIMIT_SECONDS}")
        options = ("-D", str(self.data), *wait, "-l", str(self.log), "-o", own)
        with tempfile.TemporaryFile() as output:
            starting = programs.run("pg_ctl", *options, "start", output=output)
            while starting.poll() is None:
                try:
                    self._wait(patience)
                except UnreachableError:
                    starting.kill()
                    starting.wait()
                    raise
            if starting.returncode and self.process() is None:
                reason = self._fatal(written) or programs.reason_in(output)
                # A killed server's other processes notice within moments that it is gone.
                if "pre-existing shared memory block" not in reason:
                    raise self._failure(reason)

    def _wait(self, patience: Patience) -> None:
        if patience.is_out():
            raise self._failure(f"it has shown no progress for {patience.seconds:.0f} s")
        time.sleep(_LOOK_SECONDS)

    def _line(self, number: int) -> str:
        """A line of what the server says of itself; empty where there is none."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[number].strip() if number < len(lines) else ""

    def _progress(self) -> tuple[int, str, str]:
        return self._written(), self._line(_PROCESS), self._line(_STATUS)

    def _written(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _fatal(self, written: int) -> str:
        """What ended the server, by its log from a position on."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(written)
            lines = file.read().decode(errors="replace").splitlines()
        return next((line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line), "")

    def _failure(self, reason: str) -> UnreachableError:
        if self.port and "TCP/IP" in reason:
            reason += f" (port {self.port} is taken: `unified db listen` with another one, or with --off)"
        return UnreachableError(
            f"the embedded PostgreSQL server did not start: {reason or 'no reason given'}; its log is {self.log}"
        )


def _quoted(path: Path) -> str:
    """A path inside the quotes of a setting."""
    return str(path).replace("'", "''")


def _private_folder() -> Path:
    """A folder with a short path that belongs to this user, even where others share the folder above."""
    folder = Path(tempfile.gettempdir()) / f"unified-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        msg = f"{folder} belongs to another user; remove it or set TMPDIR to a folder of your own"
        raise UnreachableError(msg)
    folder.chmod(0o711 if programs.server_user() else 0o700)
    return folder
