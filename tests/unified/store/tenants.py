"""Two tenants with a row in every table, and the matrix of what each role may do to whose rows.

Rows are made up from the catalogue, so that a table that a migration adds is tried without anybody naming it here.
All of it runs in one transaction of a superuser, who takes on the roles: nothing stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
from psycopg import Connection, sql
from psycopg.types.json import Jsonb

OWN, OTHER = UUID(int=0xA), UUID(int=0xB)
OLD = datetime(2026, 1, 1, tzinfo=UTC)
_NUMBERS = count(2**100)

# So that policies for what is old have something to apply to.
_CHOSEN: dict[tuple[str, str], Any] = {
    ("webhook_inbox", "received_at"): OLD,
    ("webhook_seen", "seen_at"): OLD,
    ("webhook_dead_letters", "updated_at"): OLD,
    ("customer_changes", "changed_at"): OLD,
    ("gone_identities", "gone_at"): OLD,
}


@dataclass(frozen=True)
class Table:
    """A table with a workspace.

    Attributes:
        name: Of the table, or of one leaf of a partitioned one.
        column: The one that holds the workspace.
        root: The partitioned table, for a leaf; else the table itself.
        is_leaf: Whether it holds rows itself.
    """

    name: str
    column: str
    root: str
    is_leaf: bool

    @property
    def parts(self) -> dict[str, sql.Composable]:
        """For statements: ``{table}`` and ``{column}``."""
        return {"table": sql.Identifier(self.name), "column": sql.Identifier(self.column)}


def tables(conn: Connection[Any]) -> list[Table]:
    """Every table with a workspace, leaves and partitioned ones alike."""
    found = conn.execute(
        """
        SELECT c.relname, a.attname, coalesce(pg_partition_root(c.oid)::regclass::text, c.relname), c.relkind = 'r'
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
            AND (a.attname = 'workspace_id' OR (c.relname = 'workspaces' AND a.attname = 'id'))
        ORDER BY 1
        """
    )
    return [Table(*row) for row in found.fetchall()]


def fill(conn: Connection[Any]) -> None:
    """Give both tenants a row in every table. Its values need not make sense: CHECKs are dropped, keys not followed."""
    checks = conn.execute(
        """
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
        WHERE contype = 'c' AND coninhcount = 0 AND connamespace = 'public'::regnamespace AND conrelid <> 0
        """
    )
    for (drop,) in checks.fetchall():
        conn.execute(drop)
    conn.execute("SET session_replication_role = 'replica'")
    for table in tables(conn):
        for workspace in (OWN, OTHER) if table.is_leaf else ():
            row = _row(conn, table, workspace)
            statement = sql.SQL("INSERT INTO {table} ({columns}) VALUES ({values})").format(
                **table.parts,
                columns=sql.SQL(", ").join(map(sql.Identifier, row)),
                values=sql.SQL(", ").join(map(sql.Placeholder, row)),
            )
            conn.execute(statement, row)
    conn.execute("RESET session_replication_role")


def _row(conn: Connection[Any], table: Table, workspace: UUID) -> dict[str, Any]:
    """Values for what a table asks for."""
    columns = conn.execute(
        """
        SELECT attname, atttypid::regtype::text FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = ''
            AND attnotnull AND NOT atthasdef
        """,
        (table.name,),
    ).fetchall()
    row = {name: _value(kind) for name, kind in columns}
    row |= {column: value for (name, column), value in _CHOSEN.items() if name == table.root}
    if bound := _bound(conn, table):
        row[bound[0]] = bound[1] or OLD
    return row | {table.column: workspace}


def _value(kind: str) -> Any:
    if kind.endswith("[]"):
        return f"{{{_value(kind.removesuffix('[]'))}}}"
    match kind:
        case "uuid":
            return UUID(int=next(_NUMBERS))  # each above the one before: some pairs have to be in order
        case "text":
            return f"a{uuid4().hex[1:]}"
        case "bytea":
            return uuid4().bytes * 2
        case "boolean":
            return True
        case "json" | "jsonb":
            return "{}"
        case "timestamp with time zone" | "date":
            return OLD
        case "pg_snapshot":
            return "1:1:"
        case _:
            return "1"  # text that PostgreSQL reads as a number of any type


def _bound(conn: Connection[Any], table: Table) -> tuple[str, str | None] | None:
    """A partition's key and the first value that belongs to it; None for what is no partition."""
    found = conn.execute(
        """
        SELECT substring(pg_get_partkeydef(%s::regclass) FROM '\\((.+)\\)'),
            substring(pg_get_expr(relpartbound, oid) FROM '''(.*?)''')
        FROM pg_class WHERE oid = %s::regclass AND relispartition
        """,
        (table.root, table.name),
    )
    return found.fetchone()


