"""Dagster's storage on kept connections: how many it opens, a restart of the database, forks, parameters of the URL.

These notice a release of dagster-postgres that takes its connections from elsewhere.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
import pytest
import yaml
from sqlalchemy import event

from resources import storage
from resources.storage import PooledStorage, one_transaction
from tests.conftest import execute
from unified.store.migrate import ensure_database
from unified.store.server.urls import beside

ROOT = Path(__file__).parents[2]
_THREADS = 8


@pytest.fixture(scope="module")
def url(server_url: str) -> Iterator[str]:
    """A superuser's URL of an empty database for Dagster's storage."""
    name = f"test_{uuid4().hex[:12]}_dagster"
    url = beside(server_url, name)
    ensure_database(url)
    yield url
    execute(beside(server_url, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def open_instance(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], AbstractContextManager[dg.DagsterInstance]]:
    """Opens an instance as dagster.yaml has it, as each tick of a sensor and each run does."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", for_dagster(url))
    shipped = yaml.safe_load((ROOT / "unified_assets" / "dagster.yaml").read_text())
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": shipped["storage"]}))
    return lambda: dg.DagsterInstance.from_config(str(tmp_path))


def for_dagster(url: str) -> str:
    return f"postgresql+psycopg2://{url.partition('://')[2]}"


def use(instance: dg.DagsterInstance) -> None:
    """Read and write in each of the three storages."""
    instance.get_run_records(limit=1)
    instance.report_runless_asset_event(dg.AssetMaterialization("customers"))
    instance.all_instigator_state()
    instance.add_dynamic_partitions("connections", ["acme/stripe"])
    assert instance.get_dynamic_partitions("connections") == ["acme/stripe"]


def sessions(url: str) -> set[int]:
    """Processes of the server that have a client in this database, but for the one that asks."""
    with psycopg.connect(url) as conn:
        found = conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in found}


def test_instances_share_connections(
    url: str, open_instance: Callable[[], AbstractContextManager[dg.DagsterInstance]]
) -> None:
    with open_instance() as instance:
        use(instance)
    first = sessions(url)
    assert 1 <= len(first) <= 2, "one thread needs a connection, and one more where a call is made of two"
    for _ in range(3):
        with open_instance() as instance:
            use(instance)
    assert sessions(url) == first


def test_threads_have_a_connection_each(
    url: str, open_instance: Callable[[], AbstractContextManager[dg.DagsterInstance]]
) -> None:
    with open_instance() as instance, ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(use, [instance] * 5 * _THREADS))
        assert 1 <= len(sessions(url)) <= 4, "what a burst opened beyond that is closed again"


def test_a_restart_of_the_database_is_not_noticed(
    url: str, open_instance: Callable[[], AbstractContextManager[dg.DagsterInstance]]
) -> None:
    with open_instance() as instance:
        use(instance)
        before = sessions(url)
        assert before
        for pid in before:  # as a restart leaves them: closed by the server
            execute(url, f"SELECT pg_terminate_backend({pid}, 10000)")
        use(instance)
        assert sessions(url).isdisjoint(before)


def test_a_use_asks_the_database_for_nothing_beside(
    url: str, open_instance: Callable[[], AbstractContextManager[dg.DagsterInstance]]
) -> None:
    """Neither whether it is there, nor which tables it has: an idle daemon would ask little else."""
    asked: list[str] = []
    with open_instance() as instance:
        use(instance)
    engine = storage._engine(for_dagster(url), None)
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with open_instance() as instance:  # as the next tick does
        use(instance)
    assert asked
    catalogues = ("pg_class", "pg_attribute", "pg_tables", "information_schema")
    assert not [
        one for one in asked if any(name in one for name in catalogues) or one.strip() in ("", "SELECT 1")
    ]


def test_events_of_a_block_are_stored_together_or_not_at_all(
    url: str, open_instance: Callable[[], AbstractContextManager[dg.DagsterInstance]]
) -> None:
    def stored() -> int:
        with psycopg.connect(url) as conn:
            (found,) = conn.execute("SELECT count(*) FROM event_logs").fetchone() or (0,)
        return int(found)

    def report(instance: dg.DagsterInstance) -> None:
        instance.report_runless_asset_event(dg.AssetMaterialization("customers", tags={"dagster/x": "1"}))
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=dg.AssetKey("customers"), check_name="money", passed=True)
        )

    def fail(instance: dg.DagsterInstance) -> None:
        with one_transaction(instance):
            report(instance)
            raise ZeroDivisionError

    with open_instance() as instance:
        before = stored()
        with pytest.raises(ZeroDivisionError):
            fail(instance)
        assert stored() == before
        with one_transaction(instance):
            report(instance)
            assert stored() == before
        assert stored() == before + 2
        report(instance)
        assert stored() == before + 4, "and by themselves after that"


def test_a_forked_child_opens_its_own(
    url: str, open_instance: Callable[[], AbstractContextManager[dg.DagsterInstance]]
) -> None:
    with open_instance() as instance:
        use(instance)
        before = sessions(url)
        child = os.fork()
        if child == 0:
            try:
                use(instance)
                os._exit(0 if len(sessions(url)) > len(before) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        use(instance)
        assert sessions(url) == before


@pytest.mark.parametrize(
    ("parameters", "setting"),
    [
        ("options=-c%20search_path%3Ddagster", ("search_path", "dagster")),
        ("application_name=control%20room&sslmode=prefer", ("application_name", "control room")),
    ],
)
def test_parameters_of_the_url_hold(url: str, parameters: str, setting: tuple[str, str]) -> None:
    joint = "&" if "?" in url else "?"
    storage = PooledStorage(f"{for_dagster(url)}{joint}{parameters}", should_autocreate_tables=False)
    inner: Any = storage.run_storage
    with inner.connect() as connection:
        assert connection.exec_driver_sql(f"SHOW {setting[0]}").scalar() == setting[1]
