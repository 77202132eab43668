"""How Salesforce's accounts and contacts are read: the traps of its API, one by one."""

import gc
from typing import Any

import pytest

from adapters.salesforce import api as salesforce_api
from adapters.salesforce.objects import full_id, id_at, number_of
from tests.adapters.salesforce.test_conformance import SalesforceBench
from unified.conformance.bench import NOW, Copy
from unified.kit.errors import PermissionDeniedError, RateLimitedError, RequestRefusedError, StaleCursorError
from unified.kit.streams import RawRecord
from unified.sandbox.faults import Fault
from unified.sandbox.salesforce import Org, SalesforceSandbox
from unified.sandbox.salesforce.fields import identifier
from unified.sandbox.server import Server
from unified.sandbox.tables.api import RequestLimit


def data(org: SalesforceBench) -> Org:
    account = org.provider.account()
    assert isinstance(account, Org)
    return account


async def loaded(org: SalesforceBench, stream: str) -> Copy:
    copy = Copy(stream)
    await org.sync(copy)
    org.provider.stats.reset()
    return copy


def asked(org: SalesforceBench) -> int:
    return sum(org.provider.stats.requests.values())


async def test_a_person_account_is_counted_once(org: SalesforceBench) -> None:
    accounts, contacts = await loaded(org, "accounts"), await loaded(org, "contacts")
    people = {name: one for name, one in accounts.records.items() if one["IsPersonAccount"]}
    assert people
    assert not {one["PersonContactId"] for one in people.values()} & contacts.records.keys()
    assert any(one.fields["IsPersonAccount"] for one in data(org).rows["Contact"].live())


async def test_a_contact_that_becomes_a_person_account_leaves_the_contacts(org: SalesforceBench) -> None:
    contacts = await loaded(org, "contacts")
    turned = min(contacts.records)
    org.provider.mutate("update", None, "Contact", turned, IsPersonAccount=True)
    await org.sync(contacts)
    assert turned in contacts.gone
    assert turned not in contacts.records


async def test_nothing_is_asked_for_that_describe_does_not_show(org: SalesforceBench) -> None:
    org.provider.mutate("hide", None, "Contact.Phone", "Contact.MailingStateCode", "Contact.CurrencyIsoCode")
    record = next(iter((await loaded(org, "contacts")).records.values()))
    assert "Phone" not in record
    assert "CurrencyIsoCode" not in record


async def test_compound_fields_are_left_out_by_type_and_a_name_stays(org: SalesforceBench) -> None:
    record = next(iter((await loaded(org, "accounts")).records.values()))
    assert "BillingAddress" not in record
    assert record["Name"]


async def test_a_field_that_goes_between_describe_and_query_is_described_anew(org: SalesforceBench) -> None:
    async with org.open(concurrency=1) as adapter:
        pages = adapter.pull("contacts", None)
        first = await anext(pages)
        org.provider.mutate("hide", None, "Contact.Title")
        rest = [page async for page in pages]
    found = [record for page in (first, *rest) for record in page.records]
    assert b'"Title"' in found[0].body
    assert b'"Title"' not in found[-1].body
    assert {record.source_id for record in found} == org.ids("contacts")


async def test_a_field_that_stays_unknown_is_an_error(org: SalesforceBench) -> None:
    org.provider.faults.add(
        Fault("status", "/services/data/v68.0/query", times=None, status=400, code="INVALID_FIELD")
    )
    with pytest.raises(RequestRefusedError, match="INVALID_FIELD"):
        await org.sync(Copy("contacts"))


async def test_an_object_that_the_user_may_not_see_is_named(org: SalesforceBench) -> None:
    org.provider.mutate("hide", None, "Contact")
    with pytest.raises(
        PermissionDeniedError, match=r"the object Contact does not exist, or the user may not see it"
    ):
        await org.sync(Copy("contacts"))


