"""One record: by its connection and its id there, with its raw record and the syncs of its stream."""

from urllib.parse import quote

import pytest

from tests.unified.api.management.records.shelf import ODD, Shelf
from tests.unified.api.management.rig import Api
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS
from unified.store.records import history

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("entity", [CUSTOMERS, INVOICES, EVENTS, RECORDS])
async def test_a_record_is_found_by_its_connection_and_id(api: Api, entity: object) -> None:
    shelf = await Shelf.of(api, "single")
    await shelf.fill()
    name = entity.name  # type: ignore[attr-defined]
    for connection in ("main", str(shelf.connection.id)):
        found = await shelf.tenant.ask("GET", f"/api/{name}/{connection}/2")
        assert (found["source_id"], found["connection"]) == ("2", "main")
        assert not {"raw_data", "payload", "history", "line_items"} & set(found)
    await shelf.tenant.ask("GET", f"/api/{name}/main/9", 404)
    await shelf.tenant.ask("GET", f"/api/{name}/nobody/1", 404)


@pytest.mark.parametrize("source_id", ["a/b", "a/raw", "ünï çödé", "a%2Fb", "?x=1", "..", ODD])
async def test_an_id_is_whatever_its_source_makes_it(api: Api, source_id: str) -> None:
    shelf = await Shelf.of(api, "ids")
    shelf.raw[source_id] = b"{}"
    await shelf.put(CUSTOMERS, source_id)
    path = f"/api/customers/main/{quote(source_id, safe='')}".replace("..", "%2E%2E")
    found = await shelf.tenant.ask("GET", path)
    assert found["source_id"] == source_id


async def test_a_deleted_record_is_shown_as_such(api: Api) -> None:
    shelf = await Shelf.of(api, "gone")
    await shelf.put(CUSTOMERS, "1")
    await shelf.delete(CUSTOMERS, "1")
    found = await shelf.tenant.ask("GET", "/api/customers/main/1")
    assert found["deleted_at"]
    assert not found["is_active"]


async def test_raw_is_what_the_source_sent(api: Api) -> None:
    shelf = await Shelf.of(api, "raw")
    shelf.raw["1"] = rb'{"id": "1", "amount": 1.10, "odd": "<script>\\u0000", "zero": -0.0}'
    await shelf.put(CUSTOMERS, "1")
    answer = await shelf.tenant.client.get("/api/customers/main/1?expand=raw&fields=source_id")
    assert answer.content == b'{"source_id":"1","raw_data":' + shelf.raw["1"] + b"}"


async def test_raw_of_an_event_is_its_payload_too(api: Api) -> None:
    shelf = await Shelf.of(api, "raw-event")
    await shelf.put(EVENTS, "1")
    found = await shelf.tenant.ask("GET", "/api/events/main/1?expand=raw")
    assert found["raw_data"]["id"] == "1"
    assert found["payload"] is not None


async def test_raw_takes_a_permission_of_its_own(api: Api) -> None:
    shelf = await Shelf.of(api, "scope")
    await shelf.put(CUSTOMERS, "1")
    async with api.db.workspace(shelf.tenant.id) as conn:
        await conn.execute("UPDATE api_tokens SET scopes = '{records:read}'")
    reader = await api.tenant("unrelated")
    from unified.store.workspaces import tokens  # noqa: PLC0415

    _, token = await tokens.create(api.db, shelf.tenant.id, "reader", ["records:read"], actor="tests")
    headers = {"authorization": f"Bearer {token.reveal()}"}
    shown = await reader.client.get("/api/customers/main/1", headers=headers)
    assert shown.status_code == 200
    refused = await reader.client.get("/api/customers/main/1?expand=raw", headers=headers)
    assert (refused.status_code, "records:raw" in refused.json()["detail"]) == (403, True)


async def test_the_syncs_of_its_stream(api: Api) -> None:
    shelf = await Shelf.of(api, "history")
    await shelf.put(CUSTOMERS, "1")
    for entity in (CUSTOMERS, CUSTOMERS, INVOICES):
        await history.begin(api.db, shelf.key(entity), "full", "run-1")
    found = await shelf.tenant.ask("GET", "/api/customers/main/1", params={"expand": "history"})
    assert [run["stream"] for run in found["history"]] == ["customers", "customers"]
    assert found["history"][0]["run_url"] == "https://dagster.example.com/runs/run-1"


async def test_lines_come_when_asked_for(api: Api) -> None:
    shelf = await Shelf.of(api, "lines")
    await shelf.put(INVOICES, "1")
    found = await shelf.tenant.ask("GET", "/api/invoices/main/1", params={"expand": "lines"})
    assert found["line_items"][0]["amount"] == "0.10"


async def test_an_id_that_two_streams_use(api: Api) -> None:
    shelf = await Shelf.of(api, "streams")
    await shelf.put(RECORDS, "1", stream="deals", name="a deal")
    await shelf.put(RECORDS, "1", stream="tickets", name="a ticket")
    refused = await shelf.tenant.ask("GET", "/api/records/main/1", 422)
    assert "deals, tickets" in refused["detail"]
    found = await shelf.tenant.ask("GET", "/api/records/main/1", params={"stream": "tickets"})
    assert found["name"] == "a ticket"
