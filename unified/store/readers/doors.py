"""What PostgreSQL lets every login do, and a reader must not: take our locks, hold up the inbox, fill the disk.

None of it leads to another workspace's rows; it may hold up the work for all of them. Only a superuser can close it.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, Connection

from unified.store.server.roles import (
    API_ROLE,
    APP_ROLE,
    INGRESS_ROLE,
    OWNER_ROLE,
    READER_ROLE,
    SCHEDULER_ROLE,
)

# Advisory locks are ours, and pg_locks shows their keys to everybody; a transaction with an id that stays open holds up
# the inbox (unified/store/inbox/horizon.py); large objects and messages in the server's log of changes take room
# (https://www.postgresql.org/docs/current/functions-admin.html).
_FUNCTIONS = """
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace AND (
        proname ~ '^pg_(try_)?advisory_(xact_)?lock' OR proname IN ('pg_current_xact_id', 'txid_current', 'lo_creat',
            'lo_create', 'lo_from_bytea', 'pg_logical_emit_message')
    )
"""
_WORKERS = (OWNER_ROLE, APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE)


def close(conn: Connection[Any]) -> None:
    """Leave all of that to the roles that work here, in this database.

    A superuser's login can do that. Where another one migrates, nothing changes, and `unified doctor` says how.

    Args:
        conn: An administrator's, in autocommit; the roles are there.
    """
    is_super = conn.execute("SELECT rolsuper FROM pg_roles WHERE rolname = session_user").fetchone()
    if is_super == (True,):
        functions = [row[0] for row in conn.execute(_FUNCTIONS).fetchall()]
        for statement in statements(functions, conn.info.dbname):
            conn.execute(statement.encode())


def statements(functions: Sequence[str], database: str) -> tuple[str, str, str]:
    """The statements of a superuser's that close them.

    Args:
        functions: Names with the types of their arguments.
        database: The name of this one.
    """
    names = ", ".join(functions)
    return (
        f"REVOKE EXECUTE ON FUNCTION {names} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {names} TO {', '.join(_WORKERS)}",
        f'REVOKE TEMPORARY ON DATABASE "{database}" FROM PUBLIC',
    )


async def left_open(conn: AsyncConnection[Any]) -> list[str]:
    """Those of these functions that a reader may call."""
    query = f"{_FUNCTIONS} AND has_function_privilege(%s, oid, 'EXECUTE') ORDER BY 1"
    rows = await conn.execute(query.encode(), (READER_ROLE,))
    return [row[0] for row in await rows.fetchall()]
