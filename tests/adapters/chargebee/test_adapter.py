"""What Chargebee alone has: units of money, lines beyond a hundred, names, its key, and its refusals."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.adapters.chargebee.test_conformance import ChargebeeBench
from unified.conformance.bench import Copy
from unified.kit.errors import AuthenticationError, RequestRefusedError, UnavailableError
from unified.schema.customer import CustomerKind
from unified.schema.invoice import InvoiceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench() -> Iterator[ChargebeeBench]:
    with ChargebeeBench() as running:
        yield running


def mapped(bench: ChargebeeBench, stream: str, **raw: Any) -> Any:
    origin = bench.open().origin(stream, bench.now(), bench.now())
    return bench.open().to_unified(stream, {"id": "1", "currency_code": "USD", "total": 0, **raw}, origin)


async def test_money_is_that_of_the_source_to_the_smallest_unit(bench: ChargebeeBench) -> None:
    copy, sums, units = Copy("invoices"), Counter[str](), Counter[str]()
    await bench.sync(copy)
    for raw in copy.records.values():
        sums[raw["currency_code"]] += mapped(bench, "invoices", **raw).total
    for invoice in bench.provider.account().all("invoices").values():
        units[invoice["currency_code"]] += invoice["total"]
    # Hundredths, also where the currency has thousandths; whole yen.
    assert sums == {code: Decimal(total).scaleb(0 if code == "JPY" else -2) for code, total in units.items()}
    assert {"JPY", "KWD", "USD"} <= sums.keys()


async def test_an_invoice_has_all_its_lines(bench: ChargebeeBench) -> None:
    line = next(iter(bench.provider.account().all("invoices").values()))["line_items"][0]
    made = {}
    for count in (99, 100, 101, 750):
        lines = [{**line, "id": f"li_{at}"} for at in range(count)]
        made[count] = bench.provider.mutate("create", None, "invoices", line_items=lines)["id"]
    copy = Copy("invoices")
    await bench.sync(copy)
    for count, invoice_id in made.items():
        found = copy.records[invoice_id]
        assert [one["id"] for one in found["line_items"]] == [f"li_{at}" for at in range(count)]
        assert "line_items_next_offset" not in found
    bench.fault("status", f"/api/v2/invoices/{made[750]}", status=404)
    copy = Copy("invoices")
    await bench.sync(copy)
    assert bench.ids("invoices") - copy.records.keys() == {made[750]}  # deleted meanwhile


@pytest.mark.parametrize("is_first_page", [True, False])
async def test_an_invoice_whose_lines_fail_does_not_cost_those_before_it(
    bench: ChargebeeBench, *, is_first_page: bool
) -> None:
    line = next(iter(bench.provider.account().all("invoices").values()))["line_items"][0]
    lines = [{**line, "id": f"li_{at}"} for at in range(150)]
    for _ in range(8 if is_first_page else 240):
        bench.provider.mutate("create", None, "invoices", line_items=[line])
    long = [bench.provider.mutate("create", None, "invoices", line_items=lines)["id"] for _ in range(2)]
    # The long ones come behind all others, or behind a page or two of them.
    bench.fault("status", f"/api/v2/invoices/{long[1]}", status=500, times=None)
    copy = Copy("invoices")
    with pytest.raises(UnavailableError):
        await bench.sync(copy)
    assert copy.records.keys() == bench.ids("invoices") - {long[1]}
    kept = dict(copy.records)
    bench.provider.faults.clear()
    pages = await bench.sync(copy)
    assert copy.records.keys() == bench.ids("invoices")
    assert [one["id"] for one in copy.records[long[1]]["line_items"]] == [one["id"] for one in lines]
    assert copy.records | kept == copy.records
    again = sum(len(page.records) for page in pages)
    assert again <= 101, "the pages before the one that failed are not read again"


def test_what_an_invoice_says(bench: ChargebeeBench) -> None:
    line = {"unit_amount": 1, "unit_amount_in_decimal": "0.0125", "quantity": 2, "quantity_in_decimal": "2.5"}
    known = {"status": "not_paid", "total": 1050, "subscription_id": "s1", "line_items": [line]}
    invoice = mapped(bench, "invoices", **known)
    assert (invoice.status, invoice.remote_status) == (InvoiceStatus.OPEN, "not_paid")
    assert (invoice.total, invoice.custom_fields) == (Decimal("10.50"), {"subscription_id": "s1"})
    price, quantity = invoice.line_items[0].unit_price, invoice.line_items[0].quantity
    assert (price, quantity) == (Decimal("0.0125"), Decimal("2.5"))
    assert mapped(bench, "invoices", status="new word").status is None
    assert mapped(bench, "invoices", discounts=[{"amount": 5}, {"amount": 6}]).discount == Decimal("0.11")


def test_what_a_customer_says(bench: ChargebeeBench) -> None:
    address = {
        "line1": "1 High St",
        "line2": "Floor 2",
        "line3": "Left",
        "zip": "N1",
        "state": "",
        "last_name": "B",
    }
    customer = mapped(
        bench, "customers", first_name="Ada", last_name="King", email="ada at acme", vat_number="1", company="",
        vat_number_prefix="DE", cf_tier="gold", cf_vip=False, cf_none=None, billing_address=address,
    )  # fmt: skip
    assert (customer.name, customer.kind, customer.tax_number) == ("Ada King", CustomerKind.PERSON, "DE1")
    assert customer.custom_fields == {"cf_tier": "gold", "cf_vip": False, "invalid_email": "ada at acme"}
    found = customer.billing_address.model_dump(exclude_none=True)
    assert found == {"line1": "1 High St", "line2": "Floor 2, Left", "postal_code": "N1", "name": "B"}
    assert mapped(bench, "customers", company="Acme").kind is CustomerKind.COMPANY
    assert mapped(bench, "customers", company="Acme", first_name="Ada").kind is None


def test_odd_fields_do_not_cost_the_record(bench: ChargebeeBench) -> None:
    line = {"id": "li_1", "amount": 100, "quantity": "two", "date_from": "soon"}
    known = {"total": 1050, "due_date": "20261-12-24", "currency_code": "EURO", "line_items": [line]}
    invoice = mapped(bench, "invoices", **known)
    assert (invoice.total, invoice.due_date, invoice.currency) == (Decimal("10.50"), None, None)
    assert invoice.custom_fields == {
        "invalid_due_date": "20261-12-24",
        "invalid_currency": "EURO",
        "invalid_line_items": {"li_1": {"quantity": "two", "period_start": "soon"}},
    }
    customer = mapped(bench, "customers", created_at=10**18, preferred_currency_code="euro", phone=5)
    assert customer.custom_fields["invalid_created_at"] == 10**18
    assert (customer.currency, customer.created_at, customer.phone) == (None, None, None)


async def test_the_key_is_the_user_of_basic_and_the_site_is_the_account(bench: ChargebeeBench) -> None:
    async with bench.open() as adapter:
        account = await adapter.test()
        request = next(adapter.authentication().sync_auth_flow(httpx.Request("GET", bench.url)))
    assert request.headers["authorization"] == "Basic dGVzdF9mYWtlX2FjbWU6"  # test_fake_acme:
    assert (account.id, account.livemode) == ("127", False)


async def test_a_refusal_is_in_chargebees_words(bench: ChargebeeBench) -> None:
    async with bench.open() as adapter:
        with pytest.raises(RequestRefusedError, match="colour : is not a parameter") as refused:
            await adapter.http.request("GET", "/api/v2/customers", None, params=[("colour", "red")])
        assert refused.value.code == "param_wrong_value"
        bench.provider.revoke("test_fake_acme")
        with pytest.raises(AuthenticationError, match="The key is not valid"):
            await adapter.test()
