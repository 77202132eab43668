"""Two workspaces: every path with something of the other one is 404, and changes nothing there."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from fastapi.routing import APIRoute

from tests.streams import key_of
from tests.unified.api.management.rig import CONFIGS, Api, Tenant
from tests.unified.store.inbox.rows import event
from tests.unified.sync.connectors import desk
from tests.unified.sync.identities.tenant import Tenant as Customers
from unified.api.management.routers import routers
from unified.store.connections.registry import Registry
from unified.store.inbox import dead_letters
from unified.store.inbox.dead_letters import Failure
from unified.store.inbox.events import StoredEvent
from unified.store.lists.declared import LISTS
from unified.store.records import history

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What a request has to hold to get as far as the thing itself.
BODIES: dict[str, Any] = {
    "change_connection": {"settings": {"retry_count": 1}},
    "put_credentials": {"fields": {"api_key": "sk_test_fake_mine"}},
    "set_mapping": {"stream": "customers", "source_path": "a", "target_field": "name"},
    "try_mappings": {"stream": "customers"},
    "diff_mappings": {"stream": "customers"},
    "propose_mappings": {"stream": "customers"},
    "decide_mappings": {"stream": "customers", "decline": ["phone"]},
    "change_webhook": {"is_active": False},
    "change_subscription": {"is_active": False},
    "roll_secret": {"secret": "whsec_fake_mine"},
    "change_member": {"role": "owner"},
    "change_workspace": {"name": "mine"},
    "decide": {"record_id": "cus_1", "decision": "skip"},
    "complete": {"redirected_url": "https://api.test/oauth/callback?code=fake&state=fake"},
    "split": {"records": [str(uuid4())]},
    "upgrade_document": {"document": json.dumps(desk.said())},
}
QUERIES: dict[str, Any] = {"remove_mapping": {"stream": "customers", "target_field": "tax_number"}}
# Names that are nobody's secret: connectors are the same for all, and a field is looked for in a connection.
PUBLIC = {"name": "stripe", "field": "api_key"}


def routes_with_ids() -> list[APIRoute]:
    return [
        route
        for router in routers()
        for route in router.routes
        # Neither a system nor what the deployment advises against belongs to a workspace.
        if isinstance(route, APIRoute) and set(route.param_convertors) - {"name", "deprecated"}
    ]


async def furnish(tenant: Tenant) -> dict[str, str]:
    """A workspace with one of everything; names for the variables of paths."""
    connection = await tenant.add()
    await tenant.give_key(connection)
    place = f"{CONFIGS}/{connection['id']}"
    rule = {"stream": "customers", "source_path": "metadata.vat", "target_field": "tax_number"}
    await tenant.ask("PUT", f"{place}/mappings", json=rule)
    webhook = await tenant.ask("POST", f"{place}/webhooks", 201, json={"secret": "whsec_fake_theirs"})
    token = await tenant.ask("GET", "/api/tokens")
    target = await tenant.add("crm", "hubspot")
    ends = {"source_connection_id": connection["id"], "target_connection_id": target["id"]}
    route = await tenant.ask("POST", "/api/routes", 201, json={"name": "crm", **ends})
    hook = {"name": "crm", "list": "customers", "url": "https://hooks.example.com"}
    subscription = await tenant.ask("POST", "/api/subscriptions", 201, json=hook)
    document = {"document": json.dumps(desk.said())}
    await tenant.ask("POST", "/api/connectors/documents", 201, json=document)
    stored = await Registry(tenant.api.db).get_connection(tenant.id, UUID(connection["id"]))
    await history.begin(tenant.api.db, key_of(stored, "customers"), "full")
    failure = Failure(StoredEvent(event("evt_1"), datetime.now(UTC)), "no", is_final=True)
    async with tenant.api.db.workspace(tenant.id) as conn:
        await dead_letters.keep(conn, stored, [failure], datetime.now(UTC))
        await conn.execute(
            "INSERT INTO workspace_members (workspace_id, subject, role, added_by) VALUES (%s, 'ann', 'viewer', 'x')",
            (tenant.id,),
        )
    customers = Customers(tenant.api.db, [stored])
    for number in "12":
        await customers.add("stripe", number, email="ann@globex.test", name="Ann")
    await customers.resolve()
    return {
        "connection_id": connection["id"],
        "connection": connection["id"],
        "connector": "desk",
        "source_id": "1",
        "identity_id": str(customers.id(("stripe", "1"))),
        "webhook_id": webhook["id"],
        "route_id": route["id"],
        "subscription_id": subscription["id"],
        "token_id": token["items"][0]["id"],
        "subject": "ann",
        "workspace": tenant.slug,
    }


def everything_of(url: str, tenant: Tenant) -> dict[str, Any]:
    """All rows of a workspace, by table, but for when its tokens were used."""
    with psycopg.connect(url) as superuser:
        tables = superuser.execute(
            "SELECT relname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
            "WHERE attname = 'workspace_id' AND relkind IN ('r', 'p') AND NOT relispartition"
        ).fetchall()
        return {
            table: superuser.execute(
                f"SELECT to_jsonb(t) - 'last_used_at' FROM {table} AS t "  # noqa: S608 - from the catalogue
                "WHERE workspace_id = %s ORDER BY t::text".encode(),
                (tenant.id,),
            ).fetchall()
            for (table,) in tables
        }


@pytest.mark.parametrize("how", ["of another workspace", "of nobody"])
async def test_what_is_another_workspaces_is_not_there(api: Api, acme: Tenant, how: str) -> None:
    globex = await api.tenant("globex")
    theirs = await furnish(globex)
    if how == "of nobody":
        theirs = {**dict.fromkeys(theirs, str(uuid4())), "connector": "nobody"}
    before = everything_of(api.db.url, globex)
    assert before["connector_configs"]
    found: dict[str, int] = {}
    for route in routes_with_ids():
        path = route.path_format.format(**PUBLIC, **theirs)
        (method,) = route.methods or ()
        answer = await acme.client.request(
            method,
            path,
            params=QUERIES.get(route.name),
            json=BODIES.get(route.name, {}) if method in ("POST", "PUT", "PATCH") else None,
            headers={"if-match": "*"},
        )
        found[f"{method} {route.path}"] = answer.status_code
    # Members and tokens are managed by people, whom a token is not: it does not get that far.
    kept_from_tokens = {name for name, status in found.items() if status == 403}
    assert all("/api/members" in name or "/api/tokens" in name for name in kept_from_tokens)
    assert {name: status for name, status in found.items() if status not in (404, 403)} == {}
    assert everything_of(api.db.url, globex) == before


async def test_lists_hold_nothing_of_another_workspace(api: Api, acme: Tenant) -> None:
    await furnish(await api.tenant("globex"))
    lists = [f"/api/{name}" for name in LISTS]
    for path in (CONFIGS, "/api/webhooks/dead-letters", "/api/routes", "/api/subscriptions", *lists):
        assert (await acme.ask("GET", path))["items"] == []
    for path in ("/api/webhooks/waiting", "/api/statistics"):
        assert await acme.ask("GET", path) == []


async def test_another_workspaces_filter_is_not_there_either(api: Api, acme: Tenant) -> None:
    theirs = await furnish(await api.tenant("globex"))
    where = {"connection_id": theirs["connection_id"]}
    await acme.ask("GET", "/api/webhooks/dead-letters", 404, params=where)


async def test_a_cursor_of_another_workspace_is_refused(api: Api, acme: Tenant) -> None:
    globex = await api.tenant("globex")
    for name in ("a", "b"):
        await globex.add(name)
    await acme.add("c")
    cursor = (await globex.ask("GET", CONFIGS, params={"limit": 1}))["next"]
    await acme.ask("GET", CONFIGS, 422, params={"cursor": cursor})
    assert [one["name"] for one in (await acme.ask("GET", CONFIGS))["items"]] == ["c"]


async def test_two_tenants_may_use_the_same_names_and_keys(api: Api, acme: Tenant) -> None:
    globex = await api.tenant("globex")
    once = {"headers": {"idempotency-key": "same"}}
    body = {"json": {"connector": "stripe", "name": "main"}}
    ours = await acme.ask("POST", CONFIGS, 201, **body, **once)
    theirs = await globex.ask("POST", CONFIGS, 201, **body, **once)
    assert ours["id"] != theirs["id"]
