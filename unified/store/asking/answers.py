"""A model's last answer about each stream, kept so that what is proposed and what is decided about are the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from unified.store.connections.rows import ConnectionSummary
from unified.store.rows import fetch


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer.

    Attributes:
        model: Whose.
        question_hash: Of what it was asked.
        pairs: Fields that it named.
        asked_by: Who asked.
        asked_at: When.
    """

    model: str
    question_hash: str
    pairs: list[dict[str, Any]]
    asked_by: str
    asked_at: datetime


async def read(conn: AsyncConnection[Any], connection: ConnectionSummary, stream: str) -> StoredAnswer | None:
    """The last answer about a stream; None where none was given."""
    found = await fetch(
        conn,
        StoredAnswer,
        """
        SELECT model, question_hash, pairs, asked_by, asked_at FROM model_answers
        WHERE connector_config_id = %(id)s AND stream = %(stream)s
        """,
        id=connection.id,
        stream=stream,
    )
    return found[0] if found else None


async def keep(
    conn: AsyncConnection[Any],
    connection: ConnectionSummary,
    stream: str,
    *,
    model: str,
    question_hash: str,
    pairs: Sequence[dict[str, Any]],
    actor: str,
) -> None:
    """Keep an answer in place of the one before; see :class:`StoredAnswer` for the arguments."""
    await conn.execute(
        """
        INSERT INTO model_answers
            (workspace_id, connector_config_id, stream, model, question_hash, pairs, asked_by)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (workspace_id, connector_config_id, stream)
        DO UPDATE SET model = excluded.model, question_hash = excluded.question_hash, pairs = excluded.pairs,
            asked_by = excluded.asked_by, asked_at = now()
        """,
        (connection.workspace_id, connection.id, stream, model, question_hash, Jsonb(list(pairs)), actor),
    )
