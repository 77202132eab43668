"""A model's part in proposals: asked anew, or by the answer that it gave last. Without one the matcher proposes alone.

An answer is stored, because a model does not answer the same twice, and a person decides later about what it proposed.
It is checked each time against the fields as they are then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from unified.kit.asking.outcomes import ModelError
from unified.kit.proposing.choices import Answer, Chosen, Pair, chosen, form
from unified.kit.proposing.fields import ForeignField, digest
from unified.kit.proposing.matching import Match
from unified.kit.proposing.question import INSTRUCTIONS, Question, question
from unified.kit.proposing.vocabulary import Place
from unified.store.asking import answers
from unified.store.asking.answers import StoredAnswer
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import ModelSees
from unified.sync.remapping.asking import Asker, ask_about

ALONE = "The matcher proposes alone, by names, types and samples."


@dataclass(frozen=True, slots=True)
class Consulted:
    """What a model had to do with proposals.

    Attributes:
        outcome: ``not asked``, ``answered``, ``by an earlier answer``, or why there is no answer.
        said: The same in words, for a person.
        model: Which model; empty where none has answered.
        tokens: What asking used now.
        dropped: What it named and does not hold, in words.
    """

    outcome: str
    said: str
    model: str = ""
    tokens: int = 0
    dropped: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a model is asked about.

    Attributes:
        connection: Whose stream.
        stream: Which one.
        entity: What its records become.
        fields: Of its records, as they are stored.
        open_places: What may be filled.
        found: What the matcher found.
    """

    connection: Connection
    stream: str
    entity: str
    fields: Sequence[ForeignField]
    open_places: Sequence[Place]
    found: Sequence[Match]


async def consult(db: Database, subject: Subject, asker: Asker | None) -> tuple[Sequence[Match], Consulted]:
    """Which field fits what, with a model's help where there is some.

    Args:
        db: Where answers are kept.
        subject: What is asked about.
        asker: Who asks which model; None takes an earlier answer, where there is one.

    Returns:
        The matches, and what the model had to do with them. A model that fails leaves those of the matcher.
    """
    async with db.workspace(subject.connection.workspace_id) as conn:
        stored = await answers.read(conn, subject.connection, subject.stream)
    sees = (await workspaces.read(db, subject.connection.workspace_id)).model_sees
    asked = question(subject.entity, subject.fields, subject.open_places, values=sees == "values")
    if asker is None:
        if stored is None:
            return subject.found, Consulted("not asked", f"No model was asked. {ALONE}")
        return _by_earlier(subject, asked, stored)
    identity = _identity(asker, sees, subject, asked)
    if stored is not None and stored.question_hash == identity:
        return _by_earlier(subject, asked, stored)
    try:
        both, tokens = await _asked(db, subject, asked, asker, sees)
    except ModelError as error:
        return subject.found, Consulted(error.outcome, f"No model has answered: {error}. {ALONE}")
    async with db.workspace(subject.connection.workspace_id) as conn:
        await answers.keep(
            conn,
            subject.connection,
            subject.stream,
            model=asker.settings.name,
            question_hash=identity,
            # A reason may repeat a value that the model was shown.
            pairs=[
                one.model_copy(update={"reason": ""} if sees == "values" else {}).model_dump()
                for one in both.named
            ],
            actor=asker.actor,
        )
    said = f"{asker.settings.name} has answered, for {tokens:,} tokens."
    return both.matches, Consulted("answered", said, asker.settings.name, tokens, both.dropped)


async def _asked(
    db: Database, subject: Subject, asked: Question, asker: Asker, sees: ModelSees
) -> tuple[Chosen, int]:
    if sees == "nothing":
        raise ModelError("not allowed", "the workspace shows nothing to a model (model_sees)")
    if not asked.fields or not subject.open_places:
        raise ModelError("not allowed", "there is nothing to ask: no field is left, or no record is stored")
    answered = await ask_about(
        db,
        subject.connection,
        subject.stream,
        asker,
        instructions=INSTRUCTIONS,
        question=asked.text,
        sees=sees,
        form=form(subject.open_places),
    )
    return chosen(answered.answer, asked.fields, subject.open_places, subject.found), answered.tokens


def _by_earlier(subject: Subject, asked: Question, stored: StoredAnswer) -> tuple[Sequence[Match], Consulted]:
    answer = Answer(pairs=[Pair.model_validate(pair) for pair in stored.pairs])
    both = chosen(answer, asked.fields, subject.open_places, subject.found)
    said = f"By the answer that {stored.model} gave {stored.asked_by} on {stored.asked_at:%Y-%m-%d %H:%M %Z}."
    return both.matches, Consulted("by an earlier answer", said, stored.model)


def _identity(asker: Asker, sees: str, subject: Subject, asked: Question) -> str:
    """Of what is asked, but for figures: each sync changes these, and hardly ever an answer."""
    targets = sorted(place.target for place in subject.open_places)
    said = [asker.settings.name, sees, targets, digest(asked.fields), INSTRUCTIONS]
    return sha256(msgspec.json.encode(said)).hexdigest()
