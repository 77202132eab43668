"""Streams of documents over real HTTP: partitions, changes of records, and what an API or a document does wrong."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.document.api import KEY, MAPPING, NOW, Api, Turns, opened, pulled, serving
from tests.unified.kit.document.test_model import desk
from unified.conformance.bench import Copy
from unified.kit.errors import (
    AdapterError,
    AuthenticationError,
    ConfigurationError,
    ForbiddenHostError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RequestRefusedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = {"kind": "token", "parameter": "page", "token": ["next"]}
DATE = {"date": "Sat, 28 Nov 2026 11:59:00 GMT"}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


def stream(path: str, **said: Any) -> dict[str, Any]:
    return {"entity": "records", "path": path, "records": ["data"], "mapping": MAPPING, **said}


def records(*ids: object, following: str | None = None) -> dict[str, Any]:
    return {"data": [{"id": one, "title": f"title {one}"} for one in ids], "next": following}


def below(parent: str, field: str) -> dict[str, Any]:
    return {"stream": parent, "parent_key": ["id"], "partition_field": field}


NESTED = {
    "orgs": stream("/orgs", paging=TOKEN),
    "teams": stream("/orgs/{{ partition.org }}/teams", paging=TOKEN, partition=below("orgs", "org")),
    "tickets": stream(
        "/tickets",
        parameters={"team": "{{ partition.team }}"},
        paging=TOKEN,
        partition=below("teams", "team"),
    ),
}


def nest(api: Api) -> set[str]:
    """Two pages of orgs, teams of each, tickets of each on two pages. The tickets' ids."""
    api.answers |= {"/orgs": records("a", "b", following="2"), "/orgs?page=2": records("c d")}
    api.answers |= {
        "/orgs/a/teams": records("a1", "a2"),
        "/orgs/b/teams": records(),
        "/orgs/c%20d/teams": records("c1", following="2"),
        "/orgs/c%20d/teams?page=2": records("c2"),
    }
    ids = set()
    for team in ("a1", "a2", "c1", "c2"):
        api.answers[f"/tickets?team={team}"] = records(f"{team}x", f"{team}y", following="2")
        api.answers[f"/tickets?team={team}&page=2"] = records(f"{team}z")
        ids |= {f"{team}{one}" for one in "xyz"}
    return ids


async def test_parents_of_any_depth_are_read_page_by_page(api: Api) -> None:
    ids, copy = nest(api), Copy("tickets")
    pages = await pulled(opened(api, desk(streams=NESTED)), copy)
    assert set(copy.records) == ids
    assert len(copy.met) == len(ids)
    assert [page.refresh_done for page in pages] == [False] * (len(pages) - 1) + [True]


async def test_partitions_that_are_killed_after_every_page_end_complete(api: Api) -> None:
    ids, copy, met = nest(api), Copy("tickets"), []
    for _ in range(30):
        (page,) = await pulled(opened(api, desk(streams=NESTED)), copy, pages=1)
        met += copy.met
        if page.refresh_done:
            break
    assert page.refresh_done
    assert sorted(met) == sorted(ids)


async def test_values_of_a_setting_are_partitions(api: Api) -> None:
    api.answers |= {"/repos/x%2Fy": records(1), "/repos/z": records(2)}
    values = {"values": "{{ settings.repos.split(',') }}", "partition_field": "repo"}
    said = desk(
        settings={"repos": {"description": "Which."}},
        streams={"issues": stream("/repos/{{ partition.repo }}", partition=values)},
    )
    copy = Copy("issues")
    await pulled(opened(api, said, repos="x/y, z"), copy)
    assert set(copy.records) == {"1", "2"}


async def test_records_are_filtered_and_changed_before_they_are_kept(api: Api) -> None:
    body = b'{"data": [{"id": 1, "kind": "a", "sum": 19.90, "x": {"old": 2}}, {"id": 2, "kind": "b"}]}'
    api.answers["/things"] = (200, {}, body)
    said = desk(
        streams={
            "things": stream(
                "/things",
                filter="{{ record.kind == 'a' }}",
                transformations=[
                    {"do": "add", "path": ["y", "label"], "value": "{{ record.kind }}-{{ record.sum }}"},
                    {"do": "rename", "path": ["x", "old"], "to": "new"},
                    {"do": "remove", "path": ["kind"]},
                ],
            )
        }
    )
    copy = Copy("things")
    (page, *_) = await pulled(opened(api, said), copy)
    assert bytes(page.records[0].body) == b'{"id":1,"sum":19.90,"x":{"new":2},"y":{"label":"a-19.90"}}'
    assert [one.source_id for one in page.tombstones] == ["2"]


