"""A person's own question in SQL, answered inside one workspace and without changing anything."""

from typing import Any
from uuid import UUID

import psycopg

from unified.store.database import Database
from unified.store.errors import StoreError


class QueryError(StoreError):
    """PostgreSQL does not take the statement, or it would change something."""


async def ask(
    db: Database, workspace_id: UUID, statement: str, *, limit: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one statement as the app's role, read-only, on one workspace's rows.

    Args:
        db: The database.
        workspace_id: Whose rows it sees.
        statement: One SQL statement.
        limit: Rows to return at most.

    Returns:
        Column names and rows.

    Raises:
        QueryError: If PostgreSQL refuses it, with PostgreSQL's reason.
    """
    async with db.workspace(workspace_id) as conn:
        await conn.execute("SET TRANSACTION READ ONLY")
        try:
            # No parameters: so a % in it is a %, and PostgreSQL is sent a prepared statement, which can only be one.
            cursor = await conn.execute(statement, prepare=True)
            rows = await cursor.fetchmany(limit) if cursor.description else []
        except (psycopg.ProgrammingError, psycopg.DataError, psycopg.InternalError) as error:
            msg = f"PostgreSQL: {error.diag.message_primary or error}"
            raise QueryError(msg) from None
    return [column.name for column in cursor.description or ()], rows
