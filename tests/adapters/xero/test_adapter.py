"""What Xero alone has: pages, stamps, money, tenants, names, limits, and events of many organisations."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import pytest

from tests.adapters.xero.test_conformance import XeroBench
from unified.conformance.bench import NOW, Copy
from unified.kit.errors import ConfigurationError, MappingError, PermissionDeniedError, RateLimitedError
from unified.kit.streams import Tombstone
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.owners import Owner, Reader, belongs_to
from unified.kit.writing.changes import Write, Written
from unified.sandbox.tables.api import RequestLimit
from unified.sandbox.xero import XeroSandbox
from unified.schema.customer import CustomerKind
from unified.schema.invoice import InvoiceKind, InvoiceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GUID = "5f6b1a3e-0000-4000-8000-000000000001"


@pytest.fixture
def bench() -> Iterator[XeroBench]:
    with XeroBench() as running:
        yield running


@pytest.fixture(scope="module")
def shared() -> XeroBench:
    """One that no test changes or serves."""
    return XeroBench(empty=True)


def mapped(bench: XeroBench, stream: str, body: str) -> Any:
    adapter = bench.open()
    return adapter.map_record(stream, body.encode(), adapter.origin(stream, bench.now(), bench.now()))


def invoice(bench: XeroBench, **fields: Any) -> Any:
    known = {"InvoiceID": GUID, "Type": "ACCREC", "CurrencyCode": "NZD", "Total": 115.0}
    return mapped(bench, "invoices", msgspec.json.encode({**known, **fields}).decode())


async def written(bench: XeroBench, *writes: Write) -> dict[str, Written]:
    async with bench.open() as adapter:
        return {one.write.idempotency_key: one async for one in adapter.write("contacts", writes)}


async def test_money_is_that_of_the_source_to_the_cent(bench: XeroBench) -> None:
    copy = Copy("invoices")
    await bench.sync(copy)
    totals = {name: invoice(bench, **raw).total for name, raw in copy.records.items()}
    at_source = bench.provider.account().all("Invoices")
    assert totals == {name: Decimal(str(one["Total"])) for name, one in at_source.items()}


def test_amounts_are_read_by_their_digits(shared: XeroBench) -> None:
    body = f'{{"InvoiceID":"{GUID}","Type":"ACCPAY","CurrencyCode":"NZD","Total":90071992547409931.37,"TotalTax":""}}'
    bill = mapped(shared, "invoices", body)
    assert (bill.total, bill.tax, bill.kind) == (Decimal("90071992547409931.37"), None, InvoiceKind.PAYABLE)
    with pytest.raises(MappingError, match="Total"):
        invoice(shared, Total="")


def test_totals_are_those_that_are_stated_and_never_added_up(shared: XeroBench) -> None:
    line = {"LineItemID": "l1", "LineAmount": 7, "Quantity": 3, "TaxAmount": 1}
    found = invoice(shared, SubTotal=90, TotalTax=20, RoundingAmount=-0.04, LineItems=[line])
    assert (found.subtotal, found.tax, found.total) == (Decimal("90.00"), Decimal("20.00"), Decimal("115.00"))
    assert found.custom_fields["rounding_amount"] == "-0.04"


def test_tax_within_the_lines_is_in_no_subtotal(shared: XeroBench) -> None:
    line = {"LineItemID": "l1", "UnitAmount": 57.4999, "Quantity": 2, "LineAmount": 115, "TaxAmount": 15}
    known = {"LineAmountTypes": "Inclusive", "SubTotal": 100.0, "TotalTax": 15.0, "LineItems": [line]}
    found = invoice(shared, **known)
    assert (found.subtotal, found.tax, found.total) == (
        Decimal("100.00"),
        Decimal("15.00"),
        Decimal("115.00"),
    )
    assert (found.line_items[0].amount, found.line_items[0].tax) == (Decimal("115.00"), Decimal("15.00"))
    assert found.line_items[0].unit_price == Decimal("57.4999")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"Status": "AUTHORISED"}, InvoiceStatus.OPEN),
        ({"Status": "AUTHORISED", "AmountPaid": 5}, InvoiceStatus.PARTIALLY_PAID),
        ({"Status": "AUTHORISED", "AmountCredited": 5}, InvoiceStatus.PARTIALLY_PAID),
        ({"Status": "VOIDED", "AmountDue": 0}, InvoiceStatus.VOID),
        ({"Status": "NEW_WORD"}, None),
    ],
)
def test_the_status_decides_and_not_what_is_due(shared: XeroBench, said: dict[str, Any], status: Any) -> None:
    found = invoice(shared, **said)
    assert (found.status, found.remote_status, found.total) == (status, said["Status"], Decimal("115.00"))


def test_the_offset_of_a_time_is_ignored_and_a_date_is_never_shifted(shared: XeroBench) -> None:
    found = invoice(
        shared, UpdatedDateUTC="/Date(1573755038314+1300)/", DateString="2026-03-31T00:00:00",
        Date="/Date(1774915200000+0000)/", DueDate="/Date(1777507200000+0000)/", CurrencyRate=0.613245,
        FullyPaidOnDate="soon",
    )  # fmt: skip
    assert found.updated_at == datetime(2019, 11, 14, 18, 10, 38, 314000, UTC)
    assert (found.issue_date, found.due_date) == (
        datetime(2026, 3, 31, tzinfo=UTC),
        datetime(2026, 4, 30, tzinfo=UTC),
    )
    assert (found.custom_fields["currency_rate"], found.custom_fields["invalid_paid_date"]) == (
        "0.613245",
        "soon",
    )


def test_a_contact_is_a_customer_whatever_its_flags_say(shared: XeroBench) -> None:
    raw = {
        "ContactID": GUID, "Name": "Acme", "FirstName": "Ada", "LastName": "King", "IsCustomer": False,
        "IsSupplier": True, "EmailAddress": "", "ContactPersons": [{"EmailAddress": "bo@acme.example"}],
        "Phones": [{"PhoneType": "DEFAULT", "PhoneCountryCode": "64", "PhoneAreaCode": "4", "PhoneNumber": "123"}],
        "Addresses": [{"AddressType": "POBOX", "AddressLine1": "1 High St", "AddressLine3": "Left"}],
    }  # fmt: skip
    found = mapped(shared, "contacts", msgspec.json.encode(raw).decode())
    assert (found.name, found.company, found.kind) == ("Acme", "Acme", CustomerKind.COMPANY)
    assert (found.email, found.phone) == ("bo@acme.example", "64 4 123")
    assert found.billing_address.model_dump(exclude_none=True) == {"line1": "1 High St", "line2": "Left"}
    assert (found.custom_fields["is_customer"], found.custom_fields["is_supplier"]) == (False, True)


def test_an_office_has_a_phone_and_a_source_document_is_no_page_of_the_customer(shared: XeroBench) -> None:
    phones = [{"PhoneType": "FAX", "PhoneNumber": "1"}, {"PhoneType": "OFFICE", "PhoneNumber": "2"}]
    raw = {"ContactID": GUID, "Name": "Acme", "Phones": phones}
    assert mapped(shared, "contacts", msgspec.json.encode(raw).decode()).phone == "2"
    found = invoice(shared, Url="https://maker.example/5")
    assert (found.hosted_url, found.custom_fields["source_document_url"]) == (None, "https://maker.example/5")


async def test_invoices_have_their_lines_and_prices_of_four_digits(bench: XeroBench) -> None:
    copy = Copy("invoices")
    await bench.sync(copy)
    async with bench.open() as adapter:
        bare = await adapter.http.request(
            "GET", "/api.xro/2.0/Invoices", msgspec.json.Decoder(dict[str, Any])
        )
    assert not any(one["LineItems"] for one in bare["Invoices"]), "the trap is in the stand-in"
    lines = [line for one in copy.records.values() for line in one["LineItems"]]
    assert all(one["LineItems"] for one in copy.records.values())
    assert any(Decimal(str(line["UnitAmount"])).as_tuple().exponent == -4 for line in lines)


async def test_a_credit_note_has_the_same_prices_alone_as_in_its_list(bench: XeroBench) -> None:
    listed, alone = Copy("credit_notes"), Copy("credit_notes")
    await bench.sync(listed)
    async with bench.open() as adapter:
        async for page in adapter.fetch("credit_notes", list(listed.records)):
            alone.add(page)
    prices = {name: [line["UnitAmount"] for line in one["LineItems"]] for name, one in listed.records.items()}
    assert any(Decimal(str(price)).as_tuple().exponent == -4 for each in prices.values() for price in each)
    assert prices == {
        name: [line["UnitAmount"] for line in one["LineItems"]] for name, one in alone.records.items()
    }


async def test_an_unchanged_sync_is_one_request_for_what_changed_since_xeros_own_time(
    bench: XeroBench,
) -> None:
    copy = await bench.loaded("invoices")
    await bench.sync(copy)
    assert bench.provider.stats.requests.total() == 1
    assert copy.met == []
    assert (
        datetime.fromisoformat((copy.cursor or {})["since"]).timestamp() == bench.provider.clock.time() - 300
    )


async def test_a_change_between_pages_moves_no_record_past_the_reader(bench: XeroBench) -> None:
    copy = await bench.loaded("invoices")
    changed = [bench.edit("update", "invoices", one) for one in sorted(bench.ids("invoices"))]
    copy.cursor = {"since": bench.now().isoformat()}
    bench.provider.clock.advance(seconds=60)
    async with bench.open() as adapter, aclosing(adapter.pull("invoices", copy.cursor)) as pages:
        async for page in pages:
            copy.add(page)
            # By the time of the change this one would move to the end, and the next page would begin one later.
            bench.edit("update", "invoices", changed[0])
    assert set(copy.met) == set(changed)


async def test_a_merged_contact_names_the_one_that_it_went_into(bench: XeroBench) -> None:
    loser, winner, *_ = sorted(bench.ids("contacts"))
    copy = await bench.loaded("contacts")
    bench.provider.mutate("merge", None, loser, winner)
    bench.provider.clock.advance(seconds=60)
    (page,) = [page for page in await bench.sync(copy) if page.tombstones]
    assert page.tombstones == [Tombstone(loser, page.tombstones[0].deleted_at, winner)]
    async with bench.open() as adapter:
        alone = [page async for page in adapter.fetch("contacts", [loser])]
    assert alone[0].tombstones == page.tombstones, "an event's record says the same as the list"


async def test_archived_contacts_are_asked_for_and_become_tombstones(bench: XeroBench) -> None:
    copy = Copy("contacts")
    await bench.sync(copy)
    assert copy.gone, "some of the stand-in's are archived"
    assert not copy.gone.keys() & bench.ids("contacts")


async def test_a_contact_whose_data_are_to_be_erased_is_erased(bench: XeroBench) -> None:
    copy = await bench.loaded("contacts")
    one, archived, *_ = sorted(copy.records)
    bench.provider.mutate("update", None, "Contacts", one, ContactStatus="GDPRREQUEST")
    bench.provider.mutate("update", None, "Contacts", archived, ContactStatus="ARCHIVED")
    bench.provider.clock.advance(seconds=60)
    pages = await bench.sync(copy)
    async with bench.open() as adapter:
        pages += [page async for page in adapter.fetch("contacts", [one, archived])]
    stones = [(stone.source_id, stone.erase) for page in pages for stone in page.tombstones]
    assert sorted(stones) == sorted([(one, True), (archived, False)] * 2)


async def test_a_record_means_the_same_alone_as_in_its_list(bench: XeroBench) -> None:
    """A list leaves out what has no value, and a single record shows it as an empty text."""
    for stream in ("contacts", "invoices"):
        listed, alone = Copy(stream), Copy(stream)
        await bench.sync(listed)
        one = min(listed.records)
        async with bench.open() as adapter:
            source = adapter._source(stream)
            raw = await adapter.http.request(
                "GET", f"/api.xro/2.0/{stream.capitalize()}/{one}", msgspec.json.Decoder(dict[str, Any])
            )
            async for page in source.fetch([one]):
                alone.add(page)
        single = raw[stream.capitalize()][0]
        assert [name for name, value in single.items() if value == "" and name not in listed.records[one]]
        bodies = [
            msgspec.json.encode(each).decode() for each in (listed.records[one], alone.records[one], single)
        ]
        said = [mapped(bench, stream, body).model_dump(exclude={"raw_data"}) for body in bodies]
        assert said[0] == said[1]
        lines = {"line_items"}  # a single record shows prices of two digits unless it is asked for four
        assert {k: v for k, v in said[0].items() if k not in lines} == {
            k: v for k, v in said[2].items() if k not in lines
        }


async def test_a_long_key_is_sent_as_a_short_one(bench: XeroBench) -> None:
    """Xero takes 128 characters."""
    found = await written(bench, Write("create", None, {"Name": "Quite new"}, "k" * 300))
    assert found["k" * 300].outcome == "applied"


async def test_an_organisation_is_chosen_where_a_token_opens_several() -> None:
    class Both(XeroBench):
        def stand_in(self, *, empty: bool) -> XeroSandbox:
            del empty
            keys = XeroSandbox.default_keys
            return XeroSandbox(
                now=NOW, grants={keys[0]: keys}, Contacts=5, Invoices=0, CreditNotes=0, Payments=0
            )

    with Both() as bench:
        second = XeroSandbox.tenant("xero_fake_globex")
        async with bench.open(tenant_id=second) as adapter:
            account = await adapter.test()
        assert (account.id, account.name, account.livemode) == (second, "Globex", False)
        for tenant in (None, str(uuid4())):  # none, and one that was removed
            async with bench.open(tenant_id=tenant) as adapter:
                with pytest.raises(PermissionDeniedError, match="AuthenticationUnsuccessful"):
                    await adapter.test()
    with pytest.raises(ConfigurationError, match="not a GUID"):
        async with bench.open(tenant_id="acme\r\nx: y"):
            pass


async def test_a_days_limit_ends_the_run_and_a_minutes_is_waited_for(bench: XeroBench) -> None:
    bench.provider.set_limits(RequestLimit(1, 86_400))
    copy = Copy("invoices")
    with pytest.raises(RateLimitedError, match="next run goes on") as raised:
        await bench.sync(copy)
    assert raised.value.wait == 86_400
    assert bench.provider.stats.requests.total() <= 2, "nobody asks again within a day"
    bench.provider.set_limits(RequestLimit(2, 1))
    await bench.sync(copy)
    assert copy.records.keys() == bench.ids("invoices")


async def test_a_taken_name_is_a_conflict_and_changes_nobody(bench: XeroBench) -> None:
    contacts = bench.provider.account().all("Contacts")
    taken = next(iter(contacts.values()))
    create = Write("create", None, {"Name": taken["Name"].upper(), "EmailAddress": "x@acme.example"}, "k1")
    other = Write("create", None, {"Name": "Quite new"}, "k2")
    nameless = Write("create", None, {"EmailAddress": "y@acme.example"}, "k3")
    found = await written(bench, create, other, nameless)
    assert {key: one.outcome for key, one in found.items()} == {
        "k1": "conflict",
        "k2": "applied",
        "k3": "refused",
    }
    assert found["k1"].source_id == taken["ContactID"]
    assert bench.provider.account().all("Contacts")[taken["ContactID"]] == taken
    update = Write("update", found["k2"].source_id, {"Name": taken["Name"]}, "k4")
    refused = (await written(bench, update))["k4"]
    assert (refused.outcome, "unique" in (refused.reason or "")) == ("refused", True)


async def test_what_is_archived_already_is_missing_or_done(bench: XeroBench) -> None:
    gone = bench.edit("delete", "contacts", min(bench.ids("contacts")))
    update, delete = Write("update", gone, {"TaxNumber": "1"}, "k1"), Write("delete", gone, {}, "k2")
    found = await written(bench, update, delete)
    assert {key: one.outcome for key, one in found.items()} == {"k1": "missing", "k2": "applied"}


async def test_contacts_are_found_by_what_xero_has_an_index_for(bench: XeroBench) -> None:
    made = bench.provider.mutate("create", None, "Contacts", Name='The "A" Ltd', ContactStatus="ACTIVE")
    mail = next(
        one["EmailAddress"]
        for one in bench.provider.account().all("Contacts").values()
        if one["EmailAddress"]
    )
    assert await found_by(bench, "name", ['the "a" ltd']) == {made["ContactID"]}
    assert await found_by(bench, "email", [mail, mail, "nobody@acme.example"])
    with pytest.raises(ConfigurationError, match="use email, name"):
        await found_by(bench, "phone", ["1"])


async def found_by(bench: XeroBench, field: str, values: Sequence[str]) -> set[str | None]:
    async with bench.open() as adapter:
        pages = [page async for page in adapter.find("contacts", field, values)]
    return {record.source_id for page in pages for record in page.records}


def event(**fields: str) -> ReceivedEvent:
    known = {
        "resourceUrl": "https://elsewhere.example/x", "resourceId": GUID, "tenantId": "t1",
        "tenantType": "ORGANISATION",
        "eventCategory": "INVOICE", "eventType": "UPDATE", "eventDateUtc": "2026-09-21T13:33:20.123",
    }  # fmt: skip
    body = msgspec.json.encode({**known, **fields})
    return ReceivedEvent("key", "INVOICE.UPDATE", datetime(2026, 9, 21, tzinfo=UTC), body)


def test_an_event_belongs_to_the_connection_of_its_organisation(shared: XeroBench) -> None:
    adapter = shared.open()
    ours, theirs = uuid4(), uuid4()
    readers = [Reader(ours, "t1", None), Reader(theirs, "t2", None)]
    assert belongs_to(adapter.owner(event()), ours, readers) == (ours,)
    assert list(belongs_to(adapter.owner(event(tenantId="t2")), ours, readers)) == [theirs]
    assert not belongs_to(adapter.owner(event(tenantId="t3")), ours, readers), "events of nobody are dropped"
    assert adapter.owner(ReceivedEvent("key", "?", None, b"[]")) == Owner()


def test_an_event_means_a_record_to_read_again(shared: XeroBench) -> None:
    odd = event(resourceId="../Users"), event(eventCategory="SUBSCRIPTION")
    assert shared.open().changes([event(), event(eventCategory="CREDITNOTE"), *odd]).fetch == {
        "invoices": [GUID],
        "credit_notes": [GUID],
    }
    kept = mapped(shared, "events", event().body.decode())
    assert kept.source_id == f"{GUID}:t1:INVOICE:UPDATE:2026-09-21T13:33:20.123"
    assert (kept.resource_type, kept.resource_id) == ("invoice", GUID)
