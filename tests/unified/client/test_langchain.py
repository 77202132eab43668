"""LangChain's tools, called as agents call them; and the graph of docs/agents.md with a model that follows a script."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.unified.api.management.records.shelf import BEGAN, ODD, Shelf
from tests.unified.api.management.rig import PROVIDER, Api
from unified.client import AsyncClient, Client
from unified.kit.factory import AdapterFactory
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.schema.entities import INVOICES
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.opening import StoredConnections
from unified.store.workspaces import tokens
from unified.sync.connection import sync_connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.tools import BaseTool

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = Path(__file__).parents[3] / "docs" / "agents.md"


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    """The demo's stand-in, smaller."""
    sandbox = StripeSandbox(customers=20, invoices=200, limits=None)
    with SandboxServer(stripe=sandbox) as server:
        yield server.url


async def token_of(shelf: Shelf, *scopes: str) -> tuple[str, str]:
    _, token = await tokens.create(shelf.tenant.api.db, shelf.tenant.id, "agent", scopes, actor="tests")
    return str(shelf.tenant.api.client.base_url), token.reveal()


async def said(tool: BaseTool, way: str, arguments: dict[str, Any]) -> str:
    if way == "sync":
        return str(await asyncio.to_thread(tool.invoke, arguments))
    return str(await tool.ainvoke(arguments))


@pytest.mark.parametrize("way", ["sync", "async", "in a thread"])
async def test_each_tool_answers_in_json_with_exact_amounts(api: Api, way: str) -> None:
    # Here and below, not at the head: it takes a second to import, and each process collects all files.
    from unified.client.langchain import tools  # noqa: PLC0415

    shelf = await Shelf.of(api, "tools")
    await shelf.fill()
    await shelf.put(INVOICES, "due", status="open", amount_remaining=Decimal("0.10"), due_date=BEGAN)
    url, token = await token_of(shelf, "connections:read", "records:read")
    with Client(url, token) as client:
        async with AsyncClient(url, token) as asynchronous:
            made = {tool.name: tool for tool in tools(client, asynchronous if way == "async" else None)}
            rows = {
                name: json.loads(await said(made[name], way, arguments))["rows"]
                for name, arguments in (
                    ("list_available_connectors", {}),
                    ("fetch_customers", {"limit": 2, "connection": "main"}),
                    ("fetch_invoices", {"status": ["open"], "due_before": "2100-01-01T00:00:00Z"}),
                    ("search_customers", {"text": "alert(1)"}),
                )
            }
            wrong = await said(made["fetch_invoices"], way, {"status": ["nonsense"], "canary": 1})
            nowhere = await said(made["fetch_customers"], way, {"connection": "nowhere"})
    assert made.keys() == rows.keys()
    assert "stripe" in {one["name"] for one in rows["list_available_connectors"]}
    assert [row["source_id"] for row in rows["fetch_customers"]] == ["1", "2"]
    assert [row["amount_remaining"] for row in rows["fetch_invoices"]] == ["0.10"]
    assert rows["search_customers"][0]["name"] == ODD
    assert wrong.startswith("The arguments can't be used: ")
    assert "nonsense" not in wrong
    assert "connection" in nowhere


async def test_a_token_that_may_not_is_an_answer_too(api: Api) -> None:
    from unified.client.langchain import tools  # noqa: PLC0415

    shelf = await Shelf.of(api, "denied")
    with Client(*await token_of(shelf, "connections:read")) as client:
        made = {tool.name: tool for tool in tools(client)}
        assert "records:read" in await said(made["fetch_customers"], "async", {})


def scripted() -> BaseChatModel:
    from langchain_core.language_models import BaseChatModel  # noqa: PLC0415
    from langchain_core.messages import AIMessage, ToolMessage  # noqa: PLC0415
    from langchain_core.outputs import ChatGeneration, ChatResult  # noqa: PLC0415

    class Scripted(BaseChatModel):
        """Asks what an agent would ask, and says what it was answered."""

        @property
        def _llm_type(self) -> str:
            return "scripted"

        def bind_tools(self, tools: Any, **_: Any) -> Any:
            assert "owed_by_customer" in {tool.name for tool in tools}
            return self

        def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
            answers = [json.loads(str(one.content)) for one in messages if isinstance(one, ToolMessage)]
            call: dict[str, Any] = {"name": "owed_by_customer", "args": {"currency": "EUR"}, "id": "1"}
            message = AIMessage("", tool_calls=[call])
            if len(answers) == 1:
                wanted = {"connection": answers[0][0]["connection"], "source_id": answers[0][0]["source_id"]}
                message = AIMessage("", tool_calls=[{"name": "fetch_customers", "args": wanted, "id": "2"}])
            elif answers:
                (customer,) = answers[1]["rows"]
                message = AIMessage(f"{customer['name']} owes EUR {answers[0][0]['owed']}.")
            return ChatResult(generations=[ChatGeneration(message=message)])

    return Scripted()


async def test_the_graph_says_who_owes_us_most(api: Api) -> None:
    tenant = await api.tenant("demo")
    made = await tenant.add("stripe")
    await tenant.give_key(made)
    connection = await api.registry.get_connection(tenant.id, UUID(made["id"]))
    credentials = CredentialStore(api.db, PROVIDER)
    factory = AdapterFactory(StoredConnections(api.registry, credentials, actor="tests"))
    await sync_connection(api.db, factory, connection)
    shelf = Shelf(tenant, connection)
    url, token = await token_of(shelf, "connections:read", "records:read")

    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    await asyncio.to_thread(exec, code.replace("http://127.0.0.1:8000", url).replace("uat_…", token), names)
    with names["client"]:
        answer = await asyncio.to_thread(names["answer"], "Who owes us most, in EUR?", scripted())

    owed: dict[str, Decimal] = defaultdict(Decimal)
    for invoice in await shelf.pages("invoices", currency="EUR", status="open"):
        for item in invoice["items"]:
            owed[item["customer_id"]] += Decimal(item["amount_remaining"])
    assert len(owed) > 1
    most = max(owed, key=lambda one: owed[one])
    customer = await tenant.ask("GET", f"/api/customers/stripe/{most}")
    assert answer == f"{customer['name']} owes EUR {owed[most]}."
