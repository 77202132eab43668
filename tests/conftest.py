"""Fixtures shared by all rooms: one PostgreSQL server per test session, one fresh database per test.

A database is migrated once and then copied, which takes a tenth of a second. Set ``TEST_DATABASE_URL`` to run
the same tests on another server (a superuser's URL; the databases that tests make begin with ``test_``).
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from unified.store.connectors.catalogue import ConnectorEntry
    from unified.store.database import Database
    from unified.store.records.tables import StreamKey

# Where compiled modules may not be kept, each process that a test starts would compile all it imports, for seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Nothing is asked for beyond this machine. Each client of httpx would read all certificate authorities, for 30 ms; in
# this folder it finds none, wherever the machine keeps its own.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)

AddWorkspace = Callable[[str], Awaitable[UUID]]
AddConnection = Callable[..., Awaitable[UUID]]

# Tests with a database, a folder or commands; and modules that start processes or servers, or try many examples.
_SLOW_FIXTURES = {"server_url", "unified", "tmp_path", "tmp_path_factory"}
_SLOW_IMPORTS = {"subprocess", "conformance", "given", "SandboxServer", "splink", "dg"}
# Nothing here has to outlive a power cut; and a log that is read by nobody is kept short.
FORGETFUL = ("fsync = off", "max_wal_size = '128MB'")
_ROOM = 2 * 1024**3
"""Bytes: a server takes a tenth of a gigabyte, each of these processes may have several."""
_OWN_FOLDER = pytest.StashKey[Path]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three processes a core, at most six: half of the time, a test waits for a process or a server.

    On two cores, six take 7 % less time than four and leave no core idle.
    """
    return min(6, 3 * (os.cpu_count() or 1))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give each session a folder of its own.

    Sessions of one user share ``/tmp/pytest-of-USER``, which each closes to everybody else as it begins. Where they
    run as root, the PostgreSQL of another one, whose user is not root, then no longer gets to its own files.
    """
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        config.stash[_OWN_FOLDER] = Path(tempfile.mkdtemp(prefix="unified-tests-"))
        config.option.basetemp = str(config.stash[_OWN_FOLDER])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep that folder after a failure only."""
    if (folder := session.config.stash.get(_OWN_FOLDER, None)) and exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among what is imported and collected, then or later: it takes a fifth of the time.

    And seldom among the rest, which takes a twentieth more: a test leaves little.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Mark as ``quick`` what tests plain functions: the lane to run while writing code. Put long files first.

    Processes take files in this order. One that is taken last and needs minutes leaves all others without work.
    """
    if hasattr(config, "workerinput"):
        tests = Counter(item.path for item in items)
        items.sort(key=lambda item: (-_seconds(item), -tests[item.path]))
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and not iscoroutinefunction(item.function)
            and not _SLOW_FIXTURES & set(item.fixturenames)
            and not _SLOW_IMPORTS & vars(item.module).keys()
        ):
            item.add_marker("quick")


def _seconds(item: pytest.Item) -> int:
    """How long the file takes, where it says so."""
    marker = item.get_closest_marker("long")
    return int(marker.args[0]) if marker else 0


# Nothing here imports the product before a test needs it: tests of plain functions start in a moment.
def connectors() -> list[ConnectorEntry]:
    """Two connectors as the catalogue has them, whatever the adapters are today."""
    from unified.store.connectors.catalogue import ConnectorEntry  # noqa: PLC0415

    stripe = ("READ", "WRITE", "DELETE", "WEBHOOK"), ("customers", "invoices", "events")
    hubspot = ("READ", "WRITE", "DELETE", "BATCH"), ("customers", "invoices")
    return [ConnectorEntry("stripe", "Stripe", *stripe), ConnectorEntry("hubspot", "HubSpot", *hubspot)]


def add_generic_webhook(url: str) -> None:
    """Have a migrated database know the generic webhook as well."""
    from unified.store.connectors.catalogue import ConnectorEntry  # noqa: PLC0415
    from unified.store.migrate import migrate  # noqa: PLC0415

    migrate(url, [*connectors(), ConnectorEntry("webhook", "Generic webhook", ["WEBHOOK"], [])])


@pytest.fixture(autouse=True)
def _no_document_stays() -> Iterator[None]:
    """No test knows of the connector documents of another one's database."""
    yield
    if installed := sys.modules.get("unified.store.connectors.installed"):
        installed.forget()