async def test_pages_that_are_shorter_than_asked_for_lose_nothing(org: SalesforceBench) -> None:
    org.provider.page_size = 7  # type: ignore[attr-defined]
    copy = await loaded(org, "accounts")
    assert copy.records.keys() == org.ids("accounts")
    async with org.open() as adapter:
        wanted = sorted(org.ids("accounts"))[:100]
        found = [one.source_id async for page in adapter.fetch("accounts", wanted) for one in page.records]
    assert found == wanted


async def test_no_locator_is_needed_to_go_on(org: SalesforceBench) -> None:
    """INVALID_QUERY_LOCATOR in the middle: a run that is killed goes on by ids, whatever became of its queries."""
    copy = Copy("accounts")
    await org.sync(copy, pages=2, concurrency=1)
    data(org).forget_locators()
    await org.sync(copy)
    assert copy.records.keys() == org.ids("accounts")
    assert not [path for path in org.provider.stats.requests if "locator" in path]


async def test_a_load_that_goes_on_describes_its_object_once(org: SalesforceBench) -> None:
    """Its ranges are read side by side from the start."""
    copy = Copy("accounts")
    await org.sync(copy, pages=2)
    org.provider.stats.reset()
    await org.sync(copy)
    assert org.provider.stats.requests["GET /services/data/{version}/sobjects/{table}/describe"] == 1


async def test_many_changes_in_one_second_all_come(org: SalesforceBench) -> None:
    copy = await loaded(org, "accounts")
    org.provider.clock.advance(seconds=3600)
    changed = sorted(copy.records)[:150]
    for one in changed:
        org.provider.mutate("update", None, "Account", one, Website="https://tie.example")
    for _ in range(12):
        await org.sync(copy, pages=1)
    assert {one["Website"] for name, one in copy.records.items() if name in changed} == {
        "https://tie.example"
    }
    assert {copy.records[one]["SystemModstamp"] for one in changed} == {"2026-09-21T15:13:20.000+0000"}


async def test_a_row_that_appears_late_with_an_older_stamp_comes(org: SalesforceBench) -> None:
    copy = await loaded(org, "accounts")
    org.provider.clock.advance(seconds=3600)
    await org.sync(copy)
    made = org.provider.mutate("create", None, "Account")["Id"]
    row = data(org).rows["Account"].find(made)
    assert row is not None
    row.updated = org.provider.clock.time() - 290
    org.provider.clock.advance(seconds=60)
    await org.sync(copy)
    assert made in copy.records


async def test_a_change_whose_last_modified_date_is_set_back_comes(org: SalesforceBench) -> None:
    copy = await loaded(org, "accounts")
    org.provider.clock.advance(seconds=3600)
    one = min(copy.records)
    org.provider.mutate("update", None, "Account", one, Website="https://moved.example")
    row = data(org).rows["Account"].find(one)
    assert row is not None
    row.fields["LastModifiedDate"] = "2001-01-01T00:00:00.000+0000"
    await org.sync(copy)
    assert copy.records[one]["Website"] == "https://moved.example"
    assert copy.records[one]["LastModifiedDate"].startswith("2001")


async def test_a_formula_field_changes_without_a_stamp_and_shows_in_a_full_refresh(
    org: SalesforceBench,
) -> None:
    copy = await loaded(org, "accounts")
    row = data(org).rows["Account"].find(min(copy.records))
    assert row is not None
    row.fields["Tier__c"] = "Platinum"
    org.provider.clock.advance(seconds=3600)
    await org.sync(copy)
    assert copy.records[row.id]["Tier__c"] != "Platinum"
    copy.cursor = None
    await org.sync(copy)
    assert copy.records[row.id]["Tier__c"] == "Platinum"


async def test_an_org_without_person_accounts_has_no_field_of_them(org: SalesforceBench) -> None:
    for row in data(org).rows["Contact"]:
        row.fields["IsPersonAccount"] = False
    hidden = ("IsPersonAccount", "PersonContactId", "PersonEmail", "PersonMobilePhone")
    org.provider.mutate("hide", None, "Contact.IsPersonAccount", *(f"Account.{name}" for name in hidden))
    for stream in ("accounts", "contacts"):
        copy = await loaded(org, stream)
        assert copy.records.keys() == org.ids(stream)


