"""Requests that fail in between cost what they were about, and nothing that was read before them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from unified.kit.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.stripe.conftest import Stripe
    from unified.conformance.bench import Copy

# Every request is tried once, so that each failure reaches the reading. Of eight readers one would always fail at once.
ONCE = {"retry_count": 0}


async def attempt(stripe: Stripe, copy: Copy, **settings: Any) -> bool:
    """One sync, as far as it comes; whether it reached the end."""
    try:
        await stripe.sync(copy, **{**ONCE, **settings})
    except ProviderError:
        return False
    return True


def account(stripe_of: Callable[..., Stripe], invoices: int = 60) -> Stripe:
    """Invoices whose lines take a request each."""
    stripe = stripe_of(customers=5, invoices=0)
    for _ in range(invoices):
        stripe.change("create_invoice", lines=11)
    return stripe


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"kind": "status", "status": 500, "retry_after": "0"}, id="500 with Retry-After"),
        pytest.param({"kind": "status", "status": 429, "retry_after": "0"}, id="429"),
        pytest.param({"kind": "cut"}, id="cut off"),
        pytest.param({"kind": "html"}, id="HTML"),
        pytest.param({"kind": "malformed"}, id="half the JSON"),
    ],
)
async def test_each_run_stores_what_it_read_although_every_seventh_request_fails(
    trouble: dict[str, Any], concurrency: int, stripe_of: Callable[..., Stripe]
) -> None:
    stripe = account(stripe_of)
    stripe.fault(every=7, times=None, **trouble)
    copy = stripe.copy("invoices")
    stored, is_done, runs = 0, False, 0
    while not is_done:
        is_done = await attempt(stripe, copy, concurrency=concurrency, retry_count=int(concurrency > 1))
        runs += 1
        assert runs < 30
        if runs % 5 == 0:  # a run whose first request fails has read nothing
            assert len(copy.records) > stored or is_done
            stored = len(copy.records)
    assert copy.records == stripe.oracle("invoices")
    assert all(len(one["lines"]["data"]) == 11 for one in copy.records.values())
    # Sixty requests would do where none failed; each failure costs those under way, and a page of the list.
    assert sum(stripe.requests().values()) < 6 * 60


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_what_changed_is_kept_as_far_as_it_was_read(
    concurrency: int, stripe_of: Callable[..., Stripe]
) -> None:
    stripe = account(stripe_of)
    copy = stripe.copy("invoices")
    await stripe.sync(copy)
    stripe.sandbox.clock.advance(days=1)
    for invoice_id in list(copy.records):
        stripe.change("update_invoice", invoice_id, description="changed")
    stripe.sandbox.clock.advance(seconds=3600)
    stripe.fault("status", status=500, retry_after="0", every=7, times=None)
    runs = 0
    changed = 0
    while not await attempt(stripe, copy, concurrency=concurrency, retry_count=int(concurrency > 1)):
        runs += 1
        assert runs < 60
        now = sum(one["description"] == "changed" for one in copy.records.values())
        assert now >= changed
        changed = now
    assert copy.records == stripe.oracle("invoices")


async def test_an_invoice_that_is_always_refused_keeps_what_is_before_it(
    stripe_of: Callable[..., Stripe],
) -> None:
    stripe = account(stripe_of, 30)
    refused = (await read_order(stripe))[20]
    stripe.fault("status", f"/v1/invoices/{refused}/lines", status=500, times=None)
    copy = stripe.copy("invoices")
    for _ in range(2):
        assert not await attempt(stripe, copy)
        assert len(copy.records) == 20
        assert refused not in copy.records
    stripe.sandbox.faults.clear()
    assert await attempt(stripe, copy)
    assert copy.records == stripe.oracle("invoices")


async def read_order(stripe: Stripe) -> list[str]:
    """Ids in the order in which a list shows them."""
    copy = stripe.copy("invoices")
    await stripe.sync(copy)
    return list(copy.met)


async def test_single_records_that_were_read_before_a_failure_are_handed_over(
    stripe_of: Callable[..., Stripe],
) -> None:
    stripe = account(stripe_of, 10)
    ids = await read_order(stripe)
    stripe.fault("status", f"/v1/invoices/{ids[6]}", status=500, times=None)
    read: list[str | None] = []
    async with stripe.adapter(**ONCE) as adapter:
        pages = adapter.fetch("invoices", ["in_nobody", *ids])
        with pytest.raises(ProviderError):
            await take(pages, read)
    assert set(read) == {"in_nobody", *ids[:6]}


async def take(pages: Any, read: list[str | None]) -> None:
    async for page in pages:
        read += [one.source_id for one in (*page.records, *page.tombstones)]


async def test_a_credential_that_is_refused_half_way_keeps_what_was_read(
    stripe_of: Callable[..., Stripe],
) -> None:
    stripe = account(stripe_of, 30)
    stripe.fault("revoked", "/v1/invoices/", skip=12, times=None)
    copy = stripe.copy("invoices")
    assert not await attempt(stripe, copy, concurrency=1)
    assert len(copy.records) == 12
