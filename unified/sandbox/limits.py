"""Rate limiters that behave like the providers': a refilling bucket, and a rolling window.

They run on the machine's monotonic clock, not on the sandbox's settable one: a test that ages events by a
month must not refill every bucket.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """`rate` requests a second, in bursts of at most `burst` (by default one second's worth, at least 1)."""

    def __init__(
        self, rate: float, burst: float | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = max(1.0, rate if burst is None else burst)
        self._tokens = self._burst
        self._monotonic = monotonic
        self._filled_at = monotonic()

    def take(self) -> bool:
        """Take one token; False where none is left."""
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RollingWindow:
    """At most `limit` requests in any `seconds`."""

    def __init__(
        self, limit: int, seconds: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = limit
        self.seconds = seconds
        self._monotonic = monotonic
        self._taken: deque[float] = deque()

    def take(self) -> bool:
        """Count one request; False, and not counted, where the window is full."""
        if self.remaining == 0:
            return False
        self._taken.append(self._monotonic())
        return True

    @property
    def remaining(self) -> int:
        """How many requests the window still has room for."""
        horizon = self._monotonic() - self.seconds
        while self._taken and self._taken[0] <= horizon:
            self._taken.popleft()
        return self.limit - len(self._taken)
