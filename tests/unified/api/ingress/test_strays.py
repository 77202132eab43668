"""Events of several accounts at one URL: each goes to the connection of its account, or is counted and let go."""

from __future__ import annotations

import base64
import hmac
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from unified.api.metrics import Metrics
from unified.kit.webhooks.owners import Owner
from unified.store.connections import accounts
from unified.store.connections.registry import Registry
from unified.store.inbox import strays

if TYPE_CHECKING:
    from uuid import UUID

    import httpx

    from tests.unified.api.conftest import AddEndpoint, Ingress, Serve
    from unified.store.database import Database

APP_SECRET = "fake-client-secret"


async def reads(
    db: Database, workspace: UUID, connection_id: UUID, account: str, *, livemode: bool | None
) -> None:
    """Settle whose account a connection reads."""
    connection = await Registry(db).get_connection(workspace, connection_id)
    async with db.workspace(workspace) as conn:
        known = await accounts.known(conn, connection_id)
    await accounts.settle(db, connection, account, livemode=livemode, doubts=known.doubts, actor="tests")


async def inboxes(db: Database, workspace: UUID) -> dict[UUID, list[str]]:
    async with db.workspace(workspace) as conn:
        rows = await conn.execute(
            "SELECT connection_id, array_agg(convert_from(body, 'UTF8') ORDER BY event_key)"
            " FROM webhook_inbox GROUP BY connection_id"
        )
        return dict(await rows.fetchall())


async def lost(db: Database, workspace: UUID, connection_id: UUID) -> list[tuple[str, str, int]]:
    async with db.workspace(workspace) as conn:
        return [(one.account, one.mode, one.events) for one in await strays.listed(conn, connection_id)]


def hubspot_event(number: int, portal: Any, **fields: Any) -> dict[str, Any]:
    return {
        "eventId": number, "subscriptionId": 81, "portalId": portal, "appId": 12, "occurredAt": 1_795_800_000_000,
        "subscriptionType": "contact.propertyChange", "attemptNumber": 0, "objectId": number,
        "propertyName": "phone", "propertyValue": "+43 1 555 0100", **fields,
    }  # fmt: skip


async def deliver(ingress: Ingress, path: str, events: list[dict[str, Any]]) -> httpx.Response:
    """A batch as HubSpot signs it."""
    body, moment = json.dumps(events).encode(), str(int(time.time() * 1000))
    url = f"/webhooks/hubspot/{path}"
    message = f"POST{ingress.url}{url}".encode() + body + moment.encode()
    signature = base64.b64encode(hmac.digest(APP_SECRET.encode(), message, "sha256")).decode()
    headers = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": moment}
    return await ingress.client.post(url, content=body, headers=headers)


async def test_portals_of_one_app(
    serve: Serve, add_endpoint: AddEndpoint, database: Database, workspace: UUID, add_workspace: Any
) -> None:
    """One portal's own connection, one's other connection, one that only another workspace reads, one of nobody."""
    endpoint = await add_endpoint("hubspot", APP_SECRET)
    other = (await Registry(database).add_connection(workspace, "hubspot", "other")).id
    stranger = await add_workspace("stranger")
    foreign = (await Registry(database).add_connection(stranger, "hubspot", "theirs")).id
    await reads(database, workspace, endpoint.connection_id, "5150", livemode=True)
    await reads(database, workspace, other, "6226", livemode=True)
    await reads(database, stranger, foreign, "7337", livemode=True)
    events = [
        hubspot_event(1, 5150),
        hubspot_event(2, 6226),
        hubspot_event(3, 7337),
        hubspot_event(4, "8448"),
    ]
    async with serve() as ingress:
        for _ in range(2):
            assert (await deliver(ingress, endpoint.path, events)).status_code == 200
        assert (await deliver(ingress, endpoint.path, events[2:])).status_code == 200
    found = await inboxes(database, workspace)
    assert {one: [json.loads(body)["portalId"] for body in bodies] for one, bodies in found.items()} == {
        endpoint.connection_id: [5150],
        other: [6226],
    }
    assert await inboxes(database, stranger) == {}
    assert sorted(await lost(database, workspace, endpoint.connection_id)) == [
        ("7337", "", 3),
        ("8448", "", 3),
    ]


@pytest.mark.parametrize(
    ("fields", "owner"),
    [
        ({"livemode": True}, None),
        ({"account": "acct_Other", "livemode": False}, None),
        ({"account": "acct_Kiosk", "livemode": True}, None),
        ({"data": None, "context": "acct_Other", "object": "v2.core.event", "livemode": False}, None),
        ({"livemode": False}, "here"),
        ({"account": "acct_Kiosk", "livemode": False}, "here"),
        ({"livemode": "?"}, "here"),
        ({"account": "acct_Joined", "livemode": False}, "joined"),
        ({"data": None, "context": "org_1/acct_Joined", "livemode": False}, "joined"),
    ],
)
async def test_accounts_and_modes_of_stripe(
    ingress: Ingress, database: Database, workspace: UUID, fields: dict[str, Any], owner: str | None
) -> None:
    here = ingress.endpoint.connection_id
    joined = (await Registry(database).add_connection(workspace, "stripe", "joined")).id
    await reads(database, workspace, here, "acct_Kiosk", livemode=False)
    await reads(database, workspace, joined, "acct_Joined", livemode=False)
    assert (await ingress.deliver("evt_1", **fields)).status_code == 200
    found = await inboxes(database, workspace)
    assert list(found) == ([{"here": here, "joined": joined}[owner]] if owner else [])
    assert sum(events for *_, events in await lost(database, workspace, here)) == (owner is None)


async def test_while_it_is_not_known_whose_a_connection_is_its_events_are_kept(
    ingress: Ingress, workspace: UUID, database: Database
) -> None:
    assert (await ingress.deliver("evt_1", livemode=True)).status_code == 200
    assert list(await inboxes(database, workspace)) == [ingress.endpoint.connection_id]


async def test_they_are_in_the_metrics(
    database: Database, workspace: UUID, add_endpoint: AddEndpoint
) -> None:
    endpoint = await add_endpoint("hubspot", APP_SECRET)
    metrics = Metrics(database)
    stray = strays.Stray(workspace, endpoint.connection_id, Owner("6226"))
    await metrics.strayed(partial(strays.append, database))([stray] * 3)
    assert b'unified_ingress_events_total{outcome="stray"} 3.0' in await metrics.text()
    assert await lost(database, workspace, endpoint.connection_id) == [("6226", "", 3)]
