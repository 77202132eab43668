"""Rules tried on sample records before anything is stored: what each fills, what it refuses and why, what looks odd.

Examples are shapes (``Aaa 99.99``), never values, since a trial is shown to people and programs that may not read
records. What looks odd across records is in ``sanity``. Not here: which records are tried
(`unified.sync.remapping.trials`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unified.kit.errors import counted
from unified.kit.mapping import sanity
from unified.kit.mapping.compiled import CompiledRule
from unified.kit.mapping.refusals import UNREADABLE, because, kind
from unified.kit.mapping.steps import Enum
from unified.kit.mapping.transforms import PartlyRefused, items_of
from unified.schema.base import UnifiedBase

MOST_EXAMPLES = 3
MOST_WORDS = 20
"""Distinct values of a rule that are remembered, to compare them with its table."""

_LONGEST_EXAMPLE = 40


@dataclass(slots=True)
class RuleTrial:
    """What one rule did to the samples.

    Attributes:
        target: What it fills; of a line ``line_items.amount``.
        source: Where it reads.
        filled: In how many records, or lines, it filled its field.
        null: In how many it found nothing.
        rejected: In how many it refused the value, or a part of it.
        reasons: Why, with how often, the commonest first.
        types: What the source held: ``text``, ``a number``, …, with how often.
        examples: Shapes of some values, before and after.
        unknown: Words that its table, or its field's, lacks.
    """

    target: str
    source: str | None
    filled: int = 0
    null: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    examples: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Trial:
    """What rules did to some samples.

    Attributes:
        records: How many samples there were.
        rejected: How many became no record, by the reason.
        rules: One a rule, those of lines after theirs.
        remarks: What looks odd, or was not seen, in words.
    """

    records: int
    rejected: dict[str, int]
    rules: list[RuleTrial]
    remarks: list[str]


class Tryout:
    """A trial that is under way. It keeps counts and shapes, no records."""

    def __init__(self, rules: Sequence[CompiledRule], now: datetime) -> None:
        """Begin without samples.

        Args:
            rules: From :func:`unified.kit.mapping.compiled.compile_rules`.
            now: Times far from it look odd.
        """
        self._tried = [_Tried(rule, RuleTrial(rule.rule.target, rule.rule.source)) for rule in rules]
        self._rejected: Counter[str] = Counter()
        self._oddities = sanity.Oddities(now)
        self._count = 0

    def see(self, raw: Any, made: UnifiedBase | str) -> None:
        """Look at one more sample.

        Args:
            raw: A raw record, decoded by :func:`unified.kit.decoding.decode_exactly`.
            made: The record that became of it, or why none did.
        """
        self._count += 1
        if isinstance(made, str):
            self._rejected[made] += 1
        else:
            self._oddities.see(made)
        for one in self._tried:
            one.run(raw, raw)

    def result(self) -> Trial:
        """What was seen so far."""
        remarks = [remark for one in self._tried for remark in one.remarks(self._count)]
        trials = [trial for one in self._tried for trial in one.trials()]
        return Trial(
            self._count, dict(self._rejected.most_common()), trials, remarks + self._oddities.remarks()
        )


class _Tried:
    """A rule with what it did so far, and its lines' rules with theirs."""

    def __init__(self, compiled: CompiledRule, trial: RuleTrial) -> None:
        self._compiled = compiled
        self._trial = trial
        self._lines = [
            _Tried(line, RuleTrial(f"{trial.target}.{line.rule.target}", line.rule.source))
            for line in compiled.lines
        ]
        self._amounts = sanity.Amounts(compiled.rule)
        self._reasons: Counter[str] = Counter()
        self._types: Counter[str] = Counter()

    def trials(self) -> list[RuleTrial]:
        self._trial.reasons = dict(self._reasons.most_common())
        self._trial.types = dict(self._types.most_common())
        return [self._trial, *(trial for line in self._lines for trial in line.trials())]

    def run(self, item: Any, record: Any) -> None:
        one, trial = self._compiled, self._trial
        before: Any = None
        try:
            before = None if one.source is None else one.source(item, record)
            value = self._value(item, record)
        except UNREADABLE as error:
            trial.rejected += 1
            self._reasons[because(error)] += 1
            if not isinstance(error, PartlyRefused):
                self._note_word(before)
        else:
            trial.filled += value is not None
            trial.null += value is None
            if value is not None and len(trial.examples) < MOST_EXAMPLES:
                trial.examples.append((shape(before), shape(value)))
        if one.source is not None:
            self._types[kind(before)] += 1
        if one.target.is_money:
            self._amounts.see(before)

    def _value(self, item: Any, record: Any) -> Any:
        value = self._compiled.value(item, record)
        if value is None or not self._lines:
            return None if value is None else self._compiled.read(value)
        for line in items_of(value):
            if isinstance(line, dict):
                for rule in self._lines:
                    rule.run(line, record)
        return value

    def _note_word(self, value: Any) -> None:
        """Remember a word that a table lacks: a provider's own, if it is short and not one of many."""
        compiled, unknown = self._compiled, self._trial.unknown
        looks_up = compiled.target.is_word or any(isinstance(step, Enum) for step in compiled.rule.steps)
        word = str(value) if isinstance(value, str | int) else ""
        if (
            looks_up
            and 0 < len(word) <= _LONGEST_EXAMPLE
            and word not in unknown
            and len(unknown) < MOST_WORDS
        ):
            unknown.append(word)

    def remarks(self, count: int) -> list[str]:
        trial, rule = self._trial, self._compiled.rule
        found = []
        if count and not trial.filled and not trial.rejected:
            found.append(f"{trial.target}: nothing stands at {rule.source or 'its source'} in any sample")
        if trial.unknown:
            found.append(f"{trial.target}: no word for {', '.join(map(repr, trial.unknown))}")
        if self._compiled.target.is_money and not rule.required:
            found.append(
                f"{trial.target}: not `required`, so where it fails the record is missing from every sum"
            )
        if self._compiled.target.is_money:
            found += [f"{trial.target}: {remark}" for remark in self._amounts.remarks()]
        return found + [remark for line in self._lines for remark in line.remarks(count)]


def shape(value: Any) -> str:
    """What a value looks like, without saying it: letters are ``a`` and ``A``, digits ``9``."""
    if isinstance(value, str):
        cut = value[:_LONGEST_EXAMPLE]
        masked = "".join(
            "9" if one.isdigit() else "A" if one.isupper() else "a" if one.isalpha() else one for one in cut
        )
        return masked + ("…" if len(value) > len(cut) else "")
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "null"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {counted(len(value), 'key')}"
    if isinstance(value, datetime):
        return "9999-99-99 99:99"
    return shape(str(value)) if not hasattr(value, "model_fields") else "an object"
