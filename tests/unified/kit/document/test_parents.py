"""Lists below several parents: each with each, or below any of them, over real HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.document.api import Api, opened, pulled, serving
from tests.unified.kit.document.test_model import desk, reading
from tests.unified.kit.document.test_reading import DATE, TOKEN, below, records, stream
from unified.conformance.bench import Copy
from unified.kit.document.source import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


async def met_page_by_page(api: Api, said: dict[str, Any]) -> list[str]:
    """The ids that pulls meet of which each is killed after a page."""
    copy, met = Copy("things"), []
    for _ in range(40):
        (page,) = await pulled(opened(api, said), copy, pages=1)
        met += copy.met
        if page.refresh_done:
            break
    assert page.refresh_done
    return met


async def test_several_parents_are_combined_record_by_record(api: Api) -> None:
    """Two pages of orgs and of places: each with each, and with each value."""
    product = [
        below("orgs", "org"),
        below("places", "place"),
        {"values": ["k", "l"], "partition_field": "kind"},
    ]
    said = desk(
        streams={
            "orgs": stream("/orgs", paging=TOKEN),
            "places": stream("/places", paging=TOKEN),
            "things": stream(
                "/{{ partition.org }}/{{ partition.place }}/{{ partition.kind }}", partition=product
            ),
        }
    )
    api.answers |= {"/orgs": records("a", "b", following="2"), "/orgs?page=2": records("c")}
    api.answers |= {"/places": records("x", following="2"), "/places?page=2": records("y", "z")}
    ids = [f"{org}{place}{kind}" for org in "abc" for place in "xyz" for kind in "kl"]
    api.answers |= {"/" + "/".join(one): records(one) for one in ids}
    assert sorted(await met_page_by_page(api, said)) == sorted(ids)
    api.asked.clear()
    copy = Copy("things")
    await pulled(opened(api, said), copy)
    assert sorted(copy.records) == sorted(ids)
    assert api.asked.count("/orgs?page=2") == 1
    assert api.asked.count("/places") == len("abc")


@pytest.mark.parametrize("fields", [("owner", "owner"), ("org", "team")])
async def test_any_of_several_parents_has_a_list(api: Api, fields: tuple[str, str]) -> None:
    """By one name of the partition, or by another for each parent."""
    owner = "{{ partition.owner }}" if fields[0] == "owner" else "{{ partition.org or partition.team }}"
    parents = {"any_of": [below("orgs", fields[0]), below("teams", fields[1])]}
    said = desk(
        streams={
            "orgs": stream("/orgs", paging=TOKEN),
            "teams": stream("/teams"),
            "things": stream(f"/things/{owner}", partition=parents),
        }
    )
    api.answers |= {
        "/orgs": records("a", following="2"),
        "/orgs?page=2": records("b"),
        "/teams": records("c", "d"),
    }
    api.answers |= {f"/things/{one}": records(f"{one}1") for one in "abcd"}
    assert await met_page_by_page(api, said) == ["a1", "b1", "c1", "d1"]


async def test_of_several_parents_a_new_record_is_read_whole(api: Api) -> None:
    changes = {"parameter": "since", "lag_seconds": 0, "per_partition": True}
    parents = {"any_of": [below("orgs", "owner"), below("teams", "owner")]}
    things = stream("/things/{{ partition.owner }}", partition=parents, changes=changes)
    said = desk(streams={"orgs": stream("/orgs"), "teams": stream("/teams"), "things": things})

    def answer(*teams: str) -> None:
        for path, found in {"/orgs": records("a"), "/teams": records(*teams)}.items():
            api.answers[path] = (200, DATE, json.dumps(found).encode())

    answer("b")
    since = "?since=2026-11-28T11%3A59%3A00Z"
    api.answers |= {f"/things/{one}{asked}": records(f"{one}1") for one in "abc" for asked in ("", since)}
    copy = Copy("things")
    await pulled(opened(api, said), copy)
    answer("b", "c")
    api.asked.clear()
    await pulled(opened(api, said), copy)
    assert api.asked == ["/orgs", f"/things/a{since}", "/teams", f"/things/b{since}", "/things/c"]


async def test_what_was_passed_over_is_remembered_over_the_pages_of_its_parents(api: Api) -> None:
    said = desk(
        refusals={"handlers": [{"action": "IGNORE", "http_codes": [403]}]},
        streams={
            "orgs": stream("/orgs", paging=TOKEN),
            "things": stream("/things/{{ partition.org }}", partition=below("orgs", "org")),
        },
    )
    api.answers |= {"/orgs": records("a", "b", following="2"), "/orgs?page=2": records("c")}
    api.answers |= {"/things/a": (403, {}, b"{}"), "/things/b": records("b1"), "/things/c": records("c1")}
    copy = Copy("things")
    await pulled(opened(api, said), copy, pages=1)
    pages = await pulled(opened(api, said), copy)
    assert (set(copy.records), pages[-1].refresh_done) == ({"b1", "c1"}, False)


@pytest.mark.parametrize(
    ("partition", "reason"),
    [
        ([below("teams", "x"), below("other", "x")], "the same partition_field"),
        ({"any_of": [below("other", "x"), below("nobody", "x")]}, "no stream 'nobody'"),
        ({"any_of": [below("other", "x"), below("teams", "x")]}, "in a circle"),
        ({"any_of": [below("other", "x")]}, "at least 2 items"),
    ],
)
def test_parents_that_can_not_be_read_are_refused(partition: Any, reason: str) -> None:
    streams = {"other": stream("/other"), "teams": stream("/teams", partition=partition)}
    with pytest.raises(DocumentError, match=reason):
        reading(streams=streams)


def test_how_a_stream_below_many_is_read_is_found_in_one_walk() -> None:
    """Each of 50 streams has two parents, which share theirs: by all ways up that would be 2 to the power of 50."""
    streams = {"s0": stream("/0"), "s1": stream("/1")}
    for at in range(2, 50):
        parents = {"any_of": [below(f"s{at - 1}", "x"), below(f"s{at - 2}", "x")]}
        streams[f"s{at}"] = stream(f"/{at}", partition=parents)
    said = reading(streams=streams).said
    assert said.reading("s49") != said.reading("s48")
