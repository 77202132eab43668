"""Bringing a database up to this release: database, roles, tables, the connectors' partitions and catalogue.

Runs as an administrator's login (a superuser, or one with CREATEROLE that owns the database); the work itself
later runs as roles that own nothing. Everything here may be run again, and by several processes at once.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, errors, sql

from unified.store import poolers
from unified.store.connectors import catalogue
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.errors import InvalidSettingError, NewerDatabaseError, RoleError
from unified.store.migrations import FOLDER, HEAD
from unified.store.readers import doors
from unified.store.records.views.streams import DATA_SCHEMA
from unified.store.restored import renumber
from unified.store.server.failures import clear_errors
from unified.store.server.roles import (
    API_ROLE,
    APP_ROLE,
    INGRESS_ROLE,
    OWNER_ROLE,
    READER_ROLE,
    SCHEDULER_ROLE,
    may_act,
)
from unified.store.server.urls import beside, check_url
from unified.store.sessions import link_settings

_logger = logging.getLogger(__name__)

_ROLES = (OWNER_ROLE, APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE, READER_ROLE)

UTC_NAMES = ("UTC", "Etc/UTC")
"""Time zones that a database of Dagster's may have."""


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
        connectors: Every connector of a package: each gets its partitions, and those not named are switched off. So do
            those of installed documents, which the catalogue knows.

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
        _lock(connection)
        _create_roles(connection)
        _let_work(connection)
        doors.close(connection)
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER_ROLE)))
        before = _revision(connection)
        if before and before > HEAD:
            raise NewerDatabaseError(connection.info.dbname, before, HEAD)
        applied = [] if before == HEAD else _upgrade(connection, before)
        connection.execute(
            sql.SQL("GRANT SELECT ON alembic_version TO {}, {}").format(
                sql.Identifier(APP_ROLE), sql.Identifier(SCHEDULER_ROLE)
            )
        )
        catalogue.follow(connection, [*connectors, *catalogue.documents(connection)])
        _take_over(connection)
    return applied


def register_document(url: str, entry: ConnectorEntry) -> None:
    """Give the connector of a document, new or of another version, its place in the catalogue, partitions and views.

    Args:
        url: ``postgresql://`` URL of a login that may act as the tables' owner.
        entry: The connector. Nobody sees it before its document is stored.

    Raises:
        RoleError: If the login may not.
        ViewError: If the view of a stream can't be made or dropped.
        UnreachableError: If the server can't be reached.
    """
    with _owner(url) as connection:
        kept = [known for known in catalogue.documents(connection) if known.name != entry.name]
        catalogue.follow(connection, [*catalogue.packaged(connection), *kept, entry])


def retire_documents(url: str) -> None:
    """Switch connectors off whose documents nobody has any more; raises as :func:`register_document`."""
    with _owner(url) as connection:
        catalogue.follow(connection, [*catalogue.packaged(connection), *catalogue.documents(connection)])


@contextmanager
def _owner(url: str) -> Iterator[Connection[Any]]:
    with _administrator(url) as connection:
        _lock(connection)
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER_ROLE)))
        yield connection


def create_roles(url: str) -> None:
    """Make the roles that own the tables and work with them, as far as the server has them not yet.

    Args:
        url: ``postgresql://`` URL of any database on the server, for an administrator's login.

    Raises:
        RoleError: If the login may not make the roles or grant them.
        UnreachableError: If the server can't be reached.
    """
    with _administrator(url) as connection:
        _create_roles(connection)


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
        psycopg.connect(url, **link_settings(url)).close()
    except psycopg.OperationalError:
        # libpq gives a failed login no error code; whether the database is there is for the server to say.
        with _administrator(beside(url, "postgres")) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if found is None:
                # Another process may be quicker.
                with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(name))))


def set_utc(url: str) -> None:
    """Have the sessions of a database work in UTC, as Dagster's storage needs.

    Dagster writes times with a zone into columns without one, and reads them as UTC.

    Args:
        url: ``postgresql://`` URL.

    Raises:
        InvalidSettingError: If something outside of the database sets another zone.
        UnreachableError: If the server can't be reached.
    """
    zone = _zone(url)
    if zone in UTC_NAMES:
        return
    with _administrator(url) as connection:
        name = sql.Identifier(connection.info.dbname)
        with suppress(errors.InsufficientPrivilege):  # not its owner
            connection.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'UTC'").format(name))
        # What is set for a login comes before what is set for a database.
        connection.execute(
            sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET timezone = 'UTC'").format(name)
        )
    if (zone := _zone(url)) not in UTC_NAMES:
        msg = f"Dagster's storage works in the time zone {zone} instead of UTC; unset PGTZ, or take it out of the URL"
        raise InvalidSettingError(msg)


def _zone(url: str) -> str:
    with _administrator(url) as connection:
        row = connection.execute("SELECT current_setting('TimeZone')").fetchone()
        assert row is not None  # noqa: S101 - SELECT of an expression gives one row
        return str(row[0])


