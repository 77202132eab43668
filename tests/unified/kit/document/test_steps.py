"""Changes in spans, what partitions remember, and products of them, over real HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.document.api import NOW, Api, opened, pulled, serving
from tests.unified.kit.document.test_model import desk
from tests.unified.kit.document.test_reading import DATE, TOKEN, below, records, stream
from unified.conformance.bench import Copy
from unified.kit.document.lists import known
from unified.kit.errors import AdapterError, UnavailableError
from unified.kit.reading.refresh import is_unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = {
    "parameter": "from",
    "end_parameter": "to",
    "format": "date",
    "step_seconds": 86_400 * 2,
    "lag_seconds": 0,
    "start": "{{ settings.start }}",
}
SINCE = {"start": {"description": "From when on.", "default": "2026-11-23"}}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


def stepped(**changed: Any) -> dict[str, Any]:
    """A stream that is asked for two days at once, two pages in each first span."""
    return desk(
        settings=SINCE, streams={"things": stream("/things", paging=TOKEN, changes={**DAYS, **changed})}
    )


def spans(api: Api) -> list[str]:
    """Two pages of the first span, one of each other."""
    asked = [f"/things?from=2026-11-{low}&to=2026-11-{high}" for low, high in ((23, 25), (25, 27), (27, 28))]
    for at, target in enumerate(asked):
        api.answers[target] = records(f"{at}a", following="2" if at == 0 else None)
    api.answers[f"{asked[0]}&page=2"] = records("0b")
    return [asked[0], f"{asked[0]}&page=2", *asked[1:]]


async def test_a_first_load_goes_span_by_span_from_its_start(api: Api) -> None:
    asked, copy = spans(api), Copy("things")
    await pulled(opened(api, stepped()), copy)
    assert api.asked == asked
    assert set(copy.records) == {"0a", "0b", "1a", "2a"}


async def test_a_first_load_that_is_killed_after_every_page_goes_on_in_its_span(api: Api) -> None:
    asked, copy, met = spans(api), Copy("things"), []
    for _ in range(10):
        (page,) = await pulled(opened(api, stepped()), copy, pages=1)
        met += copy.met
        if page.refresh_done:
            break
    assert page.refresh_done
    assert met == ["0a", "0b", "1a", "2a"]
    assert api.asked == asked


async def test_changes_are_asked_for_in_spans_and_a_span_that_fails_is_asked_for_again(api: Api) -> None:
    copy = Copy("things")
    copy.cursor = {"since": "2026-11-23T12:00:00+00:00"}
    first, second, *rest = spans(api)
    api.answers[rest[0]] = (503, {}, b"{}")
    with pytest.raises(UnavailableError):
        await pulled(opened(api, stepped()), copy)
    assert set(copy.records) == {"0a", "0b"}
    spans(api)
    api.asked.clear()
    await pulled(opened(api, stepped()), copy)
    assert api.asked == rest
    assert set(copy.records) == {"0a", "0b", "1a", "2a"}
    api.asked.clear()
    api.answers["/things?from=2026-11-28&to=2026-11-28"] = records("3a")
    copy.cursor = {"since": NOW.isoformat()}
    await pulled(opened(api, stepped()), copy)
    assert set(copy.records) >= {"3a"}
    assert first not in api.asked
    assert second not in api.asked


async def test_an_unfinished_load_of_a_list_that_got_a_start_begins_with_its_spans(api: Api) -> None:
    api.answers["/things"] = records("x", following="2")
    copy = Copy("things")
    await pulled(opened(api, desk(streams={"things": stream("/things", paging=TOKEN)})), copy, pages=1)
    assert is_unfinished(copy.cursor)
    asked = spans(api)
    api.answers[asked[0]] = records("0a")
    await pulled(opened(api, stepped()), copy)
    assert {"0a", "1a", "2a"} <= set(copy.records)


@pytest.mark.parametrize("start", ["2030-01-01", "2026-11-28T12:00:00Z"])
async def test_a_start_to_come_is_one_span(api: Api, start: str) -> None:
    api.answers["/things?from=2026-11-28&to=2026-11-28"] = records(1)
    copy = Copy("things")
    await pulled(opened(api, stepped(), start=start), copy)
    assert set(copy.records) == {"1"}


@pytest.mark.parametrize("start", ["long ago", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_start_that_is_no_time_is_said(api: Api, start: str) -> None:
    with pytest.raises(AdapterError, match="does not give a time"):
        await pulled(opened(api, stepped(), start=start), Copy("things"))


async def test_a_list_that_wants_a_span_is_looked_at_by_its_first(api: Api) -> None:
    first, *_ = spans(api)
    async with opened(api, stepped()) as adapter:
        await adapter.test()
    assert api.asked == [first]


def teams() -> dict[str, Any]:
    changes = {"parameter": "since", "format": "epoch", "lag_seconds": 0, "per_partition": True}
    said = stream("/orgs/{{ partition.org }}/teams", partition=below("orgs", "org"), changes=changes)
    return desk(streams={"orgs": stream("/orgs"), "teams": said})


async def test_a_new_partition_is_read_whole_and_the_others_from_their_time(api: Api) -> None:
    began, copy = int(NOW.timestamp()) - 60, Copy("teams")
    api.answers |= {"/orgs": (200, DATE, b'{"data": [{"id": "a"}]}'), "/orgs/a/teams": records("a1")}
    await pulled(opened(api, teams()), copy)
    api.answers |= {
        "/orgs": (200, DATE, b'{"data": [{"id": "b"}, {"id": "a"}]}'),
        f"/orgs/a/teams?since={began}": records("a2"),
        f"/orgs/b/teams?since={began}": records(),
        "/orgs/b/teams": records("b1"),
    }
    api.asked.clear()
    # It is stopped behind the first list of two, and does not read that again.
    await pulled(opened(api, teams()), copy, pages=1)
    await pulled(opened(api, teams()), copy)
    assert set(copy.records) == {"a1", "a2", "b1"}
    assert api.asked.count("/orgs/b/teams") == 1
    api.asked.clear()
    await pulled(opened(api, teams()), copy)
    assert "/orgs/b/teams" not in api.asked


async def test_more_partitions_than_are_remembered_follow_one_time(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "MOST", 1)
    began, copy = int(NOW.timestamp()) - 60, Copy("teams")
    api.answers["/orgs"] = (200, DATE, b'{"data": [{"id": "a"}, {"id": "b"}]}')
    for org in "ab":
        api.answers[f"/orgs/{org}/teams"] = records(f"{org}1")
        api.answers[f"/orgs/{org}/teams?since={began}"] = records(f"{org}2")
    await pulled(opened(api, teams()), copy)
    assert copy.cursor is not None
    assert copy.cursor.keys() == {"since"}
    api.asked.clear()
    await pulled(opened(api, teams()), copy)
    assert api.asked == ["/orgs", f"/orgs/a/teams?since={began}", f"/orgs/b/teams?since={began}"]


async def test_a_product_of_partitions_is_a_list_for_each_combination(api: Api) -> None:
    product = [
        {"values": "{{ settings.kinds.split(',') }}", "partition_field": "kind"},
        below("orgs", "org"),
        {"values": ["x", "y"], "partition_field": "place"},
    ]
    path = "/{{ partition.org }}/{{ partition.kind }}/{{ partition.place }}"
    said = desk(
        settings={"kinds": {"description": "Which.", "default": "k,l"}},
        streams={"orgs": stream("/orgs"), "things": stream(path, partition=product)},
    )
    api.answers["/orgs"] = records("a", "b")
    ids = set()
    for org, kind, place in [(o, k, p) for o in "ab" for k in "kl" for p in "xy"]:
        api.answers[f"/{org}/{kind}/{place}"] = records(f"{org}{kind}{place}")
        ids.add(f"{org}{kind}{place}")
    copy, met = Copy("things"), []
    for _ in range(20):
        (page,) = await pulled(opened(api, said), copy, pages=1)
        met += copy.met
        if page.refresh_done:
            break
    assert sorted(met) == sorted(ids)


async def test_more_combinations_than_can_be_listed_are_said_before_they_are_made(api: Api) -> None:
    product = [{"values": [str(one) for one in range(1_000)], "partition_field": name} for name in "abc"]
    said = desk(streams={"things": stream("/things", partition=product)})
    with pytest.raises(AdapterError, match="more than 100,000 combinations"):
        await pulled(opened(api, said), Copy("things"))


async def test_parents_are_combined_with_values_one_by_one(api: Api) -> None:
    """A page of them with all values may be millions, of which the first one is asked for at once."""
    values = [
        {"values": [str(one) for one in range(size)], "partition_field": name}
        for name, size in (("kind", 1_000), ("place", 100))
    ]
    path = "/{{ partition.org }}/{{ partition.kind }}/{{ partition.place }}"
    said = desk(
        streams={
            "orgs": stream("/orgs"),
            "things": stream(path, partition=[below("orgs", "org"), *values]),
        }
    )
    api.answers |= {"/orgs": records(*range(1_000)), "/0/0/0": records("a"), "/0/0/1": records("b")}
    copy = Copy("things")
    await pulled(opened(api, said), copy, pages=1)
    await pulled(opened(api, said), copy, pages=1)
    assert set(copy.records) == {"a", "b"}
