"""How HubSpot's answers are taken: partial successes, refusals, limits in headers. No network here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from adapters.hubspot.api import REFUSALS, STATED_RATE, HubSpotApi
from adapters.hubspot.related import Companies
from unified.kit.errors import PermissionDeniedError, ProtocolError
from unified.kit.http.answers import Answer

if TYPE_CHECKING:
    from tests.adapters.hubspot.conftest import Portal


class Recorded:
    """Gives the same answers to every request, one after the other."""

    server_time = None
    label = "hubspot connection acme/hubspot"

    def __init__(self, *answers: Any) -> None:
        self.answers = [msgspec.json.encode(answer) for answer in answers]
        self.asked: list[Any] = []

    async def request(self, _method: str, _path: str, decoder: Any, **how: Any) -> Any:
        self.asked.append(how.get("json"))
        return decoder.decode(self.answers.pop(0))


def api(*answers: Any) -> HubSpotApi:
    return HubSpotApi(Recorded(*answers))  # type: ignore[arg-type]


def company(one: str, name: str) -> dict[str, Any]:
    return {"id": one, "properties": {"name": name, "domain": None}}


async def test_what_has_no_associations_is_no_fault_in_a_207() -> None:
    error = {"category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND"}
    answer = {
        "results": [{"from": {"id": "1"}, "to": [{"toObjectId": 9}]}],
        "numErrors": 1,
        "errors": [error],
    }
    assert await api(answer).associated("contacts", "companies", ["1", "2"]) == {"1": ["9"]}


async def test_any_other_error_in_a_207_ends_the_pull_instead_of_losing_associations() -> None:
    answer = {"results": [], "errors": [{"category": "INTERNAL_ERROR", "message": "try later"}]}
    with pytest.raises(ProtocolError, match=r"acme/hubspot.*companies of contacts.*try later"):
        await api(answer).associated("contacts", "companies", ["1"])


async def test_associations_are_paged_to_the_end_and_sorted_primary_first() -> None:
    primary = [
        {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
        {"typeId": 279, "label": None},
    ]
    first = {
        "from": {"id": "1"},
        "to": [{"toObjectId": "8"}, {"toObjectId": "3"}],
        "paging": {"next": {"after": "x"}},
    }
    second = {
        "from": {"id": "1"},
        "to": [{"toObjectId": "20", "associationTypes": primary}, {"toObjectId": "3"}],
    }
    found = await api({"results": [first]}, {"results": [second]}).associated("contacts", "companies", ["1"])
    assert found == {"1": ["20", "3", "8"]}


async def test_a_page_of_associations_that_repeats_does_not_go_on_for_ever() -> None:
    page = {
        "results": [{"from": {"id": "1"}, "to": [{"toObjectId": "8"}], "paging": {"next": {"after": "x"}}}]
    }
    with pytest.raises(ProtocolError, match="repeats"):
        await api(page, page, page).associated("contacts", "companies", ["1"])


async def test_records_missing_from_a_batch_without_a_reason_are_a_fault() -> None:
    with pytest.raises(ProtocolError, match="1 of 2 line_items"):
        await api({"results": [{"id": "1"}]}).batch_read("line_items", ["1", "2"], ())


async def test_a_batch_is_cut_into_hundreds() -> None:
    recorded = Recorded(*({"results": [{"id": str(n)} for n in range(size)]} for size in (100, 100, 50)))
    found = await HubSpotApi(recorded).batch_read("companies", [str(n) for n in range(250)], ())  # type: ignore[arg-type]
    assert [len(asked["inputs"]) for asked in recorded.asked] == [100, 100, 50]
    assert len(found) == 250


async def test_a_company_archived_in_between_stays_without_a_name() -> None:
    answer = {
        "results": [company("7", "Acme")],
        "errors": [{"category": "OBJECT_NOT_FOUND", "message": "gone"}],
    }
    found = await Companies(api(answer)).get(["7", "8"])
    assert {one: company.name for one, company in found.items()} == {"7": "Acme", "8": None}


async def test_companies_are_remembered_until_longest_unused() -> None:
    recorded = Recorded(*({"results": [company(one, one)]} for one in ("1", "2", "3", "2")))
    companies = Companies(HubSpotApi(recorded), size=2)  # type: ignore[arg-type]
    for one in ("1", "2", "1", "3", "1", "2"):
        assert (await companies.get([one]))[one].name == one
    assert [asked["inputs"][0]["id"] for asked in recorded.asked] == ["1", "2", "3", "2"]


async def test_a_company_of_unexpected_form_is_a_clear_error() -> None:
    with pytest.raises(ProtocolError, match=r"acme/hubspot.*company"):
        await Companies(api({"results": [{"id": "7", "properties": None}]})).get(["7"])


def refusal(status: int, **body: Any) -> Any:
    return REFUSALS.read(Answer(status, httpx.Headers(), msgspec.json.encode(body)))


def test_a_daily_limit_is_not_retried_and_says_when_it_ends() -> None:
    taken = refusal(
        429, message="You have reached your daily limit.", policyName="DAILY", correlationId="c-1"
    )
    assert (taken.meaning.retry, taken.code) == (False, "DAILY")
    assert "midnight" in taken.meaning.note
    assert "c-1" in taken.reason


@pytest.mark.parametrize("policy", ["TEN_SECONDLY_ROLLING", "SECONDLY"])
def test_a_short_limit_is_retried(policy: str) -> None:
    assert refusal(429, message="slow down", policyName=policy).meaning.retry


def test_a_locked_record_is_left_alone_for_two_seconds() -> None:
    taken = refusal(423, message="locked", category="LOCKED")
    assert (taken.meaning.retry, taken.wait) == (True, 2.0)


def test_an_error_page_is_taken_by_its_status() -> None:
    taken = REFUSALS.read(Answer(502, httpx.Headers(), b"<html>bad gateway</html>"))
    assert (taken.meaning.retry, taken.reason) == (True, "Bad Gateway")


@pytest.mark.parametrize(
    ("headers", "rate"),
    [
        ({"x-hubspot-ratelimit-max": "190", "x-hubspot-ratelimit-interval-milliseconds": "10000"}, 19.0),
        ({"x-hubspot-ratelimit-max": "100", "x-hubspot-ratelimit-interval-milliseconds": "0"}, None),
        ({"x-hubspot-ratelimit-max": "many"}, None),
        ({}, None),
    ],
)
def test_the_rate_that_headers_grant(headers: dict[str, str], rate: float | None) -> None:
    assert STATED_RATE.rate(httpx.Headers(headers)) == rate


@pytest.mark.parametrize(
    "path", ["contacts/search", "companies/search", "invoices/search", "line_items/batch/read"]
)
async def test_a_token_is_good_only_if_it_reads_every_kind_of_record(portal: Portal, path: str) -> None:
    async with portal.adapter() as adapter:
        assert (await adapter.test()).id == str(portal.data.portal_id)
        portal.fault("status", f"/crm/objects/2026-09/{path}", status=403)
        with pytest.raises(PermissionDeniedError, match="scopes"):
            await adapter.test()