@contextmanager
def _administrator(url: str) -> Iterator[Connection[Any]]:
    with clear_errors("preparing the database"):
        try:
            with psycopg.connect(check_url(url), autocommit=True, **link_settings(url)) as connection:
                _refuse_pooler(connection, url)
                try:
                    yield connection
                finally:
                    # A pooler may hand the session on to somebody else.
                    with suppress(psycopg.Error):
                        connection.rollback()
                        connection.execute("RESET ROLE")
        except errors.InsufficientPrivilege as error:
            msg = (
                f"preparing the database: the login may not do that ({error.diag.message_primary}); run "
                "`unified migrate` as a superuser, or as a login that has CREATEROLE and owns the database"
            )
            raise RoleError(msg) from error


def _refuse_pooler(connection: Connection[Any], url: str) -> None:
    if connection.execute(poolers.SERVING).fetchone() != (connection.info.backend_pid,):
        # A thread of its own: this one may have a loop already.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, poolers.refuse_shared_sessions(url)).result()


def _create_roles(connection: Connection[Any]) -> None:
    """Make the roles, as far as the server has them not yet, and let this login take them on."""
    refused = []
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
        # Nobody acts as the reader: logins are members.
        if role != READER_ROLE and not _let_act(connection, role):
            refused.append(role)
    if refused:
        login, names = connection.info.user, ", ".join(refused)
        how = "WITH ADMIN OPTION, INHERIT FALSE, SET TRUE" if _has_set(connection) else "WITH ADMIN OPTION"
        msg = (
            f"preparing the database: {login} can't act as {names}, made by another login of this server, for which "
            f"CREATEROLE is not enough; as that login or a superuser: GRANT {names} TO {login} {how}; then run "
            "`unified migrate` again"
        )
        raise RoleError(msg)


def _let_work(connection: Connection[Any]) -> None:
    """Give the roles what they need in this database."""
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
    _create_data_schema(connection)
    # Each session stages its batches in temporary tables.
    connection.execute(
        sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(APP_ROLE))
    )
    connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(READER_ROLE))
    )


def _create_data_schema(connection: Connection[Any]) -> None:
    """Make the schema of the views for readers. Only what owns the database may add a schema to it."""
    schema, owner = sql.Identifier(DATA_SCHEMA), sql.Identifier(OWNER_ROLE)
    found = connection.execute(
        "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = %s", (DATA_SCHEMA,)
    ).fetchone()
    if found is None:
        with suppress(errors.DuplicateSchema, errors.UniqueViolation):  # another process was quicker
            connection.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(schema, owner))
    elif found[0] != OWNER_ROLE:
        msg = (
            f"preparing the database: {connection.info.dbname} has a schema {DATA_SCHEMA} of {found[0]}, and the "
            "views for readers need that name; rename it, or give Unified Assets a database of its own"
        )
        raise RoleError(msg)
    reader = sql.Identifier(READER_ROLE)
    connection.execute(sql.SQL("SET ROLE {}").format(owner))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, reader))
    connection.execute("RESET ROLE")


def _lock(connection: Connection[Any]) -> None:
    """Keep two migrations apart, until the connection ends."""
    may_lock = connection.execute("SELECT has_function_privilege('pg_advisory_lock(bigint)', 'EXECUTE')")
    if may_lock.fetchone() != (True,):
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER_ROLE)))
    connection.execute("SELECT pg_advisory_lock(hashtextextended('unified/migrate', 0))")
    connection.execute("RESET ROLE")


def _let_act(connection: Connection[Any], role: str) -> bool:
    """Let the login act as ``role``, only by an explicit SET ROLE where the server can; False if it may not be."""
    able = connection.execute(
        "SELECT rolsuper OR pg_has_role(%s, %s) FROM pg_roles WHERE rolname = session_user",
        (role, may_act(connection.info.server_version)),
    ).fetchone()
    if able is None or not able[0]:
        how = sql.SQL(" WITH INHERIT FALSE, SET TRUE" if _has_set(connection) else "")
        try:
            connection.execute(sql.SQL("GRANT {} TO SESSION_USER{}").format(sql.Identifier(role), how))
        except errors.UniqueViolation:
            pass  # another process was quicker
        except errors.InsufficientPrivilege:
            return False  # from PostgreSQL 16 on CREATEROLE is not enough for roles that another login made
    return True


def _has_set(connection: Connection[Any]) -> bool:
    """Whether a grant may give a role without its rights."""
    return may_act(connection.info.server_version) == "SET"


def _revision(connection: Connection[Any]) -> str | None:
    if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() == (None,):
        return None
    row = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return str(row[0]) if row else None


def _upgrade(connection: Connection[Any], before: str | None) -> list[str]:
    """Run the missing revisions, each in a transaction of its own."""
    # Half a second to import, for what is due once a release.
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


def _take_over(connection: Connection[Any]) -> None:
    """Number the positions anew where they are of another server. Only the scheduler's role sees them all."""
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(SCHEDULER_ROLE)))
    is_foreign = connection.execute("SELECT positions_are_foreign()").fetchone() == (True,)
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER_ROLE)))
    if is_foreign:
        renumber(connection)
        _logger.warning(
            "the database was restored from a dump of another server: its positions are numbered anew, and routes and "
            "identities look at all customers again"
        )
