"""Routes over the API: added, shown, changed, run, previewed, decided."""

from typing import Any
from uuid import UUID

import pytest

from tests.unified.api.management.rig import Api, Tenant
from unified.store.routes import outbox, runs
from unified.store.routes.outbox import Entry
from unified.store.routes.routes import Routes

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES = "/api/routes"


async def ends_of(tenant: Tenant) -> dict[str, str]:
    connections = [await tenant.add("billing"), await tenant.add("crm", "hubspot")]
    return {
        f"{side}_connection_id": one["id"]
        for side, one in zip(("source", "target"), connections, strict=True)
    }


async def test_a_route_from_its_addition_to_its_removal(api: Api, acme: Tenant) -> None:
    ends = await ends_of(acme)
    condition = {"field": "custom_fields.tier", "operator": "is", "value": "gold"}
    new = {"name": "crm", **ends, "filter": [condition], "match_keys": ["phone"], "interval_minutes": 30}
    made = await acme.ask("POST", ROUTES, 201, json=new)
    assert made | {"filter": [condition], "interval_minutes": 30, "version": 1, "status": "idle"} == made
    assert {one["source"] for one in made["fields"]} >= {"email", "name"}
    assert (await acme.ask("GET", ROUTES))["items"][0]["id"] == made["id"]
    place = f"{ROUTES}/{made['id']}"

    tag = {"headers": {"if-match": '"1"'}}
    changed = await acme.ask(
        "PUT", place, json={"fields": [{"source": "email"}], "conflict_policy": "newest_wins"}, **tag
    )
    assert (changed["version"], changed["filter"], len(changed["fields"])) == (2, [], 1)
    await acme.ask("PUT", place, 412, json={}, **tag)

    assert (await acme.ask("POST", f"{place}/pause"))["is_active"] is False
    assert (await acme.ask("POST", f"{place}/run", 202, json={"retry_refused": True}))["requested_at"]
    due = await runs.due(api.db, (await api.db.clock())())
    assert made["id"] in {str(route.id) for route in due}
    assert (await acme.ask("POST", f"{place}/resume"))["is_active"] is True
    await acme.client.request("DELETE", place)
    await acme.ask("GET", place, 404)
    assert [one for one in await acme.audited() if one.startswith("route.")] == [
        f"route.{what}" for what in ("add", "change", "pause", "run", "resume", "remove")
    ]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"target_connection_id": "source"}, "to itself"),
        ({"fields": [{"source": "email", "target": "currency"}]}, "keeps no 'currency'"),
        ({"fields": [{"source": "nonsense", "target": "email"}]}, "there is no field 'nonsense'"),
        ({"filter": [{"field": "email", "operator": "in", "value": "x"}]}, "needs a list"),
        ({"match_keys": ["shoe_size"]}, "can't be matched by"),
        ({"direction": "two_way", "on_missing": "recreate"}, "can't recreate"),
    ],
)
async def test_what_can_not_work_is_refused_with_the_reason(
    acme: Tenant, wrong: dict[str, Any], why: str
) -> None:
    ends = await ends_of(acme)
    new = {"name": "crm", **ends, **wrong}
    if new["target_connection_id"] == "source":
        new["target_connection_id"] = new["source_connection_id"]
    refused = await acme.ask("POST", ROUTES, 422, json=new)
    assert why in refused["detail"]


async def test_a_circle_is_refused_with_its_way(acme: Tenant) -> None:
    ends = await ends_of(acme)
    third = await acme.add("other")
    await acme.ask("POST", ROUTES, 201, json={"name": "one", **ends})
    middle = {"source_connection_id": ends["target_connection_id"], "target_connection_id": third["id"]}
    await acme.ask("POST", ROUTES, 201, json={"name": "two", **middle})
    back = {"source_connection_id": third["id"], "target_connection_id": ends["source_connection_id"]}
    refused = await acme.ask("POST", ROUTES, 422, json={"name": "three", **back})
    assert "billing -> crm (one), crm -> other (two)" in refused["detail"]
    await acme.ask("POST", ROUTES, 409, json={"name": "four", **ends})
    # The other way round between the same two: they belong into one route.
    turned = {
        "source_connection_id": ends["target_connection_id"],
        "target_connection_id": ends["source_connection_id"],
    }
    await acme.ask("POST", ROUTES, 422, json={"name": "five", **turned})


async def test_what_waits_is_listed_and_decided(api: Api, acme: Tenant) -> None:
    ends = await ends_of(acme)
    made = await acme.ask("POST", ROUTES, 201, json={"name": "crm", **ends})
    route = await Routes(api.db).get(acme.id, UUID(made["id"]))
    async with api.db.workspace(acme.id) as conn:
        waiting = [
            Entry(
                side="source",
                record_id=f"cus_{number}",
                state="review",
                reason="two",
                candidates=[{"id": "7"}],
            )
            for number in range(3)
        ]
        await outbox.put(conn, route, waiting)
    place = f"{ROUTES}/{made['id']}/review"
    page = await acme.ask("GET", place, params={"limit": 2})
    rest = await acme.ask("GET", place, params={"limit": 2, "cursor": page["next"]})
    assert [one["record_id"] for one in (*page["items"], *rest["items"])] == ["cus_0", "cus_1", "cus_2"]
    await acme.ask("POST", place, 422, json={"record_id": "cus_0", "decision": "link"})
    for number, verdict in enumerate(
        [{"decision": "link", "other_id": "7"}, {"decision": "create"}, {"decision": "skip"}]
    ):
        answer = await acme.client.request("POST", place, json={"record_id": f"cus_{number}", **verdict})
        assert answer.status_code == 204
    await acme.ask("POST", place, 409, json={"record_id": "cus_9", "decision": "skip"})
    shown = await acme.ask("GET", f"{ROUTES}/{made['id']}")
    assert shown["records"] == {"due": 2, "skipped": 1}
    # Without credentials nothing can be previewed; it says so.
    refused = await acme.ask("POST", f"{ROUTES}/{made['id']}/preview", 409)
    assert refused["detail"].startswith("acme")
