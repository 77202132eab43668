"""The embedded server on 127.0.0.1: only where it was asked for, for readers alone, each with its password."""

import socket
from pathlib import Path

import psycopg
import pytest

from tests.conftest import connectors
from unified.store.database import Database
from unified.store.errors import HomeError, UnreachableError
from unified.store.migrate import migrate
from unified.store.readers import granted, roles
from unified.store.server import embedded
from unified.store.server.urls import beside
from unified.store.workspaces import workspaces


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def let_in(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


async def test_readers_alone_come_in_with_their_passwords(folder: Path) -> None:
    port = free_port()
    assert embedded.listens_at(folder) is None
    embedded.listen(folder, port)
    url = embedded.start(folder)
    assert embedded.listens_at(folder) == port
    migrate(url, connectors())
    place = f"postgresql://127.0.0.1:{port}/unified"
    async with Database.open(url) as db:
        workspace = await workspaces.create(db, "acme")
        password = (await granted.grant(db, workspace.id, "bi")).reveal()
    with psycopg.connect(roles.url_of(place, "bi", password)) as conn:
        assert conn.execute("SELECT session_user, count(*) FROM customers").fetchone() == ("bi", 0)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE ROLE somebody LOGIN PASSWORD 'fake'")
        admin.execute("ALTER ROLE postgres PASSWORD 'fake'")
    for user, secret in (("bi", "wrong"), ("bi", None), ("somebody", "fake"), ("postgres", "fake")):
        assert not let_in(roles.url_of(place, user, secret)), user
    assert not let_in(roles.url_of(beside(place, "postgres"), "bi", password)), "another database"
    assert let_in(url), "by the socket as before"


def test_it_does_not_listen_unless_it_was_asked_to(folder: Path) -> None:
    port = free_port()
    embedded.listen(folder, port)
    embedded.listen(folder, None)
    url = embedded.start(folder)
    assert embedded.listens_at(folder) is None
    with psycopg.connect(beside(url, "postgres")) as conn:
        assert conn.execute("SHOW listen_addresses").fetchone() == ("",)


def test_one_that_runs_goes_on_as_it_is_and_is_revived_so(folder: Path) -> None:
    url = embedded.start(folder)
    embedded.listen(folder, free_port())
    embedded._joined[folder].cluster.stop()
    assert embedded.revive(url)
    assert let_in(beside(url, "postgres"))
    assert embedded.listens_at(folder) is None


def test_a_port_that_is_taken_is_said_and_can_be_given_up(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        embedded.listen(folder, port)
        with pytest.raises(UnreachableError, match=f"port {port} is taken: `unified db listen`"):
            embedded.start(folder)
    embedded.listen(folder, None)
    assert let_in(beside(embedded.start(folder), "postgres"))


@pytest.mark.parametrize("written", ["", "x", "0", "65536", "-1", "5432.5"])
def test_a_file_that_holds_no_port_is_refused(tmp_path: Path, written: str) -> None:
    (tmp_path / "postgres.port").write_text(written)
    with pytest.raises(HomeError, match=r"does not hold a port .* `unified db listen` writes it"):
        embedded.listening_port(tmp_path)