async def test_an_expression_that_grows_costs_nothing_but_its_record(api: Api) -> None:
    api.answers["/things"] = records(1)
    large = "{{ (record.title.replace('t', record.title * 1000)) }}"
    change = {"do": "add", "path": ["y"], "value": large}
    copy = Copy("things")
    await pulled(opened(api, desk(streams={"things": stream("/things", transformations=[change])})), copy)
    assert copy.records == {"1": {"id": 1, "title": "title 1"}}


async def test_changes_are_asked_for_by_time(api: Api) -> None:
    changes = {
        "parameter": "since",
        "format": "%d.%m.%Y %H:%M",
        "granularity_seconds": 60,
        "lag_seconds": 30,
        "lookback_seconds": 3600,
        "parameters": {"order": "{{ settings.order }}"},
    }
    said = desk(
        settings={"order": {"description": "How.", "default": "up"}},
        streams={"things": stream("/things", refresh={"all": "1"}, changes=changes)},
    )
    api.answers["/things?all=1"] = (200, DATE, b'{"data": [{"id": 1}]}')
    copy = Copy("things")
    await pulled(opened(api, said), copy)
    assert copy.cursor == {"since": (NOW - timedelta(seconds=90)).isoformat()}
    # 11:58:30, an hour back, to the minute.
    api.answers["/things?since=28.11.2026+10%3A58&order=up"] = (200, DATE, b'{"data": [{"id": 2}]}')
    await pulled(opened(api, said), copy)
    assert set(copy.records) == {"1", "2"}


async def test_changes_of_partitions_follow_one_time_from_before_the_first_of_them(api: Api) -> None:
    teams = stream(
        "/orgs/{{ partition.org }}/teams",
        partition=below("orgs", "org"),
        changes={"parameter": "since", "format": "epoch", "lag_seconds": 0},
    )
    said = desk(streams={"orgs": stream("/orgs"), "teams": teams})
    api.answers["/orgs/a/teams"] = records(1)
    # The second partition is read a minute after the first one, at the provider.
    api.answers["/orgs"] = (200, DATE, b'{"data": [{"id": "a"}, {"id": "b"}]}')
    later = {"date": "Sat, 28 Nov 2026 12:00:00 GMT"}
    api.answers["/orgs/b/teams"] = (200, later, b'{"data": [{"id": 2}]}')
    copy = Copy("teams")
    await pulled(opened(api, said), copy)
    began = int(NOW.timestamp()) - 60
    assert copy.cursor == {"since": (NOW - timedelta(seconds=60)).isoformat()}
    for org in "ab":
        api.answers[f"/orgs/{org}/teams?since={began}"] = records(f"{org}3")
    api.asked.clear()
    await pulled(opened(api, said), copy)
    assert api.asked == ["/orgs", f"/orgs/a/teams?since={began}", f"/orgs/b/teams?since={began}"]
    assert set(copy.records) == {"1", "2", "a3", "b3"}


@pytest.mark.parametrize(("status", "is_done"), [(404, True), (403, False)])
async def test_a_partition_that_is_passed_over_buries_nothing_it_may_hide(
    api: Api, caplog: pytest.LogCaptureFixture, status: int, *, is_done: bool
) -> None:
    nest(api)
    api.answers["/orgs/a/teams"] = (status, {}, b'{"message": "not for you"}')
    said = desk(streams=NESTED, refusals={"handlers": [{"action": "IGNORE", "http_codes": [403, 404]}]})
    copy = Copy("teams")
    pages = await pulled(opened(api, said), copy)
    assert set(copy.records) == {"c1", "c2"}
    assert pages[-1].refresh_done == is_done
    assert f"answered {status}: not for you" in caplog.text
    # A whole stream is never taken for empty.
    api.answers["/orgs"] = (403, {}, b"{}")
    with pytest.raises(RequestRefusedError):
        await pulled(opened(api, said), Copy("orgs"))


