"""Subscriptions over HTTP: made, tested, changed, replayed and removed, by those who may."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from tests.unified.api.management.rig import PROVIDER, Api, Issuer, Tenant, serving
from tests.unified.sync.identities.tenant import Tenant as Customers
from unified.store.secrets.credentials.store import CredentialStore
from unified.sync.subscriptions.deliver import deliver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACE = "/api/subscriptions"
CRM = {"name": "crm", "list": "customers", "url": "https://hooks.example.com/in"}


@dataclass
class Receiver:
    """Somebody's server: notes the bodies that it is sent, and answers with a status for each record."""

    url: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    status: int = 204
    refused: set[str] = field(default_factory=set)
    secret: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        Webhook(self.secret).verify(body, dict(request.headers))
        event = json.loads(body)
        if event["data"].get("source_id") in self.refused:
            return web.Response(status=422)
        self.events.append(event)
        return web.Response(status=self.status)


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/in", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def globex(api: Api, receiver: Receiver) -> AsyncIterator[Tenant]:
    """A workspace of an installation that opens the receiver's host."""
    async with serving(api.db, Issuer(), receiver.url.removesuffix("/in")) as opened:
        yield await opened.tenant("globex")


async def test_the_life_of_a_subscription(acme: Tenant) -> None:
    repeated = {"json": {**CRM, "filters": {"kind": ["company"]}}, "headers": {"idempotency-key": "once"}}
    made = await acme.ask("POST", PLACE, 201, **repeated)
    assert await acme.ask("POST", PLACE, 201, **repeated) == made
    assert made.pop("secret").startswith("whsec_")
    assert (made["state"], made["undelivered"]) == ("follows", {"waiting": 0, "given_up": 0})
    await acme.ask("POST", PLACE, 409, json=CRM)
    await acme.ask("POST", PLACE, 201, json={**CRM, "name": "app", "list": "identities"})

    first = await acme.ask("GET", PLACE, params={"limit": 1})
    second = await acme.ask("GET", PLACE, params={"limit": 1, "cursor": first["next"]})
    assert [one["name"] for page in (first, second) for one in page["items"]] == ["app", "crm"]
    assert second == {"items": [made], "next": None}
    place = f"{PLACE}/{made['id']}"
    assert await acme.ask("GET", place) == {**made, "has_changes": False}

    assert (await acme.ask("PATCH", place, json={"is_active": False}))["state"] == "paused"
    elsewhere = {"url": "https://other.example.com", "filters": {"name": ["Ann", "Ben"]}}
    changed = await acme.ask("PATCH", place, json={**elsewhere, "is_active": True})
    assert {name: changed[name] for name in elsewhere} == elsewhere
    assert changed["state"] == "follows"
    assert await acme.ask("GET", f"{place}/undelivered") == {"items": [], "next": None}
    assert await acme.ask("POST", f"{place}/replay", 202, json={}) == {"waiting": 0}
    rolled = await acme.ask("POST", f"{place}/roll", json={})
    assert rolled["secret"].startswith("whsec_")
    assert rolled["former_until"] is not None
    leaked = await acme.ask("POST", f"{place}/roll", json={"keep_former_minutes": 0})
    assert leaked["secret"] != rolled["secret"]
    assert leaked["former_until"] is None
    await acme.ask("POST", f"{place}/roll", 422, json={"keep_former_minutes": -1})
    await acme.ask("DELETE", place, 204)
    await acme.ask("GET", place, 404)
    assert [action for action in await acme.audited() if action.startswith("subscription.")] == [
        *["subscription.add"] * 2,
        *[
            f"subscription.{done}"
            for done in ("pause", "change", "resume", "replay", "rotate", "rotate", "remove")
        ],
    ]


