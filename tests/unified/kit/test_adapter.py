"""The adapter contract: credentials, connecting, mapping errors, and making adapters from connections."""

# ruff: noqa: ARG002 - a contract's methods take what they do not need

import pickle
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from tests.unified.kit.conftest import Answer, ScriptedProvider
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    Account,
    AdapterConfig,
    Capability,
    ConnectionRef,
    CredentialField,
    CredentialKind,
    Stream,
)
from unified.kit.errors import ConfigurationError, MappingError, RateLimitedError
from unified.kit.factory import AdapterFactory, OpenedConnection, build_adapter
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import Limit, RateLimit
from unified.kit.http.refusals import Meaning, Refusals
from unified.kit.mapping.compiled import FieldRules
from unified.kit.mapping.rules import Rule
from unified.kit.secrets import Secret
from unified.kit.streams import Cursor, Origin, Page, RawRecord
from unified.kit.writing.changes import Write, Written
from unified.schema.base import UnifiedBase
from unified.schema.customer import UnifiedCustomer
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES

NOW = datetime(2026, 11, 20, tzinfo=UTC)
REF = ConnectionRef(uuid4(), uuid4(), "acme/demo")
KEYS = {"token": Secret("demo_fake_token")}


class DemoConfig(AdapterConfig):
    base_url: str = "https://api.example.com"
    region: int = 1


class DemoAdapter(BaseAdapter[DemoConfig]):
    name = "demo"
    display_name = "Demo"
    capabilities = frozenset({Capability.READ})
    config_model = DemoConfig
    credential_kind = CredentialKind.BEARER_TOKEN
    credential_fields = (CredentialField("token", "access token", "from the settings page"),)
    streams = (Stream("customers", CUSTOMERS),)

    def open_http(self) -> HttpClient:
        return HttpClient(self.config, label="demo", headers={}, limits={"default": RateLimit(10)})

    async def test(self) -> Account:
        return Account("demo")

    async def pull(self, stream: str, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        yield Page((), NOW, {})

    async def fetch(self, stream: str, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        yield Page((), NOW, None)

    def to_unified(self, stream: str, raw: dict[str, Any], origin: Origin) -> UnifiedBase:
        return UnifiedCustomer(**origin.identify(raw["id"]), name=raw.get("name"), email=raw.get("email"))


def adapter(**settings: Any) -> DemoAdapter:
    return DemoAdapter(DemoConfig(**settings), KEYS, REF)


def map_record(body: bytes, *rules: Rule) -> UnifiedBase:
    demo = adapter()
    own = FieldRules(UnifiedCustomer, rules) if rules else None
    return demo.map_record("customers", body, demo.origin("customers", NOW, NOW), own)


async def test_a_connection_without_its_credential_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"acme/demo has no access token; .* `unified connections add`"
    ):
        await DemoAdapter(DemoConfig(), {}, REF).connect()


async def test_it_connects_once_and_disconnects() -> None:
    demo = adapter()
    with pytest.raises(ConfigurationError, match="not connected"):
        _ = demo.http
    async with demo:
        opened = demo.http
        await demo.connect()
        assert demo.http is opened
    with pytest.raises(ConfigurationError, match="not connected"):
        _ = demo.http
    await demo.disconnect()


def test_an_unknown_stream_is_named_with_those_that_exist() -> None:
    assert DemoAdapter.stream("customers").entity is CUSTOMERS
    with pytest.raises(ConfigurationError, match="demo has no stream 'orders'; it has customers"):
        DemoAdapter.stream("orders")
    with pytest.raises(ConfigurationError, match=r"; did you mean customers\?"):
        DemoAdapter.stream("custmers")


def test_what_an_adapter_does_not_write_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="demo does not write UnifiedCustomer"):
        adapter().from_unified("customers", map_record(b'{"id": "1"}'))
    with pytest.raises(ConfigurationError, match=r"demo does not write UnifiedCustomer \(phone, name\)"):
        adapter().from_unified("customers", map_record(b'{"id": "1"}'), ("phone", "name"))
    with pytest.raises(ConfigurationError, match="demo does not write customers"):
        adapter().write("customers", [])
    with pytest.raises(ConfigurationError, match="demo finds no customers by email"):
        adapter().find("customers", "email", ["a@example.com"])


