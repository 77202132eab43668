"""The database is away or stands still, too much comes, the process is told to end: never a false 200."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
import pytest
from cryptography.fernet import Fernet

from tests.conftest import execute
from tests.unified.api.conftest import SECRET, Ingress, signed, stripe_event
from tests.waiting import LIMIT_SECONDS
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.inbox.endpoints import Endpoints
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import MASTER_KEYS_VARIABLE, LocalKeyProvider
from unified.store.server.urls import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from uuid import UUID

    from unified.store.database import Database

UNIFIED = str(Path(sys.executable).with_name("unified"))


@pytest.fixture
def standstill(database_url: str) -> Iterator[psycopg.Connection]:
    """Nothing can be written to the inbox until this transaction ends."""
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE webhook_seen IN EXCLUSIVE MODE")
        yield connection


async def test_a_database_that_is_away(ingress: Ingress, database_url: str) -> None:
    assert (await ingress.deliver("evt_before")).status_code == 200
    server, name = beside(database_url, "postgres"), database_url.partition("?")[0].rpartition("/")[2]
    execute(
        server,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608 - the test's own database
    )
    answers = await asyncio.gather(*(ingress.deliver(f"evt_{number}") for number in range(5)))
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"5"}
    ready = await ingress.client.get("/readyz")
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "5")
    assert (await ingress.client.get("/healthz")).status_code == 200

    execute(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    for number in count():
        if (await ingress.deliver(f"evt_after_{number}")).status_code == 200:
            break
        await asyncio.sleep(0.1)
    assert (await ingress.client.get("/readyz")).status_code == 200
    assert {"evt_before", f"evt_after_{number}"} <= set(await ingress.stored())


async def test_a_database_that_stands_still(ingress: Ingress, standstill: psycopg.Connection) -> None:
    answer = await ingress.deliver("evt_1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    standstill.rollback()
    assert (await ingress.deliver("evt_1")).status_code == 200
    assert await ingress.stored() == ["evt_1"]


class TestProcess:
    @pytest.fixture
    async def ingress(
        self, database: Database, database_url: str, workspace: UUID, tmp_path: Path
    ) -> AsyncIterator[tuple[Ingress, psutil.Popen]]:
        """`unified serve`, as it ships."""
        keys = Fernet.generate_key().decode()
        connection = await Registry(database).add_connection(workspace, "stripe", "stripe")
        endpoints = Endpoints(database, CredentialStore(database, LocalKeyProvider([keys])))
        endpoint = await endpoints.create(connection)
        await endpoints.rotate(endpoint, Secret(SECRET))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with (tmp_path / "log").open("w") as log:
            process = psutil.Popen(
                [UNIFIED, "serve", "--port", str(port)],
                env={"DATABASE_URL": database_url, MASTER_KEYS_VARIABLE: keys, "PATH": ""},
                stderr=log,
            )
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(
            base_url=url, timeout=LIMIT_SECONDS, limits=httpx.Limits(max_connections=None)
        ) as client:
            running = Ingress(database, url, endpoint, client)
            await _until(lambda: _listens(running) or process.poll() is not None)
            assert process.poll() is None, (tmp_path / "log").read_text()
            yield running, process
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        process.wait()

    async def test_told_to_end_it_answers_what_is_under_way(
        self, ingress: tuple[Ingress, psutil.Popen], database_url: str, tmp_path: Path
    ) -> None:
        running, process = ingress
        with psycopg.connect(database_url) as standstill:
            standstill.execute("LOCK TABLE webhook_seen IN EXCLUSIVE MODE")
            ids = [f"evt_{number:02}" for number in range(20)]
            deliveries = [asyncio.create_task(running.deliver(event_id)) for event_id in ids]
            await _until(lambda: _somebody_waits(standstill))
            process.send_signal(signal.SIGTERM)
            # It takes no more connections, which shows that it has heard.
            await _until(lambda: not _listens(running))
        outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
        # A client that was not connected yet has no answer. Nobody has one that is not true.
        answered = {
            event_id: outcome.status_code
            for event_id, outcome in zip(ids, outcomes, strict=True)
            if isinstance(outcome, httpx.Response)
        }
        assert answered
        assert set(answered.values()) <= {200, 503}
        accepted = {event_id for event_id, status in answered.items() if status == 200}
        assert accepted <= set(await running.stored())
        process.wait(LIMIT_SECONDS)
        assert "Traceback" not in (tmp_path / "log").read_text()

    async def test_memory_stays_flat_under_more_than_can_be_stored(
        self, ingress: tuple[Ingress, psutil.Popen], database_url: str
    ) -> None:
        running, process = ingress
        assert (await running.deliver("evt_before")).status_code == 200
        before = peak = process.memory_info().rss
        body = stripe_event("evt_large", padding="x" * 900_000)
        with psycopg.connect(database_url) as standstill:
            standstill.execute("LOCK TABLE webhook_seen IN EXCLUSIVE MODE")
            for _ in range(2):
                posts = [
                    running.client.post(running.path, content=body, headers=signed(body)) for _ in range(400)
                ]
                watched = asyncio.gather(*posts, return_exceptions=True)
                while not watched.done():
                    peak = max(peak, process.memory_info().rss)
                    await asyncio.wait([watched], timeout=0.02)
                answers = [answer for answer in watched.result() if isinstance(answer, httpx.Response)]
                assert {answer.status_code for answer in answers} == {503}
        # 400 bodies of 0.9 MB would be 360 MB, and each is copied on its way to the database.
        assert peak - before < 200 * 1024 * 1024
        assert (await running.deliver("evt_after")).status_code == 200
        assert set(await running.stored()) >= {"evt_before", "evt_after"}


async def _until(holds: Callable[[], bool]) -> None:
    while True:
        if holds():
            return
        await asyncio.sleep(0.02)


def _listens(ingress: Ingress) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(ingress.address).close()
        return True
    return False


def _somebody_waits(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return row is not None and row[0] > 0