async def test_what_a_receiver_refuses_is_listed_and_sent_again(globex: Tenant, receiver: Receiver) -> None:
    hook = {**CRM, "url": receiver.url, "allow_private_hosts": True}
    made = await globex.ask("POST", PLACE, 201, json=hook)
    receiver.secret = made["secret"]
    place = f"{PLACE}/{made['id']}"
    connection = await globex.api.registry.get_connection(globex.id, UUID((await globex.add())["id"]))
    customers = Customers(globex.api.db, [connection])
    for number in "123":
        await customers.add("stripe", number, email=f"{number}@globex.test", name="Ann")
    receiver.refused = {"1", "2"}
    credentials = CredentialStore(globex.api.db, PROVIDER)
    await deliver(globex.api.db, credentials)
    shown = await globex.ask("GET", place)
    assert (shown["delivered"], shown["undelivered"]) == (1, {"waiting": 2, "given_up": 0})

    letters, cursor = [], None
    while cursor or not letters:
        where = {"limit": 1, "state": "waiting", **({"cursor": cursor} if cursor else {})}
        page = await globex.ask("GET", f"{place}/undelivered", params=where)
        letters, cursor = letters + page["items"], page["next"]
    assert sorted(one["key"]["source_id"] for one in letters) == ["1", "2"]
    assert {(one["attempts"], "422" in one["error"]) for one in letters} == {(1, True)}
    assert (await globex.ask("GET", f"{place}/undelivered", params={"state": "given_up"}))["items"] == []

    receiver.refused = set()
    one = {"ids": [letters[0]["row_id"]]}
    assert await globex.ask("POST", f"{place}/replay", 202, json=one) == {"waiting": 1}
    assert (await globex.ask("GET", place))["has_changes"]
    await deliver(globex.api.db, credentials)
    assert (await globex.ask("GET", place))["undelivered"] == {"waiting": 1, "given_up": 0}
    assert await globex.ask("POST", f"{place}/replay", 202, json={}) == {"waiting": 1}
    await deliver(globex.api.db, credentials)
    assert sorted(event["data"]["source_id"] for event in receiver.events) == ["1", "2", "3"]
    assert await globex.ask("GET", place) == {
        **shown,
        "delivered": 3,
        "undelivered": {"waiting": 0, "given_up": 0},
    }


async def test_a_test_message_is_signed_and_changes_nothing(globex: Tenant, receiver: Receiver) -> None:
    hook = {**CRM, "url": receiver.url, "allow_private_hosts": True}
    made = await globex.ask("POST", PLACE, 201, json=hook)
    receiver.secret = made["secret"]
    place = f"{PLACE}/{made['id']}"
    before = await globex.ask("PATCH", place, json={"is_active": False})
    assert await globex.ask("POST", f"{place}/test") == {"is_taken": True, "error": None}
    (event,) = receiver.events
    assert (event["type"], event["data"]) == (
        "subscription.test",
        {"subscription": "crm", "list": "customers"},
    )
    receiver.status = 410
    refused = await globex.ask("POST", f"{place}/test")
    assert (refused["is_taken"], "410" in refused["error"]) == (False, True)
    assert await globex.ask("GET", place) == before
    assert (await globex.audited())[-2:] == ["subscription.test"] * 2


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "Not A Name"},
        {"list": "things"},
        {"url": "http://hooks.example.com"},
        {"url": "https://user:fake@hooks.example.com"},
        {"url": "https://hooks.example.com/\x00"},
        {"filters": {"colour": ["red"]}},
        {"filters": {"name": []}},
        {"filters": {"name": ["\x00"]}},
        {"url": "http://127.0.0.1:1/in", "allow_private_hosts": True},
        {"allow_private_hosts": True},
        {"unknown": 1},
    ],
    ids=str,
)
async def test_what_can_not_work_is_neither_made_nor_changed(acme: Tenant, bad: dict[str, Any]) -> None:
    await acme.ask("POST", PLACE, 422, json={**CRM, **bad})
    made = await acme.ask("POST", PLACE, 201, json=CRM)
    place = f"{PLACE}/{made['id']}"
    await acme.ask("PATCH", place, 422, json=bad)
    unchanged = await acme.ask("GET", place)
    assert {name: unchanged[name] for name in CRM} == CRM


async def test_what_leads_to_a_private_address_may_not_be_led_to_another(
    api: Api, globex: Tenant, receiver: Receiver
) -> None:
    hook = {**CRM, "url": receiver.url, "allow_private_hosts": True}
    made = await globex.ask("POST", PLACE, 201, json=hook)
    place = f"{PLACE}/{made['id']}"
    await globex.ask("PATCH", place, 422, json={"url": "http://127.0.0.1:1/in"})
    public = {"url": "https://hooks.example.com", "allow_private_hosts": False}
    assert (await globex.ask("PATCH", place, json=public))["url"] == public["url"]


async def test_who_may_not_read_records_has_none_delivered(acme: Tenant) -> None:
    made = await acme.ask("POST", PLACE, 201, json=CRM)
    place = f"{PLACE}/{made['id']}"
    viewer = await acme.api.with_role(acme, "viewer")
    assert len((await viewer.ask("GET", PLACE))["items"]) == 1
    await viewer.ask("GET", f"{place}/undelivered", 403)
    await viewer.ask("POST", f"{place}/test", 403)

    workspace = await acme.api.workspace()
    token = await acme.api.token(workspace, "webhooks:read", "webhooks:write")
    refused = await acme.api.call("POST", PLACE, token, json=CRM)
    assert refused.status_code == 403
    assert "records:read" in refused.json()["detail"]
    writer = await acme.api._enter(acme.id, acme.slug, frozenset({"webhooks:read", "webhooks:write"}))
    await writer.ask("PATCH", place, 403, json={"url": "https://elsewhere.example.com"})
    await writer.ask("PATCH", place, 403, json={"filters": {}})
    assert (await writer.ask("PATCH", place, json={"is_active": False}))["state"] == "paused"