async def test_a_merge_names_the_winner(org: SalesforceBench) -> None:
    copy = await loaded(org, "contacts")
    winner, loser, *_ = sorted(copy.records)
    org.provider.mutate("merge", None, "Contact", winner, loser)
    async with org.open() as adapter:
        pages = [page async for page in adapter.pull("contacts", copy.cursor)]
        fetched = [page async for page in adapter.fetch("contacts", [loser])]
    for found in (pages, fetched):
        stones = [stone for page in found for stone in page.tombstones if stone.source_id == loser]
        assert [stone.merged_into for stone in stones] == [winner]


async def test_an_undelete_takes_the_tombstone_back(org: SalesforceBench) -> None:
    copy = await loaded(org, "accounts")
    one = min(copy.records)
    for change in ("delete", "undelete"):
        org.provider.clock.advance(seconds=60)
        org.provider.mutate(change, None, "Account", one)
        await org.sync(copy)
        assert (one in copy.gone) == (change == "delete")
    assert one in copy.records


async def test_after_fifteen_days_only_a_full_refresh_knows_what_was_deleted(org: SalesforceBench) -> None:
    copy = await loaded(org, "accounts")
    org.provider.clock.advance(days=15.1)
    with pytest.raises(StaleCursorError, match="15 days"):
        await org.sync(copy)


async def test_a_company_that_is_renamed_reaches_its_contacts(org: SalesforceBench) -> None:
    copy = await loaded(org, "contacts")
    contact = next(one for one in copy.records.values() if one["AccountId"])
    org.provider.clock.advance(seconds=3600)
    org.provider.mutate("update", None, "Account", contact["AccountId"], Name="Renamed GmbH")
    await org.sync(copy)
    assert copy.records[contact["Id"]]["Account"]["Name"] == "Renamed GmbH"


async def test_a_sync_without_changes_takes_three_requests_at_most(org: SalesforceBench) -> None:
    for stream in ("accounts", "contacts"):
        copy = await loaded(org, stream)
        org.provider.clock.advance(days=1)
        await org.sync(copy)
        org.provider.stats.reset()
        await org.sync(copy)
        assert asked(org) <= 3


