"""Bringing a database up to this release: database, roles, tables, the connectors' partitions and catalogue.

Runs as an administrator's login (a superuser, or one with CREATEROLE that owns the database); the work itself
later runs as roles that own nothing. Everything here may be run again, and by several processes at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, errors, sql

from unified.store.database import (
    API_ROLE,
    APP_ROLE,
    CONNECT_SECONDS,
    INGRESS_ROLE,
    OWNER_ROLE,
    READER_ROLE,
    SCHEDULER_ROLE,
    beside,
    check_url,
    clear_errors,
)
from unified.store.errors import NewerDatabaseError, RoleError
from unified.store.migrations import FOLDER, HEAD
from unified.store.records import views

_ROLES = (OWNER_ROLE, APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE, READER_ROLE)
_INHERIT_PER_GRANT = 160000  # the server version that lets a grant give a role without its rights


@dataclass(frozen=True, slots=True)
class ConnectorEntry:
    """One connector of the catalogue: a row of ``connectors``.

    Attributes:
        name: As in ``@register_adapter``, e.g. ``stripe``.
        display_name: For people.
        capabilities: Of READ, WRITE, DELETE, WEBHOOK, BATCH.
        streams: Those that are polled.
        record_streams: Those, polled or delivered, that land in ``unified_records``: each has a view.
    """

    name: str
    display_name: str
    capabilities: Sequence[str]
    streams: Sequence[str]
    record_streams: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Where a database stands.

    Attributes:
        current: Its revision, or None where it has no tables yet.
        head: The revision that this release works with.
    """

    current: str | None
    head: str


def migrate(url: str, connectors: Sequence[ConnectorEntry]) -> list[str]:
    """Make a database what this release works with.

    Args:
        url: ``postgresql://`` URL of an administrator's login. The database is made if it is missing.
        connectors: Every connector there is: each gets its partitions, and those not named are switched off.

    Returns:
        The revisions applied, oldest first; empty where the tables were up to date.

    Raises:
        NewerDatabaseError: If the tables are those of a later release; nothing of them is changed.
        RoleError: If the login may not make the roles or grant them.
        ViewError: If the view of a stream can't be made or dropped.
        UnreachableError: If the server can't be reached.
    """
    ensure_database(url)
    with _administrator(url) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended('unified/migrate', 0))")
        _create_roles(connection)
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER_ROLE)))
        before = _revision(connection)
        if before and before > HEAD:
            raise NewerDatabaseError(connection.info.dbname, before, HEAD)
        applied = _upgrade(connection, before)
        connection.execute(
            sql.SQL("GRANT SELECT ON alembic_version TO {}, {}").format(
                sql.Identifier(APP_ROLE), sql.Identifier(SCHEDULER_ROLE)
            )
        )
        _register_connectors(connection, connectors)
    return applied


def status(url: str) -> MigrationStatus:
    """Say where a database stands, changing nothing.

    Args:
        url: ``postgresql://`` URL of a login that may act as the app.

    Raises:
        UnreachableError: If the server or the database can't be reached.
    """
    with _administrator(url) as connection:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (APP_ROLE,)).fetchone():
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(APP_ROLE)))
        return MigrationStatus(_revision(connection), HEAD)


def ensure_database(url: str) -> None:
    """Make the database that a URL names, where it does not exist yet.

    Args:
        url: ``postgresql://`` URL; its login needs CREATEDB only if the database is missing.

    Raises:
        UnreachableError: If the server can't be reached or refuses to make it.
    """
    name = psycopg.conninfo.conninfo_to_dict(check_url(url))["dbname"]
    try:
        psycopg.connect(url, connect_timeout=CONNECT_SECONDS).close()
    except psycopg.OperationalError:
        # libpq gives a failed login no error code; whether the database is there is for the server to say.
        with _administrator(beside(url, "postgres")) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if found is None:
                # Another process may be quicker.
                with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(name))))


@contextmanager
def _administrator(url: str) -> Iterator[Connection[Any]]:
    with clear_errors("preparing the database"):
        try:
            with psycopg.connect(
                check_url(url), connect_timeout=CONNECT_SECONDS, autocommit=True
            ) as connection:
                yield connection
        except errors.InsufficientPrivilege as error:
            msg = (
                f"preparing the database: the login may not do that ({error.diag.message_primary}); run "
                "`unified migrate` as a superuser, or as a login that has CREATEROLE and owns the database"
            )
            raise RoleError(msg) from error


