"""Connections over HTTP, from the first to the last, against the stand-in for Stripe."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.streams import key_of
from tests.unified.api.management.rig import CONFIGS, Api, Tenant
from unified.kit.declarations import ConnectionRef
from unified.kit.factory import build_adapter
from unified.kit.streams import Page, RawRecord
from unified.store.connections.registry import Registry
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.storing import store_pages

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_life_of_a_connection(acme: Tenant) -> None:
    added = await acme.client.post(CONFIGS, json={"connector": "stripe", "name": "main"})
    assert added.status_code == 201
    connection, place = added.json(), added.headers["location"]
    assert place == f"{CONFIGS}/{connection['id']}"
    assert (connection["key"], connection["approval"], connection["settings"]) == (
        f"{acme.slug}/main",
        "approved",
        {},
    )
    assert added.headers["etag"] == '"1"'

    change = {"settings": {"retry_count": 2, "timeout": 5}, "sync_interval_minutes": 15}
    changed = await acme.client.patch(place, json=change, headers={"if-match": '"1"'})
    assert changed.json()["settings"] == {"retry_count": 2, "timeout": 5.0}
    assert changed.json()["sync_interval_minutes"] == 15
    back = {"settings": {"timeout": None}}
    assert (await acme.client.patch(place, json=back, headers={"if-match": '"1"'})).status_code == 412
    assert (await acme.client.patch(place, json=back)).status_code == 428
    etag = changed.headers["etag"]
    changed = await acme.client.patch(place, json=back, headers={"if-match": etag})
    assert changed.json()["settings"] == {"retry_count": 2}, "null takes one back, and leaves the others"

    assert not (await acme.ask("POST", f"{place}/pause"))["is_active"]
    assert (await acme.ask("POST", f"{place}/resume"))["is_active"]
    shown = await acme.client.get(place)
    assert shown.json()["is_active"]
    assert int(shown.headers["etag"].strip('"')) == shown.json()["version"] == 5

    await acme.ask("DELETE", place, 204)
    await acme.ask("GET", place, 404)
    await acme.ask("DELETE", place, 404)
    actions = [action for action in await acme.audited() if action.startswith("connection.")]
    assert actions == ["connection.add", *["connection.update"] * 4, "connection.remove"]


async def test_lists_come_page_by_page(acme: Tenant) -> None:
    for name in ("a", "c", "b"):
        await acme.add(name)
    await acme.ask("POST", CONFIGS, 201, json={"connector": "hubspot", "name": "crm"})
    first = await acme.ask("GET", CONFIGS, params={"limit": 3})
    second = await acme.ask("GET", CONFIGS, params={"limit": 3, "cursor": first["next"]})
    assert [one["name"] for one in (*first["items"], *second["items"])] == ["a", "b", "c", "crm"]
    assert second["next"] is None
    only = await acme.ask("GET", CONFIGS, params={"connector": "hubspot"})
    assert [one["name"] for one in only["items"]] == ["crm"]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"connector": "stripe", "name": "Not a slug"}, 422, "/body/name"),
        ({"connector": "stripe", "name": "a", "planted": 1}, 422, "/body"),
        ({"connector": "nobody", "name": "a"}, 422, None),
        (
            {"connector": "stripe", "name": "a", "settings": {"timeout": "planted"}},
            422,
            "/body/settings/timeout",
        ),
        ({"connector": "stripe", "name": "a", "settings": {"planted": 1}}, 422, "/body/settings"),
        (
            {"connector": "stripe", "name": "a", "settings": {"base_url": "https://169.254.169.254"}},
            422,
            "/body/settings/base_url",
        ),
        (
            {"connector": "stripe", "name": "a", "sync_interval_minutes": 0},
            422,
            "/body/sync_interval_minutes",
        ),
        ({"connector": "stripe", "name": "taken"}, 409, None),
    ],
)
async def test_what_can_not_be_is_refused_and_nothing_made(
    acme: Tenant, body: dict[str, Any], status: int, pointer: str | None
) -> None:
    await acme.add("taken")
    problem = await acme.ask("POST", CONFIGS, status, json=body)
    assert [error["pointer"] for error in problem.get("errors", [])] == ([pointer] if pointer else [])
    assert "planted" not in str(problem)
    assert len((await acme.ask("GET", CONFIGS))["items"]) == 1


async def test_credentials_never_follow_a_connection_to_another_host(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}"
    elsewhere = {"settings": {"base_url": "https://api.stripe.com", "allow_private_hosts": None}}
    anyway = {"if-match": "*"}
    await acme.give_key(connection)
    await acme.ask("PATCH", place, 409, json=elsewhere, headers=anyway)
    same_host = {"settings": {"base_url": f"{acme.api.sandbox_url}/stripe/", "retry_count": 1}}
    await acme.ask("PATCH", place, json=same_host, headers=anyway)
    await acme.ask("DELETE", f"{place}/credentials/api_key", 204)
    await acme.ask("PATCH", place, json=elsewhere, headers=anyway)


async def test_a_test_answers_whatever_the_provider_says(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}"
    none = await acme.ask("POST", f"{place}/test")
    assert (none["ok"], none["account"]) == (False, None)
    assert "has no credentials" in none["reason"]
    await acme.give_key(connection, "sk_test_fake_nobody")
    bad = await acme.ask("POST", f"{place}/test")
    assert not bad["ok"]
    assert "sk_test_fake_nobody" not in str(bad)
    assert (await acme.ask("GET", place))["test_error"] == bad["reason"]
    await acme.give_key(connection)
    good = await acme.ask("POST", f"{place}/test")
    assert (good["ok"], good["reason"]) == (True, None)
    assert good["account"]["id"].startswith("acct_")
    shown = await acme.ask("GET", place)
    assert (shown["tested_at"], shown["test_error"]) == (good["tested_at"], None)
    assert shown["version"] == 1, "a test changes nothing that anybody edits"


async def test_a_sync_is_asked_for_once_and_kept(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}"
    await acme.ask("POST", f"{place}/sync", 409)
    await acme.give_key(connection)
    first = await acme.ask("POST", f"{place}/sync", 202)
    again = await acme.ask("POST", f"{place}/sync", 202, json={"full": True})
    assert again == {"requested_at": first["requested_at"], "full": True}
    assert (await acme.ask("POST", f"{place}/sync", 202, json={}))["full"], "what is joined stays full"
    assert (await acme.ask("GET", place))["sync_requested_at"] == first["requested_at"]
    await acme.ask("POST", f"{CONFIGS}/{uuid4()}/sync", 404)


async def test_where_a_workspace_asks_for_it_nothing_is_used_before_an_admin_approves(api: Api) -> None:
    acme = await api.tenant("acme", requires_approval=True)
    member = await api.with_role(acme, "member")
    connection = await member.add()
    place = f"{CONFIGS}/{connection['id']}"
    assert connection["approval"] == "pending"
    await member.give_key(connection)
    for action in ("sync", "test"):
        problem = await member.ask("POST", f"{place}/{action}", 409)
        assert "waits for approval" in problem["detail"]
    tried = {"json": {"fields": {"api_key": "sk_test_fake_2"}}, "params": {"test": True}}
    await member.ask("PUT", f"{place}/credentials", 409, **tried)
    await member.ask("POST", f"{place}/approve", 403, headers={"if-match": "*"})

    seen = {"if-match": (await acme.client.get(place)).headers["etag"]}
    await member.ask("PATCH", place, json={"settings": {"timeout": 9}}, headers={"if-match": "*"})
    await acme.ask("POST", f"{place}/approve", 412, headers=seen)
    await acme.ask("POST", f"{place}/approve", 428)
    seen = {"if-match": (await acme.client.get(place)).headers["etag"]}
    assert (await acme.ask("POST", f"{place}/approve", headers=seen))["approval"] == "approved"
    assert (await member.ask("POST", f"{place}/test"))["ok"]

    changed = await member.ask("PATCH", place, json={"settings": {"timeout": 10}}, headers={"if-match": "*"})
    assert changed["approval"] == "pending", "other settings are another destination"
    rejected = await acme.ask("POST", f"{place}/reject", headers={"if-match": "*"})
    assert rejected["approval"] == "rejected"
    assert rejected["approval_by"].startswith("token:")
    assert "rejected" in (await member.ask("POST", f"{place}/sync", 409))["detail"]


async def test_field_rules(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/mappings"
    rule = {"stream": "customers", "source_path": "metadata.vat", "target_field": "tax_number"}
    assert await acme.ask("PUT", place, json=rule) == rule
    replaced = {**rule, "source_path": "metadata.tax"}
    await acme.ask("PUT", place, json=replaced)
    assert await acme.ask("GET", place) == [replaced]
    await acme.ask("PUT", place, 422, json={**rule, "target_field": "source_id"})
    which = {"stream": "customers", "target_field": "tax_number"}
    await acme.ask("DELETE", place, 204, params=which)
    await acme.ask("DELETE", place, 404, params=which)
    assert await acme.ask("GET", place) == []
    stepped = {**rule, "steps": [{"do": "template", "text": "{{ value }}"}, "trim"], "required": True}
    kept = {**stepped, "steps": [stepped["steps"][0], {"do": "trim"}]}
    assert await acme.ask("PUT", place, json=stepped) == kept
    assert await acme.ask("GET", place) == [kept]
    for steps in (["exec"], [{"do": "template", "text": "{{ value.__class__() }}"}], "trim"):
        await acme.ask("PUT", place, 422, json={**rule, "steps": steps})


async def store_customer(acme: Tenant, connection: dict[str, Any], raw: bytes) -> None:
    """Store a raw customer, as a sync does."""
    stored = await Registry(acme.api.db).get_connection(acme.id, UUID(connection["id"]))
    ref = ConnectionRef(stored.id, stored.workspace_id, stored.key)
    mapping = Mapping(build_adapter("stripe", {}, {}, ref), "customers")
    page = Page([RawRecord("cus_1", raw)], datetime(2026, 11, 28, tzinfo=UTC), {})
    async with Mapper() as mapper:
        await store_pages(acme.api.db, key_of(stored, "customers"), mapping, mapper, [page], page.observed_at)


async def test_field_rules_are_tried_on_what_is_stored(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/mappings"
    raw = b'{"id": "cus_1", "name": "Ada", "metadata": {"vat": "CHE-1"}}'
    await store_customer(acme, connection, raw)
    wanted = {"stream": "customers", "rules": [{"target": "tax_number", "source": "metadata.vat"}]}
    tried = await acme.ask("POST", f"{place}/try", json=wanted)
    assert (tried["records"], tried["rules"][0]["filled"], tried["rules"][0]["examples"]) == (
        1,
        1,
        [["AAA-9", "AAA-9"]],
    )
    found = await acme.ask("POST", f"{place}/diff", json=wanted)
    assert found["fields"] == [
        {
            "name": "tax_number",
            "filled": 1,
            "changed": 0,
            "cleared": 0,
            "examples": [["cus_1", None, "CHE-1"]],
        }
    ]
    assert (found["looked_at"], found["changed"], found["stored"]) == (1, 1, 1)
    assert await acme.ask("GET", place) == []
    wrong = {"stream": "customers", "rules": [{"target": "source_id", "source": "a"}]}
    assert "can't fill" in (await acme.ask("POST", f"{place}/try", 422, json=wrong))["detail"]


async def test_rules_are_proposed_and_decided_about(acme: Tenant) -> None:
    connection = await acme.add()
    place = f"{CONFIGS}/{connection['id']}/mappings"
    raw = b'{"id": "cus_1", "name": "Ada", "metadata": {"vat": "CHE-1", "mobile": "+41 79 1"}}'
    await store_customer(acme, connection, raw)
    found = await acme.ask("POST", f"{place}/propose", json={"stream": "customers"})
    proposed = {one["rule"]["target"]: one for one in found["rules"]}
    assert (found["records"], proposed.keys()) == (1, {"tax_number", "phone"})
    assert proposed["tax_number"]["confidence"]["score"] > 0.9
    assert proposed["phone"]["trial"]["examples"] == [["+99 99 9", "+99 99 9"]]
    assert "CHE-1" not in str(found)
    decision = {"stream": "customers", "accept": [proposed["tax_number"]["rule"]], "decline": ["phone"]}
    await acme.ask("POST", f"{place}/decide", 204, json=decision)
    assert [one["target_field"] for one in await acme.ask("GET", place)] == ["tax_number"]
    again = await acme.ask("POST", f"{place}/propose", json={"stream": "customers"})
    assert (again["rules"], again["declined"]) == ([], ["phone"])
    await acme.ask("POST", f"{place}/decide", 422, json={"stream": "customers", "decline": ["nothing"]})


async def test_a_connection_says_which_streams_it_reads(acme: Tenant) -> None:
    wanted = {"connector": "stripe", "name": "main", "streams": ["invoices", "customers"]}
    added = await acme.ask("POST", CONFIGS, 201, json=wanted)
    assert added["streams"] == ["customers", "invoices"]
    place, anyway = f"{CONFIGS}/{added['id']}", {"if-match": "*"}
    changed = await acme.ask("PATCH", place, json={"streams": []}, headers=anyway)
    assert changed["streams"] == ["customers", "invoices", "events"]
    refused = await acme.ask("PATCH", place, 422, json={"streams": ["deals"]}, headers=anyway)
    assert "stripe polls no stream deals" in refused["detail"]


async def test_a_connection_says_which_columns_it_leaves_out(acme: Tenant) -> None:
    columns = {"customers": {"email": "hash"}}
    added = await acme.ask(
        "POST", CONFIGS, 201, json={"connector": "stripe", "name": "main", "columns": columns}
    )
    assert added["columns"] == columns
    place, anyway = f"{CONFIGS}/{added['id']}", {"if-match": "*"}
    changed = await acme.ask(
        "PATCH", place, json={"columns": {"invoices": {"number": "omit"}}}, headers=anyway
    )
    assert changed["columns"] == {"invoices": {"number": "omit"}}
    assert "No invoices are stored yet" in changed["notices"][-1]
    assert (await acme.ask("GET", place))["notices"] == [changed["notices"][-1]]
    started = await acme.ask("PATCH", place, json={"since": {"invoices": "2025-01-31"}}, headers=anyway)
    assert (started["since"], started["columns"]) == ({"invoices": "2025-01-31"}, changed["columns"])
    await acme.ask("PATCH", place, 422, json={"since": {"invoices": "2025-02-31"}}, headers=anyway)
    kept = await acme.ask("PATCH", place, json={"history": ["customers"]}, headers=anyway)
    assert (kept["history"], kept["since"]) == (["customers"], started["since"])
    refused = await acme.ask("PATCH", place, 422, json={"history": ["events"]}, headers=anyway)
    assert "events of stripe never change" in refused["detail"]
    assert changed["version"] > added["version"]
    assert changed["sync_requested_at"] is not None
    refused = await acme.ask(
        "PATCH", place, 422, json={"columns": {"invoices": {"id": "omit"}}}, headers=anyway
    )
    assert "known and dated by id" in refused["detail"]