async def test_more_fields_than_fit_into_a_url_travel_in_a_body(
    org: SalesforceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = (await loaded(org, "contacts")).records
    monkeypatch.setattr(salesforce_api, "_LONGEST_QUERY", 300)
    copy = Copy("contacts")
    await org.sync(copy)
    assert copy.records == plain
    assert org.provider.stats.requests["POST /services/data/{version}/composite/sobjects/{table}"]
    org.provider.clock.advance(days=1)
    gone = org.edit("delete", "contacts", min(copy.records))
    await org.sync(copy)
    assert gone in copy.gone


async def test_a_record_that_goes_before_its_fields_are_read_is_not_stored_by_half(
    org: SalesforceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salesforce_api, "_LONGEST_QUERY", 300)
    retrieve, gone = salesforce_api.SalesforceApi.retrieve, min(org.ids("contacts"))

    async def deleted_meanwhile(self: Any, name: str, ids: Any, fields: Any) -> Any:
        if not data(org).rows["Contact"].find(gone).is_deleted:  # type: ignore[union-attr]
            org.edit("delete", "contacts", gone)
        return await retrieve(self, name, ids, fields)

    monkeypatch.setattr(salesforce_api.SalesforceApi, "retrieve", deleted_meanwhile)
    copy = Copy("contacts")
    await org.sync(copy)
    assert copy.records.keys() == org.ids("contacts")
    await org.sync(copy)
    assert gone in copy.gone


async def test_a_limit_is_a_403_and_not_a_missing_right(org: SalesforceBench) -> None:
    org.provider.set_limits(RequestLimit(5, 86_400))
    with pytest.raises(RateLimitedError, match="REQUEST_LIMIT_EXCEEDED") as raised:
        await org.sync(Copy("accounts"), daily_share=1, retry_count=1)
    assert raised.value.wait == 1800, "no answer says how long; the schedule does not ask by its interval"


async def test_a_share_of_the_day_is_left_to_others(org: SalesforceBench) -> None:
    org.provider.set_limits(RequestLimit(10, 86_400))
    with pytest.raises(RateLimitedError, match=r"5 of the 10 requests .* daily_share \(0\.5\)") as raised:
        await org.sync(Copy("accounts"), daily_share=0.5, concurrency=1)
    assert raised.value.wait == 1800
    assert asked(org) == 5


async def test_a_count_that_takes_too_long_is_left_out(org: SalesforceBench) -> None:
    pages = await org.sync(Copy("accounts"), concurrency=1)
    assert pages[-1].source_count == len(org.ids("accounts"))
    timeout = Fault("status", skip=asked(org) - 1, times=None, status=400, code="QUERY_TIMEOUT")
    org.provider.faults.add(timeout)
    pages = await org.sync(Copy("accounts"), concurrency=1, retry_count=0)
    assert pages[-1].refresh_done
    assert pages[-1].source_count is None


@pytest.mark.parametrize(
    ("status", "code"), [(406, None), (420, None), (503, "SERVER_UNAVAILABLE"), (400, "QUERY_TIMEOUT")]
)
async def test_odd_statuses_pass(org: SalesforceBench, status: int, code: str | None) -> None:
    org.fault("status", "/services/data/v68.0/query", skip=2, status=status, code=code or "UNKNOWN_EXCEPTION")
    copy = Copy("accounts")
    await org.sync(copy, concurrency=1)
    assert copy.records.keys() == org.ids("accounts")


async def test_what_was_deleted_without_the_bin_shows_in_a_full_refresh(org: SalesforceBench) -> None:
    copy = await loaded(org, "accounts")
    gone = min(copy.records)
    del data(org).rows["Account"]._kept[gone]
    await org.sync(copy)
    assert gone in copy.records
    copy.cursor = None
    org.provider.clock.advance(seconds=60)
    await org.sync(copy)
    assert gone not in copy.records


@pytest.mark.parametrize("index", [0, 1, 35, 61, 62, 4000, 999_999])
def test_ids_are_numbers_in_their_order(index: int) -> None:
    one, next_one = identifier("003", index), identifier("003", index + 1)
    number, following = number_of(one), number_of(next_one)
    assert number is not None
    assert following is not None
    assert number < following
    assert one[:15] < next_one[:15]
    assert id_at(number) == one[:15]
    assert full_id(one[:15]) == full_id(one) == one


@pytest.mark.parametrize(
    "odd", [None, "", 5, "003", "0035g000001000!", "0035g00000100002zAAA!", "0035g00010000z9aaa"]
)
def test_what_is_not_an_id_has_no_number(odd: Any) -> None:
    assert number_of(odd) is None


async def test_an_id_of_fifteen_characters_is_found(org: SalesforceBench) -> None:
    known = min(org.ids("accounts"))
    async with org.open() as adapter:
        pages = [
            page async for page in adapter.fetch("accounts", [known[:15], "not an id", "001' OR Name != '"])
        ]
    assert [record.source_id for page in pages for record in page.records] == [known]
    assert {stone.source_id for page in pages for stone in page.tombstones} == {
        "not an id",
        "001' OR Name != '",
    }


async def test_no_more_than_the_pages_under_way_is_held() -> None:
    """However many contacts there are: pages are handed on, and none is kept."""
    with SalesforceBench(empty=True) as bench:
        sandbox = SalesforceSandbox(now=NOW, page=250, Account=20, Contact=2_000, Invoice=0)
        with Server(sandbox) as server:
            most = count = 0
            gc.freeze()  # what is there before, millions of objects, is not looked at for each page
            async with bench.open(base_url=f"{server.url}/salesforce", concurrency=3) as adapter:
                async for page in adapter.pull("contacts", None):
                    count += len(page.records)
                    most = max(most, sum(isinstance(one, RawRecord) for one in gc.get_objects()))
            gc.unfreeze()
    assert count > 1_900
    assert 250 <= most <= 4 * 250
