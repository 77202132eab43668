"""Drain: what is delivered ends in the tables, once and in its newest state, whatever gets in its way."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from psycopg import AsyncConnection, sql

import unified.sync.connection_drain
import unified.sync.events
from adapters.stripe.adapter import StripeAdapter
from tests.unified.sync.deliveries import Event, all_events, assert_applied, caused, deliver, drained
from tests.unified.sync.source import KEYS, Source, until
from unified.kit.streams import Changes
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store import removal
from unified.store.connections.registry import Registry
from unified.store.inbox import backlog, dead_letters
from unified.store.inbox import events as inbox
from unified.store.workspaces import workspaces
from unified.sync.connection_drain import ConnectionDrain
from unified.sync.drain import drain
from unified.sync.mapper import Mapper

HOUR = timedelta(hours=1)
TABLES = ("customers", "invoices", "events")


def some_changes(source: Source) -> list[Event]:
    """Changes of every kind, as events."""
    customers, invoices = list(source.expected()), list(source.expected("invoices"))
    draft = source.change("create_invoice", lines=23, customer=customers[0])
    return caused(
        source,
        lambda: source.change("create_customer", name="New"),
        *(partial(source.rename, customers[1], f"Renamed {number}") for number in range(5)),
        partial(source.change, "delete_customer", customers[2]),
        partial(source.change, "update_invoice", invoices[0], description="changed"),
        partial(source.change, "finalize_invoice", draft["id"]),
    )


def many_changes(source: Source, number: int) -> list[Event]:
    """Events of as many different customers."""
    customers = list(source.expected())[:number]
    return caused(source, *(partial(source.rename, customer, "Renamed") for customer in customers))


async def test_what_is_delivered_ends_in_the_tables(stripe: Source) -> None:
    await stripe.sync_all()
    before, buried = all_events(stripe), await stripe.tombstones()
    events = some_changes(stripe)
    gone = next(event["data"]["object"]["id"] for event in events if event["type"] == "customer.deleted")
    assert await deliver(stripe, events) == len(events)
    stripe.sandbox.stats.reset()

    result = await drained(stripe)

    assert result is not None
    assert (result.events, result.retried, result.failed, result.error) == (len(events), 0, 0, None)
    assert (result.counts["customers"].inserted, result.counts["customers"].updated) == (1, 1)
    assert result.counts["customers"].deleted == 1
    assert result.counts["events"].inserted == len(events)
    await stripe.assert_agrees("customers", "invoices")
    assert await stripe.tombstones() == {*buried, gone}
    created = [event for event in all_events(stripe) if event["id"] not in {one["id"] for one in before}]
    assert len(created) > len(events)  # the draft's own creation was never delivered
    await assert_applied(stripe, [*before, *events])
    # Each record was read once, however many events it had: 2 customers, 2 invoices with more than a page of lines.
    assert stripe.requests == result.requests == 6
    assert await drained(stripe) is None


async def test_order_and_duplicates_do_not_matter(stripe: Source) -> None:
    events = some_changes(stripe)
    for event in [*events[::-1], *events]:
        await deliver(stripe, [event])
    await drained(stripe)
    known = {event["data"]["object"]["id"] for event in events}
    for stream in ("customers", "invoices"):
        expected = {key: raw for key, raw in stripe.expected(stream).items() if key in known}
        assert await stripe.stored(stream) == expected
    await assert_applied(stripe, events)


async def test_polled_and_delivered_events_are_one(stripe: Source) -> None:
    """Whichever comes first, there is one row; and a delivery that never came is made up for by the next sync."""
    await stripe.sync_all()
    events = some_changes(stripe)
    polled_first, delivered_first, missed = events[:3], events[3:6], events[6:]
    await deliver(stripe, delivered_first)
    await drained(stripe)
    await stripe.sync_all()
    await assert_applied(stripe, all_events(stripe))
    await stripe.assert_agrees("customers", "invoices")
    new = caused(stripe, lambda: stripe.change("create_customer", name="Later"))
    await deliver(stripe, [*polled_first, *new])  # not in the bytes in which they were polled
    result = await drained(stripe)
    assert result is not None
    counts = result.counts["events"]
    assert (counts.inserted, counts.updated, counts.unchanged) == (len(new), 0, len(polled_first))
    await assert_applied(stripe, all_events(stripe))
    assert {event["type"] for event in missed} >= {"invoice.updated"}


async def test_hubspots_deliveries(hubspot: Source) -> None:
    await hubspot.sync_all()
    renamed, archived, *_ = hubspot.expected()
    hubspot.rename(renamed, "Webhook")
    hubspot.change("archive_contact", archived)
    common = {
        "portalId": hubspot.data.portal_id,
        "appId": 2,
        "subscriptionId": 3,
        "occurredAt": 1_790_000_000_000,
        "attemptNumber": 0,
    }
    named = {"propertyName": "lastname", "propertyValue": "Webhook"}
    events = [
        {
            **common,
            **named,
            "eventId": 1,
            "subscriptionType": "contact.propertyChange",
            "objectId": int(renamed),
        },
        {**common, "eventId": 1, "subscriptionType": "contact.deletion", "objectId": int(archived)},
        {**common, "eventId": 1, "subscriptionType": "something.new"},
    ]
    assert await deliver(hubspot, events) == 3
    assert await deliver(hubspot, [{**event, "attemptNumber": 1} for event in events]) == 0
    result = await drained(hubspot)
    assert result is not None
    assert result.error is None
    assert (result.counts["customers"].updated, result.counts["customers"].deleted) == (1, 1)
    await hubspot.assert_agrees("customers")
    assert await hubspot.tombstones() == {archived}
    kinds = await hubspot.query(
        "SELECT event_type FROM {leaf} WHERE connection_id = %(connection)s", "events"
    )
    assert sorted(kinds) == [("contact.deletion",), ("contact.propertyChange",), ("something.new",)]


async def test_a_backlog_is_applied_in_batches_and_over_several_runs(
    stripe: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unified.sync.connection_drain, "BATCH_EVENTS", 7)
    monkeypatch.setattr(unified.sync.events, "_FETCHED_FIRST", 3)
    events = many_changes(stripe, 60)
    await deliver(stripe, events)
    sizes: list[int] = []
    result = await drained(stripe, on_progress=lambda one: sizes.append(one.events))
    assert result is not None
    assert sizes[-1] == result.events == 60
    assert len(sizes) >= 60 / 7
    assert max(b - a for a, b in zip([0, *sizes], sizes, strict=False)) <= 7
    await assert_applied(stripe, events)
    await deliver(stripe, all_events(stripe)[:10])
    assert await drained(stripe, time_limit=0) is None
    await drained(stripe)
    await assert_applied(stripe, [*all_events(stripe)[:10], *events])


async def test_it_lingers_for_what_comes_next(stripe: Source) -> None:
    """Events that come while a drain runs are applied by it, without another run."""
    first, second = all_events(stripe)[:2]
    applied = asyncio.Queue[int]()
    await deliver(stripe, [first])
    running = asyncio.create_task(
        drained(stripe, linger=60, on_progress=lambda one: applied.put_nowait(one.events))
    )
    assert await applied.get() == 1
    await deliver(stripe, [second])
    assert await applied.get() == 2
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await assert_applied(stripe, [first, second])
    # It ends by itself once nothing comes.
    started = time.monotonic()
    assert await drained(stripe, linger=0.2) is None
    assert time.monotonic() - started >= 0.2


async def test_two_drains_at_once_share_the_work(stripe: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unified.sync.connection_drain, "BATCH_EVENTS", 5)
    events = many_changes(stripe, 80)
    await deliver(stripe, events)
    results = await asyncio.gather(*(drained(stripe, linger=0.3) for _ in range(3)))
    assert sum(result.events for result in results if result) == 80
    await assert_applied(stripe, events)


async def neighbour(stripe: Source, key: str) -> Source:
    """Another workspace's connection to the same account, with some key."""
    workspace = await workspaces.create(stripe.db, "neighbour")
    connection = await stripe.registry.add_connection(
        workspace.id, "stripe", "main", stripe.connection.settings
    )
    other = type(stripe)(stripe.db, connection, stripe.sandbox, stripe.master_key)
    await other.use_key(key)
    return other


