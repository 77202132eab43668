"""Several processes of `unified serve` on one socket, because one Python process uses one core."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from unified.cli.output import say

# A process that ends sooner than this will most likely do so again: no hurry then.
_SHORT_LIFE_SECONDS = 2.0


def supervise(listener: socket.socket, count: int, arguments: list[str]) -> None:
    """Run `unified serve` in several processes, each anew when it ends, until SIGTERM or Ctrl-C ends all of them.

    Args:
        listener: Where they listen.
        count: How many.
        arguments: What each of them is started with.
    """

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    with tempfile.TemporaryDirectory(prefix="unified-metrics-") as metrics:
        # Whichever process is scraped answers for all: prometheus_client keeps their counts in files there.
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": metrics}
        command = [
            sys.executable,
            "-m",
            "unified.cli",
            "serve",
            *arguments,
            "--listener",
            str(listener.fileno()),
        ]

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(  # noqa: S603 - our own arguments
                command,
                env=environment,
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )

        workers = [start() for _ in range(count)]
        try:
            while True:
                began = time.monotonic()
                ended, status = os.wait()
                say(
                    f"worker {ended} ended (code {os.waitstatus_to_exitcode(status)}); another one is started"
                )
                if time.monotonic() - began < _SHORT_LIFE_SECONDS:
                    time.sleep(_SHORT_LIFE_SECONDS)
                workers = [worker if worker.pid != ended else start() for worker in workers]
        except KeyboardInterrupt:
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # a second one, out of impatience, must not orphan them
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()


def inherited(number: int) -> socket.socket:
    """The socket that a worker was started with."""
    return socket.socket(fileno=number)


def when_orphaned(act: Callable[[], None]) -> None:
    """Call ``act`` when the supervisor is gone, however it ended: nothing but its end closes this process's stdin."""

    def look() -> None:
        if not os.read(0, 1):
            asyncio.get_running_loop().remove_reader(0)
            act()

    asyncio.get_running_loop().add_reader(0, look)
