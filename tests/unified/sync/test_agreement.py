"""What is stored agrees with the source: after a first load, after changes, after a full refresh."""

from typing import Any

import pytest

from tests.records import read
from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.source import Source
from unified.schema import UnifiedInvoice
from unified.sync.pull import PullResult

STREAMS = ("customers", "invoices")


def is_conserved(result: PullResult) -> bool:
    return result.read == result.inserted + result.updated + result.unchanged + result.rejected


async def test_a_first_load_brings_all_and_a_second_one_finds_nothing_new(source: Source) -> None:
    first = await source.sync_all()
    await source.assert_agrees(*STREAMS)
    for stream in STREAMS:
        result, count = first[stream], len(source.expected(stream))
        assert (result.mode, result.is_complete, result.inserted) == ("full", True, count)
        assert (result.updated, result.rejected, result.deleted) == (0, 0, 0)
        assert is_conserved(result)
        assert result.source_count in (None, count)
        (entry,) = await source.history(stream)
        assert (entry.mode, entry.is_complete, entry.error_message) == ("full", True, None)
        assert (entry.records_read, entry.inserted, entry.requests) == (
            result.read, result.inserted, result.requests
        )  # fmt: skip
        assert entry.finished_at is not None
    state = await source.state()
    assert (state.sync_status, state.error_message) == ("success", None)
    assert source.requests == sum(result.requests for result in first.values())

    source.sandbox.stats.reset()
    second = await source.sync_all()
    for result in second.values():
        assert (result.mode, result.is_complete) == ("incremental", True)
        assert (result.inserted, result.updated, result.deleted, result.rejected) == (0, 0, 0, 0)
    # Stripe: a page of the feed for each stream. HubSpot: two searches, the bin, for contacts the companies.
    assert source.requests == {"stripe": 3, "hubspot": 7}[source.connector]
    await source.assert_agrees(*STREAMS)


async def test_events_are_stored_as_they_are_and_never_leave(stripe: Source) -> None:
    await stripe.sync_all()
    await stripe.assert_agrees("events")
    kept = await stripe.stored("events")
    assert kept
    assert any(event["type"] == "invoice.upcoming" for event in kept.values())
    stripe.rename(next(iter(stripe.expected())), "Renamed")
    result = await stripe.sync("events")
    assert (result.inserted, result.updated) == (1, 0)
    await stripe.assert_agrees("events")
    # The source keeps an event for thirty days; a copy keeps it for good.
    stripe.sandbox.clock.advance(days=35)
    await stripe.sync("events")
    assert stripe.expected("events") == {}
    assert (await stripe.stored("events")).keys() > kept.keys()


async def test_lines_nulls_and_currencies_arrive_exactly(source: Source) -> None:
    source.change("create_invoice", lines=130)
    await source.sync_all()
    async with source.db.workspace(source.connection.workspace_id) as transaction:
        invoices = {record.source_id: record async for record in read(transaction, source.key("invoices"))}
        customers = [record async for record in read(transaction, source.key("customers"))]
    lines = {
        key: len(record.line_items) for key, record in invoices.items() if isinstance(record, UnifiedInvoice)
    }
    expected = source.expected("invoices")
    if source.connector == "stripe":
        assert lines == {key: len(raw["lines"]["data"]) for key, raw in expected.items()}
    else:
        assert sum(lines.values()) == source.data.source_counts()["line_items"]
    assert max(lines.values()) > 100
    emails: list[Any] = [customer.email for customer in customers]  # type: ignore[attr-defined]
    assert None in emails
    assert {"USD", "JPY", "KWD"} <= source.expected_totals().keys()


