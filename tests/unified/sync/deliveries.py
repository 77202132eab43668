"""Deliveries for tests of the drain: what a stand-in's provider would send, as the ingress would store it."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.unified.sync.source import Source
from unified.kit.registry import get_adapter
from unified.kit.webhooks.deliveries import Delivery
from unified.store.inbox import events as inbox
from unified.store.inbox.events import Received
from unified.sync.drain import DrainResult, drain

Event = dict[str, Any]


def all_events(source: Source) -> list[Event]:
    """Every event of a Stripe account, the oldest first."""
    return list(source.data.all_events())[::-1]


def caused(source: Source, *changes: Callable[[], object]) -> list[Event]:
    """Make changes at the source, and return the events that they caused, the oldest first."""
    before = {event["id"] for event in all_events(source)}
    for change in changes:
        change()
    return [event for event in all_events(source) if event["id"] not in before]


def rows(source: Source, events: Sequence[Event]) -> list[Received]:
    """Events as the ingress hands them to the inbox; HubSpot's in one delivery, Stripe's each in its own."""
    verifier = get_adapter(source.connector).verifiers[0]
    bodies = [list(events)] if source.connector == "hubspot" else events
    return [
        Received(source.connection.workspace_id, source.connection.id, event)
        for body in bodies
        for event in verifier.read_events(Delivery.polled(json.dumps(body).encode(), datetime.now(UTC)))
    ]


async def deliver(source: Source, events: Sequence[Event]) -> int:
    """Store events as received; how many were new."""
    return await inbox.append(source.db, rows(source, events))


async def drained(source: Source, **options: Any) -> DrainResult | None:
    """Drain the source; what was done for its connection, None where nothing waited."""
    results = await drain(source.db, source.factory, source.connector, **options)
    return next((one for one in results if one.connection_id == source.connection.id), None)


async def assert_applied(source: Source, events: Sequence[Event]) -> None:
    """Fail where the events' table does not hold these events, each once, and no others."""
    ids = await source.query("SELECT source_id FROM {leaf} WHERE connection_id = %(connection)s", "events")
    assert sorted(source_id for (source_id,) in ids) == sorted(event["id"] for event in events)