def test_the_same_record_of_two_connections_has_two_ids() -> None:
    other = DemoAdapter(DemoConfig(), KEYS, ConnectionRef(uuid4(), REF.workspace_id, "acme/other"))
    demo = adapter()
    identify = [one.origin("customers", NOW, NOW).identify("1")["unified_id"] for one in (demo, demo, other)]
    assert identify[0] == identify[1] != identify[2]
    assert identify[0] != demo.origin("invoices", NOW, NOW).identify("1")["unified_id"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"name": "Private"}', "the record lacks 'id'"),
        (b'{"id": "1", "email": "private@@example.com"}', "email"),
        (b'{"id": "1", "name": {"first": "Private"}}', "name: Input should be a valid string"),
        (b'{"id": "", "name": "Private"}', "source_id"),
        (b'["Private"]', "unexpected form"),
        (b'"Private"', "unexpected form"),
        (b'{"id": "1"', "unexpected form"),
        (b'{"id": "\xff"}', "unexpected form"),
    ],
)
def test_a_record_that_does_not_fit_is_a_mapping_error_without_its_values(body: bytes, reason: str) -> None:
    with pytest.raises(MappingError, match=reason) as caught:
        map_record(body)
    assert "rivate" not in str(caught.value)


def test_a_nul_that_no_table_can_hold_is_left_out() -> None:
    record = map_record(msgspec.json.encode({"id": "1", "name": "A\0da"}))
    assert isinstance(record, UnifiedCustomer)
    assert record.name == "Ada"


def test_the_workspaces_own_rules_are_applied() -> None:
    rule = Rule(source="vat.number", target="tax_number")
    record = map_record(b'{"id": "1", "vat": {"number": "CHE-1"}}', rule)
    assert isinstance(record, UnifiedCustomer)
    assert record.tax_number == "CHE-1"


def test_a_memoryview_is_mapped_like_bytes() -> None:
    demo = adapter()
    body = memoryview(b'{"id": "1"}')
    assert demo.map_record("customers", body, demo.origin("customers", NOW, NOW)).source_id == "1"


# Making adapters ----------------------------------------------------------------------------------


def test_settings_that_do_not_fit_are_named_without_their_values() -> None:
    with pytest.raises(
        ConfigurationError, match=r"acme/demo do not fit stripe: timeout: .*; hidden: "
    ) as caught:
        build_adapter("stripe", {"timeout": "secret-1", "hidden": "secret-2"}, {}, REF)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


class Connections:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def open_connection(
        self, workspace_id: Any, connection_id: Any, *, purpose: str
    ) -> OpenedConnection:
        self.asked.append(purpose)
        return OpenedConnection(REF, "stripe", {"timeout": 5}, {"api_key": Secret("sk_test_fake_key")})


async def test_the_factory_puts_settings_secrets_and_clock_together() -> None:
    connections = Connections()
    made = await AdapterFactory(connections, clock=lambda: NOW).create(
        REF.workspace_id, REF.id, purpose="sync"
    )
    assert (made.name, made.config.timeout, made.connection, made.clock()) == ("stripe", 5, REF, NOW)
    assert made.credentials["api_key"].reveal() == "sk_test_fake_key"
    assert connections.asked == ["sync"]


# Secrets ------------------------------------------------------------------------------------------


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("sk_test_fake_key")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>40}",
        repr({"key": secret}),
        repr(vars(adapter())),
    ]
    assert not [text for text in shown if "fake" in text]
    assert secret.reveal() == "sk_test_fake_key"
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    with pytest.raises(ValueError, match="must not be empty"):
        Secret("")


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a") != "a"


