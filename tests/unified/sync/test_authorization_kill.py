"""Refreshers in several processes: one call among all; killed or held up at each step, no token is lost or overwritten.

What becomes of a pair that was only in the memory of a process that is gone is the provider's to say. One that honours
the former token a little longer gives another; one that ends it with the answer makes a person consent again. Nothing
on our side could help: the answer can't be on disk before it has come.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.unified.sync.oauth import Case
from tests.unified.sync.refresh_victim import digest
from tests.unified.sync.victim import MASTER_KEY
from unified.kit.errors import AuthenticationError

ROOT = Path(__file__).parents[3]

Victim = subprocess.Popen[str]


@contextmanager
def victim(case: Case, stop: str | None = None, tasks: int = 1) -> Iterator[Victim]:
    """A process that waits to be told to begin; killed at the end of the block."""
    task = {"url": case.db.url, "connection": case.connection.key, "stop": stop, "tasks": tasks}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unified.sync.refresh_victim", json.dumps(task)],
        cwd=ROOT,
        env={**os.environ, MASTER_KEY: case.master_key},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def begin(process: Victim) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


async def stopped(process: Victim) -> None:
    """Wait until it has stopped itself."""
    _, status = await asyncio.to_thread(os.waitpid, process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "the victim ended by itself"


async def outcome(process: Victim) -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


@contextmanager
def held_up(case: Case, point: str) -> Iterator[Victim]:
    """A refresher that has stopped itself at a point."""
    with victim(case, point) as process:
        case.run_out()
        begin(process)
        yield process


async def test_fifty_refreshers_of_several_processes_make_one_call(case: Case) -> None:
    case.sandbox.latency_ms = 100
    with ExitStack() as running:
        processes = [running.enter_context(victim(case, tasks=20)) for _ in range(2)]
        here = [await case.tokens() for _ in range(10)]
        case.run_out()
        for process in processes:
            begin(process)
        found = {digest(token.reveal()) for token in await asyncio.gather(*(one.current() for one in here))}
        found |= {await outcome(process) for process in processes}
    assert found == {digest((await case.secrets())["access_token"])}
    assert case.refreshes == 1


@pytest.mark.parametrize(("point", "calls"), [("leasing", 1), ("leased", 1), ("stored", 1)])
async def test_killed_at(case: Case, point: str, calls: int) -> None:
    with held_up(case, point) as process:
        await stopped(process)
    # Before it was committed there is no lease, and after the pair was stored it has ended.
    if point == "leased":
        case.end_lease()
    assert await case.works()
    assert case.refreshes == calls
    case.run_out()
    assert await case.works()


@pytest.mark.parametrize("grace", [3600, 0])
async def test_killed_with_the_answer_in_hand(case: Case, grace: float) -> None:
    case.oauth.grace_seconds = grace
    with held_up(case, "answered") as process:
        await stopped(process)
    case.end_lease()
    if grace:
        assert await case.works()
        assert case.refreshes == 2
    else:
        with pytest.raises(AuthenticationError, match="authorize it with"):
            await case.works()
        assert (await case.state()).needs_reauth
        await case.authorize()
    case.run_out()
    assert await case.works()


async def test_whoever_wakes_up_late_overwrites_nothing_newer(case: Case) -> None:
    case.oauth.grace_seconds = 3600
    with held_up(case, "answered") as process:
        await stopped(process)
        case.end_lease()
        assert await case.works()
        newer = await case.secrets()
        process.send_signal(signal.SIGCONT)
        # It notices, and goes on with what is stored.
        assert await outcome(process) == digest(newer["access_token"])
    assert await case.secrets() == newer
    assert case.refreshes == 2
    assert await case.works()


async def test_whoever_wakes_up_late_with_the_only_pair_there_is_saves_the_connection(case: Case) -> None:
    with held_up(case, "answered") as process:
        await stopped(process)
        case.end_lease()
        with pytest.raises(AuthenticationError):
            await case.works()  # the provider ended the former token
        assert (await case.state()).needs_reauth
        process.send_signal(signal.SIGCONT)
        got = await outcome(process)
    assert digest((await case.secrets())["access_token"]) == got
    assert not (await case.state()).needs_reauth
    case.run_out()
    assert await case.works()


async def test_whoever_wakes_up_late_before_asking_does_no_harm(case: Case) -> None:
    """Its token was exchanged meanwhile: the provider refuses it, and it takes the newer pair."""
    with held_up(case, "leased") as process:
        await stopped(process)
        case.end_lease()
        assert await case.works()
        newer = await case.secrets()
        process.send_signal(signal.SIGCONT)
        assert await outcome(process) == digest(newer["access_token"])
    assert await case.secrets() == newer
    assert not (await case.state()).needs_reauth
