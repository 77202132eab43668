"""Incremental pulls against the stand-in: what changed, and no more requests than that takes."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from unified.kit.errors import AdapterError, StaleCursorError, UnavailableError

if TYPE_CHECKING:
    from tests.adapters.stripe.conftest import Stripe

OBJECTS = ("customers", "invoices")


def some(stripe: "Stripe", stream: str, **fields: Any) -> list[str]:
    """Ids of records that have these values."""
    return [
        name
        for name, record in stripe.oracle(stream).items()
        if all(record[field] == value for field, value in fields.items())
    ]


@pytest.mark.parametrize("stream", ["customers", "invoices", "events"])
async def test_a_pull_without_changes_costs_one_request(stripe: "Stripe", stream: str) -> None:
    copy = await stripe.loaded(stream)
    before = dict(copy.records)
    for _ in range(2):
        await stripe.sync(copy)
        assert stripe.requests() == {"GET /v1/events": 1}
        assert copy.records == before


async def test_a_pull_without_changes_right_after_changes_costs_one_request(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    for customer in some(stripe, "customers")[:40]:
        stripe.change("update_customer", customer, name="Renamed")
    await stripe.sync(copy)
    stripe.requests()
    await stripe.sync(copy)
    assert stripe.requests() == {"GET /v1/events": 1}
    stripe.sandbox.clock.advance(seconds=30)
    await stripe.sync(copy)
    assert stripe.requests() == {"GET /v1/events": 1}


async def test_changed_created_and_deleted_customers(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    renamed, gone = some(stripe, "customers")[5:7]
    stripe.change("update_customer", renamed, name="Renamed")
    stripe.change("delete_customer", gone)
    created = stripe.change("create_customer", email=None)["id"]
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("customers")
    assert copy.gone == {gone: datetime.fromtimestamp(int(stripe.sandbox.clock.time()), UTC)}
    assert sorted(copy.met) == sorted([renamed, created])


async def test_invoices_through_all_their_states(stripe: "Stripe") -> None:
    copy = await stripe.loaded("invoices")
    draft, other = some(stripe, "invoices", status="draft")[:2]
    first, second, third = some(stripe, "invoices", status="open")[:3]
    stripe.change("finalize_invoice", draft)
    stripe.change("delete_invoice", other)
    stripe.change("pay_invoice", first)
    stripe.change("void_invoice", second)
    stripe.change("write_off_invoice", third)
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("invoices")
    assert sorted(copy.met) == sorted([draft, first, second, third])
    assert list(copy.gone) == [other]


async def test_lines_beyond_the_tenth_of_changed_and_new_invoices(stripe: "Stripe") -> None:
    old = stripe.change("create_invoice", lines=130)["id"]
    copy = await stripe.loaded("invoices")
    stripe.sandbox.clock.advance(days=1)
    await stripe.sync(copy)
    stripe.change("update_invoice", old, description="Changed")
    new = stripe.change("create_invoice", lines=12)["id"]
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("invoices")
    assert [len(copy.records[name]["lines"]["data"]) for name in (old, new)] == [130, 12]


async def test_created_and_changed_in_the_same_second(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    created = stripe.change("create_customer", name="New")["id"]
    stripe.change("update_customer", created, name="New and changed")
    await stripe.sync(copy)
    assert copy.records[created]["name"] == "New and changed"


async def test_a_change_in_the_second_of_the_last_pull(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    customer = some(stripe, "customers")[3]
    stripe.change("update_customer", customer, name="First")
    await stripe.sync(copy)
    stripe.change("update_customer", customer, name="Second")
    await stripe.sync(copy)
    assert copy.records[customer]["name"] == "Second"


async def test_an_event_that_shows_up_late(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    stripe.sandbox.clock.advance(days=1)
    await stripe.sync(copy)
    customer = some(stripe, "customers")[3]
    stripe.sandbox.clock.advance(seconds=-200)
    stripe.change("update_customer", customer, name="Late")
    stripe.sandbox.clock.advance(seconds=260)
    await stripe.sync(copy)
    assert copy.records[customer]["name"] == "Late"


async def test_many_new_objects_are_listed_not_fetched_one_by_one(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    for number in range(250):
        stripe.change("create_customer", name=f"New {number}")
    await stripe.sync(copy, concurrency=1)
    assert stripe.requests() == {"GET /v1/events": 3, "GET /v1/customers": 3}
    assert copy.records == stripe.oracle("customers")


async def test_an_object_that_changed_often_is_read_once(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    customer = some(stripe, "customers")[3]
    for number in range(250):
        stripe.change("update_customer", customer, name=f"Name {number}")
    # Long enough ago not to lie in the overlap with the next pull.
    stripe.sandbox.clock.advance(days=1)
    await stripe.sync(copy, concurrency=1)
    assert stripe.requests() == {"GET /v1/events": 3, "GET /v1/customers/{id}": 1}
    assert copy.records[customer]["name"] == "Name 249"


async def test_a_change_and_a_deletion_bring_a_tombstone_only(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    customer = some(stripe, "customers")[3]
    stripe.change("update_customer", customer, name="Renamed")
    stripe.change("delete_customer", customer)
    await stripe.sync(copy)
    assert (copy.met, list(copy.gone)) == ([], [customer])
    assert stripe.requests() == {"GET /v1/events": 1}


@pytest.mark.parametrize(
    ("stream", "delete"), [("customers", "delete_customer"), ("invoices", "delete_invoice")]
)
async def test_an_object_that_is_gone_when_it_is_read_again(
    stripe: "Stripe", stream: str, delete: str
) -> None:
    copy = await stripe.loaded(stream)
    target = some(stripe, stream, **({"status": "draft"} if stream == "invoices" else {}))[3]
    stripe.change(f"update_{stream[:-1]}", target, description="Changed")
    stripe.change(delete, target)
    # The event of the deletion is not in the feed yet, as far as this pull can tell.
    deletion = next(
        name for name, event in stripe.oracle("events").items() if event["type"].endswith(".deleted")
    )
    copy.cursor["seen"] = [deletion]
    await stripe.sync(copy)
    assert list(copy.gone) == [target]
    assert copy.records == stripe.oracle(stream)


async def test_previews_of_invoices_have_no_id(stripe: "Stripe") -> None:
    copy = await stripe.loaded("invoices")
    copy.cursor = {"since": int(stripe.sandbox.clock.time()) - 25 * 86_400}
    events = stripe.oracle("events").values()
    assert any(
        event["type"] == "invoice.upcoming" and "id" not in event["data"]["object"] for event in events
    )
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("invoices")


async def test_payloads_of_old_api_versions_are_never_stored(stripe: "Stripe") -> None:
    copy = await stripe.loaded("invoices")
    stripe.data.events.version = "2024-06-20"
    invoice = some(stripe, "invoices", status="open")[0]
    stripe.change("pay_invoice", invoice)
    await stripe.sync(copy)
    assert copy.records[invoice] == stripe.oracle("invoices")[invoice]
    assert "parent" in copy.records[invoice]


# Interrupted and late -----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", OBJECTS)
async def test_a_feed_killed_after_every_page_ends_complete(stripe: "Stripe", stream: str) -> None:
    copy = await stripe.loaded(stream)
    kind, since = stream[:-1], copy.cursor["since"]
    for name in some(stripe, stream)[:150]:
        stripe.change(f"update_{kind}", name, description="Changed")
    for _ in range(150):
        stripe.change(f"create_{kind}", description="New")
    runs = 0
    while copy.cursor["since"] == since:
        await stripe.sync(copy, pages=1, concurrency=2)
        runs += 1
        assert runs < 50
    assert runs > 3
    assert copy.records == stripe.oracle(stream)


async def test_a_half_read_feed_never_moves_the_cursor_beyond_what_is_left(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    since = copy.cursor["since"]
    for name in some(stripe, "customers")[:250]:
        stripe.change("update_customer", name, description="Changed")
    stripe.fault("status", "/v1/events", skip=2, times=None)
    with pytest.raises(UnavailableError):
        await stripe.sync(copy, concurrency=1, retry_count=0)
    assert copy.cursor["since"] == since
    stripe.sandbox.faults.clear()
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("customers")


async def test_changes_made_while_an_interrupted_feed_waits(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    names = some(stripe, "customers")
    for name in names[:250]:
        stripe.change("update_customer", name, description="Changed")
    await stripe.sync(copy, pages=1, concurrency=1)
    stripe.sandbox.clock.advance(days=1)
    stripe.change("update_customer", names[0], description="Changed again")
    await stripe.sync(copy)
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("customers")


async def test_a_change_made_after_its_object_was_read_in_the_same_pull(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    customer, since = some(stripe, "customers")[0], copy.cursor["since"]
    stripe.change("update_customer", customer, name="First")
    stripe.sandbox.clock.advance(seconds=60)
    now = int(stripe.sandbox.clock.time())
    copy.cursor["feed"] = [{"low": since, "high": now}, {"low": now, "high": 2**40}]
    async with stripe.adapter(concurrency=1) as adapter:
        async for page in adapter.pull("customers", copy.cursor):
            copy.add(page)
            if page.records and copy.records[customer]["name"] == "First":
                stripe.change("update_customer", customer, name="Second")
    await stripe.sync(copy)
    assert copy.records[customer]["name"] == "Second"


@pytest.mark.parametrize("stream", OBJECTS)
async def test_a_cursor_older_than_the_feed_is_stale(stripe: "Stripe", stream: str) -> None:
    copy = await stripe.loaded(stream)
    deleted = some(stripe, stream, **({"status": "draft"} if stream == "invoices" else {}))[0]
    stripe.change(f"delete_{stream[:-1]}", deleted)
    stripe.sandbox.clock.advance(days=35)
    with pytest.raises(StaleCursorError, match="the last pull is longer ago"):
        await stripe.sync(copy)
    copy.cursor = None
    pages = await stripe.sync(copy)
    assert all(page.refresh_started_at for page in pages)
    assert pages[-1].refresh_done
    assert copy.records == stripe.oracle(stream)
    # And from there on by the feed again.
    stripe.requests()
    await stripe.sync(copy)
    assert stripe.requests() == {"GET /v1/events": 1}


async def test_an_interrupted_feed_that_became_too_old(stripe: "Stripe") -> None:
    copy = await stripe.loaded("customers")
    for name in some(stripe, "customers")[:250]:
        stripe.change("update_customer", name, description="Changed")
    await stripe.sync(copy, pages=1, concurrency=1)
    stripe.sandbox.clock.advance(days=35)
    with pytest.raises(StaleCursorError):
        await stripe.sync(copy)


async def test_an_unreadable_event_is_told_in_the_log(
    stripe: "Stripe", caplog: pytest.LogCaptureFixture
) -> None:
    copy = await stripe.loaded("customers")
    first, second = some(stripe, "customers")[:2]
    stripe.change("update_customer", first, description="Changed")
    stripe.change("update_customer", second, description="Changed")
    stripe.fault("bad_record", "/v1/events", replace={"type": 5})
    await stripe.sync(copy)
    assert copy.met == [first]
    assert "an event can't be read" in caplog.text


async def test_a_clock_that_runs_ahead_here_loses_no_change(
    stripe: "Stripe", monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = await stripe.loaded("customers")
    ahead = stripe.sandbox.clock.time() + 9e6
    adapter = stripe.adapter()
    adapter.clock = lambda: datetime.fromtimestamp(ahead, UTC)
    async with adapter:
        async for page in adapter.pull("customers", copy.cursor):
            copy.add(page)
    stripe.change("update_customer", some(stripe, "customers")[0], description="Changed")
    await stripe.sync(copy)
    assert copy.records == stripe.oracle("customers")


# Events as records --------------------------------------------------------------------------------


async def test_new_events_are_added_and_old_ones_kept(stripe: "Stripe") -> None:
    copy = await stripe.loaded("events")
    before = set(copy.records)
    stripe.change("create_customer", name="New")
    stripe.sandbox.clock.advance(days=20)
    stripe.change("create_customer", name="Newer")
    pages = await stripe.sync(copy)
    assert set(copy.records) > before
    assert copy.records.keys() >= stripe.oracle("events").keys()
    assert not copy.gone
    assert not any(page.refresh_done for page in pages)


async def test_events_that_left_the_feed_unread_are_told_in_the_log(
    stripe: "Stripe", caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    copy = await stripe.loaded("events")
    await stripe.sync(copy)
    assert "no longer keeps" not in caplog.text
    stripe.change("create_customer", name="Missed")
    stripe.sandbox.clock.advance(days=40)
    stripe.change("create_customer", name="New")
    await stripe.sync(copy)
    assert copy.records.keys() >= stripe.oracle("events").keys()
    assert "no longer keeps all events since 2026-" in caplog.text


# Single records -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", OBJECTS)
async def test_records_are_fetched_by_id(stripe: "Stripe", stream: str) -> None:
    ids = some(stripe, stream)[:120]
    if stream == "invoices":
        ids.append(stripe.change("create_invoice", lines=40)["id"])
    gone = some(stripe, stream, **({"status": "draft"} if stream == "invoices" else {}))[-1]
    stripe.change(f"delete_{stream[:-1]}", gone)
    unknown = ids[0][:-4] + "ZZZZ"
    copy = stripe.copy(stream)
    async with stripe.adapter() as adapter:
        async for page in adapter.fetch(stream, [*ids, gone, unknown, ids[0]]):
            assert page.cursor is None
            copy.add(page)
    assert copy.met == list(dict.fromkeys(copy.met))
    source = stripe.oracle(stream)
    assert copy.records == {name: source[name] for name in ids}
    assert copy.gone.keys() == {gone, unknown}


async def test_an_event_that_is_no_longer_kept_is_no_tombstone(stripe: "Stripe") -> None:
    old = next(reversed(stripe.oracle("events")))
    new = next(iter(stripe.oracle("events")))
    stripe.sandbox.clock.advance(days=15)
    copy = stripe.copy("events")
    async with stripe.adapter() as adapter:
        async for page in adapter.fetch("events", [old, new]):
            copy.add(page)
    assert (list(copy.records), copy.gone) == ([new], {})


async def test_an_id_can_not_lead_to_another_path(stripe: "Stripe") -> None:
    async with stripe.adapter() as adapter:
        with pytest.raises(AdapterError):
            async for _ in adapter.fetch("customers", ["../account"]):
                pass
    assert "GET /v1/account" not in stripe.requests()
