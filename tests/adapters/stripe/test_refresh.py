"""Full refreshes against the stand-in: every record once, whatever the provider and the clocks do."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from unified.kit.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    UnavailableError,
)
from unified.kit.secrets import MASK
from unified.kit.streams import Page
from unified.sandbox.data import CURRENCY_BY_CODE
from unified.sandbox.provider import ApiError
from unified.sandbox.stripe import StripeLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.stripe.conftest import Stripe
    from unified.conformance.bench import Copy

STREAMS = ("customers", "invoices", "events")
KEY = "sk_test_fake_acme"


async def load(stripe: "Stripe", stream: str, **settings: Any) -> "tuple[Copy, list[Page]]":
    copy = stripe.copy(stream)
    pages = await stripe.sync(copy, **settings)
    return copy, pages


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize("stream", STREAMS)
async def test_every_record_is_read_once_and_whole(stripe: "Stripe", stream: str, concurrency: int) -> None:
    copy, _ = await load(stripe, stream, concurrency=concurrency)
    assert copy.records == stripe.oracle(stream)
    assert len(copy.met) == len(set(copy.met))


@pytest.mark.parametrize("stream", STREAMS)
async def test_an_empty_account(stripe_of: "Callable[..., Stripe]", stream: str) -> None:
    copy, pages = await load(stripe_of(customers=0, invoices=0), stream)
    assert (copy.records, pages[-1].refresh_done) == ({}, stream != "events")


async def test_records_that_share_a_second(stripe: "Stripe") -> None:
    for number in range(250):
        stripe.change("create_customer", name=f"Twin {number}")
    copy, _ = await load(stripe, "customers")
    assert copy.records == stripe.oracle("customers")


async def test_a_record_from_the_future_is_not_lost(stripe: "Stripe") -> None:
    stripe.sandbox.clock.advance(days=400)
    stripe.change("create_customer", name="Early bird")
    stripe.sandbox.clock.advance(days=-400)
    copy, _ = await load(stripe, "customers")
    assert "Early bird" in {customer["name"] for customer in copy.records.values()}


async def test_totals_are_those_of_the_source_to_the_cent(stripe: "Stripe") -> None:
    copy, _ = await load(stripe, "invoices")
    adapter = stripe.adapter()
    origin = adapter.origin("invoices", datetime.now(UTC), datetime.now(UTC))
    mapped: dict[str, Counter[str]] = {}
    for raw in copy.records.values():
        invoice = adapter.map_record("invoices", msgspec.json.encode(raw), origin)
        sums = mapped.setdefault(raw["currency"], Counter())
        for name in ("total", "amount_due", "amount_paid", "tax"):
            sums[name] += getattr(invoice, name)
    for currency, totals in stripe.data.source_totals().items():
        digits = CURRENCY_BY_CODE[currency].decimals
        assert mapped[currency] == {name: Decimal(units).scaleb(-digits) for name, units in totals.items()}


async def test_lines_beyond_the_tenth(stripe: "Stripe") -> None:
    ids = {stripe.change("create_invoice", lines=count)["id"]: count for count in (9, 10, 11, 100, 101, 250)}
    copy, _ = await load(stripe, "invoices")
    for invoice_id, count in ids.items():
        listed = copy.records[invoice_id]["lines"]
        assert (len({line["id"] for line in listed["data"]}), listed["has_more"]) == (count, False)


async def test_an_invoice_deleted_while_its_lines_are_read(stripe: "Stripe") -> None:
    gone = stripe.change("create_invoice", lines=30)["id"]
    stripe.fault("status", f"/v1/invoices/{gone}/lines", status=404, code="resource_missing")
    copy, pages = await load(stripe, "invoices")
    assert copy.records.keys() == stripe.oracle("invoices").keys() - {gone}
    assert pages[-1].refresh_done


async def test_pages_carry_the_marks_of_a_refresh(stripe: "Stripe") -> None:
    _, pages = await load(stripe, "customers")
    began = datetime.fromtimestamp(stripe.sandbox.clock.time(), UTC)
    assert {page.refresh_started_at for page in pages} == {began}
    assert [page.refresh_done for page in pages] == [False] * (len(pages) - 1) + [True]


async def test_events_are_no_refresh_for_they_outlive_the_feed(stripe: "Stripe") -> None:
    _, pages = await load(stripe, "events")
    assert {(page.refresh_started_at, page.refresh_done) for page in pages} == {(None, False)}


@pytest.mark.parametrize("stream", STREAMS)
async def test_a_load_killed_after_every_page_ends_complete(stripe: "Stripe", stream: str) -> None:
    copy, met, runs = stripe.copy(stream), [], 0
    while not copy.cursor or copy.cursor.keys() - {"since"}:
        await stripe.sync(copy, pages=1, concurrency=3)
        met += copy.met
        runs += 1
        assert runs < 100
    assert copy.records == stripe.oracle(stream)
    assert len(met) == len(set(met))


async def test_the_object_to_go_on_from_was_deleted_meanwhile(stripe: "Stripe") -> None:
    copy = stripe.copy("customers")
    while not (copy.cursor and any(after for _, _, after in copy.cursor["refresh"]["windows"])):
        await stripe.sync(copy, pages=1, concurrency=1)
    for _, _, after in copy.cursor["refresh"]["windows"]:
        if after:
            stripe.change("delete_customer", after)
    await stripe.sync(copy)
    await stripe.sync(copy)
    assert copy.records.keys() == stripe.oracle("customers").keys()


async def test_changes_during_a_load_come_with_the_next_pull(stripe: "Stripe") -> None:
    copy = stripe.copy("customers")
    first, *others = stripe.oracle("customers")
    await stripe.sync(copy, pages=2, concurrency=1)
    stripe.sandbox.clock.advance(seconds=30)
    stripe.change("update_customer", first, name="Renamed meanwhile")
    stripe.change("delete_customer", others[0])
    created = stripe.change("create_customer", name="New meanwhile")["id"]
    await stripe.sync(copy)
    await stripe.sync(copy)
    assert copy.records[first]["name"] == "Renamed meanwhile"
    assert created in copy.records
    assert copy.records == stripe.oracle("customers")


# A provider in trouble ----------------------------------------------------------------------------

# What Stripe alone answers, and what leaves a half; `test_conformance` has the rest.
PASSING = {
    "409 lock timeout": {"kind": "status", "status": 409, "code": "lock_timeout"},
    "cut connection": {"kind": "cut"},
}


@pytest.mark.parametrize("trouble", PASSING.values(), ids=PASSING.keys())
@pytest.mark.parametrize("stream", ["customers", "invoices"])
async def test_trouble_that_passes_loses_nothing(stripe: "Stripe", stream: str, trouble: Any) -> None:
    for skip in (1, 3, 2):
        stripe.fault(path="/v1/", skip=skip, **trouble)
    copy, _ = await load(stripe, stream)
    assert copy.records == stripe.oracle(stream)
    assert len(copy.met) == len(set(copy.met))


async def test_the_real_limits_are_kept_without_a_storm_of_429(stripe_of: "Callable[..., Stripe]") -> None:
    # 12 requests at 25 a second take half a second.
    stripe = stripe_of(customers=430, invoices=0, limits=StripeLimits(burst=2))
    copy, _ = await load(stripe, "customers", requests_per_second=None, concurrency=8)
    assert copy.records == stripe.oracle("customers")
    assert not stripe.sandbox.stats.limited


async def test_a_page_that_repeats_is_an_error_and_the_next_run_ends_complete(stripe: "Stripe") -> None:
    copy = stripe.copy("customers")
    stripe.fault("repeat", "/v1/customers", skip=3)
    with pytest.raises(ProtocolError, match="stripe connection acme/stripe: a page of customers"):
        await stripe.sync(copy, concurrency=1)
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("customers")


async def test_a_page_that_repeats_within_one_second_is_an_error_too(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    for number in range(250):
        stripe.change("create_customer", name=f"Twin {number}")
    stripe.fault("repeat", "/v1/customers", skip=1)
    with pytest.raises(ProtocolError, match="a page of customers repeats a page"):
        await stripe.sync(copy, concurrency=1)
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("customers")


async def test_an_empty_page_where_more_was_promised_is_not_believed(stripe: "Stripe") -> None:
    # With one reader the tenth page is the first that follows another; the ninth, repeated here, is empty.
    stripe.fault("repeat", "/v1/customers", skip=9)
    copy, _ = await load(stripe, "customers", concurrency=1)
    assert copy.records == stripe.oracle("customers")


async def test_lines_that_repeat_a_page_are_an_error(stripe: "Stripe") -> None:
    stripe.change("create_invoice", lines=250)
    stripe.fault("repeat", "/v1/invoices/in_", skip=1, times=None)
    with pytest.raises(ProtocolError, match=r"acme/stripe: the list /v1/invoices/in_.*/lines repeats a page"):
        await load(stripe, "invoices", concurrency=1)


async def test_a_record_without_id_is_handed_over_to_be_rejected(stripe: "Stripe") -> None:
    stripe.fault("bad_record", "/v1/customers", drop="id", record=5, times=1)
    copy, _ = await load(stripe, "customers")
    assert copy.rejects == 1
    assert len(copy.records) == len(stripe.oracle("customers")) - 1


@pytest.mark.parametrize("record", [0, 99])
@pytest.mark.parametrize("broken", [{"created": "yesterday"}, {"id": 5}, {"lines": "none"}])
async def test_a_broken_record_does_not_break_its_page(
    stripe: "Stripe", record: int, broken: dict[str, Any]
) -> None:
    stripe.fault("bad_record", "/v1/invoices", replace=broken, record=record, times=1)
    copy, pages = await load(stripe, "invoices", concurrency=1)
    missed = stripe.oracle("invoices").keys() - copy.records.keys()
    assert pages[-1].refresh_done
    assert len(missed) <= copy.rejects <= 1


async def test_a_provider_clock_that_jumps_loses_no_change(stripe: "Stripe") -> None:
    stripe.fault("clock", seconds=9e6, times=None)
    copy = await stripe.loaded("customers")
    stripe.sandbox.faults.clear()
    first = next(iter(stripe.oracle("customers")))
    stripe.change("update_customer", first, name="Renamed after the jump")
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("customers")


# Errors that stay ---------------------------------------------------------------------------------


async def test_a_wrong_key_is_told_without_any_of_it(stripe: "Stripe") -> None:
    with pytest.raises(
        AuthenticationError, match=r"stripe connection acme/stripe: GET .* answered 401"
    ) as caught:
        await load_with_key(stripe, "sk_test_fake_wrong_5678")
    assert not {"fake", "5678"} & set(str(caught.value).replace("_", " ").split())
    assert MASK in str(caught.value)


async def load_with_key(stripe: "Stripe", key: str) -> list[Page]:
    async with stripe.adapter(key) as adapter:
        return [page async for page in adapter.pull("customers", None)]


async def test_a_key_revoked_in_the_middle_leaves_the_cursor_where_it_was(stripe: "Stripe") -> None:
    copy = stripe.copy("customers")
    stripe.fault("revoked", "/v1/customers", skip=3, times=None)
    with pytest.raises(AuthenticationError, match="wrong or revoked"):
        await stripe.sync(copy, concurrency=1)
    assert copy.cursor
    stripe.sandbox.faults.clear()
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("customers")


async def test_a_missing_right_surfaces(stripe: "Stripe") -> None:
    stripe.fault("status", "/v1/invoices", status=403, times=None)
    with pytest.raises(PermissionDeniedError, match="required permissions"):
        await load(stripe, "invoices")


async def test_a_right_to_read_events_is_asked_for_at_once(stripe: "Stripe") -> None:
    stripe.fault("status", "/v1/events", status=403, times=None)
    with pytest.raises(PermissionDeniedError):
        await load(stripe, "customers")


async def test_a_base_url_that_leads_elsewhere(stripe: "Stripe") -> None:
    with pytest.raises(NotFoundError, match="Is base_url right"):
        await load(stripe, "customers", base_url=f"{stripe.url}/elsewhere")


async def test_a_limit_that_stays_exceeded_surfaces(stripe: "Stripe") -> None:
    stripe.fault("status", status=429, times=None)
    with pytest.raises(RateLimitedError, match="The next run goes on from here"):
        await load(stripe, "customers", retry_count=2)


async def test_stripe_says_that_a_retry_is_useless(stripe: "Stripe", monkeypatch: pytest.MonkeyPatch) -> None:
    provider_error = stripe.sandbox.status_error

    def error(status: int, code: str | None) -> ApiError:
        made = provider_error(status, code)
        made.reply.headers["stripe-should-retry"] = "false"
        return made

    monkeypatch.setattr(stripe.sandbox, "status_error", error)
    stripe.fault("status", status=500, times=None)
    with pytest.raises(UnavailableError):
        await load(stripe, "customers")
    assert sum(stripe.requests().values()) == 1
    # A limit is backed off from all the same (https://docs.stripe.com/rate-limits).
    stripe.sandbox.faults.clear()
    stripe.fault("status", status=429, times=2)
    copy, _ = await load(stripe, "customers")
    assert copy.records == stripe.oracle("customers")


@pytest.mark.parametrize("key", ["pk_test_fake_acme", "whatever"])
async def test_a_key_of_another_kind_is_refused_before_anything_is_sent(stripe: "Stripe", key: str) -> None:
    with pytest.raises(ConfigurationError, match="starts with sk_ or rk_") as caught:
        await stripe.adapter(key).connect()
    assert key not in str(caught.value)
    assert not stripe.requests()


# The account --------------------------------------------------------------------------------------


async def test_it_tells_whose_account_a_key_opens(stripe: "Stripe") -> None:
    async with stripe.adapter() as adapter:
        account = await adapter.test()
    assert (account.id, account.livemode) == (stripe.data.profile["id"], False)
    async with stripe.adapter("sk_live_fake_acme") as adapter:
        assert (await adapter.test()).livemode is True


async def test_a_restricted_key_need_not_read_the_account(stripe: "Stripe") -> None:
    stripe.fault("status", "/v1/account", status=403)
    async with stripe.adapter() as adapter:
        assert (await adapter.test()).id == "unknown"


async def test_a_test_finds_a_stream_that_may_not_be_read(stripe: "Stripe") -> None:
    stripe.fault("status", "/v1/events", status=403)
    async with stripe.adapter() as adapter:
        with pytest.raises(PermissionDeniedError, match=r"GET .*/v1/events"):
            await adapter.test()


LIMITS = ("default", "customers", "customer", "invoices", "invoice", "lines", "events", "event", "search")


async def test_a_live_account_has_a_limit_for_each_endpoint_and_a_sandbox_one_for_all(
    stripe: "Stripe",
) -> None:
    for key, limits in (
        (KEY, 1),
        ("rk_test_fake_acme", 1),
        ("sk_live_fake_acme", 9),
        ("rk_live_fake_acme", 9),
    ):
        async with stripe.adapter(key, requests_per_second=None) as adapter:
            used = {name: adapter.http._limit(name) for name in LIMITS}
            assert len(set(used.values())) == limits
            rates = {name: limit.rate for name, limit in used.items()}
            assert rates.pop("search") == (25 if limits == 1 else 20)
            assert rates.pop("default") == (25 if limits == 1 else 100), "all endpoints together"
            assert set(rates.values()) == {25}
    async with stripe.adapter("sk_live_fake_acme", requests_per_second=60) as adapter:
        assert [limit.rate for limit in {adapter.http._limit(name) for name in LIMITS}] == [60]
