"""The sandbox's own time, which tests set and advance.

Every `created`, every `Date` header and every retention window reads it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

DAY = 86_400


class Clock:
    """Real time plus an offset, or a time that stands still.

    Args:
        now: Unix seconds to stand still at; None follows the machine's clock.
    """

    def __init__(self, now: float | None = None) -> None:
        self._frozen = now
        self._offset = 0.0

    def time(self) -> float:
        """Unix seconds."""
        return (time.time() if self._frozen is None else self._frozen) + self._offset

    def advance(self, *, days: float = 0, seconds: float = 0) -> None:
        """Jump forward, or backward with negative numbers."""
        self._offset += days * DAY + seconds

    def set(self, now: float) -> None:
        """Stand still at `now` (Unix seconds)."""
        self._frozen, self._offset = now, 0.0


def iso_ms(milliseconds: int) -> str:
    """`1790000000123` as `2026-09-21T13:33:20.123Z`."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    # By isoformat: a format of one's own takes four times as long, and every record of HubSpot has several times.
    return f"{moment.isoformat()[:19]}.{milliseconds % 1000:03d}Z"


def parse_ms(text: str) -> int | None:
    """Milliseconds of an ISO 8601 time or of a number of milliseconds; None where it is neither."""
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
