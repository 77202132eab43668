"""A model's answer, as matches: what it names and what holds. The rest is dropped, each pair with its reason.

Everything is checked again here, whatever form the provider was asked to keep. The worst that an answer can do is to
propose a wrong rule, which a person sees beside real records.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from unified.kit.proposing.fields import ForeignField
from unified.kit.proposing.matching import LEAST, Confidence, Match, confidence_of
from unified.kit.proposing.question import MOST_SHOWN, plain
from unified.kit.proposing.vocabulary import Place, is_secret
from unified.kit.proposing.words import name_words

_LONGEST_NAME = 60
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|\S+://\S+|\bwww\.\S+")


class Word(BaseModel):
    """One of their words, and which of ours it is."""

    model_config = ConfigDict(extra="ignore")

    theirs: str
    ours: str


class Pair(BaseModel):
    """A field of theirs that fills one of ours. Flat, and all of it required: providers compile it to a grammar."""

    model_config = ConfigDict(extra="ignore")

    source: str
    target: str
    unit: str = Field(json_schema_extra={"enum": ["", "minor", "major"]})
    words: list[Word]
    sure: float
    reason: str


class Answer(BaseModel):
    """What a model answers."""

    model_config = ConfigDict(extra="ignore")

    pairs: list[Pair]


def form(open_places: Sequence[Place]) -> type[Answer]:
    """The form of an answer that names no other fields of ours than these, where a provider keeps to it."""

    def narrowed(schema: dict[str, Any]) -> None:
        schema["properties"]["target"]["enum"] = [place.target for place in open_places]

    class NamedPair(Pair):
        model_config = ConfigDict(title="Pair", json_schema_extra=narrowed)

    class NamedAnswer(Answer):
        model_config = ConfigDict(title="Answer")

        pairs: list[NamedPair]  # type: ignore[assignment] # a list of what is a Pair, never written to

    return NamedAnswer


@dataclass(frozen=True, slots=True)
class Chosen:
    """What holds of an answer.

    Attributes:
        matches: Of the model and of the matcher together.
        named: The model's pairs that are among them.
        dropped: Its other pairs, each with the reason.
    """

    matches: list[Match]
    named: list[Pair]
    dropped: list[str]


def chosen(
    answer: Answer, shown: Sequence[ForeignField], open_places: Sequence[Place], found: Sequence[Match]
) -> Chosen:
    """Put a model's answer together with the matcher's.

    Args:
        answer: What it answered.
        shown: The fields that it was shown, as they are now.
        open_places: What may be filled.
        found: What the matcher found by itself, in all fields.
    """
    by_path = {one.path: one for one in shown}
    by_target = {place.target: place for place in open_places}
    by_names = {match.place.target: match.field.path for match in found}
    named: dict[str, Match] = {}
    kept: list[Pair] = []
    dropped: list[str] = []
    used: set[str] = set()
    for pair in answer.pairs[:MOST_SHOWN]:
        fault = _fault(pair, by_path, by_target)
        if not fault and pair.target in named:
            fault = "another field of theirs is named for it"
        elif not fault and pair.source in used:
            fault = "it fills another field already"
        if not fault:
            match = _match(pair, by_path[pair.source], by_target[pair.target], by_names)
            fault = _unfit(match.confidence)
        if fault:
            pair_said = f"{plain(pair.source, _LONGEST_NAME)} → {plain(pair.target, _LONGEST_NAME)}"
            dropped.append(f"{pair_said}: {fault}")
        else:
            used.add(pair.source)
            named[pair.target] = match
            kept.append(pair)
    others = [
        _unnamed(one) if one.field.path in by_path and one.place.target in by_target else one
        for one in found
        if one.place.target not in named and one.field.path not in used
    ]
    order = {path: place for place, path in enumerate(by_path)}
    both = sorted([*named.values(), *others], key=lambda one: order.get(one.field.path, len(order)))
    return Chosen(both, kept, dropped)


def sentence(text: str) -> str:
    """A model's own words, fit to be shown: one line without links."""
    return plain(_LINK.sub(r"\1", text)).rstrip(". ")


def _fault(pair: Pair, by_path: dict[str, Any], by_target: dict[str, Any]) -> str:
    checks: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: is_secret(name_words(pair.source)), "it is named like a secret"),
        (lambda: pair.source not in by_path, "their records have no such field"),
        (lambda: pair.target not in by_target, "there is no such field of ours, or it is filled already"),
    )
    return next((reason for is_wrong, reason in checks if is_wrong()), "")


def _match(pair: Pair, one: ForeignField, place: Place, by_names: dict[str, str]) -> Match:
    sure = min(1.0, max(0.0, pair.sure)) if math.isfinite(pair.sure) else 0.0
    rival = by_names.get(place.target, one.path)
    confidence = replace(confidence_of(one, place), model=sure, unique=float(rival == one.path))
    said = sentence(pair.reason)
    reason = f"the model says: {said}" if said else "the model names it"
    if confidence.name >= LEAST:
        reason += "; names say so too"
    elif rival != one.path:
        reason += f"; by their names it would be {rival}"
    words = tuple((word.theirs, word.ours) for word in pair.words)
    return Match(one, place, confidence, reason, pair.unit, words)


def _unfit(confidence: Confidence) -> str:
    if not confidence.type:
        return "values of its type can't stand there"
    if confidence.samples == 0:
        return "none of its samples can stand there"
    return "" if confidence.score >= LEAST else "it is not sure enough"


def _unnamed(match: Match) -> Match:
    confidence = replace(match.confidence, model=0.0)
    return replace(match, confidence=confidence, reason=f"{match.reason}; the model does not name it")
