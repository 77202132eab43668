"""Time cursors: whose clock counts, what overlaps, what is too old, and pulls of several steps."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from unified.kit.declarations import AdapterConfig
from unified.kit.errors import StaleCursorError
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.reading.changes import Since, in_steps, provider_time
from unified.kit.streams import Page, RawRecord

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SINCE = Since(timedelta(seconds=30), timedelta(seconds=10), timedelta(days=30))


def test_two_pulls_overlap_by_the_lag_and_the_clocks_difference() -> None:
    assert SINCE.settled(NOW) == NOW - timedelta(seconds=30)
    assert SINCE.reach(SINCE.settled(NOW)) == NOW - timedelta(seconds=40)


@pytest.mark.parametrize(
    "pulls", [[100, 3_700], [100, 120, 140, 1_100], [899, 901], [31, 60, 90, 899, 5_000]]
)
@pytest.mark.parametrize("visible_after", [0, 29, 90, 600, 900])
def test_a_change_that_shows_late_is_seen_by_the_first_pull_that_can(
    pulls: list[int], visible_after: int
) -> None:
    times = Since(timedelta(seconds=30), timedelta(seconds=10), late=timedelta(seconds=900))
    since, seen = times.settled(NOW), False  # it changed at NOW, and the pulls come so many seconds later
    for seconds in pulls:
        now = NOW + timedelta(seconds=seconds)
        is_shown = seconds >= visible_after
        seen |= is_shown and times.reach(since) <= NOW
        assert seen or not is_shown
        since = max(since, times.settled(now))
    assert seen


def test_what_the_provider_has_forgotten_is_only_to_be_had_by_a_full_refresh() -> None:
    since = NOW - timedelta(days=30)
    SINCE.check(since, NOW, label="demo connection acme/demo")
    SINCE.check(since, None, label="demo connection acme/demo")
    with pytest.raises(
        StaleCursorError, match=r"acme/demo: the last pull .* 30 days .* only a full refresh helps"
    ):
        SINCE.check(since, NOW + timedelta(seconds=1), label="demo connection acme/demo")
    Since(timedelta(0)).check(since - timedelta(days=9_999), NOW, label="x")


async def test_the_providers_clock_counts_up_to_ours() -> None:
    http = HttpClient(
        AdapterConfig(base_url="https://api.example.com"), label="x", limits={"default": RateLimit(1)}
    )
    assert provider_time(http, lambda: NOW) is None
    http.server_time = NOW - timedelta(hours=1)
    assert provider_time(http, lambda: NOW) == NOW - timedelta(hours=1)
    http.server_time = NOW + timedelta(days=400)
    assert provider_time(http, lambda: NOW) == NOW
    await http.aclose()


def numbers(name: str, pages: int) -> Any:
    async def step(at: Any) -> AsyncGenerator[Page, None]:
        for number in range(at or 0, pages):
            cursor = {"at": number + 1} if number + 1 < pages else None
            yield Page([RawRecord(f"{name}{number}", b"{}")], NOW, cursor)

    return step


@pytest.mark.parametrize("stop", [1, 2, 3, 100])
async def test_steps_go_on_after_any_stop_where_they_stood(stop: int) -> None:
    steps = {"first": numbers("a", 3), "none": numbers("b", 0), "last": numbers("c", 2)}
    cursor: dict[str, Any] = {"since": 7, "until": 9, "step": "first", "at": None}
    met: list[str | None] = []
    ended = False
    while not ended:
        ended = True
        async with aclosing(in_steps(cursor, steps)) as pages:
            left = stop
            async for page in pages:
                met += [record.source_id for record in page.records]
                cursor = msgspec.json.decode(msgspec.json.encode(page.cursor))
                left -= 1
                if not left:
                    ended = False
                    break
    assert met == ["a0", "a1", "a2", "c0", "c1"]
    assert cursor == {"since": 7, "until": 9, "step": "done", "at": None}
