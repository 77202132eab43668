"""A provider's rate limit, kept on our side of the wire: requests wait for their turns.

Waiting for 429 and Retry-After alone wastes a sixth of what a provider allows. Turns at a pace just below the limit use
nearly all of it, and the pace follows what the provider lets through (``pace``). Not here: which answer is a limit's
(``refusals``), and how often one request is tried (``client``).
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from unified.kit.http.pace import Pace

# After a refusal nobody asks for a turn's time, but no less than this; twice as long after each further one, up to a
# quarter of the time since the first one or this.
_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
# Then one request goes ahead, and all others wait for its answer so long, and look so often.
_PATIENCE = 5.0
# So many seconds' turns may go out at once after this process was held up.
_MADE_UP_FOR = 0.25
_LOOK = 0.02


@dataclass(frozen=True, slots=True)
class StatedRate:
    """Headers in which a provider states its limit.

    Attributes:
        most: The header that says how many requests are allowed.
        interval: The header that says in which time; None where that is fixed.
        unit: Seconds of one unit of the interval, or of the whole where no header says.
    """

    most: str
    interval: str | None = None
    unit: float = 1.0

    def rate(self, headers: Mapping[str, str]) -> float | None:
        """Requests per second by an answer's headers; None where they do not say."""
        most = headers.get(self.most, "")
        interval = "1" if self.interval is None else headers.get(self.interval, "")
        if not (most.isdecimal() and interval.isdecimal() and int(most) and int(interval)):
            return None
        return int(most) / (int(interval) * self.unit)


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit as an adapter declares it.

    Attributes:
        rate: Requests per second by the provider's documentation.
        name: What requests call it; those without a name take ``default``.
        share: The share of the rate to ask for: networks deliver unevenly.
        burst: Requests that may go out at once after a pause.
        within: The name of a wider limit, declared before, that counts these requests as well.
        stated: Where answers state the rate of this very account.
    """

    rate: float
    name: str = "default"
    share: float = 1.0
    burst: float = 1.0
    within: str | None = None
    stated: StatedRate | None = None


def rate_limits(declared: Iterable[Limit], *, fixed: float | None = None) -> dict[str, "RateLimit"]:
    """Rate limits by name, for one connection.

    Args:
        declared: The adapter's limits.
        fixed: Requests per second of ``default`` instead, by the connection's settings; no header changes it.
    """
    made: dict[str, RateLimit] = {}
    for one in declared:
        is_fixed = fixed is not None and one.name == "default"
        made[one.name] = RateLimit(
            fixed if fixed is not None and is_fixed else one.rate * one.share,
            burst=one.burst,
            within=made[one.within] if one.within else None,
            stated=None if is_fixed else one.stated,
            share=one.share,
        )
    return made


class RateLimit:
    """Turns for requests, at a pace that follows what the provider allows."""

    def __init__(
        self,
        rate: float,
        *,
        burst: float = 1.0,
        within: "RateLimit | None" = None,
        stated: StatedRate | None = None,
        share: float = 1.0,
    ) -> None:
        """Start with a full bucket.

        Args:
            rate: Requests per second that the provider allows by its documentation; the pace is never higher.
            burst: Requests that may go out at once after a pause, as long as none was refused.
            within: A wider limit that counts these requests as well.
            stated: Headers that state the rate.
            share: The share of a stated rate to ask for.
        """
        now = time.monotonic()
        self._pace = Pace(rate, now)
        self._burst = max(1.0, burst)
        self._within = within
        self._stated = stated
        self._share = share
        self._queue = asyncio.Lock()
        self._next = now - (self._burst - 1.0) / rate
        # Refusals in a row, when the first and the last came, and until when nobody asks.
        self._refusals = 0
        self._first_refused = self._last_refused = self._paused_until = float("-inf")

    @property
    def rate(self) -> float:
        """Requests per second at present."""
        return self._pace.rate

    @property
    def is_saturated(self) -> bool:
        """Whether a further request would have to queue behind another: asking more at once gains nothing."""
        return self._turn - time.monotonic() > 1.0 / self.rate

    def learn(self, rate: float) -> None:
        """Take over a limit that the provider states, in requests per second."""
        self._pace.learn(rate)

    def read(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer's headers state."""
        if self._stated is not None and (rate := self._stated.rate(headers)) is not None:
            self.learn(rate * self._share)

    async def acquire(self) -> float:
        """Wait for this request's turn. Turns come in the order in which they are asked for.

        Returns:
            Seconds waited.
        """
        asked = time.monotonic()
        async with self._queue:
            now = max(asked, time.monotonic())
            # Who asked before its turn was not idle: turns that a busy machine has slept through are made up for.
            self._skip_idle(max(asked, now - _MADE_UP_FOR))
            # A refusal that comes meanwhile moves the turn, and so does the answer that ends a run of them. The time is
            # the planned one, so a wake-up that comes late costs no turn.
            while (ahead := self._turn - now) > 0.0:
                if self._refusals and self._next > self._paused_until:
                    await asyncio.sleep(min(ahead, _LOOK))
                    now += min(ahead, _LOOK)
                    if self._turn < now:  # the answer came meanwhile
                        self._next = now
                else:
                    await asyncio.sleep(ahead)
                    now += ahead
            self._next = self._turn + (_PATIENCE if self._refusals else 1.0 / self.rate)
        return now - asked + (0.0 if self._within is None else await self._within.acquire())

    def passed(self, sent: float) -> None:
        """Count a request that was not refused.

        Args:
            sent: When it was sent, by :func:`time.monotonic`.
        """
        if self._within is not None:
            self._within.passed(sent)
        self._pace.count()
        now = time.monotonic()
        if not self._refusals:
            if self._next > now:
                self._pace.rise(now)
        elif sent > self._first_refused:
            self._pace.recover(
                now, began=self._first_refused, refused=self._last_refused, in_a_row=self._refusals
            )
            self._refusals = 0
            self._next = min(self._next, max(now, sent + 1.0 / self.rate))

    def refused(self, sent: float, pause: float | None = None) -> None:
        """Slow down after a refusal. The answers to requests that were already under way count as one.

        Args:
            sent: When the request was sent, by :func:`time.monotonic`.
            pause: Seconds during which nobody should ask again, where the provider says so.
        """
        now = time.monotonic()
        if pause is not None:
            self._paused_until = max(self._paused_until, now + pause)
        if sent <= self._first_refused:
            return
        if not self._refusals:
            self._first_refused = now
        self._refusals += 1
        self._last_refused = now
        turn = max(_SHORTEST_PAUSE, 1.0 / self.rate)
        longest = max(_LONGEST_PAUSE, (now - self._first_refused) / 4)
        own = min(turn * 2.0 ** (self._refusals - 1), longest)
        self._paused_until = self._next = max(self._paused_until, now + own)

    @property
    def _turn(self) -> float:
        """When the next request may go, as things stand."""
        return max(self._next, self._paused_until)

    def _skip_idle(self, now: float) -> None:
        """Time in which nobody asked saves up no more than one burst."""
        burst = 1.0 if self._pace.is_estimated else self._burst
        idle = now - (burst - 1.0) / self.rate - self._next
        if idle > 0.0:
            self._next += idle
            if not self._refusals:
                self._pace.idle(idle)
