"""Streams by name: what a connection reads, and what becomes of a stream that it leaves out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unified.sync.connections.test_changing import KEY, another, connections
from tests.unified.sync.deliveries import all_events, deliver, drained
from tests.unified.sync.source import Source
from unified.kit.errors import ConfigurationError
from unified.store.connections import statistics, turns
from unified.sync.connections.wanted import NewConnection
from unified.sync.errors import CredentialRefusedError, PullError, StreamLeftOutError


async def choose(source: Source, *streams: str) -> None:
    changed = await connections(source).change(source.connection, streams=streams, test=False)
    source.connection = changed.connection


async def test_a_key_that_lacks_a_right_is_told_for_which_streams(stripe: Source) -> None:
    for stream in ("events", "invoices"):
        stripe.fault("status", f"/v1/{stream}", status=403, times=None)
    work, workspace_id = connections(stripe), stripe.connection.workspace_id
    with pytest.raises(CredentialRefusedError, match=r"may not read invoices, events: .*choose"):
        await work.add(workspace_id, another(stripe, secrets=KEY))
    added, trial = await work.add(workspace_id, another(stripe, secrets=KEY, streams=["customers"]))
    assert trial is not None
    assert added.streams == ["customers"]
    with pytest.raises(CredentialRefusedError, match="may not read invoices:"):
        await work.change(added, streams=["customers", "invoices"])
    assert (await stripe.registry.get_connection(workspace_id, added.id)).streams == ["customers"]


async def test_the_usual_ones_are_kept_as_none_in_whatever_order(stripe: Source) -> None:
    await choose(stripe, "customers", "events")
    version = stripe.connection.version
    assert stripe.connection.streams == ["customers", "events"]
    await choose(stripe, "events", "invoices", "customers")
    assert (stripe.connection.streams, stripe.connection.version) == ([], version + 1)


async def test_a_stream_that_there_is_not_can_not_be_chosen(stripe: Source) -> None:
    with pytest.raises(ConfigurationError, match=r"polls no stream nothing; it polls customers"):
        await choose(stripe, "customers", "nothing")
    new = NewConnection(connector="stripe", name="other", streams=["nothing"])
    with pytest.raises(ConfigurationError):
        await connections(stripe).rehearse(stripe.connection.workspace_id, new)


async def test_what_is_left_out_is_not_synced_and_keeps_its_rows(stripe: Source) -> None:
    assert (await stripe.sync_all()).keys() == {"customers", "invoices", "events"}
    before = await stripe.stored("invoices")
    await choose(stripe, "customers")
    assert (await stripe.sync_all()).keys() == {"customers"}
    for attempt in (stripe.sync("invoices"), stripe.sync_all(streams=["customers", "invoices"])):
        with pytest.raises(StreamLeftOutError, match=r"acme/main does not read invoices; .* --streams"):
            await attempt
    assert await stripe.stored("invoices") == before


async def test_a_stream_that_is_left_out_neither_fails_nor_is_due(stripe: Source) -> None:
    """Whatever its last pull came to."""
    stripe.fault("status", "/v1/invoices", status=403, times=None)
    with pytest.raises(PullError):
        await stripe.sync_all()
    assert not (await stripe.sync("customers", full=True, time_limit=0)).is_complete

    async def state() -> tuple[str, bool]:
        (found,) = await stripe.registry.all_connections()
        return found.sync_status, found in await turns.due(stripe.db, datetime.now(UTC))

    assert await state() == ("error", True)
    await choose(stripe, "events")
    await stripe.sync_all()
    assert await state() == ("success", False)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert [one.key for one in await turns.due(stripe.db, later)] == ["acme/main"]


async def test_invoices_ask_for_no_customers_that_are_not_read(stripe: Source) -> None:
    await stripe.sync_all()
    someone = next(iter(stripe.expected("invoices").values()))["customer"]
    await stripe.query("DELETE FROM {leaf} WHERE source_id = '" + someone + "' RETURNING 1")  # noqa: S608
    await choose(stripe, "invoices")
    await stripe.sync("invoices", full=True)
    assert someone not in await stripe.stored()


async def test_events_that_are_delivered_say_nothing_of_it(stripe: Source) -> None:
    await choose(stripe, "customers")
    await stripe.sync_all()
    someone = min(stripe.expected())
    stripe.rename(someone, "Renamed")
    events = all_events(stripe)
    await deliver(stripe, events)
    stripe.sandbox.stats.reset()
    result = await drained(stripe)
    assert result is not None
    assert (result.events, result.error, result.failed) == (len(events), None, 0)
    assert result.counts.keys() == {"customers"}
    assert stripe.requests_of("/invoices") == 0
    await stripe.assert_agrees("customers")


async def test_rows_are_counted_of_the_streams_that_are_read(stripe: Source) -> None:
    await choose(stripe, "customers", "events")
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        assert await statistics.live_by_stream(conn, stripe.connection.id) == {"customers": 0, "events": 0}


async def test_a_stream_that_its_connector_has_no_longer_holds_up_none(stripe: Source) -> None:
    stripe.connection = replace(stripe.connection, streams=["customers", "gone"])
    assert (await stripe.sync_all()).keys() == {"customers"}
