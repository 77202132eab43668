"""Bringing an installation up to this release: the database, Dagster's own database, Dagster's home folder.

The embedded database is nobody else's, so commands migrate it by themselves; a server of one's own is
migrated by `unified migrate`, `unified dev` and `unified demo` only.
"""

import os
import shutil
import tomllib
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import urlsplit

from unified.cli.output import say
from unified.store import migrate
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.errors import HomeError
from unified.store.server.embedded import home, home_path, is_made
from unified.store.server.urls import beside, database_url

DAGSTER_URL_VARIABLE = "DAGSTER_POSTGRES_URL"


def is_embedded() -> bool:
    """Whether the database is the embedded one."""
    return not os.environ.get("DATABASE_URL")


def say_what_begins() -> None:
    """Say that a new installation begins, where there is none yet: a mistyped UNIFIED_HOME would look like lost data.

    Raises:
        HomeError: If its folder can't be made.
    """
    if is_embedded() and not is_made():
        say(
            f"A new installation begins in {home()}. UNIFIED_HOME names another folder, DATABASE_URL a server."
        )


def refuse_missing() -> None:
    """Refuse to work on an installation that is not there, so that looking makes none.

    Raises:
        HomeError: If there is none.
    """
    if not is_embedded() or is_made():
        return
    folder = home_path()
    if folder.exists():
        home()  # says what is wrong with it, if anything
    msg = (
        f"there is no installation in {folder}: `unified demo`, `unified dev`, `unified workspaces add` or `unified "
        "connections add` begins one there; UNIFIED_HOME names another folder, DATABASE_URL a server"
    )
    raise HomeError(msg)


def ready_database(*, begins: bool = False) -> str:
    """URL of the database to work with, the embedded one brought up to date where that is due.

    Args:
        begins: Whether to make an installation where there is none.

    Raises:
        HomeError: If there is none, and none is to be made.
        StoreError: If the server does not start or can't be reached.
    """
    if begins:
        say_what_begins()
    else:
        refuse_missing()
    url = database_url()
    if is_embedded():
        migrate.ensure_database(url)
        state = migrate.status(url)
        if state.current != state.head:
            migrate_database(url)
    return url


def migrate_database(url: str) -> list[str]:
    """Bring a database up to this release, with a partition for every adapter that is installed.

    Args:
        url: Of an administrator's login.

    Returns:
        The revisions applied.
    """
    return migrate.migrate(url, packaged_connectors())


def packaged_connectors() -> list[ConnectorEntry]:
    """Every connector of an installed package, as the catalogue has it."""
    # Half a second, for a migration that is seldom due.
    from unified.kit.registry import packaged_adapters  # noqa: PLC0415

    return [ConnectorEntry.of(adapter) for adapter in packaged_adapters().values()]


def storage_url(url: str) -> str:
    """Where Dagster stores: what DAGSTER_POSTGRES_URL says, by default the database ``<name>_dagster`` beside ours.

    Args:
        url: Of the product's database.

    Returns:
        A URL of SQLAlchemy's, which names the driver: of a bare ``postgresql://`` SQLAlchemy 2.1 makes psycopg 3, which
        Dagster's storage is not written for (https://github.com/dagster-io/dagster/issues/33958).
    """
    if storage := os.environ.get(DAGSTER_URL_VARIABLE):
        return storage
    own = beside(url, f"{urlsplit(url).path.strip('/')}_dagster")
    return f"postgresql+psycopg2://{own.partition('://')[2]}"


def plain(url: str) -> str:
    """A URL of SQLAlchemy's as PostgreSQL's own programs read it: without the driver."""
    return f"postgresql://{url.partition('://')[2]}"


def prepare_dagster(url: str) -> None:
    """Make Dagster's home folder and database, have that work in UTC, and point this process and its children to them.

    Sets DAGSTER_HOME to a folder of the installation's own, and DAGSTER_POSTGRES_URL, unless it is set, to
    the database ``<name>_dagster`` on the same server.

    Args:
        url: Of the database to stand beside.

    Raises:
        StoreError: If the database can't be made.
    """
    folder = home() / "dagster"
    folder.mkdir(mode=0o700, exist_ok=True)
    with as_file(files("unified_assets") / "dagster.yaml") as settings:
        shutil.copyfile(settings, folder / "dagster.yaml")
    os.environ["UNIFIED_HOME"] = str(home())
    os.environ["DAGSTER_HOME"] = str(folder)
    storage = storage_url(url)
    migrate.ensure_database(plain(storage))
    os.environ[DAGSTER_URL_VARIABLE] = storage
    migrate.set_utc(plain(storage))


def upgrade_dagster() -> None:
    """Bring Dagster's own tables up to its release, or make them. Needs :func:`prepare_dagster` first."""
    from dagster import DagsterInstance  # noqa: PLC0415 - takes a second, and most commands do without

    with DagsterInstance.get() as instance:
        instance.upgrade()


def end_lost_runs() -> None:
    """Mark runs as failed that were under way when Dagster was stopped or killed, so that nothing waits for them.

    Dagster itself takes them for running until their time limit is over. Only for a caller that knows that no other
    Dagster runs on this storage. Needs :func:`prepare_dagster` first.
    """
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter  # noqa: PLC0415

    under_way = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    with DagsterInstance.get() as instance:
        for run in instance.get_runs(RunsFilter(statuses=under_way)):
            instance.report_run_failed(run, "its process ended with the Dagster that had started it")


def code_location(folder: Path) -> list[str]:
    """Where Dagster finds the definitions to load, as arguments of its command.

    Args:
        folder: Where it is started. A ``workspace.yaml`` there, or a ``[tool.dagster]`` in its ``pyproject.toml``,
            names definitions of the user's own, which include the product's (`unified init` writes it so).

    Returns:
        ``--workspace`` and a file, or nothing where Dagster reads the folder's ``pyproject.toml`` by itself.
    """
    workspace = folder / "workspace.yaml"
    if workspace.is_file():
        return ["--workspace", str(workspace)]
    project = folder / "pyproject.toml"
    if project.is_file() and "dagster" in tomllib.loads(project.read_text()).get("tool", {}):
        return []
    return ["--workspace", str(files("unified_assets") / "workspace.yaml")]
