"""Xero's own client reads and writes the same organisation as the adapter, and finds the same in it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from xero_python.accounting import AccountingApi, Contact, Contacts  # type: ignore[import-untyped]
from xero_python.api_client import ApiClient, Configuration  # type: ignore[import-untyped]
from xero_python.api_client.oauth2 import OAuth2Token  # type: ignore[import-untyped]
from xero_python.exceptions import (  # type: ignore[import-untyped]
    AccountingBadRequestException,
    HTTPStatusException,
    NotFoundException,
    RateLimitException,
)
from xero_python.identity import IdentityApi  # type: ignore[import-untyped]

from tests.adapters.xero.test_conformance import XeroBench
from unified.conformance.bench import Copy
from unified.kit.writing.changes import Write
from unified.sandbox.tables.api import RequestLimit
from unified.sandbox.xero import XeroSandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = XeroBench.credentials["access_token"]
TENANT = XeroSandbox.tenant(KEY)
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def bench() -> Iterator[XeroBench]:
    with XeroBench() as running:
        yield running


@pytest.fixture
def api(bench: XeroBench) -> Iterator[ApiClient]:
    token = {"access_token": KEY, "token_type": "Bearer", "expires_in": 1800, "scope": []}
    made = ApiClient(
        Configuration(oauth2_token=OAuth2Token("fake-id", "fake-secret")),
        oauth2_token_getter=lambda: token,
        oauth2_token_saver=lambda _: None,
    )
    # Else urllib3 sleeps as long as a refusal says, a day at worst, and asks again.
    made.rest_client.pool_manager.connection_pool_kw["retries"] = False
    yield made
    made.rest_client.pool_manager.clear()


@pytest.fixture
def client(bench: XeroBench, api: ApiClient) -> AccountingApi:
    return AccountingApi(api, base_url=f"{bench.url}/api.xro/2.0")


def everything(read: Callable[..., Any], of: str, **asked: Any) -> list[Any]:
    found, page, pages = [], 1, 1
    while page <= pages:
        answer = read(TENANT, page=page, page_size=1000, **asked)
        found += getattr(answer, of)
        page, pages = page + 1, answer.pagination.page_count
    return found


async def stored(bench: XeroBench, stream: str) -> dict[str, Any]:
    """The records of a first load, as they are mapped."""
    copy, found = Copy(stream), {}
    async with bench.open(tenant_id=TENANT) as adapter:
        origin = adapter.origin(stream, bench.now(), bench.now())
        async for page in adapter.pull(stream, None):
            copy.add(page)
            for record in page.records:
                mapped = adapter.map_record(stream, record.body, origin)
                found[mapped.source_id] = mapped
    assert found.keys() == copy.records.keys()
    return found


async def test_invoices_and_bills_count_and_sum_up_alike(bench: XeroBench, client: AccountingApi) -> None:
    ours = await stored(bench, "invoices")
    theirs = {
        one.invoice_id: one
        for one in everything(client.get_invoices, "invoices", unitdp=4)
        if one.status != "DELETED"
    }
    assert Counter((one.type, one.status) for one in theirs.values()) == Counter(
        (one.raw_data["Type"], one.remote_status) for one in ours.values()
    )
    assert {one.type for one in theirs.values()} == {"ACCREC", "ACCPAY"}
    names = (
        ("total", "total"),
        ("subtotal", "sub_total"),
        ("tax", "total_tax"),
        ("amount_due", "amount_due"),
    )
    for mine, name in names:
        assert sum(getattr(one, mine) for one in ours.values()) == sum(
            getattr(one, name) for one in theirs.values()
        )
    assert ours.keys() == theirs.keys()
    for source_id, one in ours.items():
        their = theirs[source_id]
        assert (one.invoice_number, one.customer_id) == (their.invoice_number, their.contact.contact_id)
        assert (one.issue_date.date(), one.due_date.date()) == (their.date, their.due_date)
        assert (one.updated_at, one.currency) == (their.updated_date_utc, their.currency_code.value)
        assert [(line.amount, line.unit_price, line.tax, line.quantity) for line in one.line_items] == [
            (line.line_amount, line.unit_amount, line.tax_amount, line.quantity) for line in their.line_items
        ]


async def test_contacts_are_the_same_ones(bench: XeroBench, client: AccountingApi) -> None:
    ours = await stored(bench, "contacts")
    theirs = everything(client.get_contacts, "contacts", include_archived=True)
    active = {one.contact_id: one for one in theirs if one.contact_status == "ACTIVE"}
    assert len(theirs) > len(active) == len(ours)
    assert {name: (one.name, one.email, one.updated_at) for name, one in ours.items()} == {
        name: (one.name, one.email_address, one.updated_date_utc) for name, one in active.items()
    }
    for source_id, one in active.items():
        place = next(listed for listed in one.addresses if listed.address_type == "POBOX")
        mine = ours[source_id].billing_address
        assert (mine and mine.city, mine and mine.postal_code) == (place.city, place.postal_code)
    assert {one.contact_id for one in everything(client.get_contacts, "contacts")} == active.keys()


async def test_a_contact_to_be_erased_is_one_to_both(bench: XeroBench, client: AccountingApi) -> None:
    one = min(await stored(bench, "contacts"))
    bench.provider.mutate("update", None, "Contacts", one, ContactStatus="GDPRREQUEST")
    (theirs,) = client.get_contact(TENANT, one).contacts
    assert theirs.contact_status == "GDPRREQUEST"
    with pytest.raises(ValueError, match="must be one of"):
        Contact(contact_status="ERASED")  # the client knows which statuses there are
    async with bench.open(tenant_id=TENANT) as adapter:
        (page,) = [page async for page in adapter.fetch("contacts", [one])]
    assert [stone.erase for stone in page.tombstones] == [True]


@pytest.mark.parametrize(("stream", "of"), [("credit_notes", "credit_notes"), ("payments", "payments")])
async def test_other_documents_are_the_same_ones(
    bench: XeroBench, client: AccountingApi, stream: str, of: str
) -> None:
    ours = await stored(bench, stream)
    theirs = everything(getattr(client, f"get_{of}"), of)
    field = "total" if stream == "credit_notes" else "amount"
    assert len(ours) == len(theirs)
    assert sum(Decimal(one.custom_fields[field]) for one in ours.values()) == sum(
        getattr(one, field) for one in theirs
    )
    invoices = bench.provider.account().all("Invoices")
    if stream == "payments":
        assert all(one.payment_type == f"{one.invoice.type}PAYMENT" for one in theirs)
        assert {one.invoice.invoice_number for one in theirs} & {
            one["InvoiceNumber"] for one in invoices.values()
        }
    else:
        assert {one.type for one in theirs} == {"ACCRECCREDIT", "ACCPAYCREDIT"}
        assert all(one.remaining_credit == one.total for one in theirs)


async def test_changes_since_a_time_are_the_same_ones_in_whatever_zone_it_is_said(
    bench: XeroBench, client: AccountingApi
) -> None:
    copy = await bench.loaded("invoices")
    changed = {bench.edit("update", "invoices", one) for one in sorted(bench.ids("invoices"))[:3]}
    await bench.sync(copy, tenant_id=TENANT)
    since = bench.now() - timedelta(minutes=5)
    for said in (since, since.astimezone(timezone(timedelta(hours=-8))), since.replace(tzinfo=None)):
        found = everything(client.get_invoices, "invoices", if_modified_since=said)
        assert {one.invoice_id for one in found} == set(copy.met) == changed


def test_invoices_are_filtered_by_their_lists(bench: XeroBench, client: AccountingApi) -> None:
    records = bench.provider.account().all("Invoices").values()
    paid = {one["InvoiceNumber"] for one in records if one["Status"] in ("PAID", "VOIDED")}
    found = everything(client.get_invoices, "invoices", statuses=["PAID", "VOIDED"])
    assert {one.invoice_number for one in found} == paid
    owner = found[0].contact.contact_id
    assert {
        one.contact.contact_id for one in everything(client.get_invoices, "invoices", contact_i_ds=[owner])
    } == {owner}
    numbers = sorted(paid)[:2]
    found = everything(client.get_invoices, "invoices", invoice_numbers=numbers)
    assert sorted(one.invoice_number for one in found) == numbers


async def test_what_either_writes_the_other_one_reads(bench: XeroBench, client: AccountingApi) -> None:
    made, refused = client.create_contacts(
        TENANT,
        Contacts(contacts=[Contact(name="Theirs", tax_number="7"), Contact(email_address="a@acme.example")]),
        summarize_errors=False,
    ).contacts
    assert (made.has_validation_errors, refused.has_validation_errors) == (False, True)
    assert "name must be specified" in refused.validation_errors[0].message
    assert (await stored(bench, "contacts"))[made.contact_id].tax_number == "7"
    async with bench.open(tenant_id=TENANT) as adapter:
        body = {"Name": "Ours", "Addresses": [{"AddressType": "POBOX", "City": "Köln"}]}
        writes = [Write("create", None, body, "k1"), Write("delete", made.contact_id, {}, "k2")]
        ours = {one.write.idempotency_key: one async for one in adapter.write("contacts", writes)}
    (found,) = client.get_contact(TENANT, ours["k1"].source_id).contacts
    assert (found.name, found.contact_status) == ("Ours", "ACTIVE")
    assert {one.address_type: one.city for one in found.addresses} == {"STREET": None, "POBOX": "Köln"}
    found.tax_number = "9"
    (changed,) = client.update_or_create_contacts(TENANT, Contacts(contacts=[found])).contacts
    assert (changed.contact_id, changed.tax_number) == (ours["k1"].source_id, "9")
    (gone,) = client.get_contact(TENANT, made.contact_id).contacts
    assert gone.contact_status == "ARCHIVED"


def test_refusals_are_those_that_the_client_knows(bench: XeroBench, client: AccountingApi) -> None:
    with pytest.raises(NotFoundException):
        client.get_contact(TENANT, NOBODY)
    with pytest.raises(HTTPStatusException) as forbidden:
        client.get_contacts(NOBODY)
    assert forbidden.value.status == 403
    both = Contacts(contacts=[Contact(name="Quite new"), Contact(tax_number="7")])
    with pytest.raises(AccountingBadRequestException) as refused:
        client.create_contacts(TENANT, both, summarize_errors=True)
    assert "name must be specified" in refused.value.reason
    assert not client.get_contacts(TENANT, where='Name=="Quite new"').contacts, "one that is wrong fails all"
    bench.provider.set_limits(RequestLimit(1, 60))
    client.get_organisations(TENANT)
    with pytest.raises(RateLimitException) as limited:
        client.get_organisations(TENANT)
    assert limited.value.rate_limit == "minute"


async def test_the_organisation_is_the_one_that_the_connection_names(
    bench: XeroBench, api: ApiClient, client: AccountingApi
) -> None:
    (connection,) = IdentityApi(api, base_url=bench.url).get_connections()
    (organisation,) = client.get_organisations(connection.tenant_id).organisations
    async with bench.open(tenant_id=TENANT) as adapter:
        account = await adapter.test()
    assert account.id == connection.tenant_id == organisation.organisation_id
    assert account.name == connection.tenant_name == organisation.name
    assert account.livemode is not organisation.is_demo_company
