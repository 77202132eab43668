"""A person's own question in SQL, answered inside one workspace and without changing anything.

What keeps it there is the login that asks (:mod:`unified.store.readers.temporary`). That a statement has to begin like
a question gives a better message, and no safety that it did not have before.
"""

import json
import re
from contextlib import aclosing
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.types.json import set_json_loads

from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.readers import temporary
from unified.store.readers.roles import STATEMENT_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_NOT_A_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_QUESTIONS = ("SELECT", "WITH", "TABLE", "VALUES", "EXPLAIN", "SHOW")


class QueryError(StoreError):
    """PostgreSQL does not take the statement, or it would change something."""


async def ask(
    db: Database, workspace_id: UUID, statement: str, *, limit: int, seconds: int = STATEMENT_SECONDS
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one statement as a reader of one workspace.

    Args:
        db: The database.
        workspace_id: Whose rows it sees.
        statement: One SQL statement.
        limit: Rows to return at most; no more are fetched.
        seconds: How long it may take.

    Returns:
        Column names and rows; numbers inside JSON are exact.

    Raises:
        QueryError: If it is not a question, PostgreSQL refuses it (with its reason), or it takes too long.
        RoleError: If there can be no reader.
    """
    _check(statement)
    async with temporary.connect(db, workspace_id) as conn:
        try:
            # Undone in any case: before PostgreSQL 16 a read-only transaction may still write large objects.
            async with conn.transaction(force_rollback=True):
                await conn.execute("SELECT set_config('statement_timeout', %s, true)", (f"{seconds}s",))
                cursor = conn.cursor()
                set_json_loads(partial(json.loads, parse_float=Decimal), cursor)
                rows: list[tuple[Any, ...]] = []
                # No parameters: so a % in it is a %, and what is sent like this can only be one statement.
                found = cast("AsyncGenerator[tuple[Any, ...], None]", cursor.stream(statement.encode()))
                async with aclosing(found):
                    async for row in found:
                        rows.append(row)
                        if len(rows) == limit:
                            break
        except errors.QueryCanceled:
            msg = f"PostgreSQL: no answer in {seconds} s; ask for less, or for a sum"
            raise QueryError(msg) from None
        except psycopg.Error as error:
            if error.sqlstate is None and not isinstance(error, psycopg.ProgrammingError):
                raise
            msg = f"PostgreSQL: {error.diag.message_primary or error}"
            raise QueryError(msg) from None
    return [column.name for column in cursor.description or ()], rows


def _check(statement: str) -> None:
    begin = _NOT_A_WORD.match(statement)
    word = re.match(r"\w*", statement[begin.end() if begin else 0 :])
    if word is None or word[0].upper() not in _QUESTIONS:
        raise QueryError(
            f"a question begins with {', '.join(_QUESTIONS[:-1])} or {_QUESTIONS[-1]}; this is read-only, and nothing "
            "else is run"
        )
