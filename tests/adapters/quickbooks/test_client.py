"""python-quickbooks, the community's client, reads and writes the stand-in, and finds what the adapter finds."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import intuitlib.client  # type: ignore[import-untyped]
import pytest
from quickbooks import QuickBooks  # type: ignore[import-untyped]
from quickbooks.cdc import change_data_capture  # type: ignore[import-untyped]
from quickbooks.exceptions import (  # type: ignore[import-untyped]
    AuthorizationException,
    ObjectNotFoundException,
    QuickbooksException,
    ValidationException,
)
from quickbooks.objects.creditmemo import CreditMemo  # type: ignore[import-untyped]
from quickbooks.objects.customer import Customer  # type: ignore[import-untyped]
from quickbooks.objects.invoice import Invoice  # type: ignore[import-untyped]
from quickbooks.objects.payment import Payment  # type: ignore[import-untyped]
from quickbooks.objects.vendor import Vendor  # type: ignore[import-untyped]

from tests.adapters.quickbooks.test_conformance import QuickBooksBench
from unified.conformance.bench import Copy
from unified.sandbox.webhooks import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {
    "customers": Customer, "vendors": Vendor, "invoices": Invoice, "credit_memos": CreditMemo, "payments": Payment,
}  # fmt: skip


@pytest.fixture
def bench() -> Iterator[QuickBooksBench]:
    with QuickBooksBench() as running:
        yield running


@pytest.fixture
def client(bench: QuickBooksBench, monkeypatch: pytest.MonkeyPatch) -> QuickBooks:
    """The client, of a company that has authorized it, with exact amounts."""
    endpoints = (
        "authorization_endpoint", "token_endpoint", "revocation_endpoint", "issuer", "jwks_uri", "userinfo_endpoint",
    )  # fmt: skip
    # It asks Intuit where tokens are refreshed, which nothing here needs; and the stand-in has no certificate.
    monkeypatch.setattr(
        intuitlib.client, "get_discovery_doc", lambda *_, **__: dict.fromkeys(endpoints, bench.url)
    )
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setattr(QuickBooks, "api_url_v3", f"{bench.url}/v3")
    authorized = intuitlib.client.AuthClient(
        "fake-id",
        "fake-secret",
        "http://127.0.0.1",
        "production",
        access_token=bench.credentials["access_token"],
    )
    return QuickBooks(
        auth_client=authorized, refresh_token="fake", company_id=bench.settings["realm_id"], minorversion=75,
        use_decimal=True, verifier_token=bench.webhook_secret,
    )  # fmt: skip


def every(kind: Any, client: QuickBooks) -> list[Any]:
    """All records by positions, each of which the client has to be asked for."""
    found: list[Any] = []
    while page := kind.all(order_by="Id", start_position=len(found) + 1, max_results=1000, qb=client):
        found += page
    return found


@pytest.mark.parametrize("stream", KINDS)
async def test_both_read_the_same_records(bench: QuickBooksBench, client: QuickBooks, stream: str) -> None:
    copy = Copy(stream)
    await bench.sync(copy)
    found = every(KINDS[stream], client)
    assert {one.Id for one in found} == copy.records.keys() == bench.ids(stream)
    assert KINDS[stream].count(qb=client) == len(found) == len(copy.records)


async def test_both_read_the_same_customers(bench: QuickBooksBench, client: QuickBooks) -> None:
    ours = await records(bench, "customers")
    theirs = every(Customer, client)
    assert {
        one.Id: (
            one.DisplayName,
            one.PrimaryEmailAddr and one.PrimaryEmailAddr.Address,
            one.BillAddr.Line1,
            one.ParentRef and one.ParentRef.value,
        )
        for one in theirs
    } == {
        one.source_id: (one.name, one.email, one.billing_address.line1, one.custom_fields.get("parent_id"))
        for one in ours
    }


async def test_both_sum_the_same_money(bench: QuickBooksBench, client: QuickBooks) -> None:
    """Totals, balances, tax and lines of all invoices, by currency."""
    ours: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 4)
    theirs: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 4)
    for one in await records(bench, "invoices"):
        lines = sum((line.amount or Decimal(0) for line in one.line_items), Decimal(0))
        ours[one.currency] = added(ours[one.currency], one.total, one.amount_due, one.tax, lines)
    for one in every(Invoice, client):
        parts = [part for line in one.Line for part in parts_of(line)]
        amounts = [part["Amount"] for part in parts if part["DetailType"] == "SalesItemLineDetail"]
        code, tax = one.CurrencyRef.value, one.TxnTaxDetail.TotalTax
        theirs[code] = added(
            theirs[code], one.TotalAmt, one.Balance, tax, sum(map(Decimal, amounts), Decimal(0))
        )
    assert ours == theirs
    assert len(ours) > 1
    assert all(sums[0] for sums in ours.values())


def added(sums: list[Decimal], *amounts: Any) -> list[Decimal]:
    return [one + Decimal(amount) for one, amount in zip(sums, amounts, strict=True)]


def parts_of(line: Any) -> list[dict[str, Any]]:
    """A line, or those of a group, which the client leaves as they are."""
    inner = line.GroupLineDetail.Line if line.DetailType == "GroupLineDetail" else [vars(line)]
    return list(inner)


async def records(bench: QuickBooksBench, stream: str) -> list[Any]:
    """What a sync of all of a stream is mapped to."""
    async with bench.open() as adapter:
        origin = adapter.origin(stream, bench.now(), bench.now())
        return [
            adapter.map_record(stream, one.body, origin)
            async for page in adapter.pull(stream, None)
            for one in page.records
        ]


def test_it_asks_in_all_ways_that_it_knows(bench: QuickBooksBench, client: QuickBooks) -> None:
    ours, other, *_ = bench.provider.account().all("Customer").values()
    bench.provider.mutate("update", None, "Customer", ours["Id"], DisplayName="O'Neil")
    assert [one.Id for one in Customer.filter(DisplayName="O'Neil", qb=client)] == [ours["Id"]]
    assert {one.Id for one in Customer.choose([ours["Id"], other["Id"]], qb=client)} == {
        ours["Id"],
        other["Id"],
    }
    assert len(Customer.filter(Active=False, qb=client)) == Customer.count("Active = false", qb=client) > 0
    paid, owed = (Invoice.count(where, qb=client) for where in ("Balance = '0'", "Balance > '0'"))
    assert paid + owed == len(bench.ids("invoices"))
    assert min(paid, owed) > 0
    of = bench.provider.account().all("Invoice").values()
    assert Invoice.count(f"CustomerRef = '{ours['Id']}'", qb=client) == sum(
        one["CustomerRef"]["value"] == ours["Id"] for one in of
    )
    first, second = Customer.where(order_by="DisplayName", max_results=2, qb=client)
    assert first.DisplayName.casefold() < second.DisplayName.casefold()
    assert len(Customer.all(qb=client)) == 40, "a page is shorter than was asked for"


async def test_it_reads_what_changed_and_what_was_deleted(bench: QuickBooksBench, client: QuickBooks) -> None:
    copy = await bench.loaded("invoices")
    changed, gone, *_ = sorted(bench.ids("invoices"))
    bench.edit("update", "invoices", changed)
    bench.edit("delete", "invoices", gone)
    since = (bench.now() - timedelta(seconds=30)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = change_data_capture([Invoice, Customer], since, qb=client)
    assert {(one.Id, getattr(one, "status", None)) for one in found.Invoice} == {
        (changed, None),
        (gone, "Deleted"),
    }
    assert not hasattr(found, "Customer"), "nothing is shown of an entity in which nothing changed"
    await bench.sync(copy)
    assert copy.gone.keys() == {gone}


async def test_the_adapter_reads_what_it_writes(bench: QuickBooksBench, client: QuickBooks) -> None:
    """It sends whole objects with their empty texts, and what it read back with them."""
    parent = Customer.get(min(bench.ids("customers")), qb=client)
    made = Customer()
    made.DisplayName, made.Notes, made.Job, made.ParentRef = "Roof", "met in Turin", True, parent.to_ref()
    made = made.save(qb=client)
    made.DisplayName, made.CompanyName, made.Notes = "Cellar", "Engines", ""
    saved = made.save(qb=client, request_id="r1")
    assert saved.SyncToken == "1"
    assert made.save(qb=client, request_id="r1").SyncToken == "1", "the first answer comes again"
    (ours,) = [one for one in await records(bench, "customers") if one.source_id == made.Id]
    assert (ours.name, ours.company, ours.description, ours.email) == ("Cellar", "Engines", None, None)
    assert ours.custom_fields["full_name"] == f"{parent.FullyQualifiedName}:Cellar"


def test_it_is_refused_by_intuits_codes(bench: QuickBooksBench, client: QuickBooks) -> None:
    taken = Customer()
    taken.DisplayName = next(iter(bench.provider.account().all("Vendor").values()))["DisplayName"]
    with pytest.raises(QuickbooksException, match="Duplicate Name") as refused:
        taken.save(qb=client)
    assert refused.value.error_code == 6240
    with pytest.raises(ValidationException, match="QueryParserError"):
        Customer.query("SELECT FROM Customer", qb=client)
    with pytest.raises(ObjectNotFoundException):
        Invoice.get("1", qb=client)
    stale = Customer.get(min(bench.ids("customers")), qb=client)
    stale.SyncToken = "9"
    with pytest.raises(QuickbooksException, match="Stale Object") as refused:
        stale.save(qb=client)
    assert refused.value.error_code == 5010
    stale.Nonsense = "x"
    with pytest.raises(ValidationException, match="Nonsense"):
        stale.save(qb=client)
    bench.provider.revoke(bench.credentials["access_token"])
    with pytest.raises(AuthorizationException):
        Customer.count(qb=client)


def test_it_verifies_what_the_stand_in_signs(bench: QuickBooksBench, client: QuickBooks) -> None:
    form, endpoint = bench.provider.webhook_form, Endpoint("key", bench.url, bench.webhook_secret)
    body = form.body([{"noun": "Customer", "intuitentityid": "1"}], 1)
    signature = form.headers(endpoint, body, datetime.now(UTC).timestamp())["intuit-signature"]
    assert client.validate_webhook_signature(body.decode(), signature)
    assert not client.validate_webhook_signature(body.decode(), signature, verifier_token="another")
