"""What QuickBooks alone has: queries, change data, kinds of lines, versions, names, and events of many companies."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from adapters.quickbooks.pull import EntitySource
from tests.adapters.quickbooks.test_conformance import QuickBooksBench
from unified.conformance.bench import Copy
from unified.kit.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    StaleCursorError,
)
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.owners import Owner, Reader, belongs_to
from unified.kit.writing.changes import Write, Written
from unified.sandbox.quickbooks import QuickBooksSandbox
from unified.schema.invoice import InvoiceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench() -> Iterator[QuickBooksBench]:
    with QuickBooksBench() as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> QuickBooksBench:
    """One that no test changes or serves."""
    return QuickBooksBench(empty=True)


def mapped(bench: QuickBooksBench, stream: str, body: str) -> Any:
    adapter = bench.open()
    return adapter.map_record(stream, body.encode(), adapter.origin(stream, bench.now(), bench.now()))


def invoice(bench: QuickBooksBench, **fields: Any) -> Any:
    known = {"Id": "1", "CurrencyRef": {"value": "USD"}, "TotalAmt": 115.0, "Balance": 0}
    return mapped(bench, "invoices", msgspec.json.encode({**known, **fields}).decode())


async def written(bench: QuickBooksBench, *writes: Write) -> dict[str, Written]:
    async with bench.open() as adapter:
        return {one.write.idempotency_key: one async for one in adapter.write("customers", writes)}


async def test_money_is_that_of_the_source_to_the_cent(bench: QuickBooksBench) -> None:
    copy = Copy("invoices")
    await bench.sync(copy)
    totals = {name: invoice(bench, **raw).total for name, raw in copy.records.items()}
    at_source = bench.provider.account().all("Invoice")
    assert totals == {name: Decimal(str(one["TotalAmt"])) for name, one in at_source.items()}


def test_amounts_are_read_by_their_digits(shared: QuickBooksBench) -> None:
    body = '{"Id":"1","CurrencyRef":{"value":"USD"},"TotalAmt":90071992547409931.37,"ExchangeRate":1.0843}'
    found = mapped(shared, "invoices", body)
    assert (found.total, found.custom_fields["exchange_rate"]) == (Decimal("90071992547409931.37"), "1.0843")


def test_totals_are_those_that_are_stated_and_never_added_up(shared: QuickBooksBench) -> None:
    item = {"Id": "2", "Amount": 7, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"Qty": 3}}
    lines = [item, {"Amount": 90, "DetailType": "SubTotalLineDetail"}]
    found = invoice(shared, Line=lines, TxnTaxDetail={"TotalTax": 20})
    assert (found.subtotal, found.tax, found.total) == (Decimal("90.00"), Decimal("20.00"), Decimal("115.00"))


def test_home_amounts_and_the_way_of_tax_are_kept_as_they_are_said(shared: QuickBooksBench) -> None:
    line = {
        "Id": "1", "Amount": 100, "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"TaxInclusiveAmt": 119},
    }  # fmt: skip
    body = {
        "ExchangeRate": 1.0843,
        "HomeTotalAmt": 124.69,
        "GlobalTaxCalculation": "TaxInclusive",
        "Line": [line],
    }
    found = invoice(shared, CurrencyRef={"value": "EUR"}, **body)
    kept = {name: found.custom_fields[name] for name in ("exchange_rate", "home_total", "tax_calculation")}
    assert kept == {"exchange_rate": "1.0843", "home_total": "124.69", "tax_calculation": "TaxInclusive"}
    assert (found.currency, found.line_items[0].amount) == ("EUR", Decimal("100.00"))


@pytest.mark.parametrize(("said", "country"), [("USA", "USA"), ("Germany", "Germany"), (None, None)])
def test_a_country_is_three_letters_or_a_text_or_missing(
    shared: QuickBooksBench, said: str | None, country: str | None
) -> None:
    raw = {"Id": "7", "DisplayName": "Ada", "BillAddr": {"City": "Bonn", "Country": said}}
    found = mapped(shared, "customers", msgspec.json.encode(raw).decode())
    assert (found.billing_address.city, found.billing_address.country) == ("Bonn", country)


def test_numbers_of_custom_fields_are_texts_whole_ones_too(shared: QuickBooksBench) -> None:
    for digits in ("100", "100.50"):
        body = f'{{"Id":"1","TotalAmt":1,"Deposit":{digits}}}'
        assert mapped(shared, "invoices", body).custom_fields == {"deposit": digits}


def test_a_tax_number_is_never_one_that_intuit_masks(shared: QuickBooksBench) -> None:
    raw = {"Id": "7", "DisplayName": "Ada", "PrimaryTaxIdentifier": "XXXXXX56789"}
    for said, number in (({}, None), ({"BusinessNumber": "82736"}, "82736"), ({"GSTIN": "22AAA"}, "22AAA")):
        body = msgspec.json.encode({**raw, **said}).decode()
        assert mapped(shared, "customers", body).tax_number == number


def test_groups_are_taken_apart_and_subtotals_and_discounts_are_no_lines(shared: QuickBooksBench) -> None:
    item = {
        "Id": "2",
        "Amount": 100,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"UnitPrice": 50, "Qty": 2},
    }
    lines = [
        {"Id": "1", "Amount": 0, "DetailType": "GroupLineDetail", "GroupLineDetail": {"Line": [item]}},
        {"Id": "3", "DetailType": "DescriptionOnly", "Description": "Thanks"},
        {"Amount": 100, "DetailType": "SubTotalLineDetail"},
        {"Amount": 1.5, "DetailType": "DiscountLineDetail"},
    ]
    found = invoice(shared, Line=lines, TxnTaxDetail={"TotalTax": 7.25})
    assert [(one.source_id, one.amount) for one in found.line_items] == [
        ("2", Decimal("100.00")),
        ("3", None),
    ]
    assert (found.subtotal, found.discount, found.tax) == (
        Decimal("100.00"),
        Decimal("1.50"),
        Decimal("7.25"),
    )
    assert (found.line_items[0].quantity, found.line_items[0].unit_price) == (Decimal(2), Decimal("50.00"))


@pytest.mark.parametrize(
    ("said", "status", "paid"),
    [
        ({"Balance": 0}, InvoiceStatus.PAID, "115.00"),
        ({"Balance": 15}, InvoiceStatus.PARTIALLY_PAID, "100.00"),
        ({"Balance": 115}, InvoiceStatus.OPEN, "0.00"),
        ({"TotalAmt": 0, "PrivateNote": "Voided - typo"}, InvoiceStatus.VOID, "0.00"),
        ({"TotalAmt": 0}, InvoiceStatus.OPEN, "0.00"),
    ],
)
def test_the_status_follows_from_total_balance_and_note(
    shared: QuickBooksBench, said: dict[str, Any], status: InvoiceStatus, paid: str
) -> None:
    found = invoice(shared, **said)
    assert (found.status, found.amount_paid) == (status, Decimal(paid))


def test_dates_are_the_companys_and_times_are_instants(shared: QuickBooksBench) -> None:
    found = invoice(
        shared,
        TxnDate="2026-03-31",
        DueDate="soon",
        MetaData={"LastUpdatedTime": "2026-03-31T23:30:00-07:00"},
    )
    assert found.issue_date == datetime(2026, 3, 31, tzinfo=UTC)
    assert found.updated_at == datetime(2026, 4, 1, 6, 30, tzinfo=UTC)
    assert found.custom_fields["invalid_due_date"] == "soon"


def test_free_lines_parents_and_own_fields_of_a_customer(shared: QuickBooksBench) -> None:
    raw = {
        "Id": "7", "DisplayName": "Roof", "IsProject": True, "Job": True, "ParentRef": {"value": "3"},
        "BillAddr": {"Line1": "Ada King", "Line2": "1 High St", "Line3": "N1 London"},
        "CustomField": [{"DefinitionId": "1", "Name": "Tier", "StringValue": "gold"}],
    }  # fmt: skip
    found = mapped(shared, "customers", msgspec.json.encode(raw).decode())
    assert found.billing_address.model_dump(exclude_none=True) == {
        "line1": "Ada King",
        "line2": "1 High St, N1 London",
    }
    assert found.custom_fields == {"is_job": True, "is_project": True, "parent_id": "3", "Tier": "gold"}


@pytest.mark.parametrize("stream", ["customers", "invoices"])
async def test_an_unchanged_sync_is_one_request(bench: QuickBooksBench, stream: str) -> None:
    copy = await bench.loaded(stream)
    await bench.sync(copy)
    assert (bench.provider.stats.requests.total(), copy.met) == (1, [])


async def test_many_records_of_one_second_are_read_once_each(bench: QuickBooksBench) -> None:
    for one in sorted(bench.ids("customers"))[:90]:
        bench.edit("update", "customers", one)  # the clock stands still
    copy = Copy("customers")
    await bench.sync(copy)
    assert copy.records.keys() == bench.ids("customers")
    assert len(copy.met) == len(set(copy.met))


@pytest.mark.parametrize(
    ("meta", "reason"),
    [({}, "repeats the one before"), ({"LastUpdatedTime": "2026-03-31T23:30:00-07:00"}, "outside the range")],
)
async def test_a_page_that_was_not_asked_for_ends_the_load(
    bench: QuickBooksBench, monkeypatch: pytest.MonkeyPatch, meta: dict[str, str], reason: str
) -> None:
    """The same records without a time for ever; and records older than what is asked for."""
    copy = await bench.loaded("customers") if meta else Copy("customers")
    page = [msgspec.Raw(msgspec.json.encode({"Id": one, "MetaData": meta})) for one in ("1", "2")]

    async def query(*_: Any, **__: Any) -> list[msgspec.Raw]:
        await asyncio.sleep(0)
        return page

    monkeypatch.setattr(EntitySource, "query", query)
    with pytest.raises(ProtocolError, match=reason):
        await asyncio.wait_for(bench.sync(copy), 20)


async def test_a_thousand_changes_hide_others_and_lead_to_a_full_refresh(bench: QuickBooksBench) -> None:
    copy = await bench.loaded("payments")
    for _ in range(999):
        bench.edit("create", "payments", None)
    await bench.sync(Copy("payments", cursor=copy.cursor))
    bench.edit("create", "payments", None)
    with pytest.raises(StaleCursorError, match="full refresh"):
        await bench.sync(copy)


async def test_a_deletion_is_confirmed_by_a_read(bench: QuickBooksBench) -> None:
    copy = await bench.loaded("invoices")
    alive, gone, *_ = sorted(copy.records)
    bench.edit("delete", "invoices", gone)
    bench.edit("update", "invoices", alive)
    bench.provider.mutate("mistake", None, alive)
    await bench.sync(copy)
    assert copy.records.keys() == bench.ids("invoices")
    assert copy.records[alive]["DocNumber"] == "Changed"
    assert copy.gone.keys() == {gone}


@pytest.mark.parametrize("stream", ["customers", "payments"])
async def test_after_thirty_days_only_a_full_refresh_knows_what_was_deleted(
    bench: QuickBooksBench, stream: str
) -> None:
    copy = await bench.loaded(stream)
    bench.provider.clock.advance(days=30.1)
    with pytest.raises(StaleCursorError, match="30 days"):
        await bench.sync(copy)


async def test_a_merged_customer_is_in_no_query_and_is_looked_for_once_a_day(bench: QuickBooksBench) -> None:
    copy = await bench.loaded("customers")
    loser, winner, *_ = sorted(copy.records)
    bench.provider.mutate("merge", None, loser, winner)
    for hours, requests, is_there in (
        (1, 1, True),
        (24, 3, False),
        (1, 1, False),
        (22, 1, False),
        (1, 2, False),
    ):
        bench.provider.clock.advance(seconds=hours * 3600)
        bench.provider.stats.reset()
        await bench.sync(copy)
        assert (bench.provider.stats.requests.total(), loser in copy.records) == (requests, is_there)
    assert copy.records.keys() == bench.ids("customers")


async def test_the_thousand_of_change_data_are_of_all_entities_together(bench: QuickBooksBench) -> None:
    """Why each stream asks for its own."""
    for _ in range(1001):
        bench.edit("create", "payments", None)
    params = {"entities": "Payment,Invoice", "changedSince": bench.now().isoformat()}
    async with bench.open() as adapter:
        path = f"/v3/company/{adapter.config.realm_id}/cdc"
        answer = await adapter.http.request("GET", path, msgspec.json.Decoder(dict[str, Any]), params=params)
    payments, invoices = answer["CDCResponse"][0]["QueryResponse"]
    assert (len(payments["Payment"]), invoices) == (1000, {})


async def test_a_fault_with_200_is_a_refusal(bench: QuickBooksBench) -> None:
    bench.fault("status", "/v3", status=200, code="003001", times=None)
    with pytest.raises(RateLimitedError):
        await bench.sync(Copy("customers"), retry_count=0)
    bench.provider.faults.clear()
    bench.fault("status", "/v3", status=200, code="3200", times=None)
    with pytest.raises(AuthenticationError):
        await bench.sync(Copy("customers"), retry_count=0)


async def test_another_company_is_refused_and_none_is_said(bench: QuickBooksBench) -> None:
    async with bench.open(realm_id="42") as adapter:
        with pytest.raises(PermissionDeniedError, match="ApplicationAuthorizationFailed"):
            await adapter.test()
    with pytest.raises(ConfigurationError, match="realm_id is not set"):
        async with bench.open(realm_id=None):
            pass


def test_a_sandbox_company_has_its_own_address_and_intuits_tokens(shared: QuickBooksBench) -> None:
    adapter = shared.open(base_url="https://quickbooks.api.intuit.com", sandbox=True)
    adapter.open_http()
    assert adapter.config.base_url == "https://sandbox-quickbooks.api.intuit.com"


async def test_a_stale_version_is_read_again(bench: QuickBooksBench, monkeypatch: pytest.MonkeyPatch) -> None:
    one = min(bench.ids("customers"))
    update = Write("update", one, {"Notes": "ours"}, "k1")
    source = "adapters.quickbooks.pull.EntitySource.some"
    read, times = EntitySource.some, iter(range(9))

    async def changed_meanwhile(self: EntitySource, ids: Any) -> Any:
        found = await read(self, ids)
        if next(times) == 0:
            bench.edit("update", "customers", one)
        return found

    monkeypatch.setattr(source, changed_meanwhile)
    assert (await written(bench, update))["k1"].outcome == "applied"
    assert bench.provider.account().all("Customer")[one]["Notes"] == "ours"


async def test_an_update_empties_nothing_that_it_leaves_out(bench: QuickBooksBench) -> None:
    """Without ``sparse`` all else would be emptied, and Intuit takes no ``requestid`` of more than 50 characters."""
    one = min(bench.ids("customers"))
    before = bench.provider.account().all("Customer")[one]
    found = await written(bench, Write("update", one, {"Notes": "ours"}, "k" * 200))
    assert found["k" * 200].outcome == "applied"
    after = bench.provider.account().all("Customer")[one]
    assert {name for name in before if after[name] != before[name]} == {
        "Notes",
        "SyncToken",
        "LastUpdatedTime",
    }


async def test_an_inactive_customer_is_missing_and_is_deleted_already(bench: QuickBooksBench) -> None:
    gone = bench.edit("delete", "customers", min(bench.ids("customers")))
    update, delete = Write("update", gone, {"Notes": "x"}, "k1"), Write("delete", gone, {}, "k2")
    found = await written(bench, update, delete)
    assert {key: one.outcome for key, one in found.items()} == {"k1": "missing", "k2": "applied"}


async def test_json_is_asked_for_as_answers_are_xml_otherwise(bench: QuickBooksBench) -> None:
    realm = QuickBooksSandbox.realm("qb_fake_acme")
    path, key = f"/v3/company/{realm}/companyinfo/{realm}", {"authorization": "Bearer qb_fake_acme"}
    async with bench.open() as adapter, httpx.AsyncClient(base_url=bench.url, headers=key) as plain:
        assert (await plain.get(path)).content.startswith(b"<?xml"), "the trap is in the stand-in"
        assert (await adapter.account()).name == "Acme"


async def test_a_taken_name_is_a_conflict_or_a_refusal(bench: QuickBooksBench) -> None:
    taken = next(iter(bench.provider.account().all("Customer").values()))
    vendor = bench.provider.mutate("create", None, "Vendor", DisplayName="Only a vendor", Active=True)
    writes = [
        Write("create", None, {"DisplayName": taken["DisplayName"], "Notes": "x"}, "k1"),
        Write("create", None, {"DisplayName": vendor["DisplayName"]}, "k2"),
        Write("create", None, {"DisplayName": "A:B"}, "k3"),
        Write("create", None, {"DisplayName": "It's new"}, "k4"),
    ]
    found = await written(bench, *writes)
    outcomes = {key: one.outcome for key, one in found.items()}
    assert outcomes == {"k1": "conflict", "k2": "refused", "k3": "refused", "k4": "applied"}
    assert found["k1"].source_id == taken["Id"]
    async with bench.open() as adapter:
        pages = [page async for page in adapter.find("customers", "name", ["it's NEW"])]
        with pytest.raises(ConfigurationError, match="use email, name"):
            await anext(adapter.find("customers", "phone", ["1"]))
    assert [one.source_id for page in pages for one in page.records] == [found["k4"].source_id]


def event(**fields: Any) -> ReceivedEvent:
    known = {
        "id": "x-Customer-1", "type": "qbo.customer.updated.v1", "time": "2026-09-21T13:33:20.179851517Z",
        "intuitentityid": "1", "intuitaccountid": "310687",
    }  # fmt: skip
    body = msgspec.json.encode({**known, **fields})
    return ReceivedEvent("key", "qbo.customer.updated.v1", datetime(2026, 9, 21, tzinfo=UTC), body)


def test_an_event_belongs_to_the_connection_of_its_company(shared: QuickBooksBench) -> None:
    adapter, ours, theirs = shared.open(), uuid4(), uuid4()
    readers = [Reader(ours, "310687", None), Reader(theirs, "2", None)]
    assert belongs_to(adapter.owner(event()), ours, readers) == (ours,)
    assert list(belongs_to(adapter.owner(event(intuitaccountid="2")), ours, readers)) == [theirs]
    assert not belongs_to(adapter.owner(event(intuitaccountid="3")), ours, readers), (
        "events of nobody are dropped"
    )
    assert adapter.owner(ReceivedEvent("key", "?", None, b"[]")) == Owner()


def test_a_merge_means_both_and_an_event_is_known_by_id_type_and_time(shared: QuickBooksBench) -> None:
    merged = event(type="qbo.customer.merged.v1", data={"deletedid": "2"})
    odd = event(intuitentityid="1 OR 2"), event(type="qbo.account.created.v1")
    found = shared.open().changes([merged, *odd])
    assert found.fetch == {"customers": ["1"]}
    (stone,) = found.tombstones["customers"]
    assert (stone.source_id, stone.merged_into) == ("2", "1"), "identities and invoices go where it went"
    verifier = shared.adapter_class.verifiers[0]
    kept = mapped(shared, "events", event().body.decode())
    assert kept.source_id == "x-Customer-1:qbo.customer.updated.v1:2026-09-21T13:33:20.179851517Z"
    assert verifier.name == "intuit"
