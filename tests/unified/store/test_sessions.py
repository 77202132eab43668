"""A link to the server that goes dead: who waits is answered in time, and nothing waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio

from tests.unified.store.link import Link
from tests.waiting import LIMIT_SECONDS
from unified.store import database as databases
from unified.store import sessions
from unified.store.database import Database
from unified.store.errors import UnreachableError
from unified.store.server import pools
from unified.store.sessions import link_settings

# psycopg alone waits for ten seconds after a timeout of ours, and without one for ever.
_FAR_LESS = 5.0


@pytest_asyncio.fixture
async def link(database_url: str) -> AsyncIterator[Link]:
    async with Link(database_url).listening() as made:
        yield made


@pytest_asyncio.fixture
async def db(link: Link) -> AsyncIterator[Database]:
    async with Database.open(link.url) as opened:
        async with opened.scheduler(), opened.api():
            pass
        yield opened
        # Closing waits for who still connects.
        link.is_dead = False
        link.drop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can wait for."""
    monkeypatch.setattr(sessions, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(sessions, "_PROBE_SECONDS", 0.5)
    monkeypatch.setattr(sessions, "_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(pools, "POOL_SECONDS", 2.0)


async def test_a_delivery_is_answered_in_its_time(
    db: Database, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "INGRESS_SECONDS", 0.5)
    async with db.ingress() as conn:
        await conn.execute("SELECT 1")
    link.is_dead = True
    async with asyncio.timeout(_FAR_LESS):
        with pytest.raises(UnreachableError, match="no answer"):
            async with db.ingress() as conn:
                await conn.execute("SELECT 1")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("part", ["workspace", "scheduler", "owner", "api"])
@pytest.mark.parametrize("when", ["at its beginning", "before a statement", "before its end"])
async def test_no_transaction_waits_for_ever(db: Database, link: Link, part: str, when: str) -> None:
    if part == "api" and when == "before its end":
        pytest.skip("each statement commits by itself")
    use = db.workspace(uuid4()) if part == "workspace" else getattr(db, part)()

    async def work() -> None:
        link.is_dead = when == "at its beginning"
        async with asyncio.timeout(LIMIT_SECONDS), use as conn:
            link.is_dead = when != "before its end"
            await conn.execute("SELECT 1")
            link.is_dead = True

    with pytest.raises(UnreachableError):
        await work()


@pytest.mark.usefixtures("impatient")
async def test_a_lock_is_left_although_its_server_is_gone(db: Database, link: Link) -> None:
    async with asyncio.timeout(LIMIT_SECONDS), db.exclusive("sync/a") as held:
        assert held
        link.is_dead = True


@pytest.mark.usefixtures("impatient")
async def test_a_link_that_alone_went_dead_is_found_out(db: Database, link: Link) -> None:
    async def work() -> None:
        async with asyncio.timeout(LIMIT_SECONDS), db.workspace(uuid4()) as conn:
            link.cut()
            await conn.execute("SELECT 1")

    with pytest.raises(UnreachableError, match="has not answered"):
        await work()
    async with db.workspace(uuid4()) as conn:
        await conn.execute("SELECT 1")


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_takes_its_time_is_waited_for(db: Database) -> None:
    async with db.workspace(uuid4()) as conn:
        result = await conn.execute("SELECT pg_sleep(3), 'done'")
        assert (await result.fetchone() or ())[1:] == ("done",)


@pytest.mark.usefixtures("impatient")
async def test_it_goes_on_once_the_link_is_back(db: Database, link: Link) -> None:
    link.is_dead = True
    with pytest.raises(UnreachableError):
        async with db.workspace(uuid4()) as conn:
            await conn.execute("SELECT 1")
    link.is_dead = False
    async with asyncio.timeout(LIMIT_SECONDS), db.workspace(uuid4()) as conn:
        await conn.execute("SELECT 1")


@pytest.mark.parametrize("what", ["a statement", "a copy"])
async def test_who_gives_up_is_let_go_at_once_and_the_server_stops(
    db: Database, link: Link, database_url: str, what: str
) -> None:
    pids = []

    async def work() -> None:
        async with asyncio.timeout(_FAR_LESS), db.workspace(uuid4()) as conn:
            pids.append(conn.info.backend_pid)
            async with asyncio.timeout(0.2):
                if what == "a statement":
                    await conn.execute("SELECT pg_sleep(600)")
                else:
                    async with conn.cursor().copy("COPY (SELECT pg_sleep(600)) TO STDOUT") as copy:
                        await copy.read()

    with pytest.raises(TimeoutError):
        await work()
    async with asyncio.timeout(LIMIT_SECONDS):
        while await _is_at_work(database_url, pids[0]):  # noqa: ASYNC110 - the server's state
            await asyncio.sleep(0.05)
    async with db.workspace(uuid4()) as conn:
        await conn.execute("SELECT 1")


async def _is_at_work(url: str, pid: int) -> bool:
    async with await psycopg.AsyncConnection.connect(url) as conn:
        found = await conn.execute("SELECT FROM pg_stat_activity WHERE pid = %s AND state = 'active'", (pid,))
        return bool(found.rowcount)


async def test_the_kernel_gives_up_a_machine_that_vanished(database: Database) -> None:
    """No machine can vanish here: what the kernel and the server are told is read back."""
    assert link_settings("postgresql://h/d")["tcp_user_timeout"] == 25_000
    assert "keepalives_idle" not in link_settings("postgresql://h/d?keepalives_idle=60"), (
        "the URL's own word counts"
    )
    async with database.workspace(uuid4()) as conn:
        names = ["keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"]
        told = conn.info.get_parameters()
        assert [told.get(name) for name in names] == ["1", "10", "5", "3"]


async def test_the_server_gives_up_a_client_that_vanished(db: Database) -> None:
    async with db.workspace(uuid4()) as conn:
        result = await conn.execute("SELECT current_setting('client_connection_check_interval')")
        assert await result.fetchone() == ("10s",)
