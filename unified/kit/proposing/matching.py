"""Which field of theirs is which field of ours, with the reasons; "none" where nothing fits.

A name's words are compared with the vocabulary, and so are those of its description. What fits by words is weighed by
type, by samples and by whether another field fits the same place as well. Each place is filled once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from unified.kit.mapping.paths import LONGEST_PATH
from unified.kit.proposing.evidence import ACTIVE, INACTIVE, sample_fit, type_fit
from unified.kit.proposing.fields import ForeignField
from unified.kit.proposing.vocabulary import WEAK, Place, is_secret, places, wordset
from unified.kit.proposing.words import name_words, prose_words

LEAST = 0.6
"""Confidence below which nothing is proposed."""

_A_STRANGE_WORD = 0.5
_A_WEAK_WORD = 0.93
_WITHOUT_CONTEXT = 0.9
_OF_A_STRANGER = 0.5
_DEEP, _FAR_DOWN = 3, 0.7
"""What stands more levels down than that is seldom said of the record itself."""

_SAYS_LITTLE = wordset("the a an of its date time timestamp type kind code key number id")
"""Words of which a description alone, such as "The date", is none."""

_ALWAYS_EMPTY = 0.5
"""What samples are worth that hold nothing: the field may be meant, and nobody uses it."""

_PROSE = 0.85
"""What a description is worth beside a name: it says more, and it says it less plainly."""

_STRANGERS = wordset(
    "owner assignee agent salesperson salesman representative employee operator manager admin administrator seller "
    "merchant teammate staff parent referrer creator"
)
"""Whoever a record is not about: what a description says of them is not said of the record."""

_MOST_COMMON = 0.6

_NEARLY = 0.25
"""A rival whose score is less by that share makes a match no less sure."""


_MODELS_WORD = 0.85
"""What a model's own certainty is worth: it is not calibrated."""

_UNNAMED = 0.8
"""What a match by name is worth of which a model, asked, said nothing."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure a match is, in its parts, each 0 to 1.

    Attributes:
        name: How well names and descriptions agree.
        type: How well type and format fit.
        samples: The share of samples that fit; None where there are none.
        unique: 1 where no other field fits the place as well, down to 0 where one fits just as well.
        model: How sure a model says it is; 0 where one was asked and named another pair or none, None where none was.
    """

    name: float
    type: float
    samples: float | None
    unique: float = 1.0
    model: float | None = None

    @property
    def score(self) -> float:
        """All of it as one number. A model and names that agree are surer than either."""
        meaning = self.name
        if self.model is not None:
            said = _MODELS_WORD * self.model
            meaning = 1 - (1 - self.name) * (1 - said) if said else _UNNAMED * self.name
        samples = 1.0 if self.samples is None else self.samples
        return meaning * (0.4 + 0.6 * self.type) * (0.4 + 0.6 * samples) * (0.8 + 0.2 * self.unique)


@dataclass(frozen=True, slots=True)
class Match:
    """A field that fits a place.

    Attributes:
        field: Theirs.
        place: Ours.
        confidence: How sure that is.
        reason: Why, in words.
        unit: Of an amount, ``minor`` or ``major`` where a model says so.
        words: Of a status or a kind, their words each with ours, where a model says so.
    """

    field: ForeignField
    place: Place
    confidence: Confidence
    reason: str
    unit: str = ""
    words: tuple[tuple[str, str], ...] = ()

    def parted_by(self, word: str) -> bool:
        """Whether the field is a part of a name: the ``first`` or the ``last``."""
        return word in name_words(self.field.path)


def matches(entity: str, fields: Sequence[ForeignField]) -> list[Match]:
    """The matches of an object's fields with an entity's places, in the order of the fields.

    Args:
        entity: ``customers``, ``invoices``, ``events`` or ``records``; ``lines`` for the items of an invoice.
        fields: Of the object. Those that fit nothing have no match.
    """
    fields = [one for one in fields if len(one.path) <= LONGEST_PATH]
    common = _common(fields)
    found = [match for one in fields for place in places(entity) if (match := _fit(one, place, common))]
    return _chosen(found, fields)


def _common(fields: Iterable[ForeignField]) -> frozenset[str]:
    """Words that nearly all names have, such as a prefix, whatever they are nested in: they say nothing."""
    named = [name_words(one.path.rpartition(".")[2]) for one in fields]
    counts: dict[str, int] = {}
    for words in named:
        for word in words:
            counts[word] = counts.get(word, 0) + 1
    enough = max(5, _MOST_COMMON * len(named))
    return frozenset(word for word, count in counts.items() if count >= enough) - _STRANGERS


def confidence_of(one: ForeignField, place: Place) -> Confidence:
    """How sure it is that a field fits a place, whether or not that is enough to propose it."""
    name, _, _ = _meaning(one, place, frozenset())
    return Confidence(name, type_fit(place.kind, one), _sample_fit(place, one))


def _meaning(one: ForeignField, place: Place, common: frozenset[str]) -> tuple[float, float, float]:
    """How well names and descriptions agree: both together, the name alone, the description alone."""
    words = name_words(one.path)
    by_name = _agreement(words, place, common)
    prose = prose_words(one.description)
    by_prose = _PROSE * _agreement(prose, place, frozenset()) if prose - _SAYS_LITTLE else 0.0
    name = max(by_name, by_prose, 0.97 * by_name + 0.1 if by_name and by_prose >= LEAST else 0.0)
    if prose & _STRANGERS and not words & _STRANGERS and place.target not in ("user_id", "description"):
        name *= _OF_A_STRANGER
    if one.path.count(".") > _DEEP:
        name *= _FAR_DOWN
    return min(name, 1.0), by_name, by_prose


