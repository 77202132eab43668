"""Providers that limit, and a client that asks as much as it may, on a clock that only waiting moves.

The rate limit is the real one; the loop's clock stands in for ``time.monotonic``.
"""

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from unified.kit.http import limits
from unified.kit.http.limits import RateLimit


class _NoWait(selectors.SelectSelector):
    """Waits by moving the clock."""

    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for somebody else"
        self.loop.now += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while all wait."""

    def __init__(self) -> None:
        self.now = 1_000.0
        selector = _NoWait()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class Provider(Protocol):
    """A provider's way to limit."""

    def wait(self, now: float) -> float | None:
        """None for a request that is let through, else the seconds after which one would be."""
        ...


@dataclass
class Bucket:
    """A token bucket."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self.burst = max(1.0, self.burst)
        self._tokens = self.burst

    def wait(self, now: float) -> float | None:
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1.0:
            return (1.0 - self._tokens) / self.rate
        self._tokens -= 1.0
        return None


@dataclass
class FixedWindow:
    """So many requests in each window of so many seconds; the clock decides when one begins."""

    most: int
    seconds: float
    _window: int = -1
    _count: int = 0

    def wait(self, now: float) -> float | None:
        number, passed = divmod(now + 0.37 * self.seconds, self.seconds)
        if number != self._window:
            self._window, self._count = int(number), 0
        if self._count >= self.most:
            return self.seconds - passed
        self._count += 1
        return None


@dataclass
class SlidingWindow:
    """So many requests in any so many seconds."""

    most: int
    seconds: float
    _at: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float | None:
        while self._at and self._at[0] <= now - self.seconds:
            self._at.popleft()
        if len(self._at) >= self.most:
            return self._at[0] + self.seconds - now
        self._at.append(now)
        return None


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        asked: When each request was answered, and whether it was let through.
        rate: The pace at the end.
    """

    asked: list[tuple[float, bool]]
    rate: float

    def through(self, since: float, until: float) -> float:
        """Requests per second that were let through."""
        return sum(ok for at, ok in self.asked if since <= at < until) / (until - since)

    def refused(self, since: float) -> float:
        """The share of requests that were refused."""
        later = [ok for at, ok in self.asked if at >= since]
        return 1.0 - sum(later) / len(later)


def run(
    provider: Provider,
    declared: float,
    seconds: float,
    *,
    latency: float = 0.02,
    jitter: float = 0.2,
    workers: int = 16,
    others: float = 0.0,
    says_when: bool = False,
    change: Mapping[float, Callable[[], Any]] | None = None,
) -> Outcome:
    """Ask as much as the rate limit lets, with so many requests under way as a connection has.

    Args:
        provider: Whom.
        declared: Requests per second that its documentation allows.
        seconds: How long.
        latency: Seconds from request to answer.
        jitter: The share by which that varies.
        workers: Requests under way at once.
        others: Requests per second of another client of the same account.
        says_when: Whether refusals come with ``Retry-After``, in whole seconds.
        change: What happens, by when.
    """
    loop, chance = SimulatedLoop(), random.Random(1)  # noqa: S311 - the same each time
    asked: list[tuple[float, bool]] = []

    async def everybody() -> float:
        limit, begun = RateLimit(declared), loop.now

        async def ask() -> None:
            tries = 0
            while True:
                await limit.acquire()
                sent, way = loop.now, latency * (1 + jitter * chance.random()) / 2
                await asyncio.sleep(way)
                wait = provider.wait(loop.now)
                await asyncio.sleep(way)
                asked.append((loop.now - begun, wait is None))
                if wait is None:
                    limit.passed(sent)
                    tries = 0
                    continue
                told = float(-(-wait // 1)) if says_when else None
                limit.refused(sent, told)
                tries += 1
                await asyncio.sleep((told or 0.5 * 2 ** (tries - 1)) + chance.random() / 2)

        async def share() -> None:
            while others:
                await asyncio.sleep(1 / others)
                provider.wait(loop.now)

        async def happen() -> None:
            for at, what in (change or {}).items():
                await asyncio.sleep(begun + at - loop.now)
                what()

        tasks = [asyncio.ensure_future(one) for one in [*(ask() for _ in range(workers)), share(), happen()]]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return limit.rate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits.time, "monotonic", loop.time)
        try:
            rate = loop.run_until_complete(everybody())
        finally:
            loop.close()
    return Outcome(asked, rate)