SLOW_DOWN = (403, {"x-wait": "0"}, b'{"error": {"code": "slow_down"}}')
SICK = (200, {}, b'{"ok": false, "error": {"message": "out of order"}}')


@pytest.mark.parametrize(
    ("handlers", "answer"),
    [
        ([{"action": "RATE_LIMITED", "http_codes": [403]}], SLOW_DOWN),
        ([{"action": "RETRY", "error_message_contains": "out of order"}], SICK),
        ([{"action": "RATE_LIMITED", "predicate": "{{ response.error.code == 'slow_down' }}"}], SLOW_DOWN),
        ([{"action": "RETRY", "predicate": "{{ response.ok == false and status == 200 }}"}], SICK),
    ],
)
async def test_refusals_that_pass_are_asked_for_again(
    api: Api, handlers: list[dict[str, Any]], answer: tuple[Any, ...]
) -> None:
    api.answers["/things"] = Turns([answer, records(1)])
    said = desk(
        streams={"things": stream("/things")}, refusals={"handlers": handlers, "wait_headers": ["X-Wait"]}
    )
    copy = Copy("things")
    await pulled(opened(api, said), copy)
    assert set(copy.records) == {"1"}


@pytest.mark.parametrize(
    ("action", "kind"), [("AUTHENTICATION", AuthenticationError), ("PERMISSION", PermissionDeniedError)]
)
async def test_a_header_of_a_success_may_say_that_the_credential_is_not_good(
    api: Api, action: str, kind: type[ProviderError]
) -> None:
    handler = {"action": action, "predicate": "{{ headers['x-login'] == 'failed' }}"}
    said = desk(streams={"things": stream("/things")}, refusals={"handlers": [handler]})
    api.answers["/things"] = (200, {"x-login": "failed"}, b'{"data": []}')
    with pytest.raises(kind, match="answered 200"):
        await pulled(opened(api, said), Copy("things"))
    api.answers["/things"] = (200, {"x-login": "fine"}, b'{"data": [{"id": 1}]}')
    copy = Copy("things")
    await pulled(opened(api, said), copy)
    assert set(copy.records) == {"1"}


async def test_an_answer_of_success_may_be_a_refusal(api: Api) -> None:
    api.answers["/things"] = SICK
    said = desk(streams={"things": stream("/things")}, refusals={"success": "{{ response.ok }}"})
    with pytest.raises(RequestRefusedError, match="answered 200: out of order"):
        await pulled(opened(api, said), Copy("things"))


async def test_no_credential_goes_to_another_host(api: Api) -> None:
    with serving() as other:
        other.answers["/things"] = records(9)
        led: list[tuple[dict[str, Any], Any]] = [
            ({"kind": "next_link", "link": ["next"]}, records(1, following=f"{other.url}/things")),
            ({"kind": "computed", "value": "{{ response.next }}"}, records(1, following=f"{other.url}/things")),
            ({"kind": "link_header"}, (200, {"link": f'<{other.url}/things>; rel="next"'}, b'{"data": [{"id": 1}]}')),
            ({"kind": "none"}, (302, {"location": f"{other.url}/things"}, b"")),
        ]  # fmt: skip
        for paging, answer in led:
            api.answers["/things"] = answer
            said = desk(streams={"things": stream("/things", paging=paging)})
            with pytest.raises((ForbiddenHostError, ProtocolError)) as caught:
                await pulled(opened(api, said), Copy("things"))
            assert KEY not in str(caught.value)
        assert other.asked == []


COMPUTED = {
    "kind": "computed",
    "parameter": "page",
    "value": "{{ response.at + 1 }}",
    "stop": "{{ headers['x-last'] == settings.last or last_page_size == 0 }}",
}


