"""What a full refresh has not met is asked for before it is buried, and much of it needs a person's word."""

from typing import Any

import pytest

from adapters.stripe.reading import StripeReader
from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.source import Source
from unified.kit.errors import PermissionDeniedError, ProtocolError, SingleRecordsError
from unified.kit.reading.windows import WindowPage


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Ids that Stripe's lists leave out from now on, as they do with customers on a test clock."""
    hidden: set[str] = set()
    sound = StripeReader.listed

    async def listed(self: StripeReader, name: str, window: Any) -> WindowPage:
        page = await sound(self, name, window)
        records = [record for record in page.records if record.source_id not in hidden]
        return WindowPage(records, page.observed_at, page.rest, page.tombstones)

    monkeypatch.setattr(StripeReader, "listed", listed)
    return hidden


@pytest.mark.parametrize("share", [0.02, 0.4, 1.0])
async def test_what_a_list_leaves_out_stays_alive(stripe: Source, hide: set[str], share: float) -> None:
    await stripe.sync()
    known = sorted(await stripe.stored())
    hide.update(known[: int(len(known) * share)])
    result = await stripe.sync(full=True)
    assert (result.mode, result.deleted, result.is_complete) == ("full", 0, True)
    assert sorted(await stripe.stored()) == known
    assert result.read == result.inserted + result.updated + result.unchanged + result.rejected
    # Once it is gone, it is buried, though no list ever shows that.
    gone = known[0]
    stripe.change("delete_customer", gone)
    assert (await stripe.sync(full=True)).deleted == 1
    assert gone in await stripe.tombstones()
    assert (await stripe.sync()).mode == "incremental"


async def gone_of(stripe: Source, number: int) -> list[str]:
    ids = sorted(await stripe.stored())[:number]
    for one in ids:
        stripe.change("delete_customer", one)
    return ids


async def test_more_than_a_share_needs_a_word(stripe: Source) -> None:
    await stripe.sync()
    ids = await gone_of(stripe, 100)
    known = await stripe.tombstones()
    for _ in range(2):
        error = await stripe.assert_fails(full=True)
        assert "unified sync acme/main --full --bury" in str(error)
        assert await stripe.tombstones() == known
    result = await stripe.sync(full=True, bury=True)
    assert (result.deleted, result.is_complete) == (100, True)
    assert set(ids) <= await stripe.tombstones()
    assert (await stripe.sync()).mode == "incremental"


async def test_listing_anew_ends_a_refusal_where_all_are_listed_again(stripe: Source, hide: set[str]) -> None:
    await stripe.sync()
    known = sorted(await stripe.stored())
    hide.update(known[:100])
    stripe.fault("status", "/v1/customers/", status=404, code="resource_missing", times=None)
    await stripe.assert_fails(full=True)
    assert sorted(await stripe.stored()) == known
    stripe.sandbox.faults.clear()
    hide.clear()
    assert (await stripe.sync(full=True)).deleted == 0
    assert sorted(await stripe.stored()) == known


@pytest.mark.parametrize(
    ("share", "number", "passes"), [(0.5, 100, True), (0.0, 1, False), (0.3, 10, True), (1.0, 200, True)]
)
async def test_the_share_is_a_setting(
    source_of: MakeSource, share: float, number: int, *, passes: bool
) -> None:
    stripe = await source_of("stripe")
    await stripe.configure(bury_at_most=share)
    await stripe.sync()
    ids = await gone_of(stripe, number)
    if passes:
        assert (await stripe.sync(full=True)).deleted == number
        assert set(ids) <= await stripe.tombstones()
    else:
        await stripe.assert_fails(full=True)


@pytest.mark.parametrize("error", [PermissionDeniedError("no right"), ProtocolError("odd")])
async def test_what_can_not_be_asked_for_stays_alive(
    stripe: Source, hide: set[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await stripe.sync()
    known = sorted(await stripe.stored())
    hide.update(known[:5])

    async def current(*_: Any) -> Any:
        raise error
        yield

    monkeypatch.setattr(StripeReader, "current", current)
    assert (await stripe.sync(full=True)).deleted == 0
    assert sorted(await stripe.stored()) == known


@pytest.mark.parametrize(("number", "passes"), [(5, True), (100, False)])
async def test_where_no_single_record_can_be_read_the_list_counts(
    stripe: Source, hide: set[str], monkeypatch: pytest.MonkeyPatch, number: int, *, passes: bool
) -> None:
    await stripe.sync()
    hide.update(sorted(await stripe.stored())[:number])

    async def current(*_: Any) -> Any:
        raise SingleRecordsError("only lists")
        yield

    monkeypatch.setattr(StripeReader, "current", current)
    if passes:
        assert (await stripe.sync(full=True)).deleted == number
    else:
        await stripe.assert_fails(full=True)
