"""A pooler that gives each transaction another session is refused everywhere, and one that does not is fine."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import connectors
from tests.unified.store.bouncer import pooled
from tests.waiting import LIMIT_SECONDS
from unified.store import poolers
from unified.store.database import Database
from unified.store.doctor.examine import examine
from unified.store.errors import PoolerError
from unified.store.migrate import migrate

# Ways in which such poolers are run: one session or many, taken in turns or the last one first, cleaned or not.
SHARED = [
    ("transaction", {}),
    ("transaction", {"server_round_robin": "1", "min_pool_size": "4"}),
    ("transaction", {"server_reset_query_always": "1"}),
    ("transaction", {"default_pool_size": "1"}),
    ("statement", {}),
    ("statement", {"server_round_robin": "1", "min_pool_size": "3"}),
]


@pytest.mark.parametrize(("mode", "settings"), SHARED)
async def test_shared_sessions_are_refused(database_url: str, mode: str, settings: dict[str, str]) -> None:
    with pooled(database_url, mode, **settings) as url:
        async with asyncio.timeout(LIMIT_SECONDS):
            with pytest.raises(PoolerError, match="session mode"):
                async with Database.open(url):
                    pass
            findings = await examine(url)
    assert [(finding.level, finding.about) for finding in findings] == [("wrong", "pooler")]


@pytest.mark.parametrize(("mode", "settings"), SHARED)
def test_a_migration_through_shared_sessions_is_refused_and_leaves_no_role(
    database_url: str, mode: str, settings: dict[str, str]
) -> None:
    with pooled(database_url, mode, **settings) as url:
        with pytest.raises(PoolerError):
            migrate(url, connectors())
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as neighbour:
            assert neighbour.execute("SELECT current_user = session_user").fetchone() == (True,)


async def test_sessions_of_their_own_are_fine(database_url: str) -> None:
    with pooled(database_url, "session") as url:
        await asyncio.to_thread(migrate, url, connectors())
        async with Database.open(url) as db:
            async with db.exclusive("sync/a") as held, db.exclusive("sync/a") as refused:
                assert (held, refused) == (True, False)
            async with db.workspace(uuid4()) as conn:
                await conn.execute("SELECT 1")
        assert not [finding for finding in await examine(url) if finding.about == "pooler"]


async def test_a_pooler_that_has_one_session_at_all_is_not_taken_for_another_kind(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poolers, "_ANSWER_SECONDS", 1)
    with pooled(database_url, "session", default_pool_size="1") as url:
        await poolers.refuse_shared_sessions(url)


def test_a_migration_gives_its_role_back(database_url: str) -> None:
    """Without a reset of its own, a pooler's next client would be what the last one was."""
    with (
        pooled(database_url, "session", default_pool_size="1", server_reset_query="") as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(poolers, "_ANSWER_SECONDS", 1)
        migrate(url, connectors())
        with psycopg.connect(url) as neighbour:
            assert neighbour.execute("SELECT current_user = session_user").fetchone() == (True,)


async def test_without_a_pooler_nothing_is_tried(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_: str) -> None:
        pytest.fail("there is no pooler")

    monkeypatch.setattr(poolers, "refuse_shared_sessions", refuse)
    async with Database.open(database_url):
        pass