def counted(at: object, *ids: object, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return 200, headers, json.dumps({"data": [{"id": one} for one in ids], "at": at}).encode()


async def test_the_next_page_is_computed_from_answer_headers_and_settings(api: Api) -> None:
    api.answers |= {"/things": counted(1, 1), "/things?page=2": counted(2, 2, **{"X-Last": "yes"})}
    said = desk(
        settings={"last": {"description": "The word.", "default": "yes"}},
        streams={"things": stream("/things", paging=COMPUTED)},
    )
    copy = Copy("things")
    await pulled(opened(api, said), copy)
    assert set(copy.records) == {"1", "2"}


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (counted(1, 1), counted(1, 2), "leads back"),
        (counted("x", 1), None, "does not say where its next page begins"),
        (counted([2], 1), None, "does not say where its next page begins"),
        (counted(0.5, 1), None, "by neither text nor number"),
        (
            (200, {}, b'{"data": [], "at": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
            None,
            "another form|next page",
        ),
    ],
)
async def test_a_computed_page_that_goes_wrong_ends_in_words(
    api: Api, first: Any, second: Any, words: str
) -> None:
    api.answers |= {"/things": first, "/things?page=2": second}
    paging = {**COMPUTED, "stop": None}
    said = desk(streams={"things": stream("/things", paging=paging)})
    with pytest.raises(ProtocolError, match=words):
        await pulled(opened(api, said), Copy("things"))


async def test_a_computed_page_of_a_number_without_measure_is_said(api: Api) -> None:
    """As a whole number it may take minutes, and no cursor holds it."""
    api.answers["/things"] = (200, {}, b'{"data": [{"id": 1}], "at": 1e5000}')
    said = desk(
        streams={"things": stream("/things", paging={**COMPUTED, "value": "{{ response.at }}", "stop": None})}
    )
    with pytest.raises(ProtocolError, match="more than 28 digits"):
        await pulled(opened(api, said), Copy("things"))


SECRET = {"label": "API key", "hint": "begins with desk_"}


@pytest.mark.parametrize(("prefix", "sent"), [("Token ", f"Token {KEY}"), ("", KEY)])
async def test_a_key_has_the_prefix_of_the_document(api: Api, prefix: str, sent: str) -> None:
    api.answers["/things"] = records(1)
    said = desk(
        auth={"kind": "key", "prefix": prefix, "secret": SECRET}, streams={"things": stream("/things")}
    )
    await pulled(opened(api, said), Copy("things"))
    assert api.authorized == [sent]


SESSION = {
    "kind": "session",
    "secrets": [{"name": "password", **SECRET}],
    "path": "/login",
    "body": {"user": "{{ settings.user }}", "password": "{{ secrets.password }}"},
    "token": ["session", "id"],
    "prefix": "Session ",
}


def with_session(**changed: Any) -> dict[str, Any]:
    return desk(
        auth={**SESSION, **changed},
        settings={"user": {"description": "Who.", "default": "ann"}},
        streams={"things": stream("/things", paging=TOKEN)},
    )


async def test_a_session_is_opened_once_and_again_when_its_token_is_rejected(api: Api) -> None:
    api.answers["/login"] = Turns([{"session": {"id": "t1"}}, {"session": {"id": 2}}])
    api.answers["/things"] = records(1, following="2")
    api.answers["/things?page=2"] = Turns([(401, {}, b"{}"), records(2)])
    copy = Copy("things")
    await pulled(opened(api, with_session()), copy)
    assert set(copy.records) == {"1", "2"}
    assert api.asked == ["/login", "/things", "/things?page=2", "/login", "/things?page=2"]
    assert api.authorized == [None, "Session t1", "Session t1", None, "Session 2"]
    assert api.bodies == [f'{{"user":"ann","password":"{KEY}"}}'.encode()] * 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((403, {}, KEY.encode()), AuthenticationError),
        ((503, {}, KEY.encode()), UnavailableError),
        ((302, {"location": "https://attacker.example/"}, b""), AuthenticationError),
        ({"session": {}}, ProtocolError),
        ({"session": {"id": "a\nb"}}, ProtocolError),
    ],
)
async def test_a_login_that_fails_shows_no_secret(api: Api, answer: Any, kind: type[AdapterError]) -> None:
    api.answers |= {"/login": answer, "/things": records(1)}
    with pytest.raises(kind, match="/login") as caught:
        await pulled(opened(api, with_session(form=True)), Copy("things"))
    assert KEY not in str(caught.value)
    assert "/things" not in api.asked


