"""Invoices of whatever object holds them: found by describe, with all lines, exact amounts, unshifted dates."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError
from requests import Session
from simple_salesforce import Salesforce

from adapters.salesforce.adapter import SalesforceAdapter, SalesforceConfig
from tests.adapters.salesforce.test_conformance import SalesforceBench
from tests.adapters.salesforce.test_pull import asked, data, loaded
from tests.unified.sandbox.test_salesforce import Plainly
from unified.conformance.bench import NOW, Copy
from unified.kit.errors import ConfigurationError, MappingError, PermissionDeniedError
from unified.sandbox.salesforce import SalesforceSandbox
from unified.schema.invoice import InvoiceStatus, UnifiedInvoice

OWN = {
    "invoice_object": "Rechnung__c",
    "invoice_fields": {
        "customer_id": "Customer__c", "invoice_number": "Invoice_Number__c", "status": "Status__c",
        "issue_date": "Invoice_Date__c", "due_date": "Due_Date__c", "subtotal": "Subtotal__c", "tax": "Tax_Amount__c",
        "total": "Total_Amount__c",
    },
    "invoice_line_object": "Rechnung_Line__c",
    "invoice_line_parent": "Rechnung__c",
    "invoice_line_fields": {"quantity": "Quantity__c", "unit_price": "Unit_Price__c", "amount": "Amount__c"},
}  # fmt: skip
OBJECTS: dict[str, dict[str, Any]] = {"Invoice": {}, "blng__Invoice__c": {}, "Rechnung__c": OWN}


class _With(SalesforceBench):
    objects: Any = None

    def stand_in(self, *, empty: bool) -> SalesforceSandbox:
        del empty
        made = SalesforceSandbox(now=NOW, page=50, Account=60, Contact=0, **{"Invoice": 0, **self.objects})
        if not self.objects.get("Invoice"):
            made.mutate("hide", None, "Invoice", "InvoiceLine")
        return made


@contextmanager
def holding(**objects: int) -> Iterator[SalesforceBench]:
    """An org with invoices in these objects, and in no other."""
    with type("Bench", (_With,), {"objects": objects})() as bench:
        yield bench


def mapped(org: SalesforceBench, copy: Copy, **settings: Any) -> dict[str, UnifiedInvoice]:
    adapter = org.open(**settings)
    origin = adapter.origin("invoices", org.now(), org.now())
    found = {}
    for name, raw in copy.records.items():
        record = adapter.map_record("invoices", msgspec.json.encode(raw), origin)
        assert isinstance(record, UnifiedInvoice)
        found[name] = record
    return found


@pytest.mark.parametrize("name", OBJECTS)
async def test_invoices_are_found_in_whatever_object_holds_them(name: str) -> None:
    """All three stand-ins hold the same, so the sums are equal to the cent."""
    with holding(**{name: 130}) as org:
        copy = Copy("invoices")
        await org.sync(copy, **OBJECTS[name])
        records = mapped(org, copy, **OBJECTS[name])
        assert copy.records.keys() == data(org).all(name).keys()
    for record in records.values():
        assert record.total == Decimal(str(copy.records[record.source_id]["total"]))
        assert (record.subtotal or 0) + (record.tax or 0) == record.total
        assert record.customer_id
        assert record.status is not None
        assert record.issue_date is not None
        assert record.issue_date.time() == datetime.min.time()
        assert all((line.quantity or 0) * (line.unit_price or 0) == line.amount for line in record.line_items)
    assert sum(len(record.line_items) for record in records.values()) > 2.5 * len(records)


async def test_the_official_client_counts_and_adds_up_the_same() -> None:
    """Counts of all three objects, and the totals of invoices by currency."""
    with holding(Invoice=130) as org, Session() as session:
        session.mount("https://", Plainly())
        instance = org.url.removeprefix("http://")
        theirs = Salesforce(instance=instance, session_id="00D-fake-acme", session=session, version="68.0")
        copies = {stream: await loaded(org, stream) for stream in ("accounts", "contacts", "invoices")}
        for stream, soql in (
            ("accounts", "SELECT Id FROM Account"),
            ("contacts", "SELECT Id FROM Contact WHERE IsPersonAccount = false"),
        ):
            found = await asyncio.to_thread(theirs.query_all, soql)
            assert {one["Id"] for one in found["records"]} == copies[stream].records.keys()
        soql = "SELECT CurrencyIsoCode, TotalAmountWithTax FROM Invoice"
        found = await asyncio.to_thread(theirs.query_all, soql)
        ours = mapped(org, copies["invoices"]).values()
    sums: dict[str, Counter[Any]] = {"theirs": Counter(), "ours": Counter()}
    for one in found["records"]:
        sums["theirs"][one["CurrencyIsoCode"]] += Decimal(str(one["TotalAmountWithTax"]))
    for record in ours:
        sums["ours"][record.currency] += record.total
    assert sums["ours"] == sums["theirs"]
    assert len(ours) == found["totalSize"]


async def test_no_invoice_object_is_said_and_is_no_empty_stream() -> None:
    with holding() as org:
        with pytest.raises(
            PermissionDeniedError, match=r"no invoice object: neither Invoice nor blng__Invoice__c"
        ):
            await org.sync(Copy("invoices"))
        async with org.open() as adapter:
            await adapter.test()  # nobody asked for invoices


async def test_salesforce_invoice_is_never_mapped_nor_proposed() -> None:
    with holding(Rechnung__c=3) as org, pytest.raises(PermissionDeniedError) as refused:
        await org.sync(Copy("invoices"))
    assert "it may be Rechnung__c" in str(refused.value)
    assert "SalesforceInvoice" not in str(refused.value)
    with pytest.raises(ValidationError, match="what the org owes Salesforce"):
        SalesforceConfig(base_url="https://acme.my.salesforce.com", invoice_object="SalesforceInvoice")


async def test_a_field_map_is_proposed_from_describe() -> None:
    with holding(Rechnung__c=3) as org, pytest.raises(ConfigurationError) as refused:
        await org.sync(Copy("invoices"), invoice_object="Rechnung__c")
    words = str(refused.value)
    for ours, theirs in OWN["invoice_fields"].items():  # type: ignore[attr-defined]
        assert f'"{ours}": "{theirs}"' in words, words
    assert "--set invoice_line_object=Rechnung_Line__c --set invoice_line_parent=Rechnung__c" in words
    assert '"quantity": "Quantity__c"' in words
    assert '"unit_price": "Unit_Price__c"' in words
    assert "\n" not in words


async def test_an_invoice_whose_total_is_hidden_is_not_read_without_it() -> None:
    with holding(Invoice=5) as org:
        org.provider.mutate("hide", None, "Invoice.TotalAmountWithTax")
        with pytest.raises(PermissionDeniedError, match="no field TotalAmountWithTax for the total"):
            await org.sync(Copy("invoices"))


async def test_lines_are_read_by_key_and_none_gets_lost() -> None:
    """A subquery would show some of them, and where more begin."""
    with holding(Invoice=4) as org:
        one = min(data(org).all("Invoice"))
        for _ in range(130):
            org.provider.mutate("create", None, "InvoiceLine", InvoiceId=one)
        copy = await loaded(org, "invoices")
        wanted = [row for row in data(org).rows["InvoiceLine"].live() if row.fields["InvoiceId"] == one]
        assert len(copy.records[one]["lines"]) == len(wanted) > 130


async def test_a_line_that_changes_brings_its_invoice() -> None:
    with holding(Invoice=4) as org:
        copy = await loaded(org, "invoices")
        org.provider.clock.advance(seconds=3600)
        line = min(data(org).all("InvoiceLine"))
        changed = org.provider.mutate("update", None, "InvoiceLine", line, Description="Changed")["InvoiceId"]
        gone = max(data(org).all("InvoiceLine"))
        parent = org.provider.mutate("delete", None, "InvoiceLine", gone)["InvoiceId"]
        await org.sync(copy)
        assert "Changed" in {one["Description"] for one in copy.records[changed]["lines"]}
        assert gone not in {one["Id"] for one in copy.records[parent]["lines"]}


async def test_a_sync_of_invoices_without_changes_takes_three_requests() -> None:
    with holding(Invoice=130) as org:
        copy = await loaded(org, "invoices")
        org.provider.clock.advance(days=1)
        await org.sync(copy)
        org.provider.stats.reset()
        await org.sync(copy)
        assert asked(org) <= 3


def invoice(org_currency: str | None = None, **fields: Any) -> UnifiedInvoice:
    settings = {"base_url": "https://acme.my.salesforce.com", "currency": org_currency}
    bench = SalesforceBench(empty=True).open()
    adapter = SalesforceAdapter(SalesforceConfig.model_validate(settings), {}, bench.connection)
    now = datetime.fromtimestamp(NOW, UTC)
    raw = {
        "attributes": {"type": "Invoice"}, "Id": "3tt", "TotalAmountWithTax": "119.00", "CurrencyIsoCode": "EUR",
        "InvoiceDate": "2026-03-29", "Status": "Posted", "Balance": "0", "lines": [], **fields,
    }  # fmt: skip
    raw = {name: value for name, value in raw.items() if value != "absent"}
    record = adapter.map_record("invoices", msgspec.json.encode(raw), adapter.origin("invoices", now, now))
    assert isinstance(record, UnifiedInvoice)
    return record


async def test_amounts_are_read_by_their_digits() -> None:
    """A double of sixteen digits before the point has none behind it."""
    with holding(Invoice=3) as org:
        one = min(data(org).all("Invoice"))
        row = data(org).rows["Invoice"].find(one)
        assert row is not None
        row.fields["TotalAmountWithTax"] = msgspec.Raw(b"1234567890123456.78")
        row.fields["CurrencyIsoCode"] = "USD"
        copy = await loaded(org, "invoices")
        assert mapped(org, copy)[one].total == Decimal("1234567890123456.78")


def test_a_company_s_dates_are_never_shifted() -> None:
    assert invoice().issue_date == datetime(2026, 3, 29, tzinfo=UTC)


def test_totals_are_those_that_are_stated_and_never_added_up() -> None:
    line = {"Id": "5TV", "attributes": {"type": "InvoiceLine"}, "ChargeAmount": "7.00", "Quantity": "3"}
    record = invoice(TotalAmount="90.00", TotalTaxAmount="20.00", lines=[line])
    assert (record.subtotal, record.tax, record.total) == (
        Decimal("90.00"),
        Decimal("20.00"),
        Decimal("119.00"),
    )


def test_in_order_management_a_balance_says_nothing_of_payments() -> None:
    record = invoice()
    assert (record.amount_remaining, record.status) == (None, InvoiceStatus.OPEN)


@pytest.mark.parametrize(
    ("balance", "status"),
    [("0", "paid"), ("19.00", "partially_paid"), ("119", "open"), ("-5", "open"), (None, "open")],
)
def test_in_the_package_a_balance_says_what_is_left(balance: str | None, status: str) -> None:
    record = invoice(
        attributes={"type": "blng__Invoice__c"}, blng__TotalAmount__c="119", blng__Balance__c=balance,
        blng__InvoiceStatus__c="Posted",
    )  # fmt: skip
    assert (record.status, record.remote_status) == (InvoiceStatus(status), "Posted")


@pytest.mark.parametrize(
    ("said", "usual", "code"), [("JPY", "EUR", "JPY"), ("absent", "EUR", "EUR"), ("absent", None, None)]
)
def test_an_org_with_one_currency_does_not_say_it(said: str, usual: str | None, code: str | None) -> None:
    assert invoice(usual, CurrencyIsoCode=said).currency == code


@pytest.mark.parametrize("total", [None, "", True, [], {}, "1e400", "ten"])
def test_an_invoice_without_a_readable_total_is_a_reject(total: Any) -> None:
    with pytest.raises(MappingError):
        invoice(TotalAmountWithTax=total)


@pytest.mark.parametrize(
    ("word", "status"), [("Canceled", "void"), ("Draft", "draft"), ("Somewhere", None), (None, None)]
)
def test_a_status_in_salesforce_s_words(word: str | None, status: str | None) -> None:
    assert invoice(Status=word).status == (status and InvoiceStatus(status))


def configured(fields: Any) -> SalesforceConfig:
    settings = {"base_url": "https://acme.my.salesforce.com", "invoice_fields": fields}
    return SalesforceConfig.model_validate(settings)


@pytest.mark.parametrize(
    "fields", [{"totl": "Total__c"}, {"total": "Total__c FROM Account"}, "total=Total__c"]
)
def test_a_field_map_is_checked(fields: Any) -> None:
    with pytest.raises(
        ValidationError, match=r"there is no field 'totl'|is not the name of a field|object in JSON"
    ):
        configured(fields)


def test_a_field_map_may_be_the_text_of_a_form() -> None:
    assert configured('{"total": "Total__c"}').invoice_fields == {"total": "Total__c"}
