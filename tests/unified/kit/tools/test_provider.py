"""Calls of providers' tools, tried against servers made with the official SDK before our stand-ins."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import mcp_types as types
import pytest
from mcp.client import Client
from mcp.server.lowlevel import Server

from unified.kit.registry import get_adapter
from unified.kit.tools.offered import OfferedTools, ToolCall, UnfitToolError
from unified.kit.tools.provider import ProviderTools, ToolAnswerError
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.schema.conditions import Condition
from unified.schema.customer import UnifiedCustomer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NOW = datetime(2026, 11, 1, tzinfo=UTC)
OBJECTS = "/hubspot/crm/objects/2026-03"
TEXT, NUMBER = {"type": "string"}, {"type": "integer", "maximum": 100}
INPUTS = {"type": "array", "maxItems": 100, "items": {"type": "object"}}
PAGE = {"objectType": TEXT, "limit": NUMBER, "after": TEXT, "properties": {"type": "array", "items": TEXT}}

# Name → how the stand-in is asked, and the schema.
HUBSPOT: dict[str, tuple[str, dict[str, Any]]] = {
    "hubspot-list-objects": ("GET ", PAGE),
    "hubspot-search-objects": ("POST /search", {**PAGE, "filterGroups": {"type": "array"}}),
    "hubspot-batch-read-objects": (
        "POST /batch/read",
        {"objectType": TEXT, "inputs": INPUTS, "properties": PAGE["properties"]},
    ),
    "hubspot-batch-create-objects": ("POST /batch/create", {"objectType": TEXT, "inputs": INPUTS}),
    "hubspot-batch-update-objects": ("POST /batch/update", {"objectType": TEXT, "inputs": INPUTS}),
}
STRIPE: dict[str, tuple[str, dict[str, Any]]] = {
    "list_customers": ("GET /customers", {"limit": NUMBER, "email": TEXT, "starting_after": TEXT}),
    "list_invoices": ("GET /invoices", {"limit": NUMBER, "customer": TEXT}),
    "create_customer": ("POST /customers", {"name": TEXT, "email": TEXT}),
    "retrieve_customer": ("GET /customers/{}", {"customer_id": TEXT}),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    stripe = StripeSandbox(customers=7, invoices=20, limits=None)
    hubspot = HubSpotSandbox(contacts=7, companies=1, invoices=3, limits=None)
    with SandboxServer(stripe=stripe, hubspot=hubspot) as server:
        yield server.url


async def _hubspot(http: httpx.AsyncClient, tool: str, given: dict[str, Any]) -> httpx.Response:
    method, path = HUBSPOT[tool][0].split(" ")
    place = f"{OBJECTS}/{given.pop('objectType')}{path}"
    http.headers["authorization"] = "Bearer pat-fake-acme"
    if method == "GET":
        return await http.get(place, params={**given, "properties": ",".join(given["properties"])})
    return await http.post(place, json=given)


async def _stripe(http: httpx.AsyncClient, tool: str, given: dict[str, Any]) -> httpx.Response:
    method, path = STRIPE[tool][0].split(" ")
    http.headers["authorization"] = "Bearer sk_test_fake_acme"
    place = "/stripe/v1" + path.format(given.pop("customer_id", ""))
    return await http.request(method, place, **({"params": given} if method == "GET" else {"data": given}))


@asynccontextmanager
async def connected(url: str, system: str) -> AsyncIterator[tuple[Client, ProviderTools]]:
    """An agent's client of a provider's server, and our calls for it."""
    tools, ask = (HUBSPOT, _hubspot) if system == "hubspot" else (STRIPE, _stripe)
    async with httpx.AsyncClient(base_url=url) as http:

        async def list_tools(_ctx: Any, _: Any) -> types.ListToolsResult:
            schemas = {name: {"type": "object", "properties": schema} for name, (_, schema) in tools.items()}
            return types.ListToolsResult(
                tools=[types.Tool(name=name, input_schema=schema) for name, schema in schemas.items()]
            )

        async def call_tool(_ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
            answer = await ask(http, params.name, dict(params.arguments or {}))
            text = types.TextContent(type="text", text=answer.text)
            return types.CallToolResult(content=[text], is_error=answer.is_error)

        server = Server("provider", on_list_tools=list_tools, on_call_tool=call_tool)
        async with Client(server) as client:
            listed = (await client.list_tools()).tools
            kind = get_adapter(system).provider_tools
            assert kind is not None
            yield client, kind(listed)


async def sent(client: Client, call: ToolCall) -> Any:
    return await client.call_tool(call.tool, dict(call.arguments))


@pytest.mark.parametrize("system", ["hubspot", "stripe"])
async def test_pages_follow_each_other_and_are_unified_records(url: str, system: str) -> None:
    async with connected(url, system) as (client, tools):
        found: list[Any] = []
        after: str | None = None
        while True:
            result = await sent(client, tools.page("customers", limit=3, after=after))
            answer = tools.answer("customers", result, at=NOW)
            assert answer.rejects == ()
            found += answer.records
            if (after := answer.next) is None:
                break
        assert len({one.source_id for one in found}) == 7
        assert {type(one) for one in found} == {UnifiedCustomer}
        (wanted, *_) = [one for one in found if one.email]
        searched = await sent(client, tools.search("customers", [Condition("email", "is", wanted.email)]))
        assert wanted.source_id in {
            one.source_id for one in tools.answer("customers", searched, at=NOW).records
        }
        (call,) = tools.read("customers", [wanted.source_id])
        (again,) = tools.answer("customers", await sent(client, call), at=NOW).records
        assert again.unified_id == wanted.unified_id
        invoices = tools.answer("invoices", await sent(client, tools.page("invoices", limit=5)), at=NOW)
        assert isinstance(invoices.records[0].total, Decimal)  # type: ignore[attr-defined]


def made(source_id: str, **fields: Any) -> UnifiedCustomer:
    place = {"source_system": "acme", "unified_id": "00000000-0000-0000-0000-000000000001"}
    return UnifiedCustomer(source_id=source_id, observed_at=NOW, synced_at=NOW, **place, **fields)


async def test_customers_are_created_and_updated(url: str) -> None:
    new = made("1", name="Ada King", email="ada@example.com", phone="+44 20 7946 0000")
    async with connected(url, "hubspot") as (client, tools):
        (call,) = tools.create([new])
        (created,) = tools.answer("customers", await sent(client, call), at=NOW).records
        assert (created.name, created.email) == ("Ada King", "ada@example.com")  # type: ignore[attr-defined]
        changed = made(created.source_id, name="Ada Lovelace", email="other@example.com")
        (call,) = tools.update([changed], fields={"name"})
        await sent(client, call)
        (call,) = tools.read("customers", [created.source_id])
        (updated,) = tools.answer("customers", await sent(client, call), at=NOW).records
        assert (updated.name, updated.email) == ("Ada Lovelace", "ada@example.com")  # type: ignore[attr-defined]
        assert [len(one.arguments["inputs"]) for one in tools.create([new] * 101)] == [100, 1]
    async with connected(url, "stripe") as (client, tools):
        (call,) = tools.create([new])
        assert call.left_out == ("phone",)
        result = await sent(client, call)
        (created,) = tools.answer("customers", result, at=NOW).records
        assert created.name == "Ada King"  # type: ignore[attr-defined]
        with pytest.raises(
            UnfitToolError, match="the server has no tool update_customer; it has create_customer"
        ):
            tools.update([new])


def tools_of(system: str) -> ProviderTools:
    kind = get_adapter(system).provider_tools
    assert kind is not None
    described = HUBSPOT if system == "hubspot" else STRIPE
    return kind(
        {"name": f"mcp__{system}__{name}", "inputSchema": {"type": "object", "properties": schema}}
        for name, (_, schema) in described.items()
    )


def test_filters_are_said_in_the_providers_words() -> None:
    tools = tools_of("hubspot")
    conditions = [
        Condition("custom_fields.region", "in", ["EU", "US"]),
        Condition("updated_at", "above", NOW.isoformat()),
        Condition("phone", "is_set"),
    ]
    call = tools.search("customers", conditions)
    assert call.tool == "mcp__hubspot__hubspot-search-objects"
    assert call.arguments["filterGroups"] == [
        {
            "filters": [
                {"propertyName": "region", "operator": "IN", "values": ["EU", "US"]},
                {"propertyName": "lastmodifieddate", "operator": "GT", "value": "1793491200000"},
                {"propertyName": "phone", "operator": "HAS_PROPERTY"},
            ]
        }
    ]
    with pytest.raises(
        UnfitToolError, match="HubSpot can't search customers by name is; it can by source_id, "
    ):
        tools.search("customers", [Condition("name", "is", "Ada")])
    with pytest.raises(UnfitToolError, match="6 conditions at most, not 7"):
        tools.search("customers", [Condition("phone", "is_set")] * 7)
    with pytest.raises(UnfitToolError, match="hubspot's tools have no deals; they have customers, invoices"):
        tools.page("deals")
    with pytest.raises(UnfitToolError, match="limit otherwise: maximum"):
        tools.page("customers", limit=101)
    with pytest.raises(UnfitToolError, match="search customers by email is, each once"):
        tools_of("stripe").search("customers", [Condition("email", "in", ["a@b.de"])])
    with pytest.raises(
        UnfitToolError, match="list_invoices takes no starting_after; it takes limit, customer"
    ):
        tools_of("stripe").page("invoices", after="in_1")


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {"id": {"$ref": "http://127.0.0.1:9/schema.json"}}}, "can't be read"),
        ({"properties": {"id": {"$ref": "#"}}, "allOf": [{"$ref": "#"}]}, "can't be read"),
        ({"properties": {"id": {"type": 5}}}, "can't be read"),
        ({"properties": {"id": TEXT}, "required": ["workspace"]}, "wants its arguments otherwise: required"),
        ({"properties": {"id": {"type": "integer"}}}, "wants id otherwise: type integer"),
        ({}, "takes no id; it takes nothing"),
    ],
)
def test_a_schema_that_does_not_fit_is_said_and_no_reference_is_fetched(
    schema: dict[str, Any], expected: str
) -> None:
    offered = OfferedTools([{"name": "read", "inputSchema": schema}])
    with pytest.raises(UnfitToolError, match=expected) as raised:
        offered.call(["read"], {"id": "canary-of-a-customer"})
    assert "canary" not in str(raised.value)


def result(text: str, *, is_error: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": is_error}


def test_one_odd_record_costs_no_other_and_words_are_no_records() -> None:
    tools = tools_of("stripe")
    good = {"object": "customer", "id": "cus_1", "created": 1, "email": "a@example.com"}
    page = json.dumps(
        {"data": [good, {"object": "order", "id": "cus_2"}, 5, {**good, "id": "cus_3"}], "has_more": True}
    )
    answer = tools.answer("customers", result(page), at=NOW)
    assert [one.source_id for one in answer.records] == ["cus_1", "cus_3"]
    assert [source_id for source_id, _ in answer.rejects] == ["cus_2", None]
    assert answer.next == "cus_3"
    plain = {"structuredContent": [good], "content": []}
    assert len(tools.answer("customers", plain, at=NOW).records) == 1
    for odd in ("Here are your customers:", '{"note": "none"}', "5", '{"data": 5}', "[" * 5000):
        with pytest.raises(ToolAnswerError, match=r"in words|something else"):
            tools.answer("customers", result(odd), at=NOW)
    with pytest.raises(ToolAnswerError, match="refused: no such key"):
        tools.answer("customers", result("no such\nkey", is_error=True), at=NOW)
