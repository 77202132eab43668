"""The stand-ins take writes as their providers document it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from unified.sandbox.faults import Fault

if TYPE_CHECKING:
    import httpx

    from unified.sandbox.server import SandboxServer

CONTACTS = "/crm/objects/2026-09/contacts"


def contact(email: str, trace: str | None = None, **properties: str) -> dict[str, Any]:
    told = {"properties": {"email": email, **properties}}
    return {**told, **({"objectWriteTraceId": trace} if trace else {})}


def post(hubspot: httpx.Client, action: str, *inputs: dict[str, Any]) -> httpx.Response:
    return hubspot.post(f"{CONTACTS}/batch/{action}", json={"inputs": inputs})


def newest_events(stripe: httpx.Client, count: int) -> list[tuple[str, dict[str, Any] | None]]:
    events = stripe.get("/v1/events", params={"limit": count}).json()["data"]
    return [(event["type"], event["data"].get("previous_attributes")) for event in events]


# Stripe -------------------------------------------------------------------------------------------


def test_stripe_customers_are_made_changed_and_deleted(stripe: httpx.Client) -> None:
    form = {"name": "Ada", "address[city]": "London", "metadata[a]": "1", "metadata[b]": "2"}
    made = stripe.post("/v1/customers", data=form).json()
    assert (made["name"], made["email"], made["shipping"]) == ("Ada", None, None)
    assert (made["address"]["city"], made["address"]["line1"]) == ("London", None)
    path = f"/v1/customers/{made['id']}"
    changed = stripe.post(path, data={"metadata[a]": "", "address[line1]": "1", "name": "Ada"}).json()
    assert (changed["metadata"], changed["address"]["city"]) == ({"b": "2"}, "London")
    assert stripe.post(path, data={"name": "Ada"}).json() == changed
    assert newest_events(stripe, 2) == [
        ("customer.updated", {"address": made["address"], "metadata": made["metadata"]}),
        ("customer.created", None),
    ]
    assert stripe.post(path, data={"address": "", "metadata": ""}).json()["address"] is None
    assert stripe.delete(path).json() == {"id": made["id"], "object": "customer", "deleted": True}
    for again in (stripe.delete(path), stripe.post(path, data={"name": "late"})):
        assert (again.status_code, again.json()["error"]["code"]) == (404, "resource_missing")
    assert newest_events(stripe, 1) == [("customer.deleted", None)]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"email": "nobody"}, "email_invalid"),
        ({"phone": "1" * 21}, None),
        ({"shipping[address][city]": "Rome"}, "parameter_missing"),
        ({"nickname": "A"}, "parameter_unknown"),
        ({"address[planet]": "Mars"}, "parameter_unknown"),
        ({"metadata[k]": "v" * 501}, None),
        ({f"metadata[{number}]": "v" for number in range(51)}, None),
    ],
)
def test_stripe_refuses_what_it_can_not_hold(
    stripe: httpx.Client, form: dict[str, str], code: str | None
) -> None:
    answer = stripe.post("/v1/customers", data=form)
    assert (answer.status_code, answer.json()["error"].get("code")) == (400, code)


def test_a_stripe_request_with_a_key_is_carried_out_once(server: SandboxServer, stripe: httpx.Client) -> None:
    def create(name: str, key: str) -> httpx.Response:
        return stripe.post("/v1/customers", data={"name": name}, headers={"idempotency-key": key})

    first, again = create("Ada", "k1"), create("Ada", "k1")
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    other = create("Bob", "k1")
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")
    assert create("Ada", "k2").json()["id"] != first.json()["id"]
    server.stripe.clock.advance(days=1)
    assert create("Ada", "k1").json()["id"] != first.json()["id"]


def test_stripe_does_not_keep_what_it_refused(stripe: httpx.Client) -> None:
    for email, status in (("nobody", 400), ("ada@example.com", 200)):
        answer = stripe.post("/v1/customers", data={"email": email}, headers={"idempotency-key": "k1"})
        assert answer.status_code == status


# HubSpot ------------------------------------------------------------------------------------------


def test_hubspot_answers_for_each_input_that_has_a_trace(hubspot: httpx.Client) -> None:
    made = post(hubspot, "create", contact("Ada@example.com", "a", firstname="Ada"))
    assert made.status_code == 201
    [record] = made.json()["results"]
    assert record["objectWriteTraceId"] == "a"
    assert record["properties"]["email"] == "ada@example.com"

    mixed = post(
        hubspot,
        "create",
        contact("ada@example.com", "again"),
        contact("bob@example.com", "bob"),
        contact("none", "email"),
        contact("eve@example.com", "property", nickname="E"),
    )
    assert mixed.status_code == 207
    document = mixed.json()
    assert [one["objectWriteTraceId"] for one in document["results"]] == ["bob"]
    assert document["numErrors"] == 3
    errors = {one["context"]["objectWriteTraceId"][0]: one for one in document["errors"]}
    assert {trace: error["category"] for trace, error in errors.items()} == {
        "again": "CONFLICT", "email": "VALIDATION_ERROR", "property": "VALIDATION_ERROR",
    }  # fmt: skip
    assert errors["again"]["message"].endswith(f"Existing ID: {record['id']}")
    assert "PROPERTY_DOESNT_EXIST" in errors["property"]["message"]


def test_hubspot_takes_all_inputs_without_a_trace_or_none(
    server: SandboxServer, hubspot: httpx.Client
) -> None:
    before = server.hubspot.account().source_counts()["contacts"]
    refused = post(hubspot, "create", contact("new@example.com"), contact("none"))
    assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")
    assert server.hubspot.account().source_counts()["contacts"] == before
    assert post(hubspot, "create", contact("new@example.com")).status_code == 201


def test_hubspot_updates_what_differs_and_says_what_is_gone(
    server: SandboxServer, hubspot: httpx.Client
) -> None:
    [first, second] = [one["id"] for one in hubspot.get(CONTACTS, params={"limit": 2}).json()["results"]]
    server.hubspot.clock.advance(seconds=60)
    inputs = [
        {"id": first, "properties": {"firstname": "New", "lastname": ""}, "objectWriteTraceId": "1"},
        {"id": second, "properties": {}, "objectWriteTraceId": "2"},
        {"id": "1", "properties": {}, "objectWriteTraceId": "3"},
    ]
    before = hubspot.get(f"{CONTACTS}/{second}").json()["updatedAt"]
    answer = post(hubspot, "update", *inputs)
    assert answer.status_code == 207
    assert answer.json()["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert answer.json()["errors"][0]["context"] == {"objectWriteTraceId": ["3"], "ids": ["1"]}
    changed = hubspot.get(f"{CONTACTS}/{first}", params={"properties": "firstname,lastname"}).json()
    assert (changed["properties"]["firstname"], changed["properties"]["lastname"]) == ("New", None)
    assert changed["updatedAt"] > before
    assert hubspot.get(f"{CONTACTS}/{second}").json()["updatedAt"] == before


def test_hubspot_upserts_by_a_property_with_unique_values(
    server: SandboxServer, hubspot: httpx.Client
) -> None:
    given = {"id": "k1", "idProperty": "made_by", "properties": {"firstname": "A"}, "objectWriteTraceId": "1"}
    assert post(hubspot, "upsert", given).json()["errors"][0]["category"] == "VALIDATION_ERROR"
    server.hubspot.mutate("define_property", None, "contacts", "made_by", unique=True)
    [made] = post(hubspot, "upsert", given).json()["results"]
    [again] = post(hubspot, "upsert", {**given, "properties": {"firstname": "B"}}).json()["results"]
    assert (made["new"], again["new"], again["id"]) == (True, False, made["id"])
    body = {"inputs": [{"id": "k1"}, {"id": "k2"}], "idProperty": "made_by", "properties": ["firstname"]}
    read = hubspot.post(f"{CONTACTS}/batch/read", json=body).json()
    assert [one["properties"]["firstname"] for one in read["results"]] == ["B"]
    assert read["errors"][0]["context"] == {"ids": ["k2"]}


def test_hubspot_archives_whatever_became_of_the_records(
    server: SandboxServer, hubspot: httpx.Client
) -> None:
    first = post(hubspot, "create", contact("ada@example.com")).json()["results"][0]["id"]
    for _ in range(2):
        assert post(hubspot, "archive", {"id": first}, {"id": "1"}).status_code == 204
    assert hubspot.get(f"{CONTACTS}/{first}").status_code == 404
    assert hubspot.get(f"{CONTACTS}/{first}", params={"archived": "true"}).json()["archived"] is True
    # The address of an archived contact is free again.
    assert post(hubspot, "create", contact("ada@example.com", "1")).status_code == 201


def test_a_rule_of_a_portal_holds_for_writes_over_the_api(
    server: SandboxServer, hubspot: httpx.Client
) -> None:
    server.hubspot.mutate("set_rule", None, "contacts", "firstname", ".+")
    answer = post(
        hubspot, "create", contact("a@example.com", "1"), contact("b@example.com", "2", firstname="B")
    )
    assert [one["context"]["objectWriteTraceId"] for one in answer.json()["errors"]] == [["1"]]
    server.hubspot.mutate("set_rule", None, "contacts", "firstname", None)
    assert post(hubspot, "create", contact("a@example.com", "1")).status_code == 201


def test_a_cut_connection_comes_after_the_change(server: SandboxServer, hubspot: httpx.Client) -> None:
    server.hubspot.faults.add(Fault("cut", f"{CONTACTS}/batch/create"))
    with pytest.raises(Exception, match="peer closed connection"):
        post(hubspot, "create", contact("ada@example.com", "1"))
    assert server.hubspot.account().owner("contacts", "email", "ada@example.com") is not None