@pytest.fixture(scope="session")
def quick_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for servers, in memory where the system offers that.

    A database is 600 files. Copying them costs 0.03 s of processor time in memory, and 0.05 to 0.4 s on a disk, the
    more the busier that is.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a folder is made in it
    if not memory.is_dir() or shutil.disk_usage(memory).free < _ROOM:
        yield tmp_path_factory.mktemp("servers")
        return
    folder = Path(tempfile.mkdtemp(prefix="unified-tests-", dir=memory))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server_url(quick_folder: Path) -> Iterator[str]:
    """A superuser's URL of a running server; its database is of no use by itself."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield url
        return
    from unified.store.server import embedded  # noqa: PLC0415

    folder = quick_folder / "shared"
    folder.mkdir()
    url = embedded.start(folder)
    execute(
        _beside(url, "postgres"), *(f"ALTER SYSTEM SET {one}" for one in FORGETFUL), "SELECT pg_reload_conf()"
    )
    yield url
    embedded.leave(folder)


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """Name of a migrated database that nobody is connected to."""
    from unified.store.migrate import migrate  # noqa: PLC0415

    name = f"test_template_{uuid4().hex[:8]}"
    migrate(_beside(server_url, name), connectors())
    yield name
    execute(_beside(server_url, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def migrated_database(server_url: str, template: str) -> Iterator[str]:
    """A superuser's URL of a new database, migrated, for the length of a block."""
    name = f"test_{uuid4().hex[:12]}"
    # By files: many databases by way of the log, the default, would be more than a disk takes at that pace.
    create = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
    execute(_beside(server_url, "postgres"), create)
    yield _beside(server_url, name)
    if "resources.kept" in sys.modules:
        sys.modules["resources.kept"].close()
    execute(_beside(server_url, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A superuser's URL of a migrated database of the test's own."""
    with migrated_database(server_url, template) as url:
        yield url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """That database, open."""
    from unified.store.database import Database  # noqa: PLC0415

    async with Database.open(database_url) as opened:
        yield opened


@pytest.fixture
def add_workspace(database: Database) -> AddWorkspace:
    """Adds a workspace of a given slug and returns its id."""

    async def add(slug: str) -> UUID:
        workspace_id = uuid4()
        async with database.workspace(workspace_id) as connection:
            await connection.execute(
                "INSERT INTO workspaces (id, slug, name) VALUES (%s, %s, %s)", (workspace_id, slug, slug)
            )
        return workspace_id

    return add


@pytest.fixture
def add_connection(database: Database) -> AddConnection:
    """Adds a connection named like its connector to a workspace and returns its id."""

    async def add(workspace_id: UUID, connector: str = "stripe") -> UUID:
        connection_id = uuid4()
        async with database.workspace(workspace_id) as connection:
            await connection.execute(
                "INSERT INTO connector_configs (id, workspace_id, connector, name) VALUES (%s, %s, %s, %s)",
                (connection_id, workspace_id, connector, connector),
            )
        return connection_id

    return add


@pytest_asyncio.fixture
async def workspace(add_workspace: AddWorkspace) -> UUID:
    """The workspace acme."""
    return await add_workspace("acme")


@pytest_asyncio.fixture
async def stream(workspace: UUID, add_connection: AddConnection) -> StreamKey:
    """The customers of a Stripe connection of that workspace."""
    from unified.schema.entities import CUSTOMERS  # noqa: PLC0415
    from unified.store.records.tables import StreamKey  # noqa: PLC0415

    return StreamKey(workspace, await add_connection(workspace, "stripe"), "stripe", CUSTOMERS, "customers")


def execute(url: str, *statements: str) -> None:
    """Run statements as the login of ``url``, each by itself."""
    import psycopg  # noqa: PLC0415

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _beside(url: str, database: str) -> str:
    from unified.store.server.urls import beside  # noqa: PLC0415

    return beside(url, database)
