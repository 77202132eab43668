"""Who may do what in a database, as the doctor sees it: roles, the login, row level security, grants.

The other checks, and who calls these: `unified.store.doctor.examine`.
"""

from typing import Any

from psycopg import AsyncConnection

from unified.store.doctor.findings import Finding, Findings, ask
from unified.store.readers import doors
from unified.store.server.roles import (
    API_ROLE,
    APP_ROLE,
    INGRESS_ROLE,
    OWNER_ROLE,
    READER_ROLE,
    SCHEDULER_ROLE,
    grant,
    may_act,
)

_ROLES = (APP_ROLE, SCHEDULER_ROLE, INGRESS_ROLE, API_ROLE, READER_ROLE, OWNER_ROLE)

_TENANT_TABLES = """
    SELECT c.oid, c.relname, c.relrowsecurity AS is_enabled, c.relforcerowsecurity AS is_forced
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
        AND (a.attname = 'workspace_id' OR (c.relname = 'workspaces' AND a.attname = 'id'))
"""


async def roles(conn: AsyncConnection[Any]) -> Findings:
    """The roles are there, can do no more than they must, and the login may act as them."""
    found = {
        row[0]: row[1:]
        for row in await ask(
            conn,
            """
            SELECT rolname, rolsuper, rolbypassrls, rolcanlogin, pg_has_role(session_user, oid, %s),
                ARRAY(SELECT m.roleid::regrole::text FROM pg_auth_members AS m WHERE m.member = r.oid),
                EXISTS (SELECT FROM pg_class WHERE relowner = r.oid AND relnamespace = 'public'::regnamespace)
            FROM pg_roles AS r WHERE rolname = ANY(%s)
            """,
            may_act(conn.info.server_version),
            list(_ROLES),
        )
    }
    if missing := [role for role in _ROLES if role not in found]:
        yield Finding(
            "wrong", "roles", f"missing: {', '.join(missing)}; run `unified migrate` as an administrator"
        )
    for role, (is_super, bypasses, can_login, is_member, of, owns) in found.items():
        if is_super or bypasses:
            yield Finding(
                "wrong",
                "roles",
                f"{role} {'is a superuser' if is_super else 'has BYPASSRLS'} and sees every workspace's rows: "
                f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS",
            )
        if can_login:
            yield Finding("wrong", "roles", f"{role} can log in by itself: ALTER ROLE {role} NOLOGIN")
        if of:
            yield Finding(
                "wrong",
                "roles",
                f"{role} has the rights of {', '.join(of)} as well: REVOKE {of[0]} FROM {role}",
            )
        if owns and role != OWNER_ROLE:
            yield Finding(
                "wrong",
                "roles",
                f"{role} owns tables, and an owner can switch policies off: REASSIGN OWNED BY {role} TO {OWNER_ROLE}",
            )
        # Nobody acts as the reader: logins that are made for a question are members of it.
        if not is_member and role != READER_ROLE:
            yield Finding("wrong", "roles", f"the login can't act as {role}: {grant(conn, role)}")


async def login(conn: AsyncConnection[Any]) -> Findings:
    """The login of the services is not an administrator's, and its connection is encrypted."""
    ((is_super, bypasses, is_owner),) = await ask(
        conn,
        """
        SELECT rolsuper, rolbypassrls,
            EXISTS (SELECT FROM pg_class WHERE relowner = r.oid AND relnamespace = 'public'::regnamespace)
        FROM pg_roles AS r WHERE rolname = session_user
        """,
    )
    if is_super or bypasses or is_owner:
        what = "is a superuser" if is_super else "has BYPASSRLS" if bypasses else "owns tables"
        yield Finding(
            "advice",
            "login",
            f"{conn.info.user} {what}; let the services log in as one that only may act as the roles "
            "(docs/production.md), and keep this one for `unified migrate`",
        )
    ((is_encrypted,),) = await ask(
        conn, "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)"
    )
    host = conn.info.host
    if not is_encrypted and not host.startswith("/") and host not in ("localhost", "127.0.0.1", "::1"):
        yield Finding(
            "wrong",
            "login",
            f"the connection to {host} is not encrypted; add ?sslmode=verify-full to DATABASE_URL",
        )


