"""Reading HubSpot over HTTP: every trap of the API, against the stand-in and what it says that it holds."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from unified.kit.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    StaleCursorError,
    UnavailableError,
)
from unified.kit.streams import Cursor, Page, RawRecord, Tombstone
from unified.sandbox.hubspot import HubSpotLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.adapters.hubspot.conftest import Portal

SEARCH = "/crm/objects/2026-09/contacts/search"


def records_of(pages: Sequence[Page]) -> list[RawRecord]:
    return [record for page in pages for record in page.records]


def ids_of(pages: Sequence[Page]) -> list[str | None]:
    return [record.source_id for record in records_of(pages)]


def gone_of(pages: Sequence[Page]) -> list[Tombstone]:
    return [tombstone for page in pages for tombstone in page.tombstones]


def cursor_of(pages: Sequence[Page]) -> Cursor:
    cursor = pages[-1].cursor
    assert cursor is not None
    return json.loads(json.dumps(cursor))  # as it comes back from the store


def by_id(pages: Sequence[Page]) -> dict[str | None, dict[str, Any]]:
    return {record.source_id: json.loads(bytes(record.body)) for record in records_of(pages)}


async def test_a_full_refresh_brings_every_contact_once_and_the_count(portal: Portal) -> None:
    pages = await portal.pull("customers")
    assert Counter(ids_of(pages)) == Counter(portal.ids("contacts"))
    assert [page.refresh_done for page in pages] == [False] * (len(pages) - 1) + [True]
    assert pages[-1].source_count == len(portal.ids("contacts"))
    assert {page.refresh_started_at for page in pages} == {
        datetime.fromtimestamp(portal.sandbox.clock.time(), UTC)
    }


async def test_a_full_refresh_brings_every_invoice_and_line_and_the_totals_to_the_cent(
    portal: Portal,
) -> None:
    pages = await portal.pull("invoices")
    assert Counter(ids_of(pages)) == Counter(portal.ids("invoices"))
    totals: dict[str, Decimal] = defaultdict(Decimal)
    lines = []
    for invoice in by_id(pages).values():
        totals[invoice["properties"]["hs_currency"]] += Decimal(invoice["properties"]["hs_amount_billed"])
        lines += [line["id"] for line in invoice["associations"]["line_items"]]
    expected = {code: Decimal(sums["hs_amount_billed"]) for code, sums in portal.data.source_totals().items()}
    assert totals == expected
    assert Counter(lines) == Counter(portal.ids("line_items"))


async def test_an_empty_portal_is_a_finished_refresh(portal_of: Callable[..., Portal]) -> None:
    pages = await portal_of(contacts=0, companies=0, invoices=0).pull("customers")
    assert [(page.records, page.refresh_done, page.source_count) for page in pages] == [((), True, 0)]


async def test_beyond_the_10000_result_cap_nothing_is_lost(portal_of: Callable[..., Portal]) -> None:
    portal = portal_of(contacts=10_400, companies=0, invoices=0)
    assert Counter(ids_of(await portal.pull("customers"))) == Counter(portal.ids("contacts"))


async def test_many_changes_in_the_same_millisecond_all_come(portal: Portal) -> None:
    cursor = cursor_of(await portal.pull("customers"))
    portal.sandbox.clock.advance(seconds=60)
    changed = portal.ids("contacts")[:430]
    for one in changed:
        portal.sandbox.mutate("update_contact", portal.token, one, jobtitle="Engineer of the same moment")
    assert set(changed) <= set(ids_of(await portal.pull("customers", cursor)))


async def test_incremental_brings_what_was_created_and_modified_and_then_nothing(portal: Portal) -> None:
    cursor = cursor_of(await portal.pull("customers"))
    changed = portal.ids("contacts")[7]
    portal.change("update_contact", changed, firstname="Zoë")
    created = portal.change("create_contact", email="new@shop.example")["id"]
    pages = await portal.pull("customers", cursor)
    assert sorted(ids_of(pages), key=str) == sorted([changed, created])
    assert by_id(pages)[changed]["properties"]["firstname"] == "Zoë"
    assert all(page.refresh_started_at is None for page in pages)
    portal.sandbox.clock.advance(seconds=60)
    later = cursor_of(pages)
    assert later["since"] > cursor["since"]
    quiet = await portal.pull("customers", cursor_of(await portal.pull("customers", later)))
    assert ids_of(quiet) == []


async def test_invoices_change_by_hs_lastmodifieddate(portal: Portal) -> None:
    cursor = cursor_of(await portal.pull("invoices"))
    one = portal.ids("invoices")[3]
    portal.change("update_invoice", one, hs_invoice_status="voided")
    created = portal.change("create_invoice", lines=12)["id"]
    found = by_id(await portal.pull("invoices", cursor))
    assert found[one]["properties"]["hs_invoice_status"] == "voided"
    assert len(found[created]["associations"]["line_items"]) == 12


@pytest.mark.parametrize(("stream", "kind"), [("customers", "contact"), ("invoices", "invoice")])
async def test_archiving_does_not_modify_and_is_seen_all_the_same(
    portal: Portal, stream: str, kind: str
) -> None:
    cursor = cursor_of(await portal.pull(stream))
    one = portal.ids(f"{kind}s")[5]
    portal.change(f"archive_{kind}", one)
    at = datetime.fromtimestamp(portal.sandbox.clock.time(), UTC)
    pages = await portal.pull(stream, cursor)
    assert (ids_of(pages), gone_of(pages)) == ([], [Tombstone(one, at)])
    portal.sandbox.clock.advance(seconds=60)
    later = cursor_of(await portal.pull(stream, cursor_of(pages)))
    assert gone_of(await portal.pull(stream, later)) == []


async def test_what_was_archived_before_the_cursor_is_not_told_again(portal: Portal) -> None:
    assert sum(1 for _ in portal.data.all("contacts", archived=True)) > 0
    portal.sandbox.clock.advance(days=1)
    cursor = cursor_of(await portal.pull("customers"))
    assert gone_of(await portal.pull("customers", cursor)) == []


async def test_merged_contacts_leave_tombstones_and_the_new_one(portal: Portal) -> None:
    cursor = cursor_of(await portal.pull("customers"))
    first, second = portal.ids("contacts")[:2]
    merged = portal.change("merge_contacts", first, second)["id"]
    pages = await portal.pull("customers", cursor)
    assert ids_of(pages) == [merged]
    assert {tombstone.source_id for tombstone in gone_of(pages)} == {first, second}


async def test_a_renamed_company_brings_its_contacts_which_were_not_modified(portal: Portal) -> None:
    before = by_id(await portal.pull("customers"))
    cursor = cursor_of(await portal.pull("customers"))
    company = next(
        c["associations"]["companies"][0]["id"] for c in before.values() if c["associations"]["companies"]
    )
    theirs = {
        one
        for one, contact in before.items()
        if company in [c["id"] for c in contact["associations"]["companies"]]
    }
    portal.change("update_company", company, name="Renamed AG")
    after = by_id(await portal.pull("customers", cursor))
    assert set(after) == theirs
    for contact in after.values():
        assert "Renamed AG" in [one["name"] for one in contact["associations"]["companies"]]


async def test_the_primary_company_comes_first(portal: Portal) -> None:
    low, high = sorted(portal.ids("companies"), key=int)[:2]
    cursor = cursor_of(await portal.pull("customers"))
    one = portal.change("create_contact", company_ids=[high, low])["id"]
    companies = by_id(await portal.pull("customers", cursor))[one]["associations"]["companies"]
    assert [company["id"] for company in companies] == [high, low]


async def test_a_company_is_read_once_however_many_contacts_it_has(portal: Portal) -> None:
    await portal.pull("customers", concurrency=1)
    path = "POST /crm/objects/{version}/{kind}/batch/read"
    assert portal.sandbox.stats.requests[path] <= 2  # 60 companies, and three pages of contacts


async def test_invoice_lines_beyond_ten_and_beyond_a_page_of_associations(
    portal_of: Callable[..., Portal],
) -> None:
    portal = portal_of(contacts=5, companies=0, invoices=3, association_page=50)
    one = portal.change("create_invoice", lines=240)["id"]
    lines = by_id(await portal.pull("invoices"))[one]["associations"]["line_items"]
    assert len({line["id"] for line in lines}) == 240


async def test_search_lags_and_what_it_hid_comes_with_the_next_pull(portal_of: Callable[..., Portal]) -> None:
    portal = portal_of(contacts=50, companies=5, invoices=0, search_lag_seconds=25)
    portal.sandbox.clock.advance(seconds=60)
    cursor = cursor_of(await portal.pull("customers", search_lag=30))
    one = portal.change("create_contact", email="hidden@shop.example")["id"]
    portal.sandbox.clock.advance(seconds=20)
    hidden = await portal.pull("customers", cursor, search_lag=30)
    assert ids_of(hidden) == []
    portal.sandbox.clock.advance(seconds=20)
    assert ids_of(await portal.pull("customers", cursor_of(hidden), search_lag=30)) == [one]


@pytest.mark.parametrize("pauses", [(60, 60), (20, 20, 60), (31, 840), (89, 2)])
async def test_what_search_shows_much_later_comes_too(
    portal_of: Callable[..., Portal], pauses: Sequence[int]
) -> None:
    """Visible 90 s late, where 30 s are usual."""
    portal = portal_of(contacts=50, companies=5, invoices=0, search_lag_seconds=90)
    portal.sandbox.clock.advance(seconds=3_600)
    cursor = cursor_of(await portal.pull("customers", search_lag=30))
    one = portal.change("create_contact", email="late@shop.example")["id"]
    for pause in pauses[:-1]:
        portal.sandbox.clock.advance(seconds=pause)
        pages = await portal.pull("customers", cursor, search_lag=30)
        assert ids_of(pages) == []
        cursor = cursor_of(pages)
    portal.sandbox.clock.advance(seconds=pauses[-1])
    assert ids_of(await portal.pull("customers", cursor, search_lag=30)) == [one]


async def test_what_search_hid_from_a_full_refresh_for_long_comes_with_the_changes(
    portal_of: Callable[..., Portal],
) -> None:
    portal = portal_of(contacts=50, companies=5, invoices=0, search_lag_seconds=90)
    one = portal.change("create_contact", email="late@shop.example")["id"]
    portal.sandbox.clock.advance(seconds=60)
    pages = await portal.pull("customers", search_lag=30)
    assert one not in ids_of(pages)
    portal.sandbox.clock.advance(seconds=40)
    assert one in ids_of(await portal.pull("customers", cursor_of(pages), search_lag=30))


async def test_search_lags_and_what_it_hid_from_a_full_refresh_comes_with_the_changes(
    portal_of: Callable[..., Portal],
) -> None:
    portal = portal_of(contacts=50, companies=5, invoices=0, search_lag_seconds=25)
    one = portal.change("create_contact", email="hidden@shop.example")["id"]
    portal.sandbox.clock.advance(seconds=20)
    pages = await portal.pull("customers", search_lag=30)
    assert one not in ids_of(pages)
    portal.sandbox.clock.advance(seconds=20)
    assert ids_of(await portal.pull("customers", cursor_of(pages), search_lag=30)) == [one]


async def test_an_archived_contact_that_search_still_shows_does_not_come_back(
    portal_of: Callable[..., Portal],
) -> None:
    portal = portal_of(contacts=50, companies=5, invoices=0, search_lag_seconds=25)
    portal.sandbox.clock.advance(seconds=60)
    cursor = cursor_of(await portal.pull("customers", search_lag=30))
    one = portal.ids("contacts")[0]
    portal.change("update_contact", one, jobtitle="Ghost")
    portal.sandbox.clock.advance(seconds=26)
    portal.sandbox.mutate("archive_contact", portal.token, one)
    portal.sandbox.clock.advance(seconds=5)
    pages = await portal.pull("customers", cursor, search_lag=30)
    shown = next(page for page in pages if one in [record.source_id for record in page.records])
    (tombstone,) = gone_of(pages)
    assert tombstone.source_id == one
    assert tombstone.deleted_at > shown.observed_at


async def test_a_cursor_older_than_the_bin_is_stale(portal: Portal) -> None:
    cursor = cursor_of(await portal.pull("customers"))
    portal.sandbox.clock.advance(days=91)
    with pytest.raises(StaleCursorError, match=r"acme/hubspot.*full refresh"):
        await portal.pull("customers", cursor)


async def test_a_clock_that_is_ahead_for_one_answer_skips_nothing(portal: Portal) -> None:
    cursor = cursor_of(await portal.pull("customers"))
    portal.fault("clock", SEARCH, seconds=86_400)
    ahead = cursor_of(await portal.pull("customers", cursor))
    one = portal.ids("contacts")[0]
    portal.change("update_contact", one, jobtitle="CFO")
    assert ids_of(await portal.pull("customers", ahead)) == [one]
    portal.fault("clock", SEARCH, seconds=86_400)
    fresh = cursor_of(await portal.pull("customers"))
    portal.change("update_contact", one, jobtitle="Owner")
    assert ids_of(await portal.pull("customers", fresh)) == [one]


@pytest.mark.parametrize("stream", ["customers", "invoices"])
async def test_a_refresh_stopped_after_any_page_goes_on_to_the_full_set(portal: Portal, stream: str) -> None:
    pages = await _stopping_after_every_page(portal, stream, None, concurrency=3)
    assert set(ids_of(pages)) == set(portal.ids({"customers": "contacts"}.get(stream, stream)))
    assert len({page.refresh_started_at for page in pages}) == 1
    assert pages[-1].refresh_done
    assert set(cursor_of(pages)) == {"since"}


async def test_changes_stopped_after_any_page_go_on_to_the_full_set(portal: Portal) -> None:
    cursor = cursor_of(await portal.pull("customers"))
    contacts, companies = portal.ids("contacts"), portal.ids("companies")
    for one in contacts[:250]:
        portal.sandbox.mutate("update_contact", portal.token, one, jobtitle="CFO")
    portal.change("update_company", companies[0], name="Renamed AG")
    portal.change("archive_contact", contacts[-1])
    whole = await portal.pull("customers", cursor)
    pieces = await _stopping_after_every_page(portal, "customers", cursor)
    assert set(ids_of(pieces)) == set(ids_of(whole)) >= set(contacts[:250])
    assert (
        {one.source_id for one in gone_of(pieces)}
        == {one.source_id for one in gone_of(whole)}
        >= {contacts[-1]}
    )
    assert cursor_of(pieces) == cursor_of(whole)


async def _stopping_after_every_page(
    portal: Portal, stream: str, cursor: Cursor | None, **settings: Any
) -> list[Page]:
    """Each page by a pull of its own, which goes on from the cursor of the page before."""
    pages: list[Page] = []
    for _ in range(100):
        async with portal.adapter(**settings) as adapter, aclosing(adapter.pull(stream, cursor)) as pull:
            pages.append(await anext(pull))
        cursor = cursor_of(pages)
        if set(cursor) == {"since"}:
            return pages
    pytest.fail("the cursors lead in a circle")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 429, "code": "TEN_SECONDLY_ROLLING"},
        {"kind": "status", "status": 429, "code": "SECONDLY", "retry_after": "0"},
        {"kind": "cut"},
        {"kind": "malformed"},
        {"kind": "html", "status": 502},
    ],
    ids=str,
)
async def test_passing_trouble_is_retried_and_loses_nothing(portal: Portal, fault: dict[str, Any]) -> None:
    portal.fault(**fault, skip=4, times=2)
    assert Counter(ids_of(await portal.pull("customers"))) == Counter(portal.ids("contacts"))


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ({"kind": "status", "status": 429, "code": "DAILY"}, RateLimitedError, "midnight"),
        ({"kind": "status", "status": 403}, PermissionDeniedError, "MISSING_SCOPES"),
        ({"kind": "status", "status": 500, "times": None}, UnavailableError, "internal error"),
        ({"kind": "html", "status": 200, "times": None}, ProtocolError, "HTML instead of JSON"),
        ({"kind": "revoked", "times": None}, AuthenticationError, "EXPIRED_AUTHENTICATION"),
    ],
    ids=str,
)
async def test_lasting_trouble_ends_the_pull_with_a_clear_error(
    portal: Portal, fault: dict[str, Any], error: type[Exception], words: str
) -> None:
    portal.fault(**fault, skip=4)
    with pytest.raises(error, match="acme/hubspot") as raised:
        await portal.pull("customers", retry_count=1)
    assert words in str(raised.value)
    assert portal.token not in str(raised.value)


async def test_the_daily_limit_is_not_retried(portal: Portal) -> None:
    portal.fault("status", status=429, code="DAILY", times=None)
    async with portal.adapter() as adapter:
        with pytest.raises(RateLimitedError) as raised:
            await adapter.test()
        assert raised.value.wait == 3600, "it ends at midnight, wherever that is"
        assert adapter.http.traffic.requests == 1


async def test_a_wrong_token_is_told_without_showing_it(portal: Portal) -> None:
    wrong = "pat-fake-wrong-token"
    async with portal.adapter(wrong) as adapter:
        with pytest.raises(AuthenticationError, match="acme/hubspot") as raised:
            await adapter.test()
    assert wrong not in str(raised.value)


async def test_the_account_behind_a_token(portal: Portal) -> None:
    async with portal.adapter() as adapter:
        account = await adapter.test()
    assert (account.id, account.livemode) == (str(portal.data.portal_id), True)


@pytest.mark.parametrize("skip", [1, 3, 4])
async def test_a_page_that_repeats_is_refused_not_taken_for_the_next(portal: Portal, skip: int) -> None:
    # skip=1 repeats the lowest id's answer as the highest one's; the others repeat pages of contacts.
    portal.fault("repeat", SEARCH, skip=skip)
    with pytest.raises(ProtocolError, match="acme/hubspot"):
        await portal.pull("customers", concurrency=1)


async def test_a_record_without_an_id_is_handed_on_as_such_and_the_others_come(portal: Portal) -> None:
    portal.fault("bad_record", SEARCH, skip=2, record=-1, drop="id")
    found = ids_of(await portal.pull("customers", concurrency=1))
    assert found.count(None) == 1
    assert len(set(portal.ids("contacts")) - set(found)) <= 1


async def test_a_first_load_stays_within_the_documented_limits(portal_of: Callable[..., Portal]) -> None:
    portal = portal_of(contacts=300, companies=40, invoices=0, limits=HubSpotLimits())
    await portal.pull("customers", requests_per_second=None, searches_per_second=5)
    assert not portal.sandbox.stats.limited


async def test_a_higher_limit_is_learnt_from_the_headers(portal_of: Callable[..., Portal]) -> None:
    portal = portal_of(limits=HubSpotLimits(ten_seconds=190))
    async with portal.adapter(requests_per_second=None) as adapter:
        await adapter.test()
        assert 17 < adapter.http._limits["default"].rate < 19


async def test_custom_properties_are_read_when_asked_for(portal: Portal) -> None:
    pages = await portal.pull("invoices", properties=("hs_invoice_billable",))
    assert {invoice["properties"]["hs_invoice_billable"] for invoice in by_id(pages).values()} == {"true"}


@pytest.mark.parametrize(
    "names",
    [
        [f"a_custom_property_number_{number}" for number in range(500)],
        ["x" * 100 + str(number) for number in range(30)],
        ["tier", *(f"p{number}" for number in range(2_000))],
    ],
)
async def test_any_number_of_properties_is_read(portal: Portal, names: list[str]) -> None:
    """A search's body has 3,000 characters at most, a batch read of what it found has not."""
    usual = await portal.pull("customers")
    changed = portal.ids("contacts")[7]
    portal.change("define_property", "contacts", names[0])
    portal.change("update_contact", changed, **{names[0]: "gold"})
    pages = await portal.pull("customers", properties=tuple(names))
    assert Counter(ids_of(pages)) == Counter(portal.ids("contacts"))
    assert by_id(pages)[changed]["properties"][names[0]] == "gold"
    pages = await portal.pull("customers", cursor_of(usual), properties=tuple(names))
    assert by_id(pages)[changed]["properties"][names[0]] == "gold"
    invoices = await portal.pull("invoices", properties=tuple(names))
    assert Counter(ids_of(invoices)) == Counter(portal.ids("invoices"))


async def test_single_records_by_id_and_tombstones_for_those_that_are_gone(portal: Portal) -> None:
    live = portal.ids("contacts")[:150]
    archived = next(portal.data.all("contacts", archived=True))["id"]
    async with portal.adapter() as adapter:
        pages = [page async for page in adapter.fetch("customers", [*live, archived, "999999999"])]
    assert set(ids_of(pages)) == set(live)
    gone = gone_of(pages)
    assert {one.source_id for one in gone if one.merged_into is None} == {archived, "999999999"}
    assert {one.merged_into for one in gone} - {None} <= set(live)
    assert all("associations" in contact for contact in by_id(pages).values())
