"""Identities over the API: listed, shown, explained, merged and split."""

from uuid import uuid4

import pytest

from tests.unified.api.management.rig import Api, Tenant
from tests.unified.sync.identities.tenant import Tenant as Customers
from unified.store.connections.registry import Registry

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDENTITIES = "/api/identities"


async def test_a_person_looks_and_decides(api: Api, acme: Tenant) -> None:
    await acme.add("stripe")
    await acme.add("hubspot", "hubspot")
    customers = Customers(api.db, await Registry(api.db).connections(acme.id))
    await customers.add("stripe", "1", email="ann@acme.com", name="Ann S.")
    await customers.add("hubspot", "1", email="ann@acme.com", name="Ann Smith")
    await customers.add("hubspot", "2", email="ben@acme.com", name="Ben")
    await customers.resolve()
    one, other, third = (
        str(customers.id(record)) for record in (("stripe", "1"), ("hubspot", "1"), ("hubspot", "2"))
    )

    page = await acme.ask("GET", f"{IDENTITIES}?limit=1")
    rest = await acme.ask("GET", f"{IDENTITIES}?limit=1&cursor={page['next']}")
    assert {found["name"] for found in (*page["items"], *rest["items"])} == {"Ann Smith", "Ben"}
    assert rest["next"] is None
    (found,) = (await acme.ask("GET", f"{IDENTITIES}?least_records=2"))["items"]
    assert found["provenance"]["name"]["why"] == "recency"
    shown = await acme.ask("GET", f"{IDENTITIES}/{one}")
    assert {record["rule"] for record in shown["records"]} == {None, "email"}
    why = await acme.ask("GET", f"{IDENTITIES}/explain?one={one}&other={other}")
    assert why["is_one"]
    assert [key["value"] for key in why["keys"]] == ["ann@acme.com"]
    assert await acme.ask("GET", f"{IDENTITIES}/refused") == []

    decided = await acme.ask(
        "POST", f"{IDENTITIES}/{one}/split", 200, json={"records": [other], "note": "sisters"}
    )
    assert (len(decided["identity_ids"]), decided["is_settled"]) == (2, True)
    await acme.ask("POST", f"{IDENTITIES}/merge", 200, json={"identity_ids": [one, third]})
    assert await customers.identity(("stripe", "1")) == await customers.identity(("hubspot", "2"))
    assert await customers.identity(("stripe", "1")) != await customers.identity(("hubspot", "1"))
    assert {"identity.split", "identity.merge"} <= set(await acme.audited())


async def test_what_can_not_be_decided(api: Api, acme: Tenant) -> None:
    await acme.add("stripe")
    customers = Customers(api.db, await Registry(api.db).connections(acme.id))
    await customers.add("stripe", "1", email="ann@acme.com")
    await customers.resolve()
    one, nobody = str(customers.id(("stripe", "1"))), str(uuid4())
    await acme.ask("GET", f"{IDENTITIES}/{nobody}", 404)
    await acme.ask("GET", f"{IDENTITIES}/explain?one={one}&other={nobody}", 404)
    await acme.ask("POST", f"{IDENTITIES}/merge", 404, json={"identity_ids": [one, nobody]})
    await acme.ask("POST", f"{IDENTITIES}/merge", 409, json={"identity_ids": [one, one]})
    await acme.ask("POST", f"{IDENTITIES}/{one}/split", 409, json={"records": [one]})
    # Another tenant's is as if it were not there.
    other = await api.tenant("other")
    await other.ask("GET", f"{IDENTITIES}/{one}", 404)
