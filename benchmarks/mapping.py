"""Proposals of rules beside people's labels: how many are right, per object and per band of confidence, and how long.

    uv run --group dev --extra model --with rapidfuzz python benchmarks/mapping.py

The labels are `../shared/data/mapping/gold.json`, beside the checkout, or another file of that form (`--labels`):
objects with fields, and which field of ours each one fills, or none. Beside it in the same run: names that are equal,
names that are near where rapidfuzz is there, and the language model that UNIFIED_MODEL names where it has its key.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from unified.kit.asking.model import ask
from unified.kit.asking.outcomes import ModelError
from unified.kit.asking.settings import ModelSettings
from unified.kit.proposing.choices import chosen, form
from unified.kit.proposing.fields import ForeignField
from unified.kit.proposing.matching import Match, matches
from unified.kit.proposing.question import INSTRUCTIONS, question
from unified.kit.proposing.vocabulary import places

LABELS = Path(__file__).parents[2] / "shared" / "data" / "mapping" / "gold.json"
BANDS = ((0.9, "0.9 and more"), (0.75, "0.75 to 0.9"), (0.0, "less"))

Answers = dict[str, tuple[str, float]]
"""Of a field's path: the target that is proposed, and how sure that is."""


@dataclass
class Score:
    """Counts of one object, or of several."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    nones: int = 0
    nones_kept: int = 0
    bands: dict[str, list[int]] = field(default_factory=dict)

    def add(self, other: "Score") -> None:
        """Add the counts of another one."""
        for name in ("right", "wrong", "missed", "nones", "nones_kept"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for band, (right, all_) in other.bands.items():
            counts = self.bands.setdefault(band, [0, 0])
            counts[0] += right
            counts[1] += all_

    @property
    def precision(self) -> float:
        """The share of proposals that are right."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """The share of fields that fill something for which that was found."""
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)

    @property
    def recall_of_none(self) -> float:
        """The share of fields that fill nothing for which nothing was proposed."""
        return self.nones_kept / max(1, self.nones)

    def row(self, name: str) -> str:
        """A row of the table."""
        return f"{name:34} {self.precision:6.2f} {self.recall:6.2f} {self.f1:6.2f} {self.recall_of_none:7.2f}"


def fields_of(labelled: dict[str, Any]) -> list[ForeignField]:
    """The fields of a labelled object, as a matcher sees them: without the labels."""
    return [
        ForeignField(
            one["path"],
            one.get("type", ""),
            one.get("format") or "",
            one.get("description", ""),
            tuple(one.get("enum", ())),
            list(one.get("samples", ())),
        )
        for one in labelled["fields"]
    ]


def by_matcher(entity: str, fields: Sequence[ForeignField]) -> Answers:
    """What the matcher proposes."""
    return _answers(matches(entity, fields))


def by_model(entity: str, fields: Sequence[ForeignField]) -> Answers:
    """What a model and the matcher propose together, as `unified mappings propose --model` does.

    Raises:
        ModelError: If it does not answer.
    """
    settings, open_places = ModelSettings.from_environment(), places(entity)
    asked = question(entity, fields, open_places)
    answered = asyncio.run(ask(settings, INSTRUCTIONS, asked.text, form(open_places)))
    return _answers(chosen(answered.answer, asked.fields, open_places, matches(entity, fields)).matches)


def _answers(found: Sequence[Match]) -> Answers:
    return {one.field.path: (one.place.target, one.confidence.score) for one in found}


def by_equal_names(entity: str, fields: Sequence[ForeignField]) -> Answers:
    """The baseline: a field whose name is one of ours."""
    targets = {place.target for place in places(entity)}
    named = {one.path: one.path.split(".")[-1].casefold() for one in fields}
    return {path: (name, 1.0) for path, name in named.items() if name in targets}


def by_near_names(entity: str, fields: Sequence[ForeignField]) -> Answers:
    """Another baseline: the target of ours whose name is nearest, where that is near.

    Raises:
        ImportError: If rapidfuzz is not there.
    """
    from rapidfuzz import fuzz, process, utils  # noqa: PLC0415 - nothing else here needs it

    targets = [place.target for place in places(entity)]
    found: Answers = {}
    for one in fields:
        name = one.path.replace("_", " ").replace(".", " ")
        best = process.extractOne(
            name, targets, scorer=fuzz.token_sort_ratio, processor=utils.default_process, score_cutoff=70
        )
        if best is not None:
            found[one.path] = (best[0], best[1] / 100)
    return found


def score(labelled: dict[str, Any], answers: Answers) -> Score:
    """Compare answers with the labels of an object."""
    found = Score()
    for one in labelled["fields"]:
        target, sure = answers.get(one["path"], (None, 0.0))
        accepted = {one["target"], *one.get("accept", ())}
        is_right = target in accepted
        if one["target"] is None:
            found.nones += 1
            found.nones_kept += target is None or is_right
            found.wrong += target is not None and not is_right
        else:
            found.right += is_right
            found.missed += not is_right
            found.wrong += target is not None and not is_right
        if target is not None:
            band = next(name for least, name in BANDS if sure >= least)
            counts = found.bands.setdefault(band, [0, 0])
            counts[0] += is_right
            counts[1] += 1
    return found


def measured(
    objects: list[dict[str, Any]], answer: Callable[[str, Sequence[ForeignField]], Answers]
) -> Score:
    """Print a row per object, and give all of them together."""
    total = Score()
    for labelled in objects:
        one = score(labelled, answer(labelled["stream"], fields_of(labelled)))
        print(one.row(f"{labelled['source']} {labelled['object']}"))
        total.add(one)
    print(total.row("all"))
    return total


def show_bands(total: Score) -> None:
    """Print how many of each band of confidence were right."""
    for _, band in BANDS:
        right, all_ = total.bands.get(band, (0, 0))
        print(f"confidence {band}: {right} of {all_} right")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, default=LABELS)
    labels = parser.parse_args().labels
    if not labels.exists():
        print(f"skipped: there is no {labels.name}; name a file of labels with --labels")
        return
    objects = msgspec.json.decode(labels.read_bytes())["objects"]
    print(f"{'':34} {'P':>6} {'R':>6} {'F1':>6} {'none':>7}")
    print("equal names")
    measured(objects, by_equal_names)
    print("near names")
    try:
        measured(objects, by_near_names)
    except ImportError:
        print("skipped: rapidfuzz is not there")
    print("matcher")
    show_bands(measured(objects, by_matcher))
    settings = ModelSettings.from_environment()
    print(f"matcher and {settings.name}")
    try:
        show_bands(measured(objects, by_model))
    except ModelError as error:
        print(f"skipped: {error}")
    times = []
    for labelled in objects:
        fields = fields_of(labelled)
        begin = time.process_time()
        matches(labelled["stream"], fields)
        times.append((time.process_time() - begin) * 1000 / len(fields))
    print(f"{statistics.median(times):.2f} ms of CPU a field")


if __name__ == "__main__":
    main()
