"""Mapping is pure and total: the same for the same, and for odd values a record or a reason, never another error."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec

from unified.conformance.bench import Bench, Copy
from unified.conformance.checks import check, each_stream
from unified.kit.errors import MappingError

ODD: tuple[Any, ...] = (
    None, "", " ", "\ud800", "\0", "12026-01-01T00:00:00Z", "0000-00-00", "NaN", "1e400", "-", True, -1, 0, 1.5,
    float("nan"), float("inf"), 10**12, 10**30, [], [None], {}, {"id": None}, "x" * 70_000,
)  # fmt: skip
"""What providers have been seen to send, or can."""


@check(each_stream)
async def every_record_of_the_source_becomes_a_unified_one(bench: Bench, stream: str) -> None:
    """Under its own id, twice the same, and without a change to what was mapped."""
    copy = Copy(stream)
    await bench.sync(copy)
    adapter = bench.open()
    origin = adapter.origin(stream, bench.now(), bench.now())
    for source_id, raw in copy.records.items():
        body = msgspec.json.encode(raw)
        decoded = adapter.decode(body)
        before = deepcopy(decoded)
        record = adapter.to_unified(stream, decoded, origin)
        assert record.source_id == source_id
        assert isinstance(record, adapter.stream(stream).entity.model)
        assert adapter.map_record(stream, body, origin) == record, (
            "the same record was mapped to something else"
        )
        assert decoded == before, "mapping changed the raw record"


@check(each_stream)
async def an_odd_value_anywhere_is_mapped_or_rejected(bench: Bench, stream: str) -> None:
    """Each place that records have is null, NaN, half a surrogate, a year of five digits … in turn."""
    copy = Copy(stream)
    await bench.sync(copy, pages=2)
    adapter = bench.open()
    origin = adapter.origin(stream, bench.now(), bench.now())
    tried: set[tuple[str | int, ...]] = set()
    for raw in copy.records.values():
        for place in _places(raw):
            if place in tried:
                continue
            tried.add(place)
            for odd in ODD:
                body = json.dumps(_with(raw, place, odd)).encode()
                try:
                    record = adapter.map_record(stream, body, origin)
                except MappingError as error:
                    assert "\n" not in str(error), f"the reason at {place} is more than a line"
                except Exception as error:
                    raise AssertionError(f"{odd!r:.40} at {place} ends in {error!r:.200}") from error
                else:
                    assert msgspec.json.encode(record.model_dump(mode="json"))


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place within a record, containers and their first elements included."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value[:1]))
    for key, child in children:
        yield (*path, key)
        yield from _places(child, (*path, key))


def _with(raw: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """A record that holds something else in one place; what is beside the way there is shared."""
    if not place:
        return value
    step, *rest = place
    changed = raw.copy()
    changed[step] = _with(raw[step], tuple(rest), value)
    return changed
