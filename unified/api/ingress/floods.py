"""How many deliveries one endpoint may send, so that its flood does not become the others'."""

import math

# Beyond this many endpoints those that have been quiet are forgotten, which changes nothing for them.
_MOST_REMEMBERED = 10_000


class FloodGate:
    """One bucket of tokens per endpoint, kept as the moment at which it will be full again.

    Each process counts for itself.
    """

    def __init__(self, rate: float, burst: int) -> None:
        """Let ``rate`` deliveries a second through, and ``burst`` at once after a pause."""
        self._interval = 1 / rate
        self._tolerance = burst / rate
        self._full_at: dict[object, float] = {}

    def wait_for(self, endpoint: object, now: float) -> int:
        """Count a delivery, unless it is one too many.

        Args:
            endpoint: Whatever names the endpoint.
            now: Seconds of a monotonic clock.

        Returns:
            0 where the delivery may pass; else the whole seconds after which the next one may.
        """
        full_at = max(self._full_at.get(endpoint, now), now) + self._interval
        excess = full_at - now - self._tolerance
        if excess > 0:
            return math.ceil(excess)
        if endpoint not in self._full_at and len(self._full_at) >= _MOST_REMEMBERED:
            self._full_at = {name: moment for name, moment in self._full_at.items() if moment > now}
        self._full_at[endpoint] = full_at
        return 0

    def left(self, endpoint: object, now: float) -> int:
        """How many deliveries may pass at once."""
        full_in = max(self._full_at.get(endpoint, now) - now, 0.0)
        return max(math.floor((self._tolerance - full_in) / self._interval), 0)
