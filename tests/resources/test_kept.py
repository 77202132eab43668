"""The database that a process keeps for ticks: opened once, by any thread, and again where need be."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from resources import kept
from tests.conftest import execute
from unified.store.database import Database
from unified.store.errors import StoreError


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", database_url)
    return database_url


def sessions(url: str) -> int:
    """How many were opened in this database so far, but for the ones that ask."""
    with psycopg.connect(url) as conn:
        found = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'unified-assets'"
        ).fetchone()
    assert found is not None
    return int(found[0])


async def backend(db: Database) -> int:
    """Which process of the server answers."""
    async with db.scheduler() as conn:
        row = await (await conn.execute("SELECT pg_backend_pid()")).fetchone()
        assert row is not None
        return int(row[0])


def test_questions_of_many_threads_share_what_is_kept(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answered = set(pool.map(kept.ask, [backend] * 20))
    assert kept.ask(backend) in answered
    assert len(answered) <= sessions(url) <= 4


def test_a_question_that_waits_holds_up_no_other(url: str) -> None:
    asked = asyncio.Event()

    async def wait(_: Database) -> str:
        await asked.wait()
        return "answered"

    async def answer(_: Database) -> None:
        asked.set()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(kept.ask, wait)
        kept.ask(answer)
        assert waiting.result() == "answered"


def test_a_restart_of_the_database_is_not_noticed(url: str) -> None:
    before = kept.ask(backend)
    execute(url, f"SELECT pg_terminate_backend({before}, 10000)")
    assert kept.ask(backend) != before


def test_a_database_that_can_not_be_opened_is_tried_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{url}_missing")
    with pytest.raises(StoreError, match="_missing"):
        kept.ask(backend)
    monkeypatch.setenv("DATABASE_URL", url)
    assert kept.ask(backend)


def test_a_forked_child_leaves_its_parents_alone(url: str) -> None:
    ours = {kept.ask(backend) for _ in range(4)}
    child = os.fork()
    if not child:
        code = 1
        try:
            code = int(kept.ask(backend) in ours)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert kept.ask(backend) in ours
