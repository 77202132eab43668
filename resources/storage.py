"""Dagster's storage in PostgreSQL, on connections that a process keeps; ``dagster.yaml`` names the class.

dagster-postgres opens a connection for each call, hundreds in a run and dozens a second while nothing happens, so that
instances, of which a code server makes one for each tick, leave none behind. Here all instances of a process share a
pool. What is stored, and how, is dagster-postgres' own.
"""

import functools
import os
import select
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._serdes import ConfigurableClassData  # how dagster.yaml names a class
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import InvalidatePoolError

if TYPE_CHECKING:
    from dagster_postgres.auth import PgTokenProvider

# Kept by a process once they were needed; beyond that, as many as its threads use at once.
_KEPT = 4
# Not longer than firewalls and poolers leave an idle connection alone.
_SECONDS = 300

_engines: dict[str, Engine] = {}
_lock = threading.Lock()
# What of a database's tables was found to be there: its URL, the question, and what it named.
_found: set[tuple[str, ...]] = set()


class PooledStorage(DagsterPostgresStorage):
    """dagster-postgres' storage, with the same configuration, on the connections of this process.

    A connection that the server has closed is not used again, so that a restart of the database is not noticed.
    """

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,  # noqa: FBT002 - as in the base class
        inst_data: ConfigurableClassData | None = None,
        token_provider: "PgTokenProvider | None" = None,
    ) -> None:
        """Share the connections to ``postgres_url``. The first storage of a process looks for Dagster's tables."""
        is_first = postgres_url not in _engines
        super().__init__(postgres_url, should_autocreate_tables and is_first, inst_data, token_provider)
        self._run_storage = _Runs(postgres_url, False, None, token_provider)  # noqa: FBT003 - as above
        self._event_log_storage = _EventLog(postgres_url, False, None, token_provider)  # noqa: FBT003 - as above
        self._schedule_storage = _Schedules(postgres_url, False, None, token_provider)  # noqa: FBT003 - as above
        engine = _engine(postgres_url, token_provider)
        for storage in (self.run_storage, self.event_log_storage, self.schedule_storage):
            # No method takes an engine. tests/resources/test_storage.py notices where they keep it elsewhere.
            storage._engine = engine  # type: ignore[union-attr]  # noqa: SLF001

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledStorage":
        """Made of what ``dagster.yaml`` says below ``config``."""
        return cls(
            pg_url_from_config(config_value),
            bool(config_value.get("should_autocreate_tables", True)),
            inst_data,
            get_token_provider_from_config(config_value),
        )


def _once(ask: Callable[..., bool]) -> Any:
    """Have a process ask but once whether a table, a column or what a migration made is there: it stays.

    Dagster asks for each list of runs and for each tick, each time of a catalogue that a new session has to read anew.
    """

    @functools.wraps(ask)
    def asked(storage: Any, *arguments: Any) -> bool:
        names = (argument for argument in arguments if isinstance(argument, str))
        question = (storage.postgres_url, ask.__qualname__, *names)
        if question not in _found and ask(storage, *arguments):
            _found.add(question)
        return question in _found

    return asked


class _Runs(PostgresRunStorage):
    """dagster-postgres' runs."""

    has_run_stats_index_cols = _once(PostgresRunStorage.has_run_stats_index_cols)
    has_backfill_id_column = _once(PostgresRunStorage.has_backfill_id_column)


class _EventLog(PostgresEventLogStorage):
    """dagster-postgres' event log, which can store several events by one transaction."""

    has_table = _once(PostgresEventLogStorage.has_table)
    _has_asset_key_col_on_connection = _once(
        PostgresEventLogStorage._has_asset_key_col_on_connection  # noqa: SLF001 - of the class that it is in
    )

    def __init__(self, *arguments: Any) -> None:
        self._of_thread = threading.local()
        super().__init__(*arguments)

    @contextmanager
    def one_transaction(self) -> Iterator[None]:
        """Commit what this thread stores in the block at its end; nothing of it where the block fails."""
        with super()._connect() as conn:
            conn.execution_options(isolation_level="READ COMMITTED")  # of this use alone
            with conn.begin():
                self._of_thread.connection = conn
                try:
                    yield
                finally:
                    self._of_thread.connection = None

    def _connect(self) -> AbstractContextManager[Connection]:
        connection = getattr(self._of_thread, "connection", None)
        return super()._connect() if connection is None else nullcontext(connection)


class _Schedules(PostgresScheduleStorage):
    """dagster-postgres' schedules, sensors and ticks."""

    has_instigators_table = _once(PostgresScheduleStorage.has_instigators_table)
    _has_instigators_table = _once(PostgresScheduleStorage._has_instigators_table)  # noqa: SLF001 - as above
    has_built_index = _once(PostgresScheduleStorage.has_built_index)


def one_transaction(instance: dg.DagsterInstance) -> AbstractContextManager[None]:
    """Store the events that this thread reports in a block by one transaction; an event by itself takes some ten.

    Args:
        instance: Where they are reported to. One with another storage stores each by itself.
    """
    log = instance.event_log_storage
    return log.one_transaction() if isinstance(log, _EventLog) else nullcontext()


def _engine(url: str, token_provider: "PgTokenProvider | None") -> Engine:
    with _lock:
        if url not in _engines:
            _engines[url] = create_pg_engine(
                url,
                token_provider,
                isolation_level="AUTOCOMMIT",
                pool_size=_KEPT,
                max_overflow=-1,
                pool_recycle=_SECONDS,
                pool_use_lifo=True,
            )
            event.listen(_engines[url], "checkout", _refuse_closed)
        return _engines[url]


def _refuse_closed(connection: Any, *_: object) -> None:
    """Have a connection replaced that the server has closed, which its socket says without a question to the server.

    Asking at each use, as ``pool_pre_ping`` does, is half of what an idle daemon has PostgreSQL do.
    """
    socket = select.poll()
    socket.register(connection.fileno(), select.POLLIN)
    if socket.poll(0):
        msg = "PostgreSQL closed this connection"
        raise InvalidatePoolError(msg)


def _leave_to_parent() -> None:
    """In a forked child: the connections are the parent's."""
    global _lock  # noqa: PLW0603 - a thread of the parent's may hold it
    _lock = threading.Lock()
    for engine in _engines.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_leave_to_parent)