def _create_roles(connection: Connection[Any]) -> None:
    """Make the roles, as far as the server has them not yet, and let this login take them on."""
    for role in _ROLES:
        try:
            connection.execute(
                sql.SQL("CREATE ROLE {} NOLOGIN NOSUPERUSER NOBYPASSRLS NOINHERIT").format(
                    sql.Identifier(role)
                )
            )
        except (errors.DuplicateObject, errors.UniqueViolation):
            pass
        except errors.InsufficientPrivilege:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                raise
        if role != READER_ROLE:  # nobody acts as it: logins are members
            _grant_to_login(connection, role)
    database = sql.Identifier(connection.info.dbname)
    connection.execute(
        sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {}").format(sql.Identifier(OWNER_ROLE))
    )
    # PostgreSQL only warns where a grant had no effect.
    may_create = connection.execute("SELECT has_schema_privilege(%s, 'public', 'CREATE')", (OWNER_ROLE,))
    if may_create.fetchone() != (True,):
        msg = (
            f"the login can't let {OWNER_ROLE} make tables; as an administrator of "
            f"{connection.info.dbname}: GRANT CREATE ON SCHEMA public TO {OWNER_ROLE}"
        )
        raise RoleError(msg)
    # Each session stages its batches in temporary tables.
    connection.execute(
        sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(APP_ROLE))
    )


def _grant_to_login(connection: Connection[Any], role: str) -> None:
    """Let the login act as ``role``; where the server can, only by an explicit SET ROLE."""
    by_set_only = connection.info.server_version >= _INHERIT_PER_GRANT
    may_act = connection.execute(
        "SELECT rolsuper OR pg_has_role(%s, %s) FROM pg_roles WHERE rolname = session_user",
        (role, "SET" if by_set_only else "MEMBER"),
    ).fetchone()
    if may_act is None or not may_act[0]:
        how = sql.SQL(" WITH INHERIT FALSE, SET TRUE" if by_set_only else "")
        with suppress(errors.UniqueViolation):  # another process may be quicker
            connection.execute(sql.SQL("GRANT {} TO SESSION_USER{}").format(sql.Identifier(role), how))


def _revision(connection: Connection[Any]) -> str | None:
    if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return str(row[0]) if row else None


def _upgrade(connection: Connection[Any], before: str | None) -> list[str]:
    """Run the missing revisions, each in a transaction of its own."""
    # Half a second to import, for what nearly no command needs.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import StaticPool  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    missing = [
        script.revision
        for script in ScriptDirectory.from_config(config).walk_revisions()
        if before is None or script.revision > before
    ]
    if missing:
        connection.autocommit = False
        engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
        try:
            with engine.connect() as handle:
                config.attributes["connection"] = handle
                command.upgrade(config, "head")
        except DBAPIError as error:
            raise (error.orig or error) from None
        connection.autocommit = True
    return missing[::-1]


def _register_connectors(connection: Connection[Any], connectors: Sequence[ConnectorEntry]) -> None:
    with connection.transaction():
        views.follow(connection, {entry.name: entry.record_streams for entry in connectors})
        for entry in connectors:
            connection.execute(
                """
                INSERT INTO connectors AS c (name, display_name, capabilities, streams, record_streams)
                VALUES (%s, %s, %s, %s, %s)
                ON CONFLICT (name) DO UPDATE SET
                    display_name = excluded.display_name, capabilities = excluded.capabilities,
                    streams = excluded.streams, record_streams = excluded.record_streams, is_enabled = true,
                    updated_at = now()
                WHERE (c.display_name, c.capabilities, c.streams, c.record_streams, c.is_enabled)
                    IS DISTINCT FROM (excluded.display_name, excluded.capabilities, excluded.streams,
                        excluded.record_streams, true)
                """,
                (
                    entry.name,
                    entry.display_name,
                    list(entry.capabilities),
                    list(entry.streams),
                    list(entry.record_streams),
                ),
            )
            connection.execute("CALL create_source_partitions(%s)", (entry.name,))
        connection.execute(
            """
            UPDATE connectors SET is_enabled = false, record_streams = '{}', updated_at = now()
            WHERE is_enabled AND name <> ALL(%s)
            """,
            ([entry.name for entry in connectors],),
        )
