"""Rules on sample records, for a person who writes them: what each makes of the records, and its values.

What a rule does is counted by `unified.kit.mapping.trial`. Which records are looked at, and what of them may be shown,
is the callers' to say: ``trying`` (a document, at its API) and ``receiving`` (a webhook, on what it received).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unified.kit.errors import counted
from unified.kit.mapping.compiled import CompiledRule
from unified.kit.mapping.trial import Trial, Tryout
from unified.schema.base import UnifiedBase

LONGEST_RECORD = 20_000
"""Bytes of a record; a longer one is not looked at."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What rules made of the samples.

    Attributes:
        records: The raw records, decoded.
        trial: What each rule did.
        values: What each filled in the first records, as text, by target.
    """

    records: Sequence[Any]
    trial: Trial
    values: Mapping[str, Sequence[str]]


def sampled(
    rules: Sequence[CompiledRule], samples: Iterable[tuple[UnifiedBase | str, Any]], now: datetime
) -> Sampled:
    """Look at samples.

    Args:
        rules: What mapped them.
        samples: Each the record, or why there is none, and the raw one, decoded.
        now: Times far from it look odd.
    """
    tryout = Tryout(rules, now)
    records: list[Any] = []
    values: dict[str, list[str]] = {one.rule.target: [] for one in rules}
    for made, raw in samples:
        records.append(raw)
        tryout.see(raw, made)
        if not isinstance(made, str):
            said_of = made.model_dump(mode="json")
            for target, shown in values.items():
                shown.append(_at(said_of, target))
    return Sampled(records, tryout.result(), values)


def too_long(bodies: Iterable[bytes]) -> list[str]:
    """How many records are not looked at, in words."""
    count = sum(len(body) > LONGEST_RECORD for body in bodies)
    return [f"not shown: {counted(count, 'record')} of more than {LONGEST_RECORD:,} bytes"] if count else []


def _at(record: dict[str, Any], target: str) -> str:
    """What stands at a rule's target, as text; empty where that is nothing."""
    found: Any = record
    for key in target.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return "" if found is None else str(found)
