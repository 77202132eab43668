"""A person's data deleted over the API: by admins only, planned first, repeatable, audited without the address."""

import json
from uuid import uuid4

import pytest

from tests.unified.api.management.rig import Api, Tenant
from tests.unified.sync.identities.tenant import Tenant as Customers
from unified.store.connections.registry import Registry

pytestmark = pytest.mark.asyncio(loop_scope="module")

DELETIONS = "/api/privacy/deletions"


async def test_an_admin_deletes_a_person(api: Api, acme: Tenant) -> None:
    await acme.add("stripe")
    customers = Customers(api.db, await Registry(api.db).connections(acme.id))
    await customers.add("stripe", "1", email="ann@acme.com", name="Ann")
    await customers.add("stripe", "2", email="ben@acme.com", name="Ben")
    await customers.resolve()
    one = str(customers.id(("stripe", "1")))
    body = {"email": "Ann@acme.com"}
    plan = await acme.ask("POST", DELETIONS, 200, json={**body, "plan": True})
    assert (plan["records"], plan["emptied"]["unified_customers"]) == ([one], 1)
    assert (await acme.ask("GET", "/api/privacy/suppressed"))["items"] == []
    assert await acme.ask("POST", DELETIONS, 200, json=body) == plan
    again = await acme.ask("POST", DELETIONS, 200, json={"ids": [one]})
    assert again == {"records": [one], "newly_suppressed": 0, "emptied": {}}
    (kept,) = (await acme.ask("GET", "/api/privacy/suppressed"))["items"]
    assert (kept["unified_id"], kept["source_id"], kept["connection"]) == (one, "1", "stripe")
    names = {found["name"] for found in (await acme.ask("GET", "/api/identities"))["items"]}
    assert names == {"Ben"}
    entries = (await acme.ask("GET", "/api/audit?action=privacy.delete"))["items"]
    assert len(entries) == 2
    assert "ann@" not in json.dumps(entries).lower()
    lifted = await acme.ask("POST", "/api/privacy/lifted", 200, json={"ids": [one, str(uuid4())]})
    assert lifted == {"records": [one]}
    assert "privacy.lift" in await acme.audited()


async def test_what_is_refused(api: Api, acme: Tenant) -> None:
    for bad in ({}, {"plan": True}, {"email": "nobody"}, {"ids": ["x"]}, {"emil": "a@b.c"}):
        await acme.ask("POST", DELETIONS, 422, json=bad)
    await acme.ask("POST", DELETIONS, 404, json={"ids": [str(uuid4())]})