async def test_a_revoked_key_holds_up_nobody_else(stripe: Source) -> None:
    """Its events wait, longer each time, and are dead letters after a day; a new key and a replay bring them back."""
    wrong = "sk_test_fake_revoked_Tn4bQz"
    revoked = await neighbour(stripe, wrong)
    events = some_changes(stripe)
    await deliver(stripe, events)
    await deliver(revoked, events)

    results = await drain(stripe.db, stripe.factory, "stripe")

    by_key = {one.connection: one for one in results}
    assert (by_key["acme/main"].events, by_key["acme/main"].error) == (len(events), None)
    assert by_key["neighbour/main"].events == 0
    error = by_key["neighbour/main"].error
    assert error is not None
    assert "neighbour/main" in error
    assert wrong not in error
    await assert_applied(stripe, events)
    await assert_applied(revoked, [])

    now = datetime.now(UTC)
    (waiting,) = await backlog.waiting(stripe.db, "stripe", now)
    assert waiting.trouble is not None
    assert (waiting.events, waiting.trouble.error, waiting.is_due(now)) == (len(events), error, False)
    assert await drained(revoked) is None  # not before its time
    for attempts in range(2, 8):
        now = waiting.trouble.retry_at
        assert await drained(revoked, clock=lambda now=now: now) is not None
        (waiting,) = await backlog.waiting(stripe.db, "stripe", now)
        assert waiting.trouble is not None
        assert waiting.trouble.attempts == attempts
        assert waiting.trouble.retry_at - now == min(HOUR, timedelta(minutes=2 ** (attempts - 1)))

    day_later = datetime.now(UTC) + timedelta(hours=24, minutes=1)
    result = await drained(revoked, clock=lambda: day_later)
    assert result is not None
    assert result.failed == len(events)
    letters = await dead_letters.letters(stripe.db, revoked.connection, "dead")
    assert len(letters) == len(events)
    (reason,) = {letter.error for letter in letters}
    assert "neighbour/main" in reason
    assert "401" in reason

    await revoked.use_key(KEYS["stripe"])
    assert await dead_letters.replay(stripe.db, revoked.connection, datetime.now(UTC)) == len(events)
    week_later = day_later + timedelta(days=7)
    result = await drained(revoked, clock=lambda: week_later)
    assert result is not None
    assert (result.retried, result.failed, result.error) == (len(events), 0, None)
    await assert_applied(revoked, events)
    assert await dead_letters.counts(stripe.db, revoked.connection) == {"replayed": len(events)}
    assert await backlog.waiting(stripe.db, "stripe", week_later) == []


