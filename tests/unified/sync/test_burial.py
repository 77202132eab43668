"""What a full refresh has not met is asked for before it is buried, and much of it needs a person's word."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from adapters.stripe.adapter import StripeAdapter
from adapters.stripe.reading import StripeReader
from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.source import Source
from unified.kit.errors import PermissionDeniedError, ProtocolError, SingleRecordsError
from unified.kit.reading.refresh import Refresh
from unified.kit.reading.windows import Window, WindowPage
from unified.kit.streams import Cursor, Page
from unified.store.records import burials


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


async def test_a_comparison_of_ids_buries_what_is_gone_and_nothing_else(
    stripe: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stripe.sync()
    unlisted, gone, *listed = sorted(await stripe.stored())
    stripe.change("delete_customer", gone)

    async def compared(self: StripeAdapter, _: str, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        async def ids(_: Window) -> WindowPage:
            return WindowPage((), self.clock(), None, met=listed)

        refresh = Refresh(self.clock(), [Window(0, 1)], cursor or {}, compares=True)
        async for page in refresh.pages(ids, readers=1):
            yield page

    monkeypatch.setattr(StripeAdapter, "pull", compared)
    stripe.sandbox.stats.reset()
    assert (await stripe.sync()).deleted == 1
    assert stripe.requests_of("/customers/{id}") == 2, "what is listed is not asked for"
    assert sorted(await stripe.stored()) == sorted([unlisted, *listed])
    assert gone in await stripe.tombstones()


async def gone_of(stripe: Source, number: int) -> list[str]:
    ids = sorted(await stripe.stored())[:number]
    for one in ids:
        stripe.change("delete_customer", one)
    return ids


async def confirmed(stripe: Source) -> None:
    connection = stripe.connection
    async with stripe.db.workspace(connection.workspace_id) as conn:
        await burials.confirm(conn, connection.workspace_id, connection.id, actor="a person")


async def waiting(stripe: Source) -> list[burials.WaitingBurial]:
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        return await burials.waiting(conn, stripe.connection.id)


async def test_more_than_a_share_needs_a_word(stripe: Source) -> None:
    await stripe.sync()
    ids = await gone_of(stripe, 100)
    known = await stripe.tombstones()
    for _ in range(2):
        error = await stripe.assert_fails(full=True)
        assert "unified sync acme/main --bury" in str(error)
        assert await stripe.tombstones() == known
    result = await stripe.sync(full=True, bury=True)
    assert (result.deleted, result.is_complete) == (100, True)
    assert set(ids) <= await stripe.tombstones()
    assert (await stripe.sync()).mode == "incremental"
    assert await waiting(stripe) == []


async def test_what_waits_is_kept_and_the_stream_goes_on(stripe: Source, hide: set[str]) -> None:
    """Deleted where no event says so: only the full refresh knows of it."""
    await stripe.sync()
    known = sorted(await stripe.stored())
    gone, kept = known[:100], known[100:]
    buried = await stripe.tombstones()
    hide.update(gone)
    stripe.fault("status", "/v1/customers/", status=404, code="resource_missing", times=None)
    await stripe.assert_fails(full=True)
    stripe.sandbox.faults.clear()
    stripe.rename(kept[0], "New name")
    hide.add(kept[0])
    stripe.sandbox.stats.reset()
    for _ in range(2):
        result = await stripe.sync()
        assert (result.mode, result.deleted, result.is_complete) == ("incremental", 0, True)
    assert stripe.requests < 6, "neither listed nor asked for anew"
    assert (await stripe.stored())[kept[0]]["name"] == "New name"
    (one,) = await waiting(stripe)
    assert (one.stream, one.missing, one.living, one.confirmed_at) == (
        "customers",
        100,
        len(known),
        None,
    )
    assert one.gone > len(known) * 0.3
    assert (await stripe.state()).sync_status == "success"
    # One of them changes, so it is there all the same; the others go once a person has spoken.
    stripe.rename(gone[0], "Still here")
    await stripe.sync()
    await confirmed(stripe)
    await confirmed(stripe)
    stripe.fault("status", "/v1/customers/", status=404, code="resource_missing", times=None)
    listed = stripe.requests_of("/customers")
    result = await stripe.sync(full=True)
    assert (result.deleted, stripe.requests_of("/customers")) == (99, listed)
    assert await stripe.tombstones() == buried | set(gone[1:])
    stripe.sandbox.faults.clear()
    assert await waiting(stripe) == []
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        rows = await conn.execute("SELECT actor, detail FROM audit_log WHERE action = 'connection.bury'")
        ((actor, detail),) = await rows.fetchall()
    assert (actor, detail["customers"]["missing"]) == ("a person", 100)


async def test_a_later_refresh_takes_the_place_of_one_that_waits(stripe: Source, hide: set[str]) -> None:
    await stripe.sync()
    known = sorted(await stripe.stored())
    hide.update(known[:100])
    stripe.fault("status", "/v1/customers/", status=404, code="resource_missing", times=None)
    await stripe.assert_fails(full=True)
    hide.difference_update(known[:10])
    stripe.sandbox.clock.advance(seconds=5)
    await stripe.assert_fails(full=True)
    (one,) = await waiting(stripe)
    assert one.missing == 90
    await confirmed(stripe)
    # What is said of one does not count for the next.
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        await burials.keep(
            conn, stripe.key("customers"), one.refresh_started_at, missing=90, gone=80, living=250
        )
    assert (await stripe.sync()).deleted == 0
    hide.clear()
    assert (await stripe.sync(full=True)).deleted == 0
    assert await waiting(stripe) == []
    assert sorted(await stripe.stored()) == known


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
