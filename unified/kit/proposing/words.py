"""The words in a field's name, whatever its spelling: ``TotalAmt``, ``total_amount`` and ``totalamount`` are alike.

Which words mean a field of ours is in ``vocabulary``.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from unified.kit.proposing.vocabulary import KNOWN, SAME, wordset

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_INDEX = re.compile(r"\[(-?[0-9]+)\]")
_CLAUSE = re.compile(r"[,.;:()\n]| - ")
_SHORTEST = 3
_LONGEST = 40
_KEPT = frozenset(("address", "status", "business", "gross", "sms", "series"))
"""Words whose last s is no plural."""

_WRAPPERS = wordset(
    "properties attributes data object fields values value result details info meta metadata totals amounts urls "
    "links _links contact_info profile"
)
"""Objects around a record's own fields, which say nothing of them."""


def name_words(path: str) -> frozenset[str]:
    """The words of a path. A place in a list that is not the first is the word ``other``."""
    said: list[str] = []
    segments = [
        one for one in _INDEX.sub(r".\1", path).replace("['", ".").replace("']", "").split(".") if one
    ]
    for place, segment in enumerate(segments):
        is_last = place == len(segments) - 1
        if segment.lstrip("-").isdigit():
            if segment not in ("0", "-1"):
                said.append("other")
            continue
        if segment.casefold() in _WRAPPERS and (not is_last or segment == "value") and len(segments) > 1:
            continue
        words = split(segment)
        if not is_last and len(words) > 1 and words[-1] in ("id", "reference"):
            words = words[:-1]  # of an object that a reference was replaced by
        said += words
    return frozenset(said)


def prose_words(description: str) -> frozenset[str]:
    """The words of a description's first clause."""
    clause = next((part for part in _CLAUSE.split(description) if part.strip()), "")
    return frozenset(word for part in clause.split() for word in split(part))


@lru_cache(maxsize=8192)
def split(name: str) -> list[str]:
    """The words of one name, in their usual form."""
    found = [word for part in _PART.findall(name[:_LONGEST]) for word in _known_parts(part.lower())]
    return [said for word in found for said in SAME.get(word, word).split()]


def _known_parts(word: str) -> Iterable[str]:
    """A word, or the known words that it is written of without a gap."""
    usual = _singular(word)
    if usual in KNOWN or len(word) < 2 * _SHORTEST - 1:
        return (usual,)
    # best[i]: the fewest known words that make up the first i letters
    best: list[tuple[str, ...] | None] = [(), *([None] * len(word))]
    for end in range(1, len(word) + 1):
        for begin in range(max(0, end - 15), end):
            before = best[begin]
            part = _singular(word[begin:end])
            if (
                before is None
                or part not in KNOWN
                or (end - begin < _SHORTEST and part not in ("id", "no", "at"))
            ):
                continue
            if best[end] is None or len(before) + 1 < len(best[end] or ()):
                best[end] = (*before, part)
    return best[-1] or (usual,)


def _singular(word: str) -> str:
    if word in _KEPT or len(word) <= _SHORTEST or not word.endswith("s") or word.endswith(("ss", "us")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith("sses") else word[:-1]
