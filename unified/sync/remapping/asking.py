"""A model asked about a stream, in a workspace's name: what it may be shown, the day's tokens, and the audit log.

The log says that a question leaves before it does: who asks, which model, how much, and the hash of the text. Neither
question nor answer is in it. Not here: what is asked (`unified.kit.proposing.question`).
"""

from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from unified.kit.asking.model import ask, ensure_ready, most_tokens
from unified.kit.asking.outcomes import Answered, ModelError, T
from unified.kit.asking.settings import ModelSettings
from unified.store import audit
from unified.store.asking import usage
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and which model.

    Attributes:
        settings: Which one, and within which limits.
        actor: For the audit log.
    """

    settings: ModelSettings
    actor: str


async def ask_about(
    db: Database,
    connection: ConnectionSummary,
    stream: str,
    asker: Asker,
    *,
    instructions: str,
    question: str,
    sees: str,
    form: type[T],
) -> Answered[T]:
    """Ask a model about a stream.

    Args:
        db: Where tokens are counted and the log is.
        connection: Whose stream.
        stream: Which one.
        asker: Who asks which model.
        instructions: What the model is to do.
        question: What it is shown.
        sees: How much that is of the records, for the log.
        form: Of the answer.

    Raises:
        ModelError: If there is no answer.
    """
    settings = asker.settings
    ensure_ready(settings)
    reserved = most_tokens(instructions, question)
    detail = {
        "stream": stream,
        "model": settings.name,
        "sha256": sha256(question.encode()).hexdigest(),
        "bytes": len(question.encode()),
        "sees": sees,
    }
    async with db.workspace(connection.workspace_id) as conn:
        day = await usage.reserve(conn, reserved, settings.tokens)
        await _log(conn, connection, asker, "model.ask", "allowed" if day else "denied", detail)
        left = settings.tokens - await usage.of_today(conn)
    if day is None:
        raise ModelError(
            "over budget",
            f"the question may take {reserved:,} tokens, and {max(0, left):,} of the {settings.tokens:,} that the "
            "workspace has a day are left: ask again tomorrow (UTC), or raise UNIFIED_MODEL_TOKENS",
        )
    try:
        answered = await ask(settings, instructions, question, form)
    except ModelError as error:
        used = reserved if error.may_have_cost else 0
        await _settle(
            db, connection, asker, day, reserved, used, {"stream": stream, "outcome": error.outcome}
        )
        raise
    await _settle(
        db, connection, asker, day, reserved, answered.tokens, {"stream": stream, "outcome": "answered"}
    )
    return answered


async def _settle(
    db: Database,
    connection: ConnectionSummary,
    asker: Asker,
    day: date,
    reserved: int,
    used: int,
    detail: dict[str, Any],
) -> None:
    outcome: audit.Outcome = "allowed" if detail["outcome"] == "answered" else "failed"
    async with db.workspace(connection.workspace_id) as conn:
        await usage.settle(conn, day, reserved, used)
        said = {**detail, "model": asker.settings.name, "tokens": used}
        await _log(conn, connection, asker, "model.answer", outcome, said)


async def _log(
    conn: Any,
    connection: ConnectionSummary,
    asker: Asker,
    action: str,
    outcome: audit.Outcome,
    detail: dict[str, Any],
) -> None:
    await audit.record(
        conn,
        connection.workspace_id,
        actor=asker.actor,
        action=action,
        subject=f"connection {connection.id}",
        outcome=outcome,
        detail=detail,
    )
