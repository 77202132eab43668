"""Raw records by their ids."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest

from unified.kit.reading.raw import by_ids, found_once, id_of, raw_record
from unified.kit.streams import Page, RawRecord

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(("given", "kept"), [("a", "a"), ("", None), (5, None), (None, None)])
def test_only_a_text_is_an_id(given: Any, kept: str | None) -> None:
    assert raw_record(given, msgspec.Raw(b"{}")) == RawRecord(kept, b"{}")


async def read(
    ids: Sequence[str], known: dict[str, RawRecord], **how: Any
) -> tuple[list[Page], list[list[str]]]:
    asked: list[list[str]] = []

    async def some(batch: Sequence[str]) -> list[RawRecord]:
        asked.append(list(batch))
        return [known[one] for one in batch if one in known]

    return [page async for page in by_ids(ids, some, clock=lambda: NOW, size=2, **how)], asked


async def test_each_id_comes_once_as_a_record_or_a_tombstone() -> None:
    known = {name: RawRecord(name, b"{}") for name in "acd"}
    pages, asked = await read(["a", "b", "a", "c", "d", "b", "e"], known, at_once=2)
    assert asked == [["a", "b"], ["c", "d"], ["e"]]
    assert [[one.source_id for one in page.records] for page in pages] == [["a"], ["c", "d"], []]
    assert [[one.source_id for one in page.tombstones] for page in pages] == [["b"], [], ["e"]]
    assert {(page.cursor, page.observed_at) for page in pages} == {(None, NOW)}
    assert (await read([], known))[0] == []


async def test_what_may_only_be_hidden_is_not_buried() -> None:
    known = {"a": RawRecord("a", b"{}"), "b": RawRecord(None, b"5")}
    pages, _ = await read(["a", "b", "c"], known, missing_is_gone=False)
    assert [list(page.tombstones) for page in pages] == [[], []]
    # Of a batch with a record whose id can't be read nobody knows which one is missing.
    pages, _ = await read(["b", "x", "c"], known)
    assert [[one.source_id for one in page.tombstones] for page in pages] == [[], ["c"]]


@pytest.mark.parametrize(
    ("record", "found"),
    [(b'{"id": "a", "x": 1}', "a"), (b"{}", None), (b"5", None), (b'{"id": "\xff"}', None)],
)
def test_an_id_is_read_as_far_as_there_is_one(record: bytes, found: str | None) -> None:
    assert id_of(msgspec.Raw(record)) == found


async def test_what_several_look_ups_find_comes_once() -> None:
    under_way = 0

    async def look_up(*names: str) -> list[msgspec.Raw]:
        nonlocal under_way
        under_way += 1
        assert under_way <= 2
        await asyncio.sleep(0)
        under_way -= 1
        return [msgspec.Raw(b'{"id": "%b"}' % name.encode()) for name in names]

    look_ups = [
        partial(look_up, "a", "b"),
        partial(look_up, "b"),
        partial(look_up, "a", "c"),
        partial(look_up),
    ]
    pages = [page async for page in found_once(look_ups, clock=lambda: NOW, at_once=2)]
    assert [[one.source_id for one in page.records] for page in pages] == [["a", "b"], ["c"]]
