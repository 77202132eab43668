"""How much an agent may ask of us in an hour: an agent in a loop, or one that was talked into copying all there is.

Each process counts for itself, as it does requests. Requests a second are limited where all requests are.
"""

import math
from dataclasses import dataclass

from unified.api.mcp.agent import RefusedError

_HOUR_SECONDS = 3600.0
_MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class _Spent:
    """What was asked in the hour that began then."""

    began: float
    calls: int = 0
    rows: int = 0


class Budgets:
    """Counts calls and rows by actor."""

    def __init__(self, calls: int, rows: int) -> None:
        """Allow so many an hour of each."""
        self._calls = calls
        self._rows = rows
        self._spent: dict[str, _Spent] = {}

    def call(self, actor: str, now: float) -> None:
        """Count a call.

        Args:
            actor: Whose.
            now: Seconds of a monotonic clock.

        Raises:
            RefusedError: If the hour's calls or rows are used up.
        """
        spent = self._of(actor, now)
        left = math.ceil((spent.began + _HOUR_SECONDS - now) / 60)
        for used, most, what in ((spent.calls, self._calls, "calls"), (spent.rows, self._rows, "rows")):
            if used >= most:
                raise RefusedError(
                    f"The budget of {most:,} {what} an hour is used up; go on in {left} min, and ask for sums or "
                    "for fewer rows."
                )
        spent.calls += 1

    def rows(self, actor: str, count: int, now: float) -> None:
        """Count the rows of an answer."""
        self._of(actor, now).rows += count

    def _of(self, actor: str, now: float) -> _Spent:
        spent = self._spent.get(actor)
        if spent is None or now >= spent.began + _HOUR_SECONDS:
            if len(self._spent) >= _MOST_REMEMBERED:
                self._spent = {
                    name: one for name, one in self._spent.items() if now < one.began + _HOUR_SECONDS
                }
            spent = self._spent[actor] = _Spent(now)
        return spent
