"""Requests with bodies over real HTTP: what they hold, page after page, and that a key in one shows nowhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.document.api import KEY, MAPPING, NOW, Api, Turns, opened, pulled, serving
from tests.unified.kit.document.test_model import desk
from unified.conformance.bench import Copy
from unified.kit.errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = {"label": "API key", "hint": "begins with desk_"}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


def searched(**said: Any) -> dict[str, Any]:
    """A stream that is asked for by POST."""
    shared = {"entity": "records", "path": "/search", "method": "POST", "records": ["data"], "body": {}}
    return {**shared, "mapping": MAPPING, **said}


def records(*ids: object, following: object = None) -> dict[str, Any]:
    return {"data": [{"id": one} for one in ids], "next": following}


def sent(api: Api) -> list[Any]:
    return [json.loads(body) for body in api.bodies]


PAGINGS: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    (
        {"kind": "token", "parameter": ["variables", "after"], "token": ["next"]},
        [records(1, following="x"), records(2)],
        [{"variables": {"first": 5}}, {"variables": {"first": 5, "after": "x"}}],
    ),
    (
        {"kind": "offset", "parameter": ["at"], "size": 1, "size_parameter": ["size"]},
        [records(1), records(2), records()],
        [{"at": 0, "size": 1}, {"at": 1, "size": 1}, {"at": 2, "size": 1}],
    ),
    (
        {"kind": "page", "parameter": ["page", "number"], "size": 2},
        [records(1, 2), records(3)],
        [{"page": {"number": 1}}, {"page": {"number": 2}}],
    ),
    (
        {"kind": "after_id", "parameter": ["after"], "size": 1},
        [records(7), records()],
        [{}, {"after": 7}],
    ),
]


@pytest.mark.parametrize(("paging", "answers", "bodies"), PAGINGS)
async def test_a_body_holds_where_the_page_begins_and_a_number_is_one(
    api: Api, paging: dict[str, Any], answers: list[Any], bodies: list[Any]
) -> None:
    api.answers["/search"] = Turns(answers)
    query = {"query": "query { things(first: $first) { id } }"}
    fixed = query | ({"variables": {"first": 5}} if "variables" in bodies[0] else {})
    said = desk(streams={"things": searched(paging=paging, body={"fields": fixed})})
    copy = Copy("things")
    await pulled(opened(api, said), copy)
    assert sent(api) == [query | body for body in bodies]
    assert len(copy.records) == sum(len(answer["data"]) for answer in answers)


async def test_a_form_and_a_page_that_the_query_names(api: Api) -> None:
    api.answers |= {"/search": records(1, following="2"), "/search?page=2": records(2)}
    paging = {"kind": "token", "parameter": "page", "token": ["next"]}
    body = {"kind": "form", "fields": {"q": "a b", "of": "{{ settings.of }}"}}
    said = desk(
        settings={"of": {"description": "Whose.", "default": "me&you"}},
        streams={"things": searched(paging=paging, body=body)},
    )
    copy = Copy("things")
    await pulled(opened(api, said), copy)
    assert set(copy.records) == {"1", "2"}
    assert api.bodies == [b"q=a+b&of=me%26you"] * 2


async def test_expressions_alone_are_values_and_a_partition_is_among_them(api: Api) -> None:
    api.answers["/search"] = records(1)
    fields = {
        "team": "{{ partition.team }}",
        "where": [{"least": "{{ settings.least | float }}", "is_open": True}, "x-{{ partition.team }}"],
    }
    said = desk(
        settings={"least": {"description": "Money.", "default": "19.90"}},
        streams={
            "things": searched(
                body={"fields": fields}, partition={"values": ["a"], "partition_field": "team"}
            )
        },
    )
    await pulled(opened(api, said), Copy("things"))
    assert api.bodies == [b'{"team":"a","where":[{"least":19.90,"is_open":true},"x-a"]}']


async def test_changes_are_asked_for_in_the_body(api: Api) -> None:
    changes = {
        "parameter": ["filter", "since"],
        "end_parameter": ["filter", "until"],
        "format": "epoch",
        "lag_seconds": 0,
    }
    said = desk(streams={"things": searched(changes=changes, body={"fields": {"filter": {"kind": "a"}}})})
    api.answers["/search"] = (200, {"date": "Sat, 28 Nov 2026 12:00:00 GMT"}, b'{"data": [{"id": 1}]}')
    copy = Copy("things")
    for _ in range(2):
        await pulled(opened(api, said), copy)
    first, second = sent(api)
    assert first == {"filter": {"kind": "a"}}
    assert second["filter"] == {"kind": "a", "since": int(NOW.timestamp()), "until": int(NOW.timestamp())}


async def test_records_are_looked_up_by_ids_in_the_body(api: Api) -> None:
    api.answers["/search"] = records(1, 2)
    said = desk(streams={"things": searched(many={"parameter": ["ids"], "format": "json"})})
    async with opened(api, said) as adapter:
        (page,) = [page async for page in adapter.fetch("things", ["1", "2"])]
    assert {record.source_id for record in page.records} == {"1", "2"}
    assert sent(api) == [{"ids": ["1", "2"]}]


@pytest.mark.parametrize("kind", ["json", "form"])
async def test_a_key_goes_into_each_body_and_no_error_shows_it(api: Api, kind: str) -> None:
    """It is there once where a request is sent again, and a probe has it too."""
    api.answers["/search"] = Turns(
        [(503, {}, b"{}"), records(1), (400, {}, f'{{"message": "bad {KEY}"}}'.encode())]
    )
    api.answers["/me"] = {"id": 5, "name": "Ann"}
    body = {"kind": kind, "fields": {"q": "x"}}
    said = desk(
        auth={"kind": "key", "place": "body", "name": "api_key", "secret": SECRET},
        streams={"things": searched(body=body)},
        test={"path": "/me", "method": "POST", "body": {"kind": kind}, "id": ["id"], "name": ["name"]},
    )
    await pulled(opened(api, said), Copy("things"))
    with pytest.raises(AdapterError, match="answered 400") as caught:
        await pulled(opened(api, said), Copy("things"))
    assert KEY not in str(caught.value)
    async with opened(api, said) as adapter:
        assert (await adapter.account()).name == "Ann"
    whole = [{"q": "x", "api_key": KEY}] * 3 + [{"api_key": KEY}]
    if kind == "json":
        assert sent(api) == whole
    else:
        assert api.bodies == [
            "&".join(f"{name}={value}" for name, value in one.items()).encode() for one in whole
        ]


async def test_no_body_goes_to_another_host_or_where_a_redirect_leads(api: Api) -> None:
    with serving() as other:
        for answer, paging in (
            (records(1, following=f"{other.url}/search"), {"kind": "next_link", "link": ["next"]}),
            ((307, {"location": f"{other.url}/search"}, b""), {"kind": "none"}),
        ):
            api.answers["/search"] = answer
            said = desk(
                auth={"kind": "key", "place": "body", "name": "api_key", "secret": SECRET},
                streams={"things": searched(paging=paging)},
            )
            with pytest.raises(AdapterError) as caught:
                await pulled(opened(api, said), Copy("things"))
            assert KEY not in str(caught.value)
        assert (other.asked, other.bodies) == ([], [])


async def test_a_body_that_is_asked_for_what_settings_do_not_have_is_said(api: Api) -> None:
    said = desk(
        settings={"least": {"description": "Money."}},
        streams={"things": searched(body={"fields": {"least": "{{ settings.least | int }}"}})},
    )
    with pytest.raises(AdapterError, match="can't be filled in"):
        await pulled(opened(api, said, least="much"), Copy("things"))
    assert api.asked == []
