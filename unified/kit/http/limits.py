"""A provider's rate limit, kept on our side of the wire.

Waiting for 429 and Retry-After alone wastes a sixth of what a provider allows. A token bucket that asks for
no more than is allowed reaches nearly all of it, and a provider that allows less than documented teaches
it.
"""

import asyncio
import time

# After a 429 the rate falls by this factor, and creeps back by this share of the ceiling for each good
# second.
_SLOW_DOWN = 0.7
_RECOVERY_PER_SECOND = 0.02
_LOWEST_RATE = 0.2


class RateLimit:
    """A token bucket whose rate follows what the provider allows.

    Attributes:
        rate: Requests per second at present.
    """

    def __init__(self, rate: float, *, burst: float = 1.0, within: "RateLimit | None" = None) -> None:
        """Start with a full bucket.

        Args:
            rate: Requests per second that the provider allows.
            burst: Requests that may go out at once after a pause.
            within: A wider limit that counts these requests as well.
        """
        self.rate = rate
        self._ceiling = rate
        self._burst = max(1.0, burst)
        self._within = within
        self._next = time.monotonic() - (self._burst - 1.0) / rate
        self._slowed_at = float("-inf")

    async def acquire(self) -> float:
        """Wait for this request's turn. Turns are handed out in the order in which they are asked for.

        Returns:
            Seconds waited.
        """
        now = time.monotonic()
        self._recover(now)
        turn = max(self._next, now - (self._burst - 1.0) / self.rate)
        self._next = turn + 1.0 / self.rate
        waited = max(0.0, turn - now)
        if waited:
            await asyncio.sleep(waited)
        return waited + (0.0 if self._within is None else await self._within.acquire())

    @property
    def is_saturated(self) -> bool:
        """Whether a further request would have to queue behind another: asking more at once gains nothing."""
        return self._next - time.monotonic() > 1.0 / self.rate

    def learn(self, rate: float) -> None:
        """Take over a limit that the provider states, in requests per second."""
        if rate != self._ceiling:
            self._ceiling = rate
            self.rate = min(self.rate, rate) if self._slowed_at > float("-inf") else rate

    def refused(self, pause: float) -> None:
        """Slow down after a 429. The answers to requests that were already under way count as one.

        Args:
            pause: Seconds during which nobody should ask again.
        """
        now = time.monotonic()
        self._next = max(self._next, now + pause)
        if now - self._slowed_at > 1.0:
            self.rate = max(_LOWEST_RATE, self.rate * _SLOW_DOWN)
            self._slowed_at = now

    def _recover(self, now: float) -> None:
        if self.rate < self._ceiling and now > self._slowed_at:
            regained = self._ceiling * _RECOVERY_PER_SECOND * (now - self._slowed_at)
            self.rate = min(self._ceiling, self.rate + regained)
            self._slowed_at = now
