"""The engine of declared stand-ins: kinds of paging, conditions, changes, limits, faults and webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import msgspec
import pytest

from tests.waiting import LIMIT_SECONDS
from unified.sandbox.faults import Fault
from unified.sandbox.provider import ApiError
from unified.sandbox.server import Server
from unified.sandbox.stripe.webhooks import StripeWebhooks
from unified.sandbox.tables.account import Feed
from unified.sandbox.tables.api import RequestLimit, TableSandbox
from unified.sandbox.tables.listing import (
    AfterId,
    BadParameterError,
    Entry,
    PageNumber,
    Paging,
    Token,
    bracketed,
)
from unified.sandbox.tables.table import New, Record, Table
from unified.sandbox.webhooks import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.unified.sandbox.conftest import Receiver

NOW = 1_790_000_000
KINDS = [Token("offset"), PageNumber("page"), AfterId("starting_after")]
ORDERED: list[Entry] = [((at // 3, f"id{at:03}"), {"id": f"id{at:03}", "at": at // 3}) for at in range(95)]


def walked(paging: Paging, entries: list[Entry], size: int, *, descending: bool = False) -> list[Record]:
    found, asked = [], {paging.limit: str(size)}
    while True:
        page, after = paging.cut(entries, asked, descending=descending)
        found += page
        if after is None:
            return found
        asked[paging.parameter] = after


@pytest.mark.parametrize("size", [1, 7, 94, 95, 100])
@pytest.mark.parametrize("paging", KINDS, ids=lambda paging: type(paging).__name__)
def test_every_kind_of_paging_shows_each_record_once(paging: Paging, size: int) -> None:
    assert walked(paging, ORDERED, size) == [record for _, record in ORDERED]
    backward = ORDERED[::-1]
    assert walked(paging, backward, size, descending=True) == [record for _, record in backward]


def test_only_a_page_number_loses_its_place_when_an_earlier_record_goes() -> None:
    for paging in KINDS:
        page, after = paging.cut(ORDERED, {"limit": "10"})
        assert after is not None
        rest, _ = paging.cut(ORDERED[1:], {"limit": "100", paging.parameter: after})
        is_complete = len(page) + len(rest) == len(ORDERED)
        assert is_complete is not isinstance(paging, PageNumber) or rest == []


@pytest.mark.parametrize("paging", KINDS, ids=lambda paging: type(paging).__name__)
def test_a_place_or_size_that_does_not_exist_is_refused(paging: Paging) -> None:
    for parameters in ({paging.parameter: "nowhere"}, {"limit": "0"}, {"limit": "101"}, {"limit": "ten"}):
        with pytest.raises(BadParameterError):
            paging.cut(ORDERED, parameters)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"at[after]": "30"}, 2), ({"at[before]": "1"}, 3), ({"at[between]": "[5,6]"}, 6), ({"at[is]": "0"}, 3),
        ({"id[in]": '["id000","id094","x"]'}, 2), ({"id[not_in]": "['id000']"}, 94), ({"id[in]": "[id000, id001]"}, 2),
        ({"id[is_not]": "id001"}, 94),
        ({"id[starts_with]": "id09"}, 5), ({"at[after]": "3", "at[before]": "5"}, 3), ({}, 95),
    ],
)  # fmt: skip
def test_conditions(asked: dict[str, str], found: int) -> None:
    holds = bracketed(asked, {"id": str, "at": int})
    assert sum(holds(record) for _, record in ORDERED) == found


@pytest.mark.parametrize("asked", ["name[is]", "at[near]", "at", "at[after]"])
def test_a_condition_that_is_not_understood_is_refused(asked: str) -> None:
    with pytest.raises(BadParameterError):
        bracketed({asked: "soon"}, {"id": str, "at": int})


def make_ticket(new: New) -> Record:
    return {"title": f"Ticket {new.draw.below(1000)}", "words": 2}


def announced(change: str, table: Table, record: Record) -> Record | None:
    return {"type": f"{table.noun}.{change}", "about": record}


class Tickets(TableSandbox):
    """A system of forty lines."""

    name = "tickets"
    default_keys = ("key-fake-acme", "key-fake-globex")
    webhook_form = StripeWebhooks()
    paging = PageNumber("page", default=25)
    feed = Feed("log", announced)
    tables: ClassVar[tuple[Table, ...]] = (
        Table(
            "tickets", "ticket", make_ticket, lambda index, _: f"T{index}", 60, created="opened", updated="changed",
            deleted="closed", settle=lambda fields: {**fields, "words": len(fields["title"].split())},
            writable=frozenset({"create", "update", "delete"}),
        ),
        Table("log", "entry", lambda _: {"type": "start", "about": None}, lambda index, _: f"L{index}", 1),
    )  # fmt: skip

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        return ApiError(status, {"error": message, "code": code, "parameter": parameter})

    def page(self, table: Table, records: Sequence[Record], after: str | None) -> Any:
        return {table.name: records, "next": after}


@pytest.fixture
def tickets() -> Tickets:
    return Tickets(now=NOW)


@pytest.fixture
def http(tickets: Tickets) -> Iterator[httpx.Client]:
    with (
        Server(tickets) as server,
        httpx.Client(
            base_url=f"{server.url}/tickets", auth=("key-fake-acme", ""), timeout=LIMIT_SECONDS
        ) as client,
    ):
        yield client


def listed(http: httpx.Client, **parameters: str) -> dict[str, Record]:
    found, page = {}, "1"
    while page:
        answer = http.get("/tickets", params={**parameters, "page": page}).json()
        found |= {record["id"]: record for record in answer["tickets"]}
        page = answer["next"]
    return found


def test_lists_show_what_the_oracle_holds(tickets: Tickets, http: httpx.Client) -> None:
    everything = listed(http, include_deleted="true")
    assert len(everything) == 60
    assert listed(http) == tickets.account().all("tickets")
    assert {name for name, record in everything.items() if record["closed"]} == everything.keys() - listed(
        http
    ).keys()
    assert all(record["opened"] <= record["changed"] <= NOW for record in everything.values())
    assert tickets.account().source_counts() == {"tickets": len(listed(http)), "log": 1}
    assert tickets.account("key-fake-globex").all("tickets") != listed(http)
    assert Tickets(now=NOW).account().all("tickets") == listed(http)


def test_changes_over_http_and_in_python_are_the_same(tickets: Tickets, http: httpx.Client) -> None:
    tickets.clock.advance(seconds=5)
    made = http.post("/tickets", json={"title": "A b c"}).json()["ticket"]
    assert (made["words"], made["opened"], made["id"]) == (3, NOW + 5, "T60")
    assert http.post("/tickets/T60", json={"title": "A b"}).json()["ticket"]["words"] == 2
    tickets.clock.advance(seconds=5)
    assert tickets.mutate("update", None, "tickets", "T60", title="A")["changed"] == NOW + 10
    assert http.get("/tickets/T60").json() == {"ticket": tickets.account().all("tickets")["T60"]}
    assert http.post("/tickets/T60/delete").json()["ticket"]["closed"] is True
    assert http.get("/tickets/T60").status_code == 404
    assert [http.post("/tickets/T60", json={}).status_code, http.post("/log").status_code] == [404, 404]
    assert http.post("/tickets/T1", json={"colour": "red"}).status_code == 400
    assert http.post("/tickets", json={"id": "T1"}).status_code == 400
    log = [entry["type"] for entry in tickets.account().all("log").values()]
    assert log == ["start", "ticket.create", "ticket.update", "ticket.update", "ticket.delete"]


def test_changes_are_delivered(tickets: Tickets, http: httpx.Client, receiver: Receiver) -> None:
    tickets.webhooks.add(Endpoint("key-fake-acme", receiver.url, "whsec_fake"))
    tickets.mutate("create", None, "tickets", title="New")
    tickets.mutate("create", "key-fake-globex", "tickets", title="Another's")
    assert tickets.webhooks.wait(30)
    (event,) = [msgspec.json.decode(delivery.body) for delivery in receiver.deliveries]
    assert (event["type"], event["about"]["title"]) == ("ticket.create", "New")


def test_refusals_are_in_the_systems_words(tickets: Tickets, http: httpx.Client) -> None:
    refused = http.get("/tickets", params={"colour": "red"})
    assert (refused.status_code, refused.json()["parameter"]) == (400, "colour")
    assert http.get("/elsewhere").status_code == 404
    assert (
        httpx.get(f"{http.base_url}tickets", auth=("wrong", ""), timeout=LIMIT_SECONDS).json()["error"]
        == "The key is not valid."
    )
    tickets.revoke("key-fake-acme")
    assert http.get("/tickets").status_code == 401
    tickets.restore("key-fake-acme")
    tickets.set_limits(RequestLimit(2, 60))
    assert [http.get("/tickets").status_code for _ in range(3)] == [200, 200, 429]
    tickets.set_limits(None)
    tickets.faults.add(Fault("status", "/tickets", status=503))
    assert http.get("/tickets").json()["error"] == "Service Unavailable"


def test_a_table_that_does_not_exist_is_no_size() -> None:
    with pytest.raises(TypeError, match="no table ticket"):
        Tickets(ticket=5)
