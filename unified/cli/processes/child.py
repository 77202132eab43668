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

import psutil

from unified.cli.output import say
from unified.cli.session import CommandError
from unified.store.server.patience import Patience

GRACE_SECONDS = 15
"""How long a child may usually take to end by itself before it is killed."""
PATIENCE_SECONDS = 120.0
"""How long a child that starts may usually show no progress; however long it takes while it does."""
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 1.0
_REPORT_SECONDS = 15.0
# Processor time that counts as progress. One that only waits uses less of it within anybody's patience.
_CPU_STEP_SECONDS = 10
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

    def wait_until(self, answers: Callable[[], bool], patience: float = PATIENCE_SECONDS) -> None:
        """Wait until it does its work, and say from time to time how it goes.

        Args:
            answers: Asks it whether it does.
            patience: Seconds that it may write nothing to its log, start no process and compute next to nothing.

        Raises:
            CommandError: If it ends, or shows no progress for that long.
        """
        waited = Patience(patience, self._progress)
        began = said_at = time.monotonic()
        while not answers():
            if self.process.poll() is not None:
                raise self.failure()
            if waited.is_out():
                msg = (
                    f"{self.name} does not answer and has shown no progress for {patience:.0f} s; its log is "
                    f"{self.log}. On a slow machine, wait longer with --patience SECONDS"
                )
                raise CommandError(msg)
            if time.monotonic() - said_at > _REPORT_SECONDS:
                said_at = time.monotonic()
                processes, cpu = self._family()
                say(
                    f"… {self.name} is still starting after {said_at - began:.0f} s "
                    f"({processes} processes, {cpu:.0f} s of processor time; its log is {self.log})"
                )
            time.sleep(_POLL_SECONDS)

    def _progress(self) -> tuple[int, int, int]:
        processes, cpu = self._family()
        return self.log.stat().st_size, processes, int(cpu // _CPU_STEP_SECONDS)

    def _family(self) -> tuple[int, float]:
        """How many processes it has become, and the seconds of processor time that they have used."""
        seconds: list[float] = []
        with suppress(psutil.Error):
            child = psutil.Process(self.process.pid)
            for process in (child, *child.children(recursive=True)):
                with suppress(psutil.Error):
                    seconds.append(sum(process.cpu_times()))
        return len(seconds), sum(seconds)

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


def wait_for_any(children: Sequence[Child], *, meanwhile: Callable[[], object]) -> Child:
    """Wait until one of some children ends by itself; which one.

    Args:
        children: The children.
        meanwhile: What to look after once a second.
    """
    looked_at = time.monotonic()
    while True:
        for each in children:
            if each.process.poll() is not None:
                return each
        if time.monotonic() - looked_at > _LOOK_SECONDS:
            meanwhile()
            looked_at = time.monotonic()
        time.sleep(_POLL_SECONDS)


@contextmanager
def only_one(folder: Path, what: str) -> Iterator[None]:
    """Keep commands that use the same processes from running at the same time.

    Args:
        folder: The installation's home.
        what: Its name, for the message to the second one.

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
        reason = os.strerror(error.errno) if error.errno else error.strerror  # without the address once more
        msg = f"can't listen on {host}:{port} ({reason}); choose another with {option}"
        raise CommandError(msg) from error
