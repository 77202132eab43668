"""How fast a provider may be asked, found out from what it lets through and what it refuses.

While more is asked than is allowed, what comes through *is* what is allowed, whether the provider counts by a window
or by a bucket. So requests that came through are counted from one recovery to the next: a recovery is the first request
that comes through after refusals, when nothing is saved up at the provider. Their number divided by the time is the
estimate. The pace starts a little below it and rises slowly to a little above, and the refusal that this ends in brings
the next count. A pace that rises on without a refusal rises ever faster: the provider allows more than it did.

Here is arithmetic alone. Whose turn it is, and who waits, is ``limits``'.
"""

# The pace starts so far below the estimate, more where that proves too high, and rises by this share while the requests
# of one estimate go out.
_MARGIN, _WIDEST_MARGIN, _MARGIN_STEP = 0.015, 0.1, 0.015
_RISE = 0.02

# An estimate remembers so many requests, or what went out in so many seconds, or in so many rests after a refusal, so
# that refusals stay rare and rests short beside the time between them.
_REMEMBERED_REQUESTS = 160.0
_REMEMBERED_SECONDS = 10.0
_REMEMBERED_RESTS = 25.0

# Answers take a while, so the pace does not rise faster than if the estimate were of what goes out in this time.
_SHORTEST_SECONDS = 0.5

# Fewer requests do not make an estimate better, and no fewer replace it by one that differs.
_FEWEST_COUNTED = 5
_FEWEST_REPLACING = 3
# An estimate is wrong by more than chance where so many requests and so large a share are missing or too many.
_CHANCE_REQUESTS, _CHANCE_SHARE = 2.0, 0.05
# A pace that was refused at first, or right after a recovery, is too high: at most this share of it is allowed.
_TOO_SOON = 0.93

# From this multiple of the estimate on, the provider has changed its limit, and only what comes now counts.
_LEAP = 2.5

_LOWEST_RATE = 0.02


class Pace:
    """Requests per second, by the estimate of what the provider allows.

    Attributes:
        rate: The pace at present.
        ceiling: What it never exceeds: the limit by the provider's documentation or headers.
    """

    def __init__(self, rate: float, now: float) -> None:
        """Begin at the ceiling, which is right until a request is refused.

        Args:
            rate: Requests per second that the provider allows by its documentation.
            now: The time in seconds, on any clock.
        """
        self.rate = self.ceiling = rate
        # The estimate: so many requests in so many seconds.
        self._requests = self._seconds = 0.0
        # What came through since the last recovery, and since the pace was last set back to the estimate.
        self._counted, self._count_began = 0, now
        self._risen = 0
        # The same since the pace leapt over the estimate.
        self._leapt, self._leap_began = 0, now
        # A provider that saves nothing up allows nearly the pace that it refused. How much of the way from the estimate
        # to that pace is taken, and the share that this adds to the pace.
        self._trust, self._lift = 0.5, 0.0
        self._margin = _MARGIN

    @property
    def is_estimated(self) -> bool:
        """Whether any request was refused so far."""
        return self._seconds > 0.0

    def learn(self, rate: float) -> None:
        """Take over a limit that the provider states, in requests per second."""
        if rate != self.ceiling:
            self.ceiling = rate
            self.rate = min(self.rate, rate) if self.is_estimated else rate

    def idle(self, seconds: float) -> None:
        """Leave out time in which nobody asked: it says nothing about the limit."""
        self._count_began += seconds
        self._leap_began += seconds

    def count(self) -> None:
        """Count a request that came through, whatever the pace."""
        self._counted += 1

    def rise(self, now: float) -> None:
        """Go a step up, for a request that came through while others waited for their turn."""
        if not self.is_estimated:
            return
        self._risen += 1
        self._set()
        if self.rate > _LEAP * self._requests / self._seconds:
            if not self._leapt:
                self._leap_began = now
            self._leapt += 1

    def recover(self, now: float, *, began: float, refused: float, in_a_row: int) -> None:
        """Estimate anew, when a request came through after refusals.

        Args:
            now: When that was; the request is counted already.
            began: When the first of the refusals came.
            refused: When the last one came. The provider was ready again at some time between then and now.
            in_a_row: How many there were, not counting those of requests that were under way at the first.
        """
        ready = (refused + now) / 2
        count, seconds = self._counted - 1, max(ready - self._count_began, 1e-9)
        was_estimated, was = self.is_estimated, self.rate
        memories = self._risen / self._requests if was_estimated else 0.0
        if not self._take(count, seconds, ready):
            # Too few to count: they count along with what comes next. What was refused so soon is half as likely.
            if self._lift < self._margin:
                self._seconds /= max(_TOO_SOON, min(1.0, count / seconds * self._seconds / self._requests))
            self._trust, self._lift = self._trust / 2, self._lift / 2
        else:
            self._counted, self._count_began = 1, now
            if was_estimated or in_a_row == 1:
                self._weigh(memories if was_estimated else 1.0, was * self._seconds / self._requests - 1.0)
        self._forget(now - began)
        self._leapt = self._risen = 0
        self._set()

    def _take(self, count: int, seconds: float, now: float) -> bool:
        """Make a count the estimate, or a part of it; False where it is too small for that."""
        expected = seconds * self._requests / self._seconds if self._seconds else 0.0
        is_off = abs(count - expected) > _CHANCE_REQUESTS + _CHANCE_SHARE * expected
        if self._leapt >= _FEWEST_COUNTED:
            self._requests, self._seconds = self._leapt, now - self._leap_began
        elif not self._seconds:
            # The pace was refused, so less is allowed.
            self._requests = max(1, count)
            self._seconds = max(seconds, self._requests / (_TOO_SOON * self.rate))
        elif is_off and count >= _FEWEST_REPLACING:
            self._requests, self._seconds = count, seconds
        elif count >= max(_FEWEST_COUNTED, self._requests / 4):
            self._requests, self._seconds = self._requests + count, self._seconds + seconds
        else:
            return False
        return True

    def _weigh(self, memories: float, above: float) -> None:
        """See how good the former pace was.

        Args:
            memories: How long it lasted, in requests of one estimate.
            above: The share by which it was above the estimate when it was refused.
        """
        is_early = memories < 1.0
        self._trust = self._trust / 2 if is_early else min(0.8, self._trust + 0.2)
        self._lift = self._trust * min(1.0, max(0.0, above))
        step = _MARGIN_STEP if memories < 0.5 else 0.0 if is_early else -_MARGIN_STEP  # noqa: PLR2004 - a half
        self._margin = min(_WIDEST_MARGIN, max(_MARGIN, self._margin + step))

    def _forget(self, rest: float) -> None:
        seconds = max(_REMEMBERED_SECONDS, _REMEMBERED_RESTS * rest)
        most = max(_REMEMBERED_REQUESTS, seconds * self._requests / self._seconds)
        kept = min(1.0, most / self._requests)
        self._requests, self._seconds = self._requests * kept, self._seconds * kept

    def _set(self) -> None:
        estimate, doubt = self._requests / self._seconds, 1.0 / self._requests
        memory = max(self._requests, _SHORTEST_SECONDS * estimate)
        start = 1.0 - self._margin - doubt / 2
        rise = (_RISE + doubt) * self._risen / memory
        # Past one memory the rise is cubic: some 6 % after another half, a half after a whole one.
        beyond = max(0.0, (self._risen - memory) / max(memory, 20.0))
        wanted = estimate * (1.0 + self._lift) * (start + rise + beyond**3 / 2)
        self.rate = min(self.ceiling, max(_LOWEST_RATE, wanted))
