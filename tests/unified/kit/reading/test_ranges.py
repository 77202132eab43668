"""A long list that is read newest first, by ranges: bounds, positions, odd records, and pages that can't be right."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.conftest import Answer
from unified.kit.declarations import AdapterConfig
from unified.kit.errors import ConfigurationError, ProtocolError, RequestRefusedError, UnavailableError
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.http.refusals import Refusals
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import AfterId, Token
from unified.kit.reading.ranges import BEGINNING, END, Place, RangedList, Ranges, ages, behind
from unified.kit.reading.windows import Window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unified.kit.conftest import ScriptedProvider
    from unified.kit.streams import RawRecord

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LIST = ListEndpoint("/v1/things", AfterId("after", more=("more",)), items=("data",))
RANGES = Ranges(
    "made",
    "made[gte]",
    "made[lt]",
    is_gone=lambda error: error.code == "gone",
    partial=("parts", "page", "more"),
)


@asynccontextmanager
async def listed(provider: ScriptedProvider) -> AsyncIterator[RangedList]:
    config = AdapterConfig(base_url=provider.url, allow_private_hosts=True, retry_count=0)
    refusals = Refusals(codes_at=("code",))
    http = HttpClient(config, label="demo", limits={"default": RateLimit(1e6)}, refusals=refusals)
    try:
        yield RangedList(LIST, RANGES, http, lambda: NOW)
    finally:
        await http.aclose()


def answer(*things: Any, more: bool = False) -> Answer:
    return Answer(body=json.dumps({"data": things, "more": more}).encode())


def thing(name: str, made: int) -> dict[str, Any]:
    return {"id": name, "made": made}


async def test_a_page_leaves_what_is_behind_its_last_record(provider: ScriptedProvider) -> None:
    provider.script = [answer(thing("b", 60), thing("a", 50), more=True), answer(thing("z", 50))]
    async with listed(provider) as things:
        page = await things.records(Window(10, 100))
        assert [one.source_id for one in page.records] == ["b", "a"]
        assert page.rest == Window(10, 51, "a")  # others may have been made in the same second
        assert (await things.records(page.rest)).rest is None
    asked = [one.partition(" http")[0] for one in provider.requests]
    assert asked == [
        "get /v1/things?made%5bgte%5d=10&made%5blt%5d=100",
        "get /v1/things?made%5bgte%5d=10&made%5blt%5d=51&after=a",
    ]


async def test_the_ends_of_time_have_no_bound(provider: ScriptedProvider) -> None:
    provider.script = [answer(thing("late", END + 5), thing("early", -5))]
    async with listed(provider) as things:
        assert len((await things.records(Window(BEGINNING, END))).records) == 2
    assert provider.requests[0].startswith("get /v1/things http")


def test_ages_cover_all_time_and_each_is_twice_as_long() -> None:
    windows = ages(NOW)
    assert (windows[0].high, windows[-1].low) == (END, BEGINNING)
    assert [one.low for one in windows[:-1]] == [one.high for one in windows[1:]]
    assert [(one.high - one.low) // 86_400 for one in windows[1:4]] == [30, 60, 120]


async def test_odd_records_are_kept_and_the_last_known_place_counts(provider: ScriptedProvider) -> None:
    odd = [{"made": 55}, {"id": 5, "made": "x"}, "text", {"id": "huge", "made": [1]}]
    last = {**thing("b", 55), "parts": ["of another form"]}
    provider.script = [answer(thing("a", 60), last, *odd, more=True)]
    async with listed(provider) as things:
        page = await things.records(Window(0, 100))
    assert [one.source_id for one in page.records] == ["a", "b", None, None, None, "huge"]
    assert page.rest == Window(0, 56, "b")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (answer(thing("a", 5)), "a page of things holds records outside the range"),
        (answer(thing("a", 50), thing("b", 60)), "a page of things is not in the order"),
        (answer(thing("last", 50)), "a page of things repeats a page"),
        (answer({"made": 50}, more=True), "a page of things has no readable record, yet more follow"),
    ],
)
async def test_a_page_that_would_lose_records_is_refused(
    provider: ScriptedProvider, found: Answer, says: str
) -> None:
    provider.script = [found]
    async with listed(provider) as things:
        with pytest.raises(ProtocolError, match=says):
            await things.page(Window(10, 100, "last"))


@pytest.mark.parametrize("first", [Answer(400, b'{"code": "gone"}'), answer()], ids=["refused", "empty"])
async def test_a_record_to_go_on_after_may_be_gone(provider: ScriptedProvider, first: Answer) -> None:
    provider.script = [first, answer(thing("a", 50))]
    async with listed(provider) as things:
        page = await things.records(Window(10, 61, "deleted"))
    assert [one.source_id for one in page.records] == ["a"]
    assert "after" not in provider.requests[1].partition(" http")[0]


async def test_another_refusal_is_one(provider: ScriptedProvider) -> None:
    provider.script = [Answer(400, b'{"code": "other"}')]
    async with listed(provider) as things:
        with pytest.raises(RequestRefusedError):
            await things.page(Window(10, 61, "a"))


async def test_records_that_say_so_are_completed(provider: ScriptedProvider) -> None:
    whole = [{"page": {"more": said}} for said in (False, None, "true", 1)]
    whole += [{"page": {}}, {"page": None}, {"page": []}, None, {}]
    things = [{**thing(str(at), 50), "parts": parts} for at, parts in enumerate(whole)]
    partial = {**thing("a", 50), "parts": {"page": {"more": True}}}
    provider.script = [answer(*things, partial)]
    asked = []

    async def complete(record: RawRecord) -> RawRecord | None:
        asked.append(record.source_id)
        return replace(record, body=b"{}")

    async with listed(provider) as found:
        page = await found.records(Window(0, 100), complete)
    assert asked == ["a"]
    assert [one.source_id for one in page.records if one.body == b"{}"] == ["a"]


async def test_a_page_ends_before_a_record_that_could_not_be_completed(provider: ScriptedProvider) -> None:
    nested = {"parts": {"page": {"more": True}}}
    partial = [{**thing(*one), **nested} for one in (("c", 70), ("gone", 65), ("b", 60), ("a", 50))]
    provider.script = [answer(*partial)]

    async def complete(record: RawRecord) -> RawRecord | None:
        if record.source_id == "b":
            raise UnavailableError("no answer")
        return None if record.source_id == "gone" else record

    async with listed(provider) as things:
        page = await things.records(Window(0, 100), complete)
        assert [one.source_id for one in page.records] == ["c"]
        assert (page.rest, page.is_cut) == (Window(0, 66, "gone"), True)
        provider.script = [answer(partial[2])]
        with pytest.raises(UnavailableError):  # else the same page would come for ever
            await things.records(Window(0, 100), complete)


async def test_a_list_without_ids_to_go_on_after_is_refused(provider: ScriptedProvider) -> None:
    tokens = ListEndpoint("/v1/things", Token("page", ("next",)))
    config = AdapterConfig(base_url=provider.url, allow_private_hosts=True)
    http = HttpClient(config, label="demo", limits={})
    with pytest.raises(ConfigurationError, match="AfterId"):
        RangedList(tokens, RANGES, http, lambda: NOW)
    await http.aclose()


def test_nothing_is_left_behind_records_without_a_place() -> None:
    assert behind(Window(0, 9), [Place(None, 5), Place("a", None)]) is None
