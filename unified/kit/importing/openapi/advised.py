"""A draft with a model's advice: asked once about the API's lists, then about the fields of what lands in an entity.

Bounded by the tokens that a day has. Where the model fails, the draft is made without what it would have said.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from unified.kit.asking.model import ask, most_tokens
from unified.kit.asking.outcomes import ModelError, T
from unified.kit.asking.settings import ModelSettings
from unified.kit.document.source import DocumentError
from unified.kit.importing.openapi import advice
from unified.kit.importing.openapi.advice import Advised
from unified.kit.importing.openapi.draft import Draft, DraftedPath, Guidance, draft
from unified.kit.importing.openapi.parts import Parts, listings
from unified.kit.importing.openapi.spec import Spec
from unified.kit.proposing import question as fields_question
from unified.kit.proposing.choices import chosen, form
from unified.kit.proposing.fields import ForeignField
from unified.kit.proposing.matching import Match, matches
from unified.kit.proposing.schemas import of_schema
from unified.kit.proposing.vocabulary import places
from unified.schema.entities import RECORDS

Listed = tuple[Parts, list[ForeignField]]

MOST_STREAMS = 8
"""Streams about whose fields a model is asked."""


@dataclass(slots=True)
class _Model:
    """A model, and the tokens that it has used."""

    settings: ModelSettings
    tokens: int = 0
    remarks: list[str] = field(default_factory=list)

    async def ask(self, instructions: str, question: str, wanted: type[T]) -> T | None:
        """Its answer; None where there is none, which is a remark."""
        if self.tokens + most_tokens(instructions, question) > self.settings.tokens:
            self.remarks.append(f"the model was asked no further: {self.tokens:,} tokens are used")
            return None
        try:
            answered = await ask(self.settings, instructions, question, wanted)
        except ModelError as error:
            self.remarks.append(f"no model has answered: {error}")
            return None
        self.tokens += answered.tokens
        return answered.answer


async def advised_draft(spec: Spec, name: str, settings: ModelSettings) -> Draft:
    """Draft a document with a model's advice.

    Args:
        spec: As it was read.
        name: What the connector is to be called.
        settings: Which model.

    Raises:
        DocumentError: As :func:`unified.kit.importing.openapi.draft.draft` does.
    """
    lists = dict(_readable(spec))
    model = _Model(settings)
    guidance = Guidance(await _of_lists(spec, lists, model))
    drafted = draft(spec, name, guidance)
    if guidance.lists:  # a model that has not answered once is not asked again
        said = {path: one.entity for path, one in guidance.lists.items() if one.entity}
        wanted = [(one, said.get(one.path) or str(one.entity)) for one in drafted.paths if one.stream]
        guidance = Guidance(guidance.lists, await _of_fields(lists, wanted, model))
        drafted = draft(spec, name, guidance)
    asked = f"asked was {settings.name}, for {model.tokens:,} tokens: it may be wrong wherever it is named"
    drafted.remarks += model.remarks + ([asked] if model.tokens else [])
    return drafted


def _readable(spec: Spec) -> Iterator[tuple[str, Listed]]:
    """The lists whose schemas can be followed, with the fields of their records; of the others the draft says why."""
    for path, parts in listings(spec):
        if isinstance(parts, Parts):
            with suppress(DocumentError):
                yield path, (parts, of_schema(parts.item, spec.resolve))


async def _of_lists(spec: Spec, lists: dict[str, Listed], model: _Model) -> dict[str, advice.Advice]:
    asked = advice.question(list(lists.values()))
    answer = await model.ask(advice.INSTRUCTIONS, asked, Advised)
    if answer is None:
        return {}
    invented = sum(one.path not in lists for one in answer.lists)
    if invented:
        model.remarks.append(f"the model named {invented} lists that the file does not have")
    named = [one for one in answer.lists if one.path in lists]
    return {one.path: advice.checked(spec, one, lists[one.path][0]) for one in named}


async def _of_fields(
    lists: dict[str, Listed], wanted: Sequence[tuple[DraftedPath, str]], model: _Model
) -> dict[str, tuple[str, list[Match]]]:
    found = {}
    landed = [(one, entity) for one, entity in wanted if entity != RECORDS.name]
    for one, entity in landed[:MOST_STREAMS]:
        _, fields = lists[one.path]
        asked = fields_question.question(entity, fields, places(entity))
        answer = await model.ask(fields_question.INSTRUCTIONS, asked.text, form(places(entity)))
        if answer is None:
            break
        both = chosen(answer, asked.fields, places(entity), matches(entity, fields))
        model.remarks += [f"{one.stream}: dropped of the model's answer: {what}" for what in both.dropped]
        found[one.path] = (entity, both.matches)
    return found
