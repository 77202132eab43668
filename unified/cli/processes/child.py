"""Child processes that end with the command that started them, and a lock against two such commands."""

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from unified.cli.session import CommandError

GRACE_SECONDS = 15
"""How long a child may usually take to end by itself before it is killed."""
START_SECONDS = 120
_POLL_SECONDS = 0.1
_LOG_LINES = 15


class Child:
    """A running child process, with its own children in a process group of its own.

    Attributes:
        name: What it is, for messages.
        log: Where its output goes.
        process: The process.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path, grace: float) -> None:
        """Start it; use :func:`child`, which also ends it."""
        self.name = name
        self._grace = grace
        self.log = log
        with log.open("wb") as output:
            # A group of its own: the terminal's Ctrl-C reaches the command alone, which ends its children
            # in order.
            self.process = subprocess.Popen(  # noqa: S603 - our own arguments
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Wait until it does its work.

        Args:
            answers: Asks it whether it does.

        Raises:
            CommandError: If it ends, or takes longer than START_SECONDS.
        """
        give_up_at = time.monotonic() + START_SECONDS
        while not answers():
            if self.process.poll() is not None:
                raise self.failure()
            if time.monotonic() > give_up_at:
                msg = f"{self.name} does not answer after {START_SECONDS} s; its log is {self.log}"
                raise CommandError(msg)
            time.sleep(_POLL_SECONDS)

    def failure(self) -> CommandError:
        """What to raise when it has ended by itself, with the end of its log."""
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        return CommandError(
            f"{self.name} ended by itself (code {self.process.wait()}); its log, {self.log}, ends:\n{tail}"
        )

    def stop(self) -> None:
        """End it and whatever it started: first politely, then not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(self._grace)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def child(name: str, arguments: Sequence[str], log: Path, *, grace: float = GRACE_SECONDS) -> Iterator[Child]:
    """Run a child process for the length of a block.

    Args:
        name: What it is, for messages.
        arguments: The command.
        log: Where its output goes; overwritten.
        grace: Seconds that it may take to end by itself before it is killed.
    """
    started = Child(name, arguments, log, grace)
    try:
        yield started
    finally:
        # A second Ctrl-C, out of impatience, must not leave half of it running.
        handlers = {
            number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
        }
        started.stop()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def wait_for_any(children: Sequence[Child]) -> Child:
    """Wait until one of some children ends by itself; which one."""
    while True:
        for each in children:
            if each.process.poll() is not None:
                return each
        time.sleep(_POLL_SECONDS)


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Keep commands that use the same processes from running at the same time.

    Args:
        folder: The installation's home.
        what: What to tell whoever comes second.

    Raises:
        CommandError: If another process is in such a block.
    """
    with (folder / "running.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            msg = f"{lock.read()} runs already in {folder}; stop it first"
            raise CommandError(msg) from None
        lock.truncate(0)
        lock.write(f"{what} (process {os.getpid()})")
        lock.flush()
        yield


def free_port(host: str, port: int, option: str = "--port") -> int:
    """A port that can be listened on.

    Args:
        host: Of this machine.
        port: The wanted one; 0 takes any.
        option: How to choose another one.

    Raises:
        CommandError: If it is taken.
    """
    try:
        with socket.create_server((host, port)) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        msg = f"can't listen on {host}:{port} ({error.strerror}); choose another with {option}"
        raise CommandError(msg) from error