async def test_changes_creations_and_deletions_arrive(source: Source) -> None:
    await source.sync_all()
    before = {stream: await source.tombstones(stream) for stream in STREAMS}
    known = {stream: source.expected(stream).keys() for stream in STREAMS}
    ids = list(source.expected())
    if source.connector == "stripe":
        source.change("create_customer", name="New", email=None)
        drafts = [i["id"] for i in source.expected("invoices").values() if i["status"] == "draft"]
        opened = [i["id"] for i in source.expected("invoices").values() if i["status"] == "open"]
        source.change("create_invoice", lines=130, customer=ids[5])
        source.change("pay_invoice", opened[0])
        source.change("delete_invoice", drafts[0])
        source.change("delete_customer", ids[3])
        gone = {"customers": {ids[3]}, "invoices": {drafts[0]}}
    else:
        source.change("create_contact", email=None)
        invoices = list(source.expected("invoices"))
        source.change("create_invoice", lines=130)
        source.change("update_invoice", invoices[0], hs_comments="paid by cheque")
        source.change("archive_invoice", invoices[1])
        source.change("archive_contact", ids[3])
        source.change("merge_contacts", ids[6], ids[7])
        gone = {"customers": {ids[3], ids[6], ids[7]}, "invoices": {invoices[1]}}
    source.rename(ids[1], "Renamed")
    results = await source.sync_all()

    await source.assert_agrees(*STREAMS)
    for stream in STREAMS:
        assert await source.tombstones(stream) == before[stream] | gone[stream]
        assert results[stream].mode == "incremental"
        assert results[stream].inserted == len(source.expected(stream).keys() - known[stream]) > 0
        assert results[stream].updated >= 1
        assert results[stream].deleted == len(gone[stream])
        assert is_conserved(results[stream])
    # A tombstone keeps what the record was.
    rows = await source.query("SELECT source_id FROM {leaf} WHERE raw_data IS NOT NULL AND NOT is_active")
    assert {row[0] for row in rows} >= gone["customers"]


async def test_a_contact_follows_the_name_of_its_company(hubspot: Source) -> None:
    await hubspot.sync()
    company = next(iter(hubspot.data.all("companies")))["id"]
    hubspot.change("update_company", company, name="Renamed & Sons")
    result = await hubspot.sync()
    links = [raw["associations"]["companies"] for raw in (await hubspot.stored()).values()]
    names = [link["name"] for companies in links for link in companies if link["id"] == company]
    assert names == ["Renamed & Sons"] * result.updated
    assert names


async def test_a_full_refresh_buries_what_vanished_without_an_event(source: Source) -> None:
    await source.sync()
    gone = list(source.expected())[4]
    source.change("delete_customer" if source.connector == "stripe" else "archive_contact", gone)
    result = await source.sync(full=True)
    assert (result.mode, result.deleted, result.inserted, result.updated) == ("full", 1, 0, 0)
    assert result.unchanged == len(source.expected())
    assert await source.tombstones() == {gone}
    await source.assert_agrees()


@pytest.mark.parametrize("connector", ["stripe", "hubspot"])
async def test_a_cursor_that_the_source_has_forgotten_leads_to_a_full_refresh(
    source_of: MakeSource, connector: str
) -> None:
    source = await source_of(connector, behind=100)
    await source.sync()
    gone = list(source.expected())[4]
    source.change("delete_customer" if source.connector == "stripe" else "archive_contact", gone)
    source.sandbox.clock.advance(days=100)
    result = await source.sync()
    assert (result.mode, result.is_complete, result.deleted) == ("full", True, 1)
    await source.assert_agrees()
    assert (await source.sync()).mode == "incremental"


async def test_customers_that_only_invoices_name_are_completed(source_of: MakeSource) -> None:
    source = await source_of("stripe", behind=50)
    # The account as it is found: some customers were deleted long ago, their invoices remain.
    for customer in list(source.expected())[50:60]:
        source.change("delete_customer", customer)
    named = {invoice["customer"] for invoice in source.expected("invoices").values()} - {None}
    gone = named - source.expected().keys()
    assert gone
    source.sandbox.clock.advance(days=50)
    # Not before all others are there: most missing customers are only not listed yet.
    await source.sync("invoices")
    assert await source.stored("customers") == {}
    await source.sync("customers")
    assert await source.tombstones() == set()
    source.sandbox.stats.reset()

    await source.sync("invoices")

    assert source.sandbox.stats.requests["GET /v1/customers/{id}"] == len(gone)
    assert await source.tombstones() == gone
    await source.assert_agrees(*STREAMS)
    source.sandbox.stats.reset()
    await source.sync("invoices")
    assert source.sandbox.stats.requests["GET /v1/customers/{id}"] == 0
