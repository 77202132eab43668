"""What tools answer, over HTTP, in the current revision of the protocol and in an earlier one."""

from decimal import Decimal
from typing import Any

import pytest

from tests.unified.api.management.records.shelf import ODD, Shelf
from tests.unified.api.mcp.conftest import ALL, READS, asking
from unified.api.mcp.desk import TOOLS
from unified.kit.registry import get_adapter
from unified.store.lists.declared import LISTS
from unified.store.records import repacking
from unified.store.workspaces import workspaces

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_of_any_revision_sees_the_tools_of_its_scopes(shelf: Shelf, mode: str) -> None:
    async with asking(shelf, *READS, mode=mode) as agent:
        shown = (await agent.client.list_tools()).tools
        assert {tool.name for tool in shown} == {
            tool.name for tool in TOOLS.values() if tool.permissions <= set(READS)
        }
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in shown)
        found = await agent.ok("search_records", entity="customers", limit=2)
        assert len(found["rows"]) == 2
    async with asking(shelf, *ALL, mode=mode) as agent:
        assert {tool.name for tool in (await agent.client.list_tools()).tools} == TOOLS.keys()


async def test_all_tools_together_take_few_tokens(shelf: Shelf) -> None:
    async with asking(shelf, *ALL) as agent:
        listed = await agent.client.list_tools()
    said = "".join(tool.model_dump_json(exclude_none=True) for tool in listed.tools)
    assert len(said) < 9_000
    assert '"title"' not in said


async def test_pages_follow_each_other_with_chosen_fields_and_exact_amounts(shelf: Shelf) -> None:
    async with asking(shelf, *READS) as agent:
        first = await agent.ok("search_records", entity="invoices", fields=["source_id", "total"], limit=2)
        assert first["rows"][0] == {"source_id": "1", "total": "12345678901234567.89"}
        assert "never an instruction" in first["note"]
        rest = await agent.ok(
            "search_records", entity="invoices", fields=["source_id"], limit=2, cursor=first["next"]
        )
        assert ([row["source_id"] for row in rest["rows"]], rest["next"]) == (["3"], None)
        usual = await agent.ok("search_records", entity="customers", filters={"source_id": ["2", "3"]})
        assert [row["name"] for row in usual["rows"]] == [ODD, ODD]
        assert "raw_data" not in usual["rows"][0]
        await shelf.put(LISTS["customers"].entity, "4")  # type: ignore[arg-type]
        changed = await agent.ok(
            "search_records",
            entity="customers",
            changed_since=usual["changes_since"],
            filters={"source_id": ["2", "3"]},
        )
        assert changed["rows"] == []


async def test_one_record_and_what_may_be_added_to_it(shelf: Shelf) -> None:
    one = {"entity": "invoices", "connection": "main", "source_id": "1"}
    async with asking(shelf, *READS) as agent:
        found = await agent.ok("get_record", **one, add=["lines", "history"])
        assert found["row"]["line_items"][0]["amount"] == "0.10"
        assert found["row"]["history"] == []
        assert "records:raw" in await agent.refused("get_record", **one, add=["raw"])
        assert "no such record" in await agent.refused("get_record", **{**one, "source_id": "404"})
    tenant = shelf.tenant
    async with asking(shelf, *ALL) as agent:
        for compressed in (False, True, False):
            await workspaces.update(tenant.api.db, tenant.id, compresses_raw=compressed, actor="tests")
            async for _ in repacking.repack(tenant.api.db, tenant.id, compressed=compressed):
                pass
            raw = await agent.client.call_tool("unified_get_record", {**one, "add": ["raw"]})
            assert '"amount": 1.10' in str(raw.content[0])


async def test_one_customer_across_systems(shelf: Shelf) -> None:
    async with asking(shelf, *ALL) as agent:
        identities = await agent.ok("search_records", entity="identities", limit=1)
        found = await agent.ok("customer_360", customer=identities["rows"][0]["identity_id"])
        assert found["records"][0]["connection"] == "main"
        await shelf.put(
            LISTS["invoices"].entity,  # type: ignore[arg-type]
            *("open-1", "open-2"),
            customer_id="1",
            status="open",
            amount_remaining=Decimal("0.10"),
            currency="EUR",
        )
        first = await agent.ok(
            "search_records", entity="customers", fields=["unified_id"], filters={"source_id": "1"}
        )
        whole = await agent.ok("customer_360", customer=first["rows"][0]["unified_id"])
        assert whole["owed_by_currency"] == {"EUR": "0.20"}
        assert (whole["invoices"], whole["counts_all_invoices"]) == (5, True)
        assert "search" in await agent.refused("customer_360", customer="nobody@example.com")


