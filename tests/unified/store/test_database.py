"""Which server, which role, what is refused, and what an error says."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from socket import create_server
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from tests.conftest import execute
from unified.store.database import Database
from unified.store.errors import BusyError, DatabaseUrlError, NotMigratedError, RoleError, UnreachableError
from unified.store.server import pools
from unified.store.server.roles import APP_ROLE
from unified.store.server.urls import beside, check_url

_ADD = "INSERT INTO workspaces (id, slug, name) VALUES (%s, 'a', 'a')"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@pass@host/db",
        "postgresql://user:s3cret/pass@host/db",
        "postgresql://user:s3cret@host:port/db",
        "postgresql://user:s3cret@host",
        "mysql://user:s3cret@host/db",
        "host=localhost password=s3cret dbname=db",
        "s3cret",
    ],
)
def test_an_unusable_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as caught:
        check_url(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_another_database_is_reached_the_same_way() -> None:
    url = "postgresql://u:p%40ss@host:5433/db?sslmode=require"
    assert beside(url, "dagster") == "postgresql://u:p%40ss@host:5433/dagster?sslmode=require"


async def test_an_unreachable_server_is_named_and_the_password_is_not() -> None:
    with closing(create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnreachableError) as caught:
        async with Database.open(f"postgresql://user:s3cret@127.0.0.1:{port}/db"):
            pass
    assert str(port) in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_database_that_closed_meanwhile_says_why(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "POOL_SECONDS", 0.5)
    name = urlsplit(database_url).path[1:]
    async with Database.open(database_url) as database:
        async with database.no_workspace():
            pass
        execute(
            beside(database_url, "postgres"),
            f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false',
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'",  # noqa: S608 - a name of ours
        )
        for use in (database.no_workspace, database.api):
            with pytest.raises(UnreachableError, match="not currently accepting connections"):
                async with use() as conn:
                    await conn.execute("SELECT 1")


async def test_a_pool_in_full_use_says_so(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "POOL_SECONDS", 0.5)
    async with Database.open(database_url, max_connections=1) as database, database.no_workspace():
        with pytest.raises(UnreachableError, match="came free"):
            async with database.no_workspace():
                pass


async def test_an_empty_database_asks_for_migration(server_url: str) -> None:
    with pytest.raises(NotMigratedError, match="unified migrate"):
        async with Database.open(beside(server_url, "postgres")):
            pass


async def test_another_revision_asks_for_migration(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(NotMigratedError, match=r"0000.*unified migrate"):
        async with Database.open(database_url):
            pass


@pytest.fixture
def stranger(database_url: str) -> Iterator[str]:
    """The URL of a login that was granted no role."""
    name = f"test_login_{uuid4().hex[:8]}"
    parts = urlsplit(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'fake'".encode())
        yield urlunsplit(parts._replace(netloc=f"{name}:fake@{parts.netloc.rpartition('@')[2]}"))
        connection.execute(f"DROP ROLE {name}".encode())


async def test_a_login_without_the_role_is_told_the_grant(stranger: str) -> None:
    with pytest.raises(RoleError, match=f"GRANT {APP_ROLE}"):
        async with Database.open(stranger):
            pass


async def test_an_app_role_above_the_policies_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {APP_ROLE} BYPASSRLS".encode())
        try:
            with pytest.raises(RoleError, match="BYPASSRLS"):
                async with Database.open(database_url):
                    pass
        finally:
            connection.execute(f"ALTER ROLE {APP_ROLE} NOBYPASSRLS".encode())


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    workspace = uuid4()

    async def work() -> None:
        async with database.workspace(workspace) as connection:
            await connection.execute(_ADD, (workspace,))
            await connection.execute("UPDATE workspaces SET slug = 'Not A Slug'")

    with pytest.raises(errors.CheckViolation):
        await work()
    assert await _workspaces(database, workspace) == 0


async def test_one_process_at_a_time_holds_a_lock(database: Database, database_url: str) -> None:
    async with Database.open(database_url) as elsewhere:
        async with database.exclusive("sync/a") as held, elsewhere.exclusive("sync/a") as refused:
            assert (held, refused) == (True, False)
            async with elsewhere.exclusive("sync/b") as another:
                assert another
        async with elsewhere.exclusive("sync/a") as free:
            assert free


async def test_a_server_that_drops_its_clients_is_found_again(database: Database, database_url: str) -> None:
    workspace = uuid4()

    async def work() -> None:
        async with database.workspace(workspace) as connection:
            await connection.execute(_ADD, (workspace,))
            _drop_clients(database_url)
            await connection.execute("SELECT 1")

    with pytest.raises(UnreachableError, match="undone"):
        await work()
    assert await _workspaces(database, workspace) == 0


async def test_a_deadlock_is_worth_another_try(database: Database) -> None:
    met = asyncio.Barrier(2)

    async def lock(mine: int, theirs: int) -> None:
        async with database.workspace(uuid4()) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (mine,))
            await met.wait()
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (theirs,))

    results = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [BusyError]


async def _workspaces(database: Database, workspace: UUID) -> int:
    async with database.workspace(workspace) as connection:
        result = await connection.execute("SELECT count(*) FROM workspaces")
        (count,) = await result.fetchone() or (-1,)
        return int(count)


def _drop_clients(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