async def test_a_credential_that_ended_shows_in_its_connections_state_at_once(stripe: Source) -> None:
    """And goes from there as the events are applied after all, without a sync."""
    await stripe.sync_all()
    await deliver(stripe, some_changes(stripe))
    registry, place = Registry(stripe.db), (stripe.connection.workspace_id, stripe.connection.id)
    await stripe.use_key("sk_test_fake_revoked_Tn4bQz")
    result = await drained(stripe)
    assert result is not None
    assert "401" in (result.error or "")
    state = await registry.get_connection(*place)
    assert (state.sync_status, state.error_message) == ("error", result.error)

    await stripe.use_key(KEYS["stripe"])
    later = datetime.now(UTC) + timedelta(minutes=2)
    result = await drained(stripe, clock=lambda: later)
    assert result is not None
    assert result.error is None
    state = await registry.get_connection(*place)
    assert (state.sync_status, state.error_message) == ("success", None)


async def test_what_was_put_off_meanwhile_is_not_tried_again(stripe: Source) -> None:
    """A run may look at what waits just before a batch is put off, and hand it on just after that."""
    await stripe.use_key("sk_test_fake_revoked_Tn4bQz")
    await deliver(stripe, many_changes(stripe, 1))
    one = ConnectionDrain(stripe.db, stripe.factory, stripe.connection, await stripe.db.clock(), Mapper())
    assert await one.apply_next() is False
    tried = stripe.requests
    assert tried > 0
    assert await one.apply_next() is False
    assert stripe.requests == tried


async def test_a_record_that_can_not_be_had_holds_up_no_other(stripe: Source) -> None:
    customers = list(stripe.expected())[:20]
    events = caused(stripe, *(partial(stripe.rename, customer, "Renamed") for customer in customers))
    bad = customers[13]
    stripe.fault("status", f"/v1/customers/{bad}", status=400, times=None)
    await deliver(stripe, events)

    result = await drained(stripe)

    assert result is not None
    assert (result.events, result.failed, result.error) == (20, 1, None)
    assert set(await stripe.stored()) == set(customers) - {bad}
    await assert_applied(stripe, events)  # it happened, whatever became of its subject
    (letter,) = await dead_letters.letters(stripe.db, stripe.connection)
    assert (letter.state, letter.event_type) == ("waiting", "customer.updated")
    assert letter.next_attempt_at is not None
    stripe.sandbox.faults.clear()
    then = letter.next_attempt_at
    result = await drained(stripe, clock=lambda: then)
    assert result is not None
    assert (result.events, result.retried, result.failed) == (0, 1, 0)
    assert set(await stripe.stored()) == set(customers)
    assert await dead_letters.counts(stripe.db, stripe.connection) == {"replayed": 1}


async def test_a_provider_that_gives_nothing_at_all_makes_all_wait(stripe: Source) -> None:
    await deliver(stripe, many_changes(stripe, 60))
    stripe.fault("html", "/v1/customers/", status=200, times=None)
    result = await drained(stripe)
    assert result is not None
    assert (result.events, result.failed) == (0, 0)
    assert result.error is not None
    assert stripe.requests < 1_000
    stripe.sandbox.faults.clear()
    later = datetime.now(UTC) + HOUR
    result = await drained(stripe, clock=lambda: later)
    assert result is not None
    assert (result.events, result.error) == (60, None)


