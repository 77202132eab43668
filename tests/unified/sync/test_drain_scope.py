"""Events that came in before it was known whose account a connection reads."""

from typing import Any

import pytest

from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.deliveries import Event, deliver, drained
from tests.unified.sync.source import Source
from unified.store.connections import accounts
from unified.store.inbox import strays
from unified.sync.scope import known_account


def portal_event(number: int, portal: Any, **fields: Any) -> Event:
    return {
        "eventId": number, "subscriptionId": 81, "portalId": portal, "occurredAt": 1_795_800_000_000,
        "subscriptionType": "contact.propertyChange", "objectId": number, "propertyName": "phone",
        "propertyValue": "+43 1 555 0100", **fields,
    }  # fmt: skip


async def lost(source: Source) -> list[tuple[str, str, int]]:
    async with source.db.workspace(source.connection.workspace_id) as conn:
        found = await strays.listed(conn, source.connection.id)
        return [(one.account, one.mode, one.events) for one in found]


async def inboxes(source: Source) -> dict[Any, int]:
    async with source.db.workspace(source.connection.workspace_id) as conn:
        rows = await conn.execute("SELECT connection_id, count(*) FROM webhook_inbox GROUP BY connection_id")
        return dict(await rows.fetchall())


@pytest.mark.parametrize("is_synced", [False, True])
async def test_no_event_of_another_portal_becomes_a_row(source_of: MakeSource, *, is_synced: bool) -> None:
    source = await source_of("hubspot")
    if is_synced:
        await source.sync_all()
    known, own = await source.stored(), source.data.portal_id
    someone = min(source.expected())
    await deliver(
        source, [portal_event(88_001, 6226), portal_event(int(someone), own), portal_event(88_002, "7")]
    )
    result = await drained(source)
    assert result is not None
    assert (result.events, result.strays, result.failed, result.error) == (3, 2, 0, None)
    assert sorted(await lost(source)) == [("6226", "", 1), ("7", "", 1)]
    assert (await source.stored()).keys() == known.keys() | {someone}
    assert not {"88001", "88002"} & await source.tombstones()
    rows = await source.query("SELECT resource_id FROM {leaf}", "events")
    assert rows == [(someone,)]


async def test_an_event_of_another_connection_is_passed_on(source_of: MakeSource) -> None:
    source = await source_of("hubspot")
    other = await source.registry.add_connection(source.connection.workspace_id, "hubspot", "other")
    known = await known_account(source.db, other)
    await accounts.settle(source.db, other, "6226", livemode=True, doubts=known.doubts, actor="tests")
    await deliver(source, [portal_event(88_001, 6226)])
    result = await drained(source)
    assert result is not None
    assert (result.strays, await lost(source)) == (0, [])
    assert await inboxes(source) == {source.connection.id: 1, other.id: 1}


async def test_a_live_event_at_a_test_connection_buries_no_living_customer(stripe: Source) -> None:
    await stripe.sync_all()
    rows = len(await stripe.query("SELECT source_id FROM {leaf}", "events"))
    body = {
        "id": "evt_live", "object": "event", "type": "customer.updated", "created": 1_795_800_000, "livemode": True,
        "data": {"object": {"id": "cus_live", "object": "customer"}},
    }  # fmt: skip
    joined = {**body, "id": "evt_joined", "livemode": False, "account": "acct_Joined"}
    await deliver(stripe, [body, joined])
    result = await drained(stripe)
    assert result is not None
    assert result.strays == 2
    assert "cus_live" not in await stripe.tombstones()
    assert len(await stripe.query("SELECT source_id FROM {leaf}", "events")) == rows
    assert sorted(await lost(stripe)) == [("", "live", 1), ("acct_Joined", "test", 1)]