class Context(NamedTuple):
    """The workspace that is set when a statement runs.

    Attributes:
        name: For messages.
        setting: The value of ``app.workspace_id``; None leaves it unset.
        sees: Whose rows it may touch.
    """

    name: str
    setting: str | None
    sees: UUID | None


CONTEXTS = (
    Context("own", str(OWN), OWN),
    Context("other", str(OTHER), OTHER),
    Context("unset", None, None),
    Context("empty", "", None),
    Context("garbage", "' OR true --", None),
)

_DENIED = "InsufficientPrivilege"
# What an allowed INSERT of a stored row ends in: its keys are taken, or lead nowhere. Policies are asked before.
_PASSED = {"UniqueViolation", "ForeignKeyViolation", "0 rows", "1 rows"}
_WITHOUT_CONDITION = (
    ("SELECT", "SELECT {column} FROM {table}"),
    ("SELECT", "COPY (SELECT {column} FROM {table}) TO STDOUT"),
    ("UPDATE", "UPDATE {table} SET {column} = {column}"),
    ("UPDATE", "UPDATE {table} SET {column} = {column} RETURNING {column}"),
    ("DELETE", "DELETE FROM {table}"),
    ("DELETE", "DELETE FROM {table} RETURNING {column}"),
)
_AIMED = (
    "SELECT 1 FROM {table} WHERE {column} = {owner}",
    "UPDATE {table} SET {column} = {column} WHERE {column} = {owner} RETURNING 1",
    "DELETE FROM {table} WHERE {column} = {owner} RETURNING 1",
)
_INSERT = "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({values})"
_INSERTED = (_INSERT, f"{_INSERT} RETURNING 1", f"{_INSERT} ON CONFLICT DO NOTHING")


def violations(conn: Connection[Any], table: Table, role: str) -> Iterator[str]:
    """What the app's role can do to a table and must not, or can't do and must.

    Args:
        conn: A superuser's, in a transaction; the two tenants are filled in.
        table: Which one.
        role: The app's role.

    Yields:
        A line for each cell of the matrix that is not as it has to be.
    """
    granted = {
        command for command in ("SELECT", "INSERT", "UPDATE", "DELETE") if _may(conn, role, table, command)
    }
    rows: dict[UUID | None, dict[str, Any]] = {owner: _stored(conn, table, owner) for owner in (OWN, OTHER)}
    for context, allowed, statement, owner in _cells(rows, granted):
        outcome = _attempt(conn, role, context, table, statement, rows.get(owner), owner)
        # What is no workspace at all may be refused as such.
        if outcome not in allowed and (context.name, outcome) != ("garbage", "InvalidTextRepresentation"):
            whose = {None: "", OWN: " of own", OTHER: " of other"}[owner]
            yield f"{table.name}: {statement}{whose} as {context.name} gave {outcome}"


def _cells(
    rows: dict[UUID | None, dict[str, Any]], granted: set[str]
) -> Iterator[tuple[Context, set[str], str, UUID | None]]:
    """The matrix: in which workspace, what may come of it, which statement, about whose row."""
    for context in CONTEXTS:
        visible = {f"{rows[context.sees]['']} rows", "ForeignKeyViolation"} if context.sees else {"0 rows"}
        for command, statement in _WITHOUT_CONDITION:
            yield context, visible if command in granted else {_DENIED}, statement, None
        # COPY asks no policy, so PostgreSQL refuses it where there is one.
        yield context, {"FeatureNotSupported", _DENIED}, "COPY {table} FROM STDIN", None
        for owner in (OWN, OTHER):
            is_own = owner == context.sees
            for statement in _INSERTED:
                yield context, _PASSED if is_own and "INSERT" in granted else {_DENIED}, statement, owner
            if not is_own:
                for statement in _AIMED:
                    yield context, {"0 rows", _DENIED}, statement, owner
                # A row can be neither given away nor claimed; without a workspace there is none to move.
                unmoved = {_DENIED} if context.sees else {"0 rows", _DENIED}
                yield context, unmoved, "UPDATE {table} SET {column} = {owner}", owner


