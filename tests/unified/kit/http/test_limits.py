"""The rate limit, by counting turns on a clock that only the limit's own waiting moves."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from tests.properties import given
from unified.kit.http import limits
from unified.kit.http.limits import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Iterator[Clock]:
    made = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits.time, "monotonic", made.monotonic)
        patch.setattr(limits.asyncio, "sleep", made.sleep)
        yield made


async def turns(limit: RateLimit, clock: Clock, count: int) -> list[float]:
    """When each of ``count`` requests was let through, in seconds from now."""
    start, at = clock.now, []
    for _ in range(count):
        asked = clock.now
        assert await limit.acquire() == pytest.approx(clock.now - asked)
        at.append(clock.now - start)
    return at


async def test_no_more_requests_than_the_rate_allows(clock: Clock) -> None:
    limit = RateLimit(25)
    at = await turns(limit, clock, 101)
    assert at[-1] == pytest.approx(100 / 25)


async def test_a_burst_goes_out_at_once_and_counts(clock: Clock) -> None:
    at = await turns(RateLimit(10, burst=5), clock, 11)
    assert at[:5] == pytest.approx([0] * 5)
    assert at[-1] == pytest.approx(6 / 10)


async def test_a_pause_saves_no_more_than_one_burst(clock: Clock) -> None:
    limit = RateLimit(10, burst=3)
    await turns(limit, clock, 3)
    clock.now += 60
    at = await turns(limit, clock, 4)
    assert at[:3] == pytest.approx([0] * 3)
    assert at[3] == pytest.approx(0.1)


async def test_turns_are_handed_out_in_order() -> None:
    # Slow enough that all have asked before the second turn is due.
    limit, order = RateLimit(50), []

    async def ask(number: int) -> None:
        await limit.acquire()
        order.append(number)

    await asyncio.gather(*map(ask, range(20)))
    assert order == list(range(20))


async def test_a_refusal_pauses_everyone_and_slows_down(clock: Clock) -> None:
    limit = RateLimit(100)
    limit.refused(2.0)
    assert limit.rate == pytest.approx(70)
    assert (await turns(limit, clock, 1))[0] == pytest.approx(2.0)


async def test_refusals_of_requests_under_way_count_as_one(clock: Clock) -> None:
    limit = RateLimit(100)
    for _ in range(16):
        limit.refused(0.5)
    assert limit.rate == pytest.approx(70)


async def test_refusal_after_refusal_never_stops_it(clock: Clock) -> None:
    limit = RateLimit(1)
    for _ in range(100):
        limit.refused(0)
        clock.now += 2
    assert limit.rate > 0
    await turns(limit, clock, 1)


async def test_the_rate_comes_back(clock: Clock) -> None:
    limit = RateLimit(100)
    limit.refused(0)
    clock.now += 60
    await limit.acquire()
    assert limit.rate == 100


async def test_a_stated_limit_is_taken_over(clock: Clock) -> None:
    limit = RateLimit(10)
    limit.learn(19)
    assert limit.rate == 19
    limit.refused(0)
    limit.learn(5)
    assert limit.rate == 5


async def test_it_knows_when_further_requests_would_only_queue(clock: Clock) -> None:
    limit = RateLimit(10)
    assert not limit.is_saturated
    await limit.acquire()
    clock.now += 0.05
    assert not limit.is_saturated
    limit._next += 0.1
    assert limit.is_saturated


@given(rate=st.floats(0.5, 500), burst=st.integers(1, 50), pauses=st.lists(st.floats(0, 3), max_size=60))
def test_no_second_ever_sees_more_than_the_rate_and_a_burst(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits.time, "monotonic", clock.monotonic)
        patch.setattr(limits.asyncio, "sleep", clock.sleep)
        limit, at = RateLimit(rate, burst=burst), []

        async def run() -> None:
            for pause in pauses:
                clock.now += pause
                await limit.acquire()
                at.append(clock.now)

        asyncio.run(run())
    for first, moment in enumerate(at):
        inside = sum(1 for later in at[first:] if later < moment + 1)
        assert inside <= rate + burst + 1e-6