class Things:
    """Source and writer of a stream that says everything itself."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        self.name = f"{adapter.connection.key} {stream.name}"

    async def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        yield Page([RawRecord(f"{self.name} since {cursor}", b"{}")], NOW, {})

    async def fetch(self, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        yield Page([RawRecord(one, b"{}") for one in source_ids], NOW, None)

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        for one in writes:
            yield Written(one, "applied", self.name)

    async def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        yield Page([RawRecord(f"{field}={value}", b"{}") for value in values], NOW, None)


def to_customer(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    return UnifiedCustomer(**origin.identify(raw["id"]), name=raw.get("name"))


def from_customer(record: UnifiedCustomer, fields: Collection[str] | None = None) -> dict[str, Any]:
    return {"name": record.name, "fields": fields}


class DeclaredAdapter(BaseAdapter[DemoConfig]):
    name = "declared"
    display_name = "Declared"
    capabilities = frozenset({Capability.READ, Capability.WRITE})
    config_model = DemoConfig
    credential_kind = CredentialKind.BEARER_TOKEN
    credential_fields = DemoAdapter.credential_fields
    streams = (
        Stream(
            "customers",
            CUSTOMERS,
            source=Things,
            to_unified=to_customer,
            writer=Things,
            from_unified=from_customer,
        ),
        Stream("invoices", INVOICES, source=Things),
    )
    delivered_streams = (Stream("events", EVENTS),)

    def open_http(self) -> HttpClient:
        return HttpClient(self.config, label=self.label, limits={"default": RateLimit(10)})

    async def test(self) -> Account:
        return Account("demo")


async def read_ids(pages: AsyncGenerator[Page, None]) -> list[str | None]:
    return [record.source_id for page in [page async for page in pages] for record in page.records]


def test_of_two_streams_of_one_entity_the_named_one_says_what_is_sent() -> None:
    class TwoKinds(DeclaredAdapter):
        streams = (
            Stream("accounts", CUSTOMERS, from_unified=lambda record, _: {"account": record.source_id}),
            Stream("contacts", CUSTOMERS, from_unified=lambda record, _: {"contact": record.source_id}),
        )

    adapter = TwoKinds(DemoConfig(), KEYS, REF)
    record = map_record(b'{"id": "1"}')
    assert adapter.from_unified("accounts", record) == {"account": "1"}
    assert adapter.from_unified("contacts", record) == {"contact": "1"}


async def test_a_stream_says_how_it_is_read_mapped_and_written() -> None:
    adapter = DeclaredAdapter(DemoConfig(), KEYS, REF)
    assert await read_ids(adapter.pull("customers", {"a": 1})) == ["acme/demo customers since {'a': 1}"]
    assert await read_ids(adapter.pull("invoices", None)) == ["acme/demo invoices since None"]
    assert await read_ids(adapter.fetch("customers", ["1", "2"])) == ["1", "2"]
    record = adapter.map_record(
        "customers", b'{"id": "7", "name": "Ada"}', adapter.origin("customers", NOW, NOW)
    )
    assert (record.source_id, record.source_system) == ("7", "declared")
    assert adapter.from_unified("customers", record, ("name",)) == {"name": "Ada", "fields": ("name",)}
    write = Write("create", None, {}, "k1")
    assert [one.source_id async for one in adapter.write("customers", [write])] == ["acme/demo customers"]
    assert await read_ids(adapter.find("customers", "email", ["a@b.c"])) == ["email=a@b.c"]


def test_what_a_stream_does_not_say_is_refused_by_name() -> None:
    adapter = DeclaredAdapter(DemoConfig(), KEYS, REF)
    with pytest.raises(
        ConfigurationError, match=r"no request lists Declared's events, .* `unified webhooks add`"
    ):
        adapter.pull("events", None)
    with pytest.raises(ConfigurationError, match="no request lists Declared's events"):
        adapter.fetch("events", ["1"])
    with pytest.raises(ConfigurationError, match="declared has no mapping for invoices"):
        adapter.to_unified("invoices", {}, adapter.origin("invoices", NOW, NOW))
    with pytest.raises(ConfigurationError, match="declared does not write invoices"):
        adapter.write("invoices", [])
    with pytest.raises(ConfigurationError, match="declared finds no invoices by number"):
        adapter.find("invoices", "number", ["1"])
    with pytest.raises(
        ConfigurationError, match="declared has no stream 'orders'; it has customers, invoices, events"
    ):
        adapter.pull("orders", None)


class DeclaringAdapter(BaseAdapter[AdapterConfig]):
    name = "declaring"
    display_name = "Declaring"
    capabilities = frozenset()
    config_model = AdapterConfig
    credential_kind = CredentialKind.BEARER_TOKEN
    credential_fields = (CredentialField("token", "access token", "from the settings page"),)
    streams = ()
    refusals = Refusals(codes_at=("why",), codes={"BUSY": Meaning(RateLimitedError)})

    def limits(self) -> Sequence[Limit]:
        return (Limit(1e6), Limit(1e6, "search"))

    def headers(self) -> Mapping[str, str]:
        return {"x-version": "7"}

    async def test(self) -> Account:
        await self.http.request("GET", "/", msgspec.json.Decoder(), limit="not declared")
        return Account("declaring")


async def test_the_client_is_made_of_what_an_adapter_declares(provider: ScriptedProvider) -> None:
    provider.script = [Answer(), Answer(400, b'{"why": "BUSY"}')]
    config = AdapterConfig(base_url=provider.url, allow_private_hosts=True, retry_count=0)
    async with DeclaringAdapter(config, KEYS, REF) as adapter:
        assert await adapter.test() == Account("declaring")
        assert "x-version: 7" in provider.requests[0]
        assert not adapter.http.is_saturated("not declared")
        with pytest.raises(RateLimitedError):
            await adapter.test()


async def test_an_adapter_without_limits_is_refused_in_one_line() -> None:
    class Unlimited(DeclaringAdapter):
        limits = BaseAdapter.limits

    config = AdapterConfig(base_url="https://api.example.com")
    with pytest.raises(ConfigurationError, match="the adapter declaring declares no limits"):
        await Unlimited(config, KEYS, REF).connect()
