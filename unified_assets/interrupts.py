"""Ending a run that somebody terminates, in order.

Dagster answers SIGINT and SIGTERM by raising where the main thread happens to be, and then tries the step again where
it has a retry policy. Inside an event loop that place is some task, which keeps the exception to itself. Here the
step's own task is cancelled instead, so that what it opened is closed; the step fails for good, and so do the steps of
the same run that have not begun.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from unified import logs

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_terminated_runs: set[str] = set()


@contextmanager
def interruptible(run_id: str) -> Iterator[None]:
    """Let a signal cancel the current task, for the length of a block, whose log lines name the run.

    Outside the main thread, which alone receives signals, nothing changes.

    Args:
        run_id: The run that the block is a step of.

    Raises:
        dagster.Failure: If a signal ended the block, or an earlier step of the run. It is not retried.
    """
    terminated = dg.Failure(
        "the run was terminated; the next one goes on from the last commit", allow_retries=False
    )
    if run_id in _terminated_runs:
        raise terminated
    with logs.about(run=run_id), _cancelled_by_signals(run_id, terminated):
        yield


@contextmanager
def _cancelled_by_signals(run_id: str, terminated: dg.Failure) -> Iterator[None]:
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def cancel() -> None:
        _terminated_runs.add(run_id)
        task.cancel()

    loop = asyncio.get_running_loop()
    former = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, cancel)
    try:
        yield
    except asyncio.CancelledError:
        if run_id not in _terminated_runs:
            raise
        raise terminated from None
    finally:
        for number, handler in former.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
