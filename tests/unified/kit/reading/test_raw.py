"""Raw records by their ids."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from unified.kit.reading.raw import by_ids, raw_record
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