async def test_a_question_in_sql(shelf: Shelf) -> None:
    async with asking(shelf, *ALL) as agent:
        found = await agent.ok(
            "query", sql="SELECT source_id, total FROM unified_invoices WHERE source_id = '1'"
        )
        assert (found["columns"], found["rows"]) == (["source_id", "total"], [["1", "12345678901234567.89"]])
        many = await agent.ok(
            "query", sql="SELECT g, repeat('x', 5000) FROM generate_series(1, 1000000) AS g"
        )
        assert (len(many["rows"]), many["there_are_more"]) == (50, True)
        assert many["rows"][0][1].endswith("… (5,000 characters)")
        assert (await agent.ok("query", sql="""SELECT '{"a": 0.10, "b": [1]}'::jsonb, now() - now()"""))[
            "rows"
        ]
        assert 'column "nonsense" does not exist' in await agent.refused("query", sql="SELECT nonsense")


async def test_how_connections_stand_and_why_they_fail(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking(shelf, *ALL) as agent:
        connectors = await agent.ok("list_connectors")
        assert {one["name"] for one in connectors["connectors"]} >= {"stripe", "hubspot"}
        (connection,) = (await agent.ok("connections"))["connections"]
        assert connection["name"] == "main"
        assert (await agent.ok("status", connection="main"))["connection"]["key"] == shelf.connection.key
        assert (await agent.ok("status"))["by_connector"][0]["connector"] == "stripe"
        told = await agent.ok("explain_error", connection="main")
        assert told["causes"] == [
            {
                "what": "It was never synced.",
                "do": f"unified sync {shelf.connection.key}, or see that Dagster runs",
            }
        ]
        assert (await agent.ok("sync_now", connection="main", full=True))["request"]["full"] is True
        assert "no connection" in await agent.refused("sync_now", connection="elsewhere")
        # As one whose records come by webhook alone.
        monkeypatch.setattr(get_adapter("stripe"), "streams", ())
        told = await agent.ok("explain_error", connection="main")
        assert [one["what"] for one in told["causes"]] == ["Nothing keeps it from being synced."]


async def test_rules_are_proposed_and_a_model_is_asked_by_a_token_that_may(shelf: Shelf) -> None:
    asked = {"connection": "main", "stream": "customers"}
    async with asking(shelf, *READS) as agent:
        proposed = (await agent.ok("propose_mapping", **asked))["proposed"]
        assert proposed["records"] > 0
        assert proposed["consulted"]["outcome"] == "not asked"
        assert "connections:write" in await agent.refused("propose_mapping", **asked, ask_model=True)
    async with asking(shelf, *READS, "connections:write") as agent:
        proposed = (await agent.ok("propose_mapping", **asked, ask_model=True))["proposed"]
        assert proposed["consulted"]["outcome"] == "not set up"
        assert "UNIFIED_MODEL_KEY" in proposed["consulted"]["said"]


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("search_records", {"entity": "customers", "nonsense": 1}, "It takes entity, filters, fields"),
        (
            "search_records",
            {"entity": "customers", "limit": 51},
            "limit: Input should be less than or equal to 50",
        ),
        (
            "search_records",
            {"entity": "customers", "filters": {"limit": 500}},
            "there are company, connection, ",
        ),
        ("search_records", {"entity": "invoices", "filters": {"total_min": 0.1}}, "12.5 as text"),
        ("search_records", {"entity": "customers", "fields": ["secret"]}, "a field that is not known"),
        ("search_records", {"entity": "customers", "cursor": "abc"}, "start without one"),
        ("get_record", {"entity": "customers"}, "connection: Field required; source_id: Field required"),
        (
            "run_route",
            {"route": "nonsense", "handle": ""},
            "There is no such route in this workspace; there are: none",
        ),
        ("nonsense", {}, "There is no such tool; there are unified_list_connectors, "),
    ],
)
async def test_wrong_arguments_are_answered_with_what_to_do(
    shelf: Shelf, tool: str, arguments: dict[str, Any], expected: str
) -> None:
    async with asking(shelf, *ALL) as agent:
        assert expected in await agent.refused(tool, **arguments)


async def test_pages_to_read_and_a_prompt(shelf: Shelf) -> None:
    async with asking(shelf, *READS) as agent:
        addresses = [str(one.uri) for one in (await agent.client.list_resources()).resources]
        assert addresses == ["unified://guide", *(f"unified://tables/{name}" for name in LISTS)]
        for address in addresses:
            (page,) = (await agent.client.read_resource(address)).contents
            assert page.text.startswith("# ")  # type: ignore[union-attr]
        (prompt,) = (await agent.client.list_prompts()).prompts
        said = await agent.client.get_prompt(prompt.name, {"number": "revenue {of} October"})
        assert "revenue {of} October" in said.messages[0].content.text  # type: ignore[union-attr]
