"""Streams that are read from one list: all of it, what changed, single records, and what goes wrong."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.unified.kit.conftest import Answer
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    Account,
    AdapterConfig,
    ConnectionRef,
    CredentialKind,
    Stream,
)
from unified.kit.errors import (
    ConfigurationError,
    NotFoundError,
    ProtocolError,
    RequestRefusedError,
    StaleCursorError,
)
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.reading.changes import Since
from unified.kit.reading.listing import Listing
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import PageNumber, Token
from unified.kit.streams import RawRecord, Tombstone
from unified.schema.entities import CUSTOMERS, EVENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unified.kit.conftest import ScriptedProvider
    from unified.kit.streams import Cursor, Page

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DATE = "Fri, 20 Nov 2026 11:59:00 GMT"
SETTLED = "2026-11-20T11:54:00+00:00"

LIST = ListEndpoint("/things", Token("offset", ("next",)), items=("list",), params=(("limit", "2"),))


def since(moment: datetime) -> list[tuple[str, str]]:
    return [("updated[after]", f"{moment:%Y-%m-%dT%H:%M:%S}")]


def deleted_at(record: dict[str, Any]) -> datetime | None:
    return datetime.fromtimestamp(record["updated"], UTC) if record["deleted"] else None


LISTING = Listing(LIST, record=("thing",), since=since, refresh=(("order", "created"),))


class Adapter(BaseAdapter[AdapterConfig]):
    name = "demo"
    display_name = "Demo"
    capabilities = frozenset()
    config_model = AdapterConfig
    credential_kind = CredentialKind.API_KEY
    credential_fields = ()

    def open_http(self) -> HttpClient:
        return HttpClient(self.config, label=self.label, limits={"default": RateLimit(1e6)})

    async def test(self) -> Account:
        return Account("demo")


def adapter_of(provider: ScriptedProvider, listing: Listing) -> Adapter:
    class Declared(Adapter):
        streams = (Stream("things", CUSTOMERS, source=listing), Stream("events", EVENTS, source=listing))

    config = AdapterConfig(base_url=provider.url, allow_private_hosts=True, retry_count=0)
    return Declared(config, {}, ConnectionRef(UUID(int=1), UUID(int=2), "acme/demo"), clock=lambda: NOW)


async def pull(
    provider: ScriptedProvider,
    listing: Listing,
    cursor: Cursor | None = None,
    *,
    stream: str = "things",
    pages: int | None = None,
) -> list[Page]:
    """Pages of one pull; ``pages`` stops early, as a killed run does."""
    met: list[Page] = []
    async with adapter_of(provider, listing) as adapter, aclosing(adapter.pull(stream, cursor)) as source:
        async for page in source:
            met.append(page)
            if len(met) == pages:
                break
    return met


async def fetch(provider: ScriptedProvider, listing: Listing, ids: Sequence[str]) -> list[Page]:
    async with adapter_of(provider, listing) as adapter:
        return [page async for page in adapter.fetch("things", ids)]


def answer(*things: Any, following: str | None = None, status: int = 200) -> Answer:
    body = {"list": [{"thing": thing} for thing in things], "next": following}
    return Answer(status, json.dumps(body).encode(), {"content-type": "application/json", "date": DATE})


def things(*names: str) -> list[dict[str, str]]:
    return [{"id": name} for name in names]


def stored(pages: list[Page]) -> Cursor | None:
    """Where a stream stands after these pages, as it comes back from the database."""
    cursors = [page.cursor for page in pages if page.cursor is not None]
    cursor: Cursor | None = json.loads(json.dumps(cursors[-1])) if cursors else None
    return cursor


def ids(pages: list[Page]) -> list[str | None]:
    return [record.source_id for page in pages for record in page.records]


def asked(provider: ScriptedProvider) -> list[str]:
    return [request.split(" http")[0].removeprefix("get ") for request in provider.requests]


THREE_PAGES = [
    answer(*things("a", "b"), following="t2"),
    answer(*things("c"), following="t3"),
    answer(*things("d")),
]


async def test_all_of_it_is_read_and_ends_with_where_the_changes_go_on_from(
    provider: ScriptedProvider,
) -> None:
    provider.script = THREE_PAGES
    pages = await pull(provider, LISTING)
    assert ids(pages) == ["a", "b", "c", "d"]
    assert [page.refresh_done for page in pages] == [False, False, False, True]
    assert {page.refresh_started_at for page in pages} == {NOW}
    assert stored(pages) == {"since": SETTLED}
    assert asked(provider) == [
        "/things?limit=2&order=created",
        "/things?limit=2&order=created&offset=t2",
        "/things?limit=2&order=created&offset=t3",
    ]


async def test_a_load_that_is_stopped_after_every_page_goes_on(provider: ScriptedProvider) -> None:
    provider.script = THREE_PAGES
    cursor, met, done = None, [], False
    while not done:
        pages = await pull(provider, LISTING, cursor, pages=1)
        met += pages
        cursor, done = stored(pages), pages[-1].refresh_done
    assert ids(met) == ["a", "b", "c", "d"]
    assert len(provider.requests) == 3
    assert cursor == {"since": SETTLED}


async def test_changes_are_asked_for_since_the_last_pull_and_go_on_after_a_pause(
    provider: ScriptedProvider,
) -> None:
    provider.script = THREE_PAGES
    cursor: Cursor = {"since": "2026-11-20T10:00:00+00:00"}
    first = await pull(provider, LISTING, cursor, pages=1)
    assert stored(first) == {**cursor, "until": SETTLED, "at": "t2"}
    rest = await pull(provider, LISTING, stored(first))
    assert ids([*first, *rest]) == ["a", "b", "c", "d"]
    assert {page.refresh_started_at for page in (*first, *rest)} == {None}
    assert stored(rest) == {"since": SETTLED}
    assert asked(provider)[0] == "/things?limit=2&updated%5bafter%5d=2026-11-20t10%3a00%3a00"


async def test_a_clock_that_goes_back_there_never_moves_the_cursor_back(provider: ScriptedProvider) -> None:
    provider.script = [answer()]
    cursor: Cursor = {"since": "2026-11-20T11:58:00+00:00"}
    assert stored(await pull(provider, LISTING, cursor)) == cursor


async def test_a_list_that_can_not_be_asked_for_changes_is_read_whole(provider: ScriptedProvider) -> None:
    provider.script = [answer(*things("a"))]
    pages = await pull(provider, Listing(LIST, record=("thing",)), {"since": SETTLED})
    assert ids(pages) == ["a"]
    assert pages[-1].refresh_done


async def test_a_log_is_never_refreshed(provider: ScriptedProvider) -> None:
    provider.script = THREE_PAGES
    first = await pull(provider, LISTING, stream="events", pages=2)
    rest = await pull(provider, LISTING, stored(first), stream="events")
    assert ids([*first, *rest]) == ["a", "b", "c", "d"]
    assert {(page.refresh_started_at, page.refresh_done) for page in (*first, *rest)} == {(None, False)}
    assert stored(rest) == {"since": SETTLED}


async def test_what_the_list_shows_as_deleted_is_a_tombstone(provider: ScriptedProvider) -> None:
    living, gone = ({"id": name, "deleted": name == "b", "updated": 1_790_000_000} for name in "ab")
    provider.script = [answer(living, gone, {"id": "c"})]
    listing = Listing(LIST, record=("thing",), since=since, deleted_at=deleted_at)
    (page,) = await pull(provider, listing, {"since": SETTLED})
    assert ids([page]) == ["a", "c"]
    assert page.tombstones == [Tombstone("b", datetime.fromtimestamp(1_790_000_000, UTC))]
    provider.script = [answer({"id": "b", "deleted": True, "updated": 1_790_000_000})]
    found_out = replace(listing, merged_into=lambda _: "a", is_erased=lambda _: True, many=lambda _: ())
    (alone,) = await fetch(provider, found_out, ["b", "c"])
    stone = replace(page.tombstones[0], merged_into="a", erase=True)
    assert alone.tombstones == [stone, Tombstone("c", NOW)]


async def test_a_position_that_the_provider_has_forgotten_costs_a_reading_from_the_start(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.script = [THREE_PAGES[0], answer(status=400), *THREE_PAGES]
    first = await pull(provider, LISTING, pages=1)
    rest = await pull(provider, LISTING, stored(first))
    assert ids(rest) == ["a", "b", "c", "d"]
    assert rest[-1].refresh_done
    assert {page.refresh_started_at for page in rest} == {NOW}
    assert "is read from its start" in caplog.text
    provider.script = [answer(status=400)]
    with pytest.raises(RequestRefusedError):
        await pull(provider, LISTING)


@pytest.mark.parametrize("cursor", [None, {"since": SETTLED}])
async def test_a_page_that_repeats_is_an_error_in_either_way(
    provider: ScriptedProvider, cursor: Cursor | None
) -> None:
    provider.script = [answer(*things("a"), following="t2"), answer(*things("a"), following="t3")]
    with pytest.raises(ProtocolError, match="acme/demo: the list /things repeats a page"):
        await pull(provider, LISTING, cursor)


@pytest.mark.parametrize("odd", [5, None, {"name": "x"}, {"id": ["a"]}, {"id": None}])
async def test_an_odd_record_is_handed_on_as_a_reject_and_the_others_come(
    provider: ScriptedProvider, odd: Any
) -> None:
    provider.script = [answer({"id": "a"}, odd, {"id": 7})]
    pages = await pull(provider, LISTING)
    assert ids(pages) == ["a", None, "7"]


async def test_a_cursor_that_is_too_old_is_stale_but_a_log_goes_on(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.script = [answer(*things("a"))]
    listing = Listing(LIST, since=since, times=Since(timedelta(0), keeps=timedelta(days=30)))
    old: Cursor = {"since": "2026-10-01T00:00:00+00:00"}
    with pytest.raises(StaleCursorError, match="acme/demo"):
        await pull(provider, listing, old)
    assert await pull(provider, listing, old, stream="events")
    assert "no longer keeps all events" in caplog.text


async def test_records_are_completed_before_they_are_handed_on(provider: ScriptedProvider) -> None:
    async def complete(adapter: Adapter, one: RawRecord) -> RawRecord:
        return RawRecord(f"{adapter.name} {one.source_id}", one.body)

    provider.script = [answer(*things("a"))]
    pages = await pull(provider, Listing(LIST, record=("thing",), complete=complete))
    assert ids(pages) == ["demo a"]


async def test_single_records_are_read_by_their_path(provider: ScriptedProvider) -> None:
    listing = Listing(
        LIST, record=("thing",), one="/things/{id}", is_gone=lambda _: True, deleted_at=deleted_at
    )
    living = {"thing": {"id": "a", "deleted": False, "updated": 0}}
    provider.script = [Answer(body=json.dumps(living).encode()), Answer(404)]
    (page,) = [page for page in await fetch(provider, listing, ["a"]) if page.records]
    assert ids([page]) == ["a"]
    (page,) = await fetch(provider, listing, ["b/../c"])
    assert page.tombstones == [Tombstone("b/../c", NOW)]
    assert asked(provider) == ["/things/a", "/things/b%2f..%2fc"]
    with pytest.raises(NotFoundError):
        await fetch(provider, Listing(LIST, one="/things/{id}"), ["a"])
    with pytest.raises(ProtocolError, match="single things can't be read"):
        await fetch(provider, Listing(LIST), ["a"])


async def test_single_records_are_read_by_the_list_where_it_takes_ids(provider: ScriptedProvider) -> None:
    listing = Listing(LIST, record=("thing",), many=lambda some: [("id[in]", ",".join(some))], batch=2)
    provider.script = [answer(*things("a")), answer(*things("c"))]
    pages = await fetch(provider, listing, ["a", "b", "a", "c"])
    assert ids(pages) == ["a", "c"]
    assert [one.source_id for page in pages for one in page.tombstones] == ["b"]
    assert asked(provider) == ["/things?limit=2&id%5bin%5d=a%2cb", "/things?limit=2&id%5bin%5d=c"]


NUMBERED = ListEndpoint("/things", PageNumber("page", 2), items=("list",))


def changed_at(record: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(record["at"], UTC)


@pytest.mark.parametrize("stop", [1, 100])
async def test_numbered_pages_lose_no_record_that_a_change_moves_over_their_edge(
    provider: ScriptedProvider, stop: int
) -> None:
    listing = Listing(NUMBERED, record=("thing",), since=since, changed_at=changed_at)
    at = int(datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp())
    a, b, c, d, e = ({"id": name, "at": at + 60 * n} for n, name in enumerate("abcde"))
    # After the first page a changed, and went to the end: by number the second page would begin with d.
    provider.script = [
        answer(a, b),
        answer(b, c),
        answer(c, d),
        answer(d, e),
        answer(e, {**a, "at": at + 400}),
        answer(a),
    ]
    cursor: Cursor = {"since": "2026-11-20T09:59:00+00:00"}
    met: list[Page] = []
    for _ in range(10):
        met += await pull(provider, listing, cursor, pages=stop)
        cursor = stored(met) or {}
        if "until" not in cursor:
            break
    assert set(ids(met)) == set("abcde")
    assert cursor == {"since": SETTLED}
    assert [line for line in asked(provider) if "page=1" not in line] == []
    assert "10%3a00%3a59" in asked(provider)[1]


@pytest.mark.parametrize("time", [datetime(2026, 11, 20, 10, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)])
async def test_numbered_pages_go_on_by_number_while_the_time_stands_still(
    provider: ScriptedProvider, time: datetime
) -> None:
    """Or where no record has any, which some systems write as the first second of all."""
    listing = Listing(NUMBERED, record=("thing",), since=since, changed_at=changed_at)
    at = int(time.timestamp())
    same = [{"id": name, "at": at} for name in "abcde"]
    provider.script = [answer(*same[:2]), answer(*same[2:4]), answer(same[4])]
    first = await pull(provider, listing, {"since": "2026-11-20T10:00:00+00:00"}, pages=1)
    rest = await pull(provider, listing, stored(first))
    assert ids([*first, *rest]) == list("abcde")
    assert [line.rpartition("page=")[2] for line in asked(provider)] == ["1", "2", "3"]


async def test_numbered_pages_of_changes_need_to_know_the_time_of_one(provider: ScriptedProvider) -> None:
    with pytest.raises(ConfigurationError, match="acme/demo: things are read by numbered pages"):
        await pull(provider, Listing(NUMBERED, since=since))
    provider.script = [answer()]
    assert await pull(provider, Listing(NUMBERED, since=since), stream="events")
