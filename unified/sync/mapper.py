"""Mapping beside reading and storing: in a thread, and once there is much of it, in a process of its own.

One Python process uses one core. A large load's mapping therefore moves to a child process, while this one reads
and stores. What goes there is raw records, what comes back is encoded rows; no credential does. Mapping is pure, so
whatever happens to the child, the same records are mapped here instead.
"""

import asyncio
import gc
import logging
import os
import pickle
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from threading import Lock
from time import thread_time
from types import TracebackType
from typing import Self

from unified.sync.mapping import Candidate, Mapping, Outcome

# Seconds of mapping here after which a child is worth its start, which takes 0.35 s of another core. A pull that has
# brought so much mostly brings more.
_WORTH_A_PROCESS = 0.2

_READY = b"!"
_SERVE = """
import gc
gc.disable()
from unified.startup import spare_time
spare_time()
from unified.sync.mapper import serve
serve()
"""

_Record = tuple[bytes | memoryview, datetime]

_log = logging.getLogger(__name__)


class Mapper:
    """Maps batches of records. Use it in ``async with``, so that its child ends."""

    def __init__(self, *, worth_a_process: float = _WORTH_A_PROCESS) -> None:
        """Map in this process at first.

        Args:
            worth_a_process: Seconds of processor time that mapping takes here before a child is started.
        """
        self._worth_a_process = worth_a_process
        self._taken = 0.0
        self._child: _Child | None = None
        self._may_start = _cores() > 1
        self._turn = Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._may_start = False
        if self._child is not None:
            self._child.end()

    async def encode(
        self, mapping: Mapping, candidates: Sequence[Candidate], synced_at: datetime
    ) -> list[Outcome]:
        """Map records while others are read: see :meth:`unified.sync.mapping.Mapping.encode`."""
        if self._may_start and self._taken > self._worth_a_process:
            self._may_start = False
            self._child = _Child()
        records = [(candidate.body, candidate.observed_at) for candidate in candidates]
        return await asyncio.to_thread(self._encode, mapping, records, synced_at)

    def _encode(self, mapping: Mapping, records: Sequence[_Record], synced_at: datetime) -> list[Outcome]:
        child = self._child
        if child is not None and self._turn.acquire(blocking=False):
            try:
                if child.is_ready():
                    return child.encode(mapping, records, synced_at)
            except (OSError, EOFError, pickle.PickleError) as error:
                self._child = None
                child.end()
                _log.warning(
                    "the process that maps has ended (%s); mapping goes on here", type(error).__name__
                )
            finally:
                self._turn.release()
        started = thread_time()
        try:
            return mapping.encode(records, synced_at)
        finally:
            self._taken += thread_time() - started


class _Child:
    """A process that maps."""

    def __init__(self) -> None:
        # What it says may quote records. If it matters, it is said again where the records are mapped then: here.
        self._process = subprocess.Popen(  # noqa: S603 - our own code
            [sys.executable, "-c", _SERVE],
            # A plugin that instruments models has nobody to report to there; looking for one takes 10 ms.
            env={**os.environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for its parent to act on
        )
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._has_started = False

    def is_ready(self) -> bool:
        """Whether it has started; EOFError if it has ended instead."""
        if not self._has_started and select.select([self._answers], [], [], 0)[0]:
            if self._answers.read(1) != _READY:
                raise EOFError
            self._has_started = True
        return self._has_started

    def encode(self, mapping: Mapping, records: Sequence[_Record], synced_at: datetime) -> list[Outcome]:
        """Let it map records; OSError or EOFError if it has ended."""
        asked = mapping, [(bytes(body), observed_at) for body, observed_at in records], synced_at
        pickle.dump(asked, self._requests, pickle.HIGHEST_PROTOCOL)
        self._requests.flush()
        outcomes: list[Outcome] = pickle.load(self._answers)  # noqa: S301 - our own child's
        return outcomes

    def end(self) -> None:
        """End it, whatever it does at the moment: it keeps nothing."""
        self._process.kill()
        with suppress(OSError):  # what was not sent yet has nowhere to go
            self._requests.close()
        self._answers.close()
        self._process.wait()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serve() -> None:
    """The child: map what comes on stdin until it ends, as it does when the parent is gone."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what an adapter prints must not become an answer
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()
    sink.write(_READY)
    sink.flush()
    while True:
        try:
            mapping, records, synced_at = pickle.load(source)  # noqa: S301 - our own parent's
        except EOFError:
            return
        pickle.dump(mapping.encode(records, synced_at), sink, pickle.HIGHEST_PROTOCOL)
        sink.flush()