async def isolation(conn: AsyncConnection[Any]) -> Findings:
    """Row level security is on and forced, each table has its policy, and no view goes around it."""
    tables = await ask(
        conn,
        f"""
        SELECT t.relname, t.is_enabled, t.is_forced,
            EXISTS (SELECT FROM pg_policies AS p
                WHERE p.schemaname = 'public' AND p.tablename = t.relname AND p.cmd = 'ALL' AND %s = ANY(p.roles)
                    AND p.qual LIKE '%%current_workspace()%%' AND p.with_check LIKE '%%current_workspace()%%')
        FROM ({_TENANT_TABLES}) AS t ORDER BY 1
        """,  # noqa: S608 - constant
        APP_ROLE,
    )
    for name, is_enabled, is_forced, has_policy in tables:
        if not (is_enabled and is_forced):
            yield Finding(
                "wrong",
                "isolation",
                f"row level security is {'not forced' if is_enabled else 'off'} on {name}: "
                f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            )
        if not has_policy:
            yield Finding(
                "wrong",
                "isolation",
                f"{name} has lost its policy: as its owner, CALL isolate_by_workspace('{name}')",
            )
    views = await ask(
        conn,
        """
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, to_regnamespace('data'))
            AND (relkind = 'm' OR relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY(reloptions), false))
            AND (has_table_privilege(%s, oid, 'SELECT') OR has_table_privilege(%s, oid, 'SELECT'))
        """,
        APP_ROLE,
        READER_ROLE,
    )
    for (name,) in views:
        yield Finding(
            "wrong",
            "isolation",
            f"the view {name} shows every workspace's rows: ALTER VIEW {name} SET (security_invoker = true); "
            "a materialized view can't be isolated, so drop it",
        )


async def grants(conn: AsyncConnection[Any]) -> Findings:
    """The app may do its work, and nobody else was let in."""
    missing = await ask(
        conn,
        f"SELECT t.relname FROM ({_TENANT_TABLES}) AS t WHERE NOT has_table_privilege(%s, t.oid, 'SELECT') ORDER BY 1",  # noqa: S608
        APP_ROLE,
    )
    if missing:
        names = ", ".join(name for (name,) in missing)
        yield Finding(
            "wrong", "grants", f"{APP_ROLE} may not read {names}; restore the grants of the migrations"
        )
    ((may_stage,),) = await ask(
        conn, "SELECT has_database_privilege(%s, current_database(), 'TEMPORARY')", APP_ROLE
    )
    if not may_stage:
        yield Finding(
            "wrong",
            "grants",
            f"{APP_ROLE} may not make temporary tables, where batches are staged: "
            f"GRANT TEMPORARY ON DATABASE {conn.info.dbname} TO {APP_ROLE}",
        )
    if functions := await doors.left_open(conn):
        yield Finding(
            "advice",
            "grants",
            "a reader, or a question of `unified query`, may hold the locks of syncs and more, as PostgreSQL lets "
            f"everybody; as a superuser of this database: {'; '.join(doors.statements(functions, conn.info.dbname))}",
        )
    strangers = await ask(
        conn,
        f"""
        SELECT coalesce(r.rolname, 'PUBLIC'), coalesce(r.rolsuper OR r.rolbypassrls, false),
            array_agg(DISTINCT t.relname ORDER BY t.relname)
        FROM ({_TENANT_TABLES}) AS t JOIN pg_class AS c ON c.oid = t.oid
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE NOT coalesce(r.rolname, 'PUBLIC') = ANY(%s) GROUP BY 1, 2 ORDER BY 1
        """,  # noqa: S608 - constant
        list(_ROLES),
    )
    for role, bypasses, names in strangers:
        more = f" and {len(names) - 3} more" if len(names) > len(names[:3]) else ""
        yield Finding(
            "wrong" if bypasses else "advice",
            "grants",
            f"{role} has rights on {', '.join(names[:3])}{more}"
            + (" and sees every workspace's rows" if bypasses else "; no policy shows it a row")
            + f": REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
        )