async def test_a_right_that_lacks_for_one_stream_leaves_the_others(
    stripe: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe.fault("status", "/v1/invoices/", status=403, times=None)
    events = some_changes(stripe)
    await deliver(stripe, events)
    result = await drained(stripe)
    assert result is not None
    of_invoices = [event for event in events if event["type"].startswith("invoice.")]
    assert (result.events, result.failed) == (len(events), len(of_invoices))
    assert result.counts["customers"].inserted == 2
    await assert_applied(stripe, events)


async def test_an_event_that_breaks_the_adapter_is_set_aside(
    stripe: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = some_changes(stripe)
    poison = events[3]["id"]
    sound = StripeAdapter.changes

    def changes(self: StripeAdapter, received: list[ReceivedEvent]) -> Changes:
        if any(event.dedupe_key == poison for event in received):
            raise KeyError(poison)
        return sound(self, received)

    monkeypatch.setattr(StripeAdapter, "changes", changes)
    await deliver(stripe, events)
    result = await drained(stripe)
    assert result is not None
    assert (result.events, result.failed, result.error) == (len(events), 1, None)
    await assert_applied(stripe, [event for event in events if event["id"] != poison])
    (letter,) = await dead_letters.letters(stripe.db, stripe.connection, "dead")
    assert letter.event_key == poison
    assert poison not in letter.error
    monkeypatch.undo()
    await dead_letters.replay(stripe.db, stripe.connection, datetime.now(UTC) - HOUR, [poison])
    await drained(stripe)
    await assert_applied(stripe, events)


async def test_a_fault_of_our_own_harms_one_connection_only(
    stripe: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await neighbour(stripe, KEYS["stripe"])
    events = all_events(stripe)[:3]
    await deliver(stripe, events)
    await deliver(other, events)
    sound = ConnectionDrain._connected

    async def connected(self: Any) -> Any:
        if self._connection.id == other.connection.id:
            raise ZeroDivisionError("cus_secret_value")
        return await sound(self)

    monkeypatch.setattr(ConnectionDrain, "_connected", connected)
    results = {one.connection: one for one in await drain(stripe.db, stripe.factory, "stripe")}
    assert results["acme/main"].error is None
    assert results["neighbour/main"].error == "failed unexpectedly (ZeroDivisionError); see the log"
    await assert_applied(stripe, events)
    await assert_applied(other, [])


async def test_a_value_that_postgresql_refuses_is_a_reject(stripe: Source) -> None:
    events = all_events(stripe)[:3]
    events[1] = {**events[1], "type": "x" * 10, "created": 2**55}
    await deliver(stripe, [events[0], events[2]])
    bad = ReceivedEvent("evt_bad", "made.up", None, b'{"id": "evt_bad", "created": 99999999999999999}')
    row = inbox.Received(stripe.connection.workspace_id, stripe.connection.id, bad)
    await inbox.append(stripe.db, [row])
    result = await drained(stripe)
    assert result is not None
    assert (result.events, result.failed, result.counts["events"].rejected) == (3, 0, 1)
    await assert_applied(stripe, [events[0], events[2]])
    assert [reject.source_id for reject in await stripe.rejects("events")] == ["evt_bad"]


async def test_a_removed_connection_is_left_alone(stripe: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    events = all_events(stripe)[:3]
    await deliver(stripe, events)
    sound = ConnectionDrain._connected

    async def connected(self: Any) -> Any:
        await removal.remove_connection(stripe.db, stripe.connection.workspace_id, stripe.connection.id)
        return await sound(self)

    monkeypatch.setattr(ConnectionDrain, "_connected", connected)
    result = await drained(stripe)
    assert result is not None
    assert (result.events, result.error) == (0, None)
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        for table in ("webhook_inbox", "unified_events", "inbox_cursors", "webhook_dead_letters"):
            found = await conn.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier(table)))
            assert found.rowcount == 0, table


async def test_no_transaction_is_open_while_the_provider_is_asked(stripe: Source, database_url: str) -> None:
    """Or the horizon would stand still, for all, as long as a provider takes to answer."""
    stripe.rename(customer := next(iter(stripe.expected())), "Renamed")
    await deliver(stripe, all_events(stripe)[-1:])
    stripe.fault("slow", f"/v1/customers/{customer}", seconds=30)
    running = asyncio.create_task(drained(stripe))
    await until(lambda: stripe.requests > 0, running.done)
    async with await AsyncConnection.connect(database_url, autocommit=True) as monitor:
        # One that has just begun to end is no matter; one that lasts as long as the answer fails this.
        while True:
            result = await monitor.execute(
                """
                SELECT count(*) FILTER (WHERE xact_start IS NOT NULL), count(*) > 1 FROM pg_stat_activity
                WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
                """
            )
            if await result.fetchone() == (0, True):
                break
            assert not running.done()
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
