"""Bar charts in SVG, drawn here, so that they need no script: of syncs, of the last hours, of what was invoiced.

A bar of records is as high as their logarithm, so that a first load does not flatten the days after. What was invoiced
lies on its side, a month a row, so that each amount stands beside its bar on a phone as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import log10
from typing import Literal

from unified.kit.errors import counted
from unified.store.connections.overview import Hour
from unified.store.records.counts.invoiced import Invoiced
from unified.store.records.history import SyncRun

Outcome = Literal["good", "partial", "failed", "running"]

WIDTH, HEIGHT = 640, 140
HOURS = 24
"""Hours that a chart of hours shows."""
MONTHS = 12
"""Months that a chart of months shows at most."""

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
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Month:
    """What was invoiced in a month, and its bar.

    Attributes:
        invoiced: In one currency.
        share: How long its bar is, in hundredths of the longest.
    """

    invoiced: Invoiced
    share: float


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


def changed(hours: Sequence[Hour], since: datetime) -> list[Bar]:
    """The records that were changed in each hour since a time, which has a place whether or not anything was synced."""
    highest = max((log10(1 + hour.changed) for hour in hours), default=0.0) or 1.0
    return [
        _hour(
            hour,
            since,
            log10(1 + hour.changed) / highest,
            "good",
            f"{counted(hour.changed, 'record')} changed",
        )
        for hour in hours
    ]


def success(hours: Sequence[Hour], since: datetime) -> list[Bar]:
    """The share of pulls that ended well in each hour since a time."""
    drawn = []
    for hour in hours:
        pulls = hour.succeeded + hour.failed
        outcome: Outcome = "good" if not hour.failed else "partial" if hour.succeeded else "failed"
        text = f"{hour.succeeded:,} of {counted(pulls, 'pull')} ended well"
        drawn.append(_hour(hour, since, hour.succeeded / pulls, outcome, text))
    return drawn


def invoiced(months: Sequence[Invoiced]) -> list[Month]:
    """What was invoiced in one currency, the newest month first; where credits exceed invoices, a bar has no length."""
    highest = max((one.total for one in months), default=Decimal(0))
    return [
        Month(one, round(float(100 * one.total / highest), 1) if one.total > 0 else 0.0)
        for one in sorted(months, key=lambda one: one.month, reverse=True)
    ]


def _hour(hour: Hour, since: datetime, share: float, outcome: Outcome, text: str) -> Bar:
    step = WIDTH / HOURS
    height = _FLOOR + (HEIGHT - _FLOOR) * share
    return Bar(
        round((hour.begins - since) // timedelta(hours=1) * step, 1),
        round(HEIGHT - height, 1),
        round(step - _GAP, 1),
        round(height, 1),
        outcome,
        f"{hour.begins.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {text}",
    )


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


def _outcome(sync: _Sync) -> Outcome:
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