def reach(conn: Connection[Any], table: Table, role: str) -> set[str]:
    """With which commands a role reaches rows of a workspace that is not set.

    Args:
        conn: As for :func:`violations`.
        table: Which one.
        role: One of those that have duties in all workspaces.
    """
    row, nowhere = _stored(conn, table, OTHER), Context("unset", None, None)
    columns = conn.execute(
        """
        SELECT privilege_type, min(column_name) FROM information_schema.column_privileges
        WHERE grantee = %s AND table_name = %s GROUP BY 1
        """,
        (role, table.name),
    )
    column_of = dict(columns.fetchall())
    statements = {
        "SELECT": "SELECT {any} FROM {table}",
        "UPDATE": "UPDATE {table} SET {any} = {any}",
        "DELETE": "DELETE FROM {table}",
        "INSERT": _INSERT,
    }
    reached = set()
    for command, statement in statements.items():
        chosen = sql.Identifier(column_of.get(command, table.column)).as_string()
        outcome = _attempt(conn, role, nowhere, table, statement.replace("{any}", chosen), row, OTHER)
        if outcome not in {"0 rows", _DENIED}:
            reached.add(command)
    return reached


def _may(conn: Connection[Any], role: str, table: Table, command: str) -> bool:
    found = conn.execute("SELECT has_table_privilege(%s, %s, %s)", (role, table.name, command)).fetchone()
    return found == (True,)


def _stored(conn: Connection[Any], table: Table, owner: UUID) -> dict[str, Any]:
    """One stored row of a tenant, column by column as text; and how many there are under the key ''."""
    found = conn.execute(
        sql.SQL("SELECT to_jsonb(t), count(*) OVER () FROM {table} AS t WHERE {column} = %s LIMIT 1").format(
            **table.parts
        ),
        (owner,),
    ).fetchone()
    assert found, f"{table.name} has no row to try on"
    # PostgreSQL takes no values for columns that it generates.
    generated = conn.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attgenerated <> ''", (table.name,)
    ).fetchall()
    given = {name: value for name, value in found[0].items() if (name,) not in generated}
    return {**given, "": found[1]}


def _attempt(
    conn: Connection[Any],
    role: str,
    context: Context,
    table: Table,
    statement: str,
    row: dict[str, Any] | None,
    owner: UUID | None,
) -> str:
    """How many rows a statement reaches as a role in a workspace, or the name of its error; undone."""
    values = {column: value for column, value in (row or {}).items() if column}
    query = sql.SQL(statement).format(
        **table.parts,
        columns=sql.SQL(", ").join(map(sql.Identifier, values)),
        values=sql.SQL(", ").join(
            sql.SQL("(jsonb_populate_record(NULL::{}, {})).{}").format(
                sql.Identifier(table.name), sql.Placeholder("row"), sql.Identifier(column)
            )
            for column in values
        ),
        owner=sql.Literal(owner),
    )
    parameters = {"row": Jsonb(values)} if values else None

    def act() -> int:
        if statement.startswith("COPY"):
            with conn.cursor().copy(query) as copy:
                return sum(1 for _ in copy.rows()) if "STDOUT" in statement else 0
        return conn.execute(query, parameters).rowcount

    try:
        with conn.transaction(force_rollback=True):
            conn.execute("SELECT set_config('app.workspace_id', %s, true)", (context.setting or "",))
            if context.setting is None:
                conn.execute("RESET app.workspace_id")
            conn.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            return f"{act()} rows"
    except psycopg.Error as error:
        return type(error).__name__