def _fit(one: ForeignField, place: Place, common: frozenset[str]) -> Match | None:
    if is_secret(name_words(one.path)):
        return None
    name, by_name, by_prose = _meaning(one, place, common)
    if name < _A_STRANGE_WORD:
        return None
    fit = type_fit(place.kind, one)
    samples = _sample_fit(place, one)
    if not fit or samples == 0:
        return None
    confidence = Confidence(name, fit, samples)
    if confidence.score < LEAST:
        return None
    return Match(one, place, confidence, _reason(one, place, by_name, by_prose, samples))


def _sample_fit(place: Place, one: ForeignField) -> float | None:
    """How samples fit; of a word that means little by its name, known words are asked for."""
    if one.samples and not one.values():
        return _ALWAYS_EMPTY
    known = _ASKED.get(place.target)
    if known is None or one.type == "boolean":
        return sample_fit(place.kind, one)
    values = [str(value).casefold() for value in one.values()]
    if not values:
        return None if place.target != "kind" else 0.3
    return sum(any(word in value for word in known) for value in values) / len(values)


_ASKED = {
    "is_active": ACTIVE | INACTIVE | {"true", "false", "1", "0", "yes", "no"},
    "kind": wordset(
        "person individual company business organi natural legal private receivable payable accrec accpay "
        "sales purchase"
    ),
}
"""Words of which the samples of a status or a type have to hold one before it is taken for more."""


def _agreement(words: frozenset[str], place: Place, common: frozenset[str]) -> float:
    """How well words agree with a place, 0 to 1: the best of its phrases, less for each word that it leaves over."""
    if words & place.never or (place.needs and not words & place.needs):
        return 0.0
    best = 0.0
    scale = _WITHOUT_CONTEXT if place.context and not words & place.context else 1.0
    for phrase, weight in place.phrases:
        if phrase <= words:
            extra = words - phrase - place.free - common
            strange = len(extra - WEAK)
            best = max(best, scale * weight * _A_STRANGE_WORD**strange * _A_WEAK_WORD ** len(extra & WEAK))
    return best


def _reason(one: ForeignField, place: Place, by_name: float, by_prose: float, samples: float | None) -> str:
    sure = {"its name": by_name, "its description": by_prose}
    found = [what for what, agreement in sure.items() if agreement >= LEAST]
    said = " and ".join(found) or "its name or description"
    verb = "may mean" if max(sure.values()) < _PROSE else "says" if len(found) == 1 else "say"
    fits = "fits" if type_fit(place.kind, one) >= _PROSE else "may do"
    of_samples = "" if samples is None or not one.values() else f", and so do {samples:.0%} of its samples"
    return f"{said} {verb} so; {one.format or one.type or 'its type'} {fits}{of_samples}"


def _chosen(found: list[Match], fields: Sequence[ForeignField]) -> list[Match]:
    """One match a field and one a place, the surest first; of equals, what stands first and is nested least."""
    order = {one.path: place for place, one in enumerate(fields)}
    ranked = sorted(
        found,
        key=lambda one: (-round(one.confidence.score, 2), one.field.path.count("."), order[one.field.path]),
    )
    taken: dict[str, Match] = {}
    used: set[str] = set()
    for match in ranked:
        target = match.place.target
        if match.field.path in used or target in taken:
            continue
        used.add(match.field.path)
        taken[target] = match
    chosen = [*_turned(taken).values(), *_further(ranked, taken, used)]
    rivals: dict[str, float] = {}
    for match in reversed(ranked):
        if match.field.path not in used:
            rivals[match.place.target] = match.confidence.score
    return sorted((_beside(one, rivals) for one in chosen), key=lambda one: order[one.field.path])


def _beside(match: Match, rivals: Mapping[str, float]) -> Match:
    """A match, less sure where a field that fills nothing else fits its place nearly as well."""
    rival = rivals.get(match.place.target, 0.0)
    unique = min(1.0, (1 - rival / match.confidence.score) / _NEARLY)
    return replace(match, confidence=replace(match.confidence, unique=max(0.0, unique)))


def _turned(taken: dict[str, Match]) -> dict[str, Match]:
    """An event that only says when it was created has happened then."""
    if "event_type" in taken and "created_at" in taken and "occurred_at" not in taken:
        created = taken.pop("created_at")
        occurred = next(place for place in places("events") if place.target == "occurred_at")
        taken["occurred_at"] = replace(created, place=occurred)
    return taken


_SEVERAL = {"email": "emails", "phone": "phones"}
"""Places that one field fills, and those that all of its kind fill."""


def _further(ranked: Iterable[Match], taken: Mapping[str, Match], used: set[str]) -> list[Match]:
    """Further e-mail addresses and numbers, and the last name that belongs to the first."""
    found = []
    for match in ranked:
        target = match.place.target
        if match.field.path in used:
            continue
        if (several := _SEVERAL.get(target)) and target in taken and match.place.kind == target:
            place = next(place for place in places("customers") if place.target == several)
            found.append(replace(match, place=place, reason=f"{match.reason}, beside the main one"))
        elif target == "name" and taken["name"].parted_by("first") and match.parted_by("last"):
            found.append(replace(match, reason=f"{match.reason}, after the first name"))
        else:
            continue
        used.add(match.field.path)
    return found
