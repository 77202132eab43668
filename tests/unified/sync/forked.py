"""Processes to kill that need not import first what they run: see :mod:`tests.forking`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from tests.forking import FORKING
from unified.kit.registry import packaged_adapters

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from multiprocessing.connection import Connection

    Main = Callable[..., Coroutine[Any, Any, None]]

packaged_adapters()


class Victim:
    """A process that runs a coroutine function, with what a test asks of it, as of `subprocess.Popen`.

    Attributes:
        stdout: What it says.
    """

    def __init__(self, main: Main, task: Mapping[str, Any], **variables: str) -> None:
        """Start it.

        Args:
            main: What it runs; of a module that is named there.
            task: The arguments.
            variables: Of its environment, beside the test's own.
        """
        receiver, sender = FORKING.Pipe(duplex=False)
        self._process = FORKING.Process(target=_run, args=(main, task, variables, sender), daemon=True)
        self._process.start()
        sender.close()
        self.stdout = os.fdopen(os.dup(receiver.fileno()))
        receiver.close()

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL, and its end."""
        self._process.kill()
        self._process.join()
        self.stdout.close()


def _run(main: Main, task: Mapping[str, Any], variables: Mapping[str, str], sender: Connection) -> None:
    os.environ.update(variables)
    os.dup2(sender.fileno(), 1)
    sys.stdout = open(1, "w")  # noqa: SIM115 - for good
    asyncio.run(main(**task))
