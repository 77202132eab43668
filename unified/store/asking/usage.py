"""Tokens that a workspace uses a day (UTC): set aside before a question is sent, and counted once it is answered."""

from datetime import date
from typing import Any

from psycopg import AsyncConnection


async def reserve(conn: AsyncConnection[Any], tokens: int, most: int) -> date | None:
    """Set tokens aside for a question.

    Args:
        conn: A transaction in the workspace.
        tokens: How many it may use at most.
        most: How many the workspace may use a day.

    Returns:
        The day that they are set aside of; None where they are not left.
    """
    rows = await conn.execute(
        """
        INSERT INTO model_usage AS used (workspace_id, day, questions, tokens)
        SELECT current_workspace(), (now() AT TIME ZONE 'UTC')::date, 1, %(tokens)s WHERE %(tokens)s <= %(most)s
        ON CONFLICT (workspace_id, day)
        DO UPDATE SET questions = used.questions + 1, tokens = used.tokens + excluded.tokens
        WHERE used.tokens + excluded.tokens <= %(most)s
        RETURNING day
        """,
        {"tokens": tokens, "most": most},
    )
    row = await rows.fetchone()
    return None if row is None else row[0]


async def settle(conn: AsyncConnection[Any], day: date, reserved: int, used: int) -> None:
    """Count what a question used instead of what was set aside for it.

    Args:
        conn: A transaction in the workspace.
        day: As :func:`reserve` returned it.
        reserved: What was set aside.
        used: What was used.
    """
    await conn.execute(
        "UPDATE model_usage SET tokens = greatest(0, tokens + %s) "
        "WHERE workspace_id = current_workspace() AND day = %s",
        (used - reserved, day),
    )


async def of_today(conn: AsyncConnection[Any]) -> int:
    """Tokens that the workspace has used or set aside today."""
    rows = await conn.execute(
        "SELECT tokens FROM model_usage "
        "WHERE workspace_id = current_workspace() AND day = (now() AT TIME ZONE 'UTC')::date"
    )
    row = await rows.fetchone()
    return 0 if row is None else row[0]
