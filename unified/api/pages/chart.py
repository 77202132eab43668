"""A connection's last syncs as a bar chart in SVG, drawn here: without scripts it works everywhere.

A bar is as high as the logarithm of the records that were read, so that a first load does not flatten the days after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log10
from typing import Literal

from unified.store.records.history import SyncRun

WIDTH, HEIGHT = 640, 140
_MOST_BARS, _FEWEST_PLACES = 40, 24
_GAP = 4
_FLOOR = 3  # a sync that found nothing is still to be seen


@dataclass(frozen=True, slots=True)
class Bar:
    """One sync: all pulls of one run.

    Attributes:
        x: Its left side.
        y: Its top.
        width: In units of the drawing.
        height: In units of the drawing.
        outcome: How it went.
        text: The same in words.
    """

    x: float
    y: float
    width: float
    height: float
    outcome: Literal["good", "partial", "failed", "running"]
    text: str


@dataclass
class _Sync:
    key: str
    started_at: datetime
    read: int = 0
    changed: int = 0
    rejected: int = 0
    failed: bool = False
    running: bool = False


def bars(runs: Sequence[SyncRun]) -> list[Bar]:
    """The drawing of some pulls.

    Args:
        runs: The newest first, as :func:`unified.store.records.history.recent` has them.
    """
    syncs = _syncs(runs)[:_MOST_BARS][::-1]
    if not syncs:
        return []
    highest = max(log10(1 + sync.read) for sync in syncs) or 1.0
    step = WIDTH / max(len(syncs), _FEWEST_PLACES)
    left = WIDTH - step * len(syncs)
    drawn = []
    for number, sync in enumerate(syncs):
        height = _FLOOR + (HEIGHT - _FLOOR) * log10(1 + sync.read) / highest
        drawn.append(
            Bar(
                round(left + number * step, 1),
                round(HEIGHT - height, 1),
                round(step - _GAP, 1),
                round(height, 1),
                _outcome(sync),
                _text(sync),
            )
        )
    return drawn


def _syncs(runs: Sequence[SyncRun]) -> list[_Sync]:
    """Pulls of one run are one sync; without a run each is by itself."""
    found: dict[str, _Sync] = {}
    for run in runs:
        key = run.run_id or str(run.id)
        sync = found.setdefault(key, _Sync(key, run.started_at))
        sync.started_at = min(sync.started_at, run.started_at)
        sync.read += run.records_read
        sync.changed += run.inserted + run.updated + run.deleted
        sync.rejected += run.rejected
        sync.failed |= run.error_message is not None
        sync.running |= run.finished_at is None
    return list(found.values())


def _outcome(sync: _Sync) -> Literal["good", "partial", "failed", "running"]:
    if sync.failed:
        return "failed"
    if sync.running:
        return "running"
    return "partial" if sync.rejected else "good"


def _text(sync: _Sync) -> str:
    outcome = {"failed": ", failed", "running": ", running"}.get(_outcome(sync), "")
    rejected = f", {sync.rejected:,} rejected" if sync.rejected else ""
    at = f"{sync.started_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{at}: {sync.read:,} read, {sync.changed:,} changed{rejected}{outcome}"
