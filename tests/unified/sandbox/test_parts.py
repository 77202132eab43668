"""The parts that everything rests on: ids, choices, limiters, the order of records."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.properties import given
from unified.sandbox.clock import iso_ms, parse_ms
from unified.sandbox.collection import ByteCache, Collection
from unified.sandbox.data import decimal_text
from unified.sandbox.draw import Draw, IdCodec, seed_of
from unified.sandbox.limits import RollingWindow, TokenBucket


@given(st.integers(0, 10**9), st.integers(0, 2**64 - 1))
def test_ids_decode_to_their_index(index: int, seed: int) -> None:
    codec = IdCodec("cus_", 14, seed)
    record_id = codec.encode(index)
    assert len(record_id) == 18
    assert codec.decode(record_id) == index


def test_foreign_ids_do_not_decode() -> None:
    mine, other = IdCodec("cus_", 14, 1), IdCodec("cus_", 14, 2)
    assert mine.decode("in_12345678901234") is None
    assert mine.decode("cus_short") is None
    assert mine.decode("cus_1234567890123!") is None
    assert [mine.decode(other.encode(index)) for index in range(50)] == [None] * 50


def test_draws_depend_on_seed_and_index_only() -> None:
    def values(seed: int, index: int) -> list[int]:
        draw = Draw(seed_of(seed), index)
        return [draw.below(1000) for _ in range(5)]

    assert values(1, 1) == values(1, 1)
    assert len({tuple(values(seed, index)) for seed in range(5) for index in range(50)}) == 250
    counts = [Draw(7, index).below(10) for index in range(5000)]
    assert all(400 < counts.count(digit) < 600 for digit in range(10))


@given(st.integers(0, 4 * 10**12))
def test_times_survive_their_text(milliseconds: int) -> None:
    assert parse_ms(iso_ms(milliseconds)) == parse_ms(str(milliseconds)) == milliseconds


def test_decimal_text() -> None:
    assert [decimal_text(-5, 2), decimal_text(1234, 3), decimal_text(7, 0)] == ["-0.05", "1.234", "7"]


def test_a_bucket_refills_with_time() -> None:
    now = [0.0]
    bucket = TokenBucket(2, monotonic=lambda: now[0])
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now[0] = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now[0] = 100.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_a_window_rolls() -> None:
    now = [0.0]
    window = RollingWindow(2, 10, monotonic=lambda: now[0])
    assert window.take()
    now[0] = 4.0
    assert window.take()
    assert not window.take()
    now[0] = 10.0
    assert window.remaining == 1
    assert window.take()
    assert not window.take()


def test_the_cache_stays_under_its_limit() -> None:
    cache = ByteCache(limit=100)
    for key in range(20):
        cache.put(key, b"x" * 30)
    assert cache.get(0) is None
    assert [cache.get(key) is not None for key in (16, 17, 18, 19)] == [False, True, True, True]
    cache.put(19, b"y")
    assert cache.get(19) == b"y"


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 7))
def test_pages_cover_the_collection_whatever_the_clock_did(times: list[int], limit: int) -> None:
    ids = IdCodec("x_", 10, 1)
    records = Collection(5, lambda index: index * 2, lambda index: {"id": ids.encode(index)}, ids)
    for created in times:
        records.add(created, {"id": ids.encode(records.next_index)})
    seen: list[int] = []
    after: int | None = None
    while True:
        page, more = records.page(limit, after=after)
        seen += page
        if not more:
            break
        after = records.position_of(ids.encode(page[-1]))
    assert sorted(seen) == list(range(5 + len(times)))
    positions = [records.position_of(ids.encode(index)) for index in seen]
    assert positions == list(range(len(seen) - 1, -1, -1))
    created_at = [records.created_at(position) for position in range(len(seen))]
    assert created_at == sorted(created_at)
