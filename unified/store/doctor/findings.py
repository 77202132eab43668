"""Findings: what the doctor says, and how its checks look into a database.

The checks: `unified.store.doctor.examine`.
"""

from collections.abc import AsyncIterator
from typing import Any, Literal, NamedTuple

from psycopg import AsyncConnection, sql


class Finding(NamedTuple):
    """Something that a person should know of.

    Attributes:
        level: ``wrong``, or ``advice`` where it works as it is and could be better.
        about: What it concerns: ``roles``, ``clock``, a connection.
        message: What was found, and what to do.
    """

    level: Literal["wrong", "advice"]
    about: str
    message: str


Findings = AsyncIterator[Finding]


async def ask(conn: AsyncConnection[Any], query: str, *values: Any) -> list[Any]:
    """What the login sees."""
    return await (await conn.execute(query.encode(), values)).fetchall()


async def ask_as(conn: AsyncConnection[Any], role: str, query: str, *values: Any) -> list[Any]:
    """What a role sees."""
    async with conn.transaction():
        await conn.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        return await ask(conn, query, *values)
