"""A provider that wants to be left alone for hours: the run ends, and schedule and drains wait for it, no longer."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import execute
from tests.unified.sync.deliveries import caused, deliver, drained
from tests.unified.sync.source import Source
from unified.kit.declarations import CredentialKind
from unified.kit.secrets import Secret
from unified.store.connections import turns
from unified.store.inbox import backlog
from unified.store.inbox.progress import retry_after
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider

HOURS = timedelta(hours=3)
MINUTE = timedelta(minutes=1)


async def limited(source: Source, wait: str = str(int(HOURS.total_seconds()))) -> datetime:
    """Let a sync meet a day's limit; until when the connection waits."""
    source.fault("status", status=429, retry_after=wait, times=None)
    error = await source.assert_fails()
    source.sandbox.faults.clear()
    assert not error.retry
    until = (await source.state()).waits_until
    assert until is not None
    return until


async def is_due(source: Source, at: datetime) -> bool:
    return [one.key for one in await turns.due(source.db, at)] == [source.connection.key]


async def test_the_schedule_waits_as_long_as_the_provider_said(stripe: Source, database_url: str) -> None:
    before = datetime.now(UTC)
    until = await limited(stripe)
    assert before + HOURS <= until <= datetime.now(UTC) + HOURS
    assert not await is_due(stripe, until - MINUTE), "its interval, an hour, is over"
    assert await turns.next_turn(stripe.db, "stripe", before) == until
    assert await is_due(stripe, until)

    await stripe.sync()  # a person does not wait for that
    state = await stripe.state()
    assert (state.sync_status, state.waits_until) == ("success", None)
    assert await is_due(stripe, datetime.now(UTC) + timedelta(hours=1))

    # It is over, or was kept by a clock that has been set back since.
    execute(database_url, "UPDATE connector_configs SET waits_until = now() - interval '1 s'")
    assert (await stripe.state()).waits_until is None
    set_back = "UPDATE connector_configs SET waits_until = now() + interval '400 d', sync_started_at = NULL"
    execute(database_url, set_back)
    assert await is_due(stripe, datetime.now(UTC))
    assert (await stripe.state()).waits_until is None


@pytest.mark.parametrize("wait", [str(366 * 86_400), "inf", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_no_wait_is_longer_than_a_day(stripe: Source, wait: str) -> None:
    until = await limited(stripe, wait)
    assert timedelta(hours=23) < until - datetime.now(UTC) <= timedelta(days=1)


async def test_what_a_person_changes_ends_the_wait(stripe: Source) -> None:
    await limited(stripe)
    refreshed = {"access_token": Secret("at-fake")}
    place = stripe.connection.workspace_id, stripe.connection.id
    store = CredentialStore(stripe.db, LocalKeyProvider([stripe.master_key]))
    await store.put(*place, CredentialKind.OAUTH_TOKEN, refreshed, replace=True)
    assert (await stripe.state()).waits_until, "the same grant, refreshed"
    await store.put(*place, CredentialKind.API_KEY, {"api_key": Secret(stripe.secret)}, replace=True)
    assert (await stripe.state()).waits_until is None

    await limited(stripe)
    await stripe.registry.update_connection(*place, sync_interval=timedelta(minutes=30))
    assert (await stripe.state()).waits_until
    await stripe.configure(retry_count=1)
    assert (await stripe.state()).waits_until is None


@pytest.mark.parametrize("was_in_trouble", [False, True])
async def test_no_wait_of_a_wrong_clock_holds_up_events(
    stripe: Source, database_url: str, *, was_in_trouble: bool
) -> None:
    await stripe.sync_all()
    customer = next(iter(stripe.expected()))
    await deliver(stripe, caused(stripe, lambda: stripe.rename(customer, "Renamed")))
    await drained(stripe)
    await deliver(stripe, caused(stripe, lambda: stripe.rename(customer, "Renamed again")))
    if was_in_trouble:
        trouble = "error = 'HTTP 503', attempts = 1, failing_since = now(), next_attempt_at = now()"
        execute(database_url, f"UPDATE inbox_cursors SET {trouble}")  # noqa: S608 - a text of ours
    execute(database_url, "UPDATE connector_configs SET waits_until = now() + interval '400 d'")
    (waiting,) = await backlog.waiting(stripe.db, "stripe", datetime.now(UTC))
    assert waiting.is_due(datetime.now(UTC))
    result = await drained(stripe)
    assert result is not None
    assert (result.events, result.error) == (1, None)


async def test_a_drain_and_the_schedule_keep_to_one_wait(stripe: Source) -> None:
    await stripe.sync_all()
    customer = next(iter(stripe.expected()))
    await deliver(stripe, caused(stripe, lambda: stripe.rename(customer, "Renamed")))
    stripe.fault("status", status=503, retry_after=str(int(HOURS.total_seconds())), times=None)
    result = await drained(stripe)
    assert result is not None
    state = await stripe.state()
    assert (state.sync_status, state.error_message) == ("error", result.error)
    assert state.waits_until is not None
    (waiting,) = await backlog.waiting(stripe.db, "stripe", datetime.now(UTC))
    assert waiting.trouble is not None
    assert waiting.trouble.retry_at == state.waits_until
    assert not await is_due(stripe, state.waits_until - MINUTE)

    # Sooner by other settings, as its own pause says; and what waits since a sync met the limit is not tried either.
    stripe.sandbox.faults.clear()
    await stripe.configure(retry_count=1)
    later = datetime.now(UTC) + retry_after(1)
    assert await drained(stripe, clock=lambda: later) is not None
    assert (await stripe.state()).sync_status == "success"
    await stripe.assert_agrees()
    until = await limited(stripe)
    await deliver(stripe, caused(stripe, lambda: stripe.rename(customer, "Renamed again")))
    stripe.sandbox.stats.reset()
    assert await drained(stripe) is None
    assert stripe.requests == 0
    assert await drained(stripe, clock=lambda: until) is not None
    await stripe.assert_agrees()
