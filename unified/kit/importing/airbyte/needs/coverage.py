"""How much of a folder of manifests needs nothing but data, by what an engine has, and how much is converted."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from unified.kit.importing.airbyte.needs.components import NEEDS
from unified.kit.importing.airbyte.needs.examination import ExaminedStream
from unified.kit.importing.airbyte.streams import ConvertedStream


@dataclass(frozen=True, slots=True)
class Row:
    """What runs with a need, all before it included.

    Attributes:
        need: One of ``components.NEEDS``.
        whole: Manifests of which each stream runs.
        streams: Streams that run.
        some: Manifests of which at least one stream runs.
    """

    need: str
    whole: int
    streams: int
    some: int


@dataclass(slots=True)
class Coverage:
    """Counts over manifests.

    Attributes:
        manifests: How many were read.
        streams: How many streams they have.
        unread: Files that are not manifests, each with the reason.
        rows: By need, cumulative: what an engine that has this could run.
        here: What became documents.
        reasons: Why streams did not, with how many manifests and streams have that reason.
    """

    manifests: int = 0
    streams: int = 0
    unread: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    here: Row = field(default_factory=lambda: Row("converted here", 0, 0, 0))
    reasons: dict[str, tuple[int, int]] = field(default_factory=dict)


def coverage(manifests: Iterable[tuple[list[ExaminedStream], list[ConvertedStream]]]) -> Coverage:
    """Count over manifests that were examined and converted; each is let go once it is counted."""
    found = Coverage()
    counts = [[0, 0, 0] for _ in (*NEEDS, found.here)]
    in_manifests: Counter[str] = Counter()
    in_streams: Counter[str] = Counter()
    for examined, converted in manifests:
        found.manifests += 1
        found.streams += len(examined)
        running = [
            sum(one.runs_with(frozenset(NEEDS[: place + 1])) for one in examined)
            for place in range(len(NEEDS))
        ]
        running.append(sum(one.said is not None for one in converted))
        for count, streams in zip(counts, running, strict=True):
            count[0] += bool(examined) and streams == len(examined)
            count[1] += streams
            count[2] += streams > 0
        kinds = [one.reason.partition(":")[0] for one in converted if one.reason]
        in_streams.update(kinds)
        in_manifests.update(set(kinds))
    found.rows = [Row(need, *each) for need, each in zip(NEEDS, counts, strict=False)]
    found.here = Row(found.here.need, *counts[-1])
    found.reasons = {kind: (in_manifests[kind], count) for kind, count in in_streams.most_common()}
    return found
