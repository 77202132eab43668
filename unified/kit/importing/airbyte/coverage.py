"""How much of a folder of manifests needs nothing but data: by what an engine has, and why the rest does not run."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from unified.kit.importing.airbyte.components import NEEDS
from unified.kit.importing.airbyte.examination import ExaminedStream


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
        rows: By need, cumulative.
        reasons: Why streams do not run, with how many manifests and streams have that reason.
    """

    manifests: int = 0
    streams: int = 0
    unread: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    reasons: dict[str, tuple[int, int]] = field(default_factory=dict)


def coverage(manifests: Iterable[list[ExaminedStream]]) -> Coverage:
    """Count over manifests that were examined; each is let go once it is counted."""
    found = Coverage()
    counts = [[0, 0, 0] for _ in NEEDS]
    in_manifests: Counter[str] = Counter()
    in_streams: Counter[str] = Counter()
    for streams in manifests:
        found.manifests += 1
        found.streams += len(streams)
        for place in range(len(NEEDS)):
            has = frozenset(NEEDS[: place + 1])
            running = sum(one.runs_with(has) for one in streams)
            counts[place][0] += bool(streams) and running == len(streams)
            counts[place][1] += running
            counts[place][2] += running > 0
        kinds = [{reason.partition(":")[0] for reason in one.refused} for one in streams]
        in_streams.update(kind for each in kinds for kind in each)
        in_manifests.update(set().union(*kinds))
    found.rows = [Row(need, *each) for need, each in zip(NEEDS, counts, strict=True)]
    found.reasons = {kind: (in_manifests[kind], count) for kind, count in in_streams.most_common()}
    return found
