"""The roles that transactions take on, and how a login comes to act as one. Migrations make them."""

from typing import Any

from psycopg import AsyncConnection

APP_ROLE = "unified_app"
SCHEDULER_ROLE = "unified_scheduler"
INGRESS_ROLE = "unified_ingress"
API_ROLE = "unified_api"
OWNER_ROLE = "unified_owner"
READER_ROLE = "unified_reader"

_SET_PER_GRANT = 160000


def may_act(server_version: int) -> str:
    """What ``pg_has_role`` is asked to find out whether SET ROLE works; a membership may exclude it from 16 on."""
    return "SET" if server_version >= _SET_PER_GRANT else "MEMBER"


def grant(conn: AsyncConnection[Any], role: str) -> str:
    """The statement that lets the login of a connection act as a role."""
    how = " WITH SET TRUE" if may_act(conn.info.server_version) == "SET" else ""
    return f"GRANT {role} TO {conn.info.user}{how}"
