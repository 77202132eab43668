"""`unified serve --workers`: processes that share a port, are replaced when they die, and end with their parent."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import psutil

from tests.waiting import LIMIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unified.cli.conftest import Unified

REQUESTS = 40


class Served:
    """A running `unified serve --workers 2`."""

    def __init__(self, unified: Unified) -> None:
        self.process = subprocess.Popen(
            unified.command("serve", "--port", "0", "--workers", "2", "--no-access-log"),
            env=unified.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.url = re.findall(r"Listening on (http://\S+);", self.told("Listening on"))[0]

    def told(self, words: str) -> str:
        """The next line that it wrote with these words."""
        assert self.process.stderr is not None
        while words not in (line := self.process.stderr.readline()):
            assert line, "it ended"
        return line

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def deliver(self) -> int:
        """A delivery that nobody asked for, on a connection of its own; the status."""
        return httpx.post(
            f"{self.url}/webhooks/stripe/{'x' * 32}", content=b"{}", timeout=LIMIT_SECONDS
        ).status_code


@contextmanager
def serving(unified: Unified) -> Iterator[Served]:
    running = Served(unified)
    try:
        yield running
    finally:
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(running.process.pid).children():
                process.kill()
        running.process.kill()
        running.process.communicate()


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_whichever_is_asked_tells_the_counts_of_all_and_one_that_is_killed_is_replaced(
    unified: Unified,
) -> None:
    token = unified.ok("token", "create", "--name", "scraper", "--admin", "--scope", "metrics:read").strip()
    with serving(unified) as served:
        assert {served.deliver() for _ in range(REQUESTS)} == {401}
        told = {
            httpx.get(
                f"{served.url}/metrics", headers={"authorization": f"Bearer {token}"}, timeout=LIMIT_SECONDS
            )
            .text.partition("\nunified_ingress_deliveries_total ")[2]
            .partition("\n")[0]
            for _ in range(10)
        }
        assert told == {f"{REQUESTS}.0"}

        first, second = served.workers()
        first.kill()
        assert f"worker {first.pid} ended (code -9)" in served.told("ended")
        until(lambda: len(served.workers()) == 2 and first not in served.workers())
        assert second in served.workers()
        assert {served.deliver() for _ in range(5)} == {401}

        assert end(served, served.process.terminate) == 0


def test_workers_end_with_a_parent_that_is_killed(unified: Unified) -> None:
    with serving(unified) as served:
        assert served.deliver() == 401
        assert end(served, served.process.kill) == -9


def end(served: Served, ending: Callable[[], None]) -> int:
    """End the parent, and wait until its workers have ended as well; the parent's code."""
    workers = served.workers()
    assert len(workers) == 2
    ending()
    code = served.process.wait(LIMIT_SECONDS)
    until(
        lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    )
    return code
