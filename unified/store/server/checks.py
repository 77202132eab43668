"""What a database must be before it is used: not behind a pooler of transactions, recent, migrated, and isolated."""

from typing import Any

from psycopg import AsyncConnection, errors

from unified.store import poolers
from unified.store.errors import (
    NewerDatabaseError,
    NotMigratedError,
    RestoredError,
    RoleError,
    ServerVersionError,
)
from unified.store.migrations import HEAD
from unified.store.restored import SAID, is_restored
from unified.store.server.failures import clear_errors
from unified.store.server.roles import API_ROLE, APP_ROLE, INGRESS_ROLE, SCHEDULER_ROLE, grant, may_act

OLDEST_SERVER = 15
"""Major version of PostgreSQL."""

_WORKING_ROLES = (APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE)


async def refuse_pooler(connection: AsyncConnection[Any], url: str) -> None:
    """Refuse one that shares sessions, before all else: its next client inherits all settings of a session."""
    await connection.set_autocommit(True)
    row = await (await connection.execute(poolers.SERVING)).fetchone()
    await connection.set_autocommit(False)
    if row != (connection.info.backend_pid,):  # something stands between
        with clear_errors("opening the database"):
            await poolers.refuse_shared_sessions(url)


async def check(connection: AsyncConnection[Any]) -> None:
    """See that the database is what the rest takes for granted."""
    if connection.info.server_version < OLDEST_SERVER * 10000:
        msg = (
            f"PostgreSQL {connection.info.server_version // 10000} is too old: "
            f"DATABASE_URL must lead to version {OLDEST_SERVER} or newer"
        )
        raise ServerVersionError(msg)
    roles = await (
        await connection.execute(
            """
            SELECT rolname, rolsuper OR rolbypassrls, pg_has_role(oid, %(may_act)s)
            FROM pg_roles WHERE rolname = ANY(%(roles)s) ORDER BY array_position(%(roles)s, rolname::text)
            """,
            {"roles": list(_WORKING_ROLES), "may_act": may_act(connection.info.server_version)},
        )
    ).fetchall()
    if len(roles) < len(_WORKING_ROLES):
        msg = "this PostgreSQL server has no tables of Unified Assets yet; run `unified migrate`"
        raise NotMigratedError(msg)
    for role, is_unbound, is_member in roles:
        if is_unbound:
            msg = f"role {role} is a superuser or has BYPASSRLS and would see every workspace; take that away"
            raise RoleError(msg)
        if not is_member:
            msg = (
                f"{connection.info.user} can't act as {role}; as an administrator: {grant(connection, role)}"
            )
            raise RoleError(msg)
    try:
        await connection.execute("SELECT set_config('role', %s, true)", (APP_ROLE,))
        row = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
    except (errors.UndefinedTable, errors.InsufficientPrivilege):
        row = None
    check_revision(connection, row)
    await connection.execute("SELECT set_config('role', %s, true)", (SCHEDULER_ROLE,))
    if await is_restored(connection):
        raise RestoredError(f"the database {connection.info.dbname} can't be used yet: {SAID}")


def check_revision(connection: AsyncConnection[Any], row: tuple[str] | None) -> None:
    """See that the tables are those of this release; they may be migrated while this process runs."""
    if row and row[0] > HEAD:
        raise NewerDatabaseError(connection.info.dbname, row[0], HEAD)
    if row is None or row[0] != HEAD:
        msg = (
            f"the database {connection.info.dbname} is at revision {row[0] if row else 'none'}, "
            f"this release needs {HEAD}; run `unified migrate`"
        )
        raise NotMigratedError(msg)
