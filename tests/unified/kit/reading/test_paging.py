"""How pages follow each other, and the lists that no reader may believe."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.unified.kit.conftest import Answer as Response
from unified.kit.declarations import AdapterConfig
from unified.kit.errors import ForbiddenHostError, ProtocolError
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.pages import misplaced, read_pages
from unified.kit.reading.paging import (
    AfterId,
    Answer,
    LinkHeader,
    NextLink,
    Offset,
    PageNumber,
    Paging,
    Part,
    Position,
    Token,
    cut,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unified.kit.conftest import ScriptedProvider


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def answer(body: Any, items: list[Any], **headers: str) -> Answer:
    return Answer("acme/demo: the list /things", [raw(item) for item in items], raw(body), headers)


@pytest.mark.parametrize(
    ("paging", "at", "parameters", "body", "items", "following"),
    [
        (AfterId("after", more=("more",)), None, {}, {"more": True}, [{"id": "a"}, {"id": "b"}], "b"),
        (AfterId("after", more=("more",)), "b", {"after": "b"}, {"more": False}, [{"id": "c"}], None),
        (AfterId("after", size=2), None, {}, {}, [{"id": 1}, {"id": 2}], 2),
        (AfterId("after", size=2), 2, {"after": "2"}, {}, [{"id": 3}], None),
        (AfterId("after", size=2), None, {}, {}, [], None),
        # What is asked for may be more than what is given: a page of less is the last once another one was fuller.
        (AfterId("after", size=9), None, {}, {}, [{"id": "a"}, {"id": "b"}], '["b",2]'),
        (AfterId("after", size=9), '["b",2]', {"after": "b"}, {}, [{"id": 3}, {"id": 4}], "[4,2]"),
        (AfterId("after", size=9), "[4,2]", {"after": "4"}, {}, [{"id": 5}], None),
        (AfterId("after", size=2), "[odd]", {"after": "[odd]"}, {}, [{"id": 5}], None),
        (AfterId("after", size=1, id=("x", "id")), None, {}, {}, [{"x": {"id": "a"}}], "a"),
        (Token("offset", ("next_offset",)), None, {}, {"next_offset": "t"}, [1], "t"),
        (Token("offset", ("next_offset",)), "t", {"offset": "t"}, {}, [1], None),
        (Token("offset", ("next_offset",)), None, {}, {"next_offset": ""}, [1], None),
        (Token("offset", ("paging", "next")), None, {}, {"paging": None}, [1], None),
        (Token("cursor", ("at",), end=("is_end",)), None, {}, {"at": "t", "is_end": False}, [1], "t"),
        (
            Token("cursor", ("at",), end=("is_end",)),
            "t",
            {"cursor": "t"},
            {"at": "u", "is_end": True},
            [1],
            None,
        ),
        (
            Token("cursor", ("at",), more=("meta", "more")),
            None,
            {},
            {"at": "t", "meta": {"more": True}},
            [1],
            "t",
        ),
        (
            Token("cursor", ("at",), more=("meta", "more")),
            None,
            {},
            {"at": "t", "meta": {"more": False}},
            [1],
            None,
        ),
        (Offset("start", 2, first=1), None, {"start": "1"}, {}, [1, 2], 3),
        (Offset("start", 2, size_parameter="max"), 4, {"start": "4", "max": "2"}, {}, [1, 2], 6),
        (Offset("start", 2), 6, {"start": "6"}, {}, [1], None),
        # A size that is asked for may be more than is given: a first page of less is full until a shorter one comes.
        (Offset("start", 9, size_parameter="max"), None, {"start": "0", "max": "9"}, {}, [1, 2], "2/2"),
        (Offset("start", 9, size_parameter="max"), "2/2", {"start": "2", "max": "9"}, {}, [1, 2, 3], "5/3"),
        (Offset("start", 9, size_parameter="max"), "5/3", {"start": "5", "max": "9"}, {}, [1, 2], None),
        (Offset("start", 9, size_parameter="max"), "5/3", {"start": "5", "max": "9"}, {}, [], None),
        (Offset("start", 9, size_parameter="max"), 9, {"start": "9", "max": "9"}, {}, [1, 2], None),
        (Offset("start", 2, first=1, count=("total",)), 3, {"start": "3"}, {"total": 5}, [1], 4),
        (Offset("start", 2, first=1, count=("total",)), 3, {"start": "3"}, {"total": 4}, [1, 2], None),
        (PageNumber("page", 9, size_parameter="size"), None, {"page": "1", "size": "9"}, {}, [1], "2/1"),
        (PageNumber("page", 9, count=("of",)), 2, {"page": "2"}, {"of": 3}, [1], 3),
        (PageNumber("page", 9, count=("of",)), 3, {"page": "3"}, {"of": 3}, [1], None),
        (Offset("start", 2, end=("is_end",)), 6, {"start": "6"}, {"is_end": False}, [1], 7),
        (Offset("start", 2, end=("is_end",)), 6, {"start": "6"}, {"is_end": True}, [1, 2], None),
        (PageNumber("page", 2), None, {"page": "1"}, {}, [1, 2], 2),
        (PageNumber("page", 2, size_parameter="pageSize"), 2, {"page": "2", "pageSize": "2"}, {}, [1], None),
        (NextLink(("next",)), None, {}, {"next": "/things?page=2"}, [1], "/things?page=2"),
        (NextLink(("next",)), "/things?page=2", {}, {"next": None}, [1], None),
        (
            NextLink(("next",), end=("is_end",)),
            None,
            {},
            {"next": "/t?from=1", "is_end": False},
            [1],
            "/t?from=1",
        ),
        (NextLink(("next",), end=("is_end",)), None, {}, {"next": "/t?from=1", "is_end": True}, [], None),
        (NextLink(("next",), more=("more",)), None, {}, {"next": "/t?from=1", "more": False}, [1], None),
    ],
)
def test_what_a_page_says_about_the_next_one(
    paging: Paging,
    at: Position | None,
    parameters: dict[str, str],
    body: Any,
    items: list[Any],
    following: Position | None,
) -> None:
    assert paging.parameters(at) == parameters
    assert paging.following(answer(body, items), at) == following


@pytest.mark.parametrize(
    ("header", "following"),
    [
        (
            '<https://x.test/t?page=2&a=1,2>; rel="next", <https://x.test/t?page=9>; rel="last"',
            "https://x.test/t?page=2&a=1,2",
        ),
        ('<https://x.test/t?page=1>; rel="prev first", </t?page=3>; rel="last next"', "/t?page=3"),
        ('<https://x.test/t?page=1>; rel="first"', None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_link_header_names_the_next_page(header: str, following: str | None) -> None:
    assert LinkHeader().following(answer([], [1], link=header), None) == following


@pytest.mark.parametrize("items", [[], [{"id": None}], [{"name": "b"}]])
def test_more_after_a_page_without_an_id_to_go_on_from_is_an_error(items: list[Any]) -> None:
    with pytest.raises(ProtocolError, match=r"acme/demo: the list /things has no record to go on from"):
        AfterId("after", more=("more",)).following(answer({"more": True}, items), None)


@pytest.mark.parametrize(
    "paging", [Token("at", ("next",), end=("is_end",)), NextLink(("next",), more=("more",))]
)
def test_more_without_a_position_to_go_on_from_is_an_error(paging: Paging) -> None:
    body = {"next": None, "more": True, "is_end": False}
    with pytest.raises(ProtocolError, match=r"acme/demo: the list /things has nothing at next to go on from"):
        paging.following(answer(body, [1]), None)


async def read(parts: dict[Position | None, Part], **how: Any) -> list[Any]:
    async def ask(at: Position | None) -> Part:
        return parts[at]

    pages = read_pages(ask, what="acme/demo: the list /things", **how)
    return [msgspec.json.decode(item) for part in [part async for part in pages] for item in part.items]


def part(items: list[Any], following: Position | None = None) -> Part:
    return Part([raw(item) for item in items], following)


async def test_pages_are_read_to_the_last_one() -> None:
    parts = {None: part([1, 2], "b"), "b": part([3], "c"), "c": part([])}
    assert await read(parts) == [1, 2, 3]
    assert await read(parts, begin="b") == [3]


async def test_a_page_that_comes_twice_is_an_error() -> None:
    with pytest.raises(ProtocolError, match="the list /things repeats a page"):
        await read({None: part([1, 2], "b"), "b": part([1, 2], "c")})


@pytest.mark.parametrize("length", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("lead", [0, 1, 5, 12])
async def test_positions_that_go_in_a_circle_are_an_error(lead: int, length: int) -> None:
    last = lead + length - 1
    parts: dict[Position | None, Part] = {n: part([n], n + 1) for n in range(last)}
    parts[last] = part([last], lead)
    with pytest.raises(ProtocolError, match=r"leads back to where a page began before|repeats a page"):
        await read(parts, begin=0)


async def test_an_empty_page_with_more_behind_it_is_an_error_unless_documented() -> None:
    parts = {None: part([1], "b"), "b": part([], "c"), "c": part([2])}
    with pytest.raises(ProtocolError, match="has an empty page with more behind it"):
        await read(parts)
    assert await read(parts, may_be_empty=True) == [1, 2]


@pytest.mark.parametrize(
    ("keys", "how", "reason"),
    [
        ([], {}, None),
        ([1, 2, 3], {"low": 1, "high": 4}, None),
        ([3, 3, 1], {"low": 1, "high": 4, "descending": True}, None),
        ([1, 2, 3], {"low": 2}, "outside the range"),
        ([1, 2, 3], {"high": 3}, "outside the range"),
        ([1, 3, 2], {}, "not in the order"),
        ([2, 1, 3], {"descending": True}, "not in the order"),
    ],
)
def test_records_out_of_place(keys: list[int], how: dict[str, Any], reason: str | None) -> None:
    found = misplaced(keys, **how)
    assert found is None if reason is None else reason in str(found)


def client(provider: ScriptedProvider, path: str = "/api") -> HttpClient:
    config = AdapterConfig(base_url=provider.url + path, allow_private_hosts=True, retry_count=0)
    return HttpClient(config, label="demo connection acme/demo", limits={"default": RateLimit(1e6)})


def scripted(provider: ScriptedProvider, *bodies: Any) -> None:
    provider.script = [Response(body=msgspec.json.encode(body)) for body in bodies]


def lines(provider: ScriptedProvider) -> list[str]:
    return [request.split(" http")[0] for request in provider.requests]


async def listed(provider: ScriptedProvider, endpoint: ListEndpoint) -> list[Any]:
    http = client(provider)
    try:
        pages = endpoint.pages(http, [("kind", "a")])
        return [msgspec.json.decode(item) for part in [part async for part in pages] for item in part.items]
    finally:
        await http.aclose()


async def test_a_list_is_asked_for_page_by_page(provider: ScriptedProvider) -> None:
    scripted(provider, {"list": [1, 2], "next": "t2"}, {"list": [3]})
    endpoint = ListEndpoint("/things", Token("offset", ("next",)), items=("list",), params=(("limit", "2"),))
    assert await listed(provider, endpoint) == [1, 2, 3]
    assert lines(provider) == [
        "get /api/things?limit=2&kind=a",
        "get /api/things?limit=2&kind=a&offset=t2",
    ]


@pytest.mark.parametrize("link", ["/api/things?page=2", "things?page=2", "{url}/api/things?page=2"])
async def test_a_link_is_followed_as_it_stands(provider: ScriptedProvider, link: str) -> None:
    scripted(provider, {"list": [1], "next": link.format(url=provider.url)}, {"list": [2], "next": None})
    assert await listed(provider, ListEndpoint("/things", NextLink(("next",)), items=("list",))) == [1, 2]
    assert lines(provider) == ["get /api/things?kind=a", "get /api/things?page=2"]


@pytest.mark.parametrize(
    "link", ["{other}/api/things", "//localhost/things", "https://elsewhere.example/things"]
)
@pytest.mark.parametrize("in_header", [False, True])
async def test_a_link_to_another_host_is_refused_with_its_page(
    provider: ScriptedProvider, other_provider: ScriptedProvider, link: str, *, in_header: bool
) -> None:
    """So that no cursor holds it, from which each later run would begin."""
    link = link.format(other=other_provider.url)
    headers = {"link": f'<{link}>; rel="next"'} if in_header else {}
    provider.script = [Response(body=msgspec.json.encode({"list": [1], "next": link}), headers=headers)]
    endpoint = ListEndpoint("/things", LinkHeader() if in_header else NextLink(("next",)), items=("list",))
    host = link.split("/")[2]
    async with aclosing(client(provider)) as http:
        with pytest.raises(ForbiddenHostError, match=f"goes on at https?://{host}, .*correct base_url"):
            await endpoint.page(http)
    assert other_provider.requests == []


@pytest.mark.parametrize(
    "link", ["https://[x/y", "//a.example:x/y", "https://xn--\u00e9/x", "/" + "a" * 70_000]
)
async def test_a_link_that_is_no_url_is_refused_with_its_page(provider: ScriptedProvider, link: str) -> None:
    scripted(provider, {"list": [1], "next": link})
    endpoint = ListEndpoint("/things", NextLink(("next",)), items=("list",))
    async with aclosing(client(provider)) as http:
        with pytest.raises(ProtocolError, match="acme/demo: the list /things goes on at what is not a URL"):
            await endpoint.page(http)


@pytest.mark.parametrize(
    "body", [[1], {"list": 5}, {}, {"list": None}, {"list": [1], "next": {"a": 1}}, "text", None]
)
async def test_an_answer_of_another_form_is_a_clear_error(provider: ScriptedProvider, body: Any) -> None:
    scripted(provider, body)
    with pytest.raises(ProtocolError, match="acme/demo: the list /things has another form than documented"):
        await listed(provider, ListEndpoint("/things", Token("offset", ("next",)), items=("list",)))


async def test_a_list_that_is_left_out_is_empty_only_where_that_is_documented(
    provider: ScriptedProvider,
) -> None:
    scripted(provider, {"list": None})
    endpoint = ListEndpoint("/things", Token("offset", ("next",)), items=("list",), is_optional=True)
    assert await listed(provider, endpoint) == []


async def test_a_link_in_a_header_is_followed(provider: ScriptedProvider) -> None:
    links = {
        "link": f'<{provider.url}/api/things?page=2>; rel="next", <{provider.url}/api/things>; rel="first"'
    }
    provider.script = [Response(body=b"[1, 2]", headers=links), Response(body=b"[3]")]
    assert await listed(provider, ListEndpoint("/things", LinkHeader())) == [1, 2, 3]
    assert lines(provider) == ["get /api/things?kind=a", "get /api/things?page=2"]
    provider.script = [Response(body=b"<html>")]
    with pytest.raises(ProtocolError, match="acme/demo: the list /things has another form"):
        await listed(provider, ListEndpoint("/things", LinkHeader()))


@pytest.mark.parametrize("path", [("id",), ("a", "id"), ("a", "b", "id")])
@pytest.mark.parametrize(
    "body",
    [
        b'{"id": 1, "a": 2}',
        b'{"a": {"id": "nullx", "b": {"id": {"x": 1.10}}}}',
        b'{"id": null, "a": null}',
        b'{"a": {"b": []}}',
        b"null",
        b"[]",
        b"5",
        b'{"id":',
    ],
)
def test_what_is_cut_out_is_what_keys_lead_to(path: tuple[str, ...], body: bytes) -> None:
    def outcome(read: Callable[[msgspec.Raw], msgspec.Raw | None]) -> bytes | None:
        try:
            found = read(msgspec.Raw(body))
        except msgspec.MsgspecError:
            return b"refused"
        return None if found is None else bytes(found)

    assert outcome(cut(path)) == outcome(lambda json: within(json, path))