@pytest.mark.parametrize("site", ["attacker.example/", "a@attacker.example", "x.y.z"])
async def test_a_setting_fills_a_part_of_the_host_and_never_another_host(api: Api, site: str) -> None:
    said = desk(
        hosts=["*.desk.example"],
        base_url="https://{{ settings.site }}.desk.example",
        settings={"site": {"description": "The site."}},
    )
    settings = {"site": site, "allow_private_hosts": False}
    adapter = opened(api, said, **settings)
    if site == "x.y.z":
        assert adapter.open_http().url("/a") == "https://x.y.z.desk.example/a"
    else:
        with pytest.raises(AdapterError, match="base_url"):
            adapter.open_http()


def test_a_host_without_a_star_is_that_host_alone(api: Api) -> None:
    adapter = opened(api, desk(), base_url="https://x.api.desk.example", allow_private_hosts=False)
    with pytest.raises(ForbiddenHostError, match=r"x\.api\.desk\.example, which is not one"):
        adapter.open_http()


TROUBLES: dict[str, tuple[Any, Any, type[AdapterError], str]] = {
    "a token that repeats": (records(1, following="1"), records(2, following="1"), ProtocolError, "leads back"),
    "a page that repeats": (records(1, following="1"), records(1, following="2"), ProtocolError, "repeats a page"),
    "an empty page in the middle": (records(following="1"), None, ProtocolError, "empty page"),
    "HTML": ((200, {"content-type": "text/html"}, b"<html>"), None, ProtocolError, "HTML"),
    "another form": ({"data": {"id": 1}}, None, ProtocolError, "another form"),
    "a right that is missing": ((403, {}, b'{"message": "no"}'), None, PermissionDeniedError, "no"),
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_an_api_that_goes_wrong_ends_in_words(api: Api, trouble: str) -> None:
    api.answers["/things"], api.answers["/things?page=1"], kind, words = TROUBLES[trouble]
    adapter = opened(api, desk(streams={"things": stream("/things", paging=TOKEN)}))
    with pytest.raises(kind, match=words) as caught:
        await pulled(adapter, Copy("things"))
    assert "acme/desk" in str(caught.value)


@pytest.mark.parametrize("budget", [{"pages": 3}, {"requests": 3}, {"bytes": 1_000}])
async def test_a_list_without_end_ends_with_its_budget_and_goes_on_from_there(
    api: Api, budget: dict[str, int]
) -> None:
    for page in range(60):
        api.answers[f"/things?page={page}" if page else "/things"] = records(
            f"{page}x", following=str(page + 1)
        )
    said = desk(streams={"things": stream("/things", paging=TOKEN)}, budgets=budget)
    copy = Copy("things")
    with pytest.raises(ProviderError, match=rf"budgets\.{next(iter(budget))}"):
        await pulled(opened(api, said), copy)
    before = len(copy.records)
    assert 3 <= before < 60
    with pytest.raises(ProviderError):
        await pulled(opened(api, said), copy)
    assert len(copy.records) > before


async def test_records_without_ids_and_of_changing_types_cost_no_other(api: Api) -> None:
    odd = [{"title": "x"}, 7, None, [], {"id": True}, {"id": {"a": 1}}, {"id": ""}]
    api.answers["/things"] = {"data": [*odd, {"id": "1"}, {"id": 2}]}
    copy = Copy("things")
    await pulled(opened(api, desk(streams={"things": stream("/things")})), copy)
    assert set(copy.records) == {"1", "2"}
    assert copy.rejects == len(odd)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"stream": {"parameters": {"of": "{{ settings.kinds.split(',') }}"}}}, "takes a list for text"),
        ({"stream": {"path": "/{{ settings.kinds.split(',') }}"}}, "takes a list for text"),
        ({"headers": {"x-kinds": "{{ settings.kinds }}"}}, "x-kinds would hold characters that no header"),
    ],
)
async def test_a_setting_that_does_not_fit_where_it_goes_is_said(
    api: Api, said: dict[str, Any], words: str
) -> None:
    kinds = {"kinds": {"description": "Which."}}
    with pytest.raises(ConfigurationError, match=words):
        await pulled(opened(api, desk(settings=kinds, **said), kinds="é,k"), Copy("teams"))
    assert api.asked == []
