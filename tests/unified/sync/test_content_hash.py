"""What counts as changed: what the JSON says, and not how it is written."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest
from psycopg import sql

from tests.unified.sync.source import Source
from unified.kit.declarations import ConnectionRef
from unified.kit.decoding import says_the_same
from unified.kit.factory import build_adapter
from unified.kit.secrets import Secret
from unified.sync.mapping import Mapping

CUSTOMER: dict[str, Any] = {
    "id": "cus_1", "object": "customer", "created": 1790000000, "name": "Ada King", "balance": 10.5,
    "metadata": {"b": "1.0", "a": [1, {"y": None, "x": "é"}]},
}  # fmt: skip


def says_the_same_as_the_customer(body: str | bytes) -> bool:
    return says_the_same(body if isinstance(body, bytes) else body.encode(), msgspec.json.encode(CUSTOMER))


def turned(value: Any) -> Any:
    """The same with the keys of all objects in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(one) for key, one in reversed(value.items())}
    return [turned(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(CUSTOMER),
        json.dumps(CUSTOMER, indent=2),
        json.dumps(CUSTOMER, separators=(",", ":"), ensure_ascii=False),
        json.dumps(turned(CUSTOMER), indent="\t"),
        json.dumps(CUSTOMER).replace("10.5", "10.50"),
        json.dumps(CUSTOMER).replace("10.5", "1.05e1"),
        json.dumps(CUSTOMER).replace("Ada King", "Ada\\u0020King"),
    ],
)
def test_the_same_in_another_form_is_the_same(body: str) -> None:
    assert says_the_same_as_the_customer(body)


@pytest.mark.parametrize(
    "changed",
    [
        {**CUSTOMER, "name": "AdaKing"},
        {**CUSTOMER, "name": "Ada  King"},
        {**CUSTOMER, "name": None},
        {**CUSTOMER, "balance": "10.5"},
        {**CUSTOMER, "balance": 10.51},
        {**CUSTOMER, "metadata": {"b": "1.00", "a": [1, {"y": None, "x": "é"}]}},  # text, so its digits count
        {**CUSTOMER, "metadata": {"b": "1.0", "a": [{"y": None, "x": "é"}, 1]}},  # lists have an order
        {**CUSTOMER, "metadata": {"a": "1.0", "b": [1, {"y": None, "x": "é"}]}},
        {**CUSTOMER, "more": None},
        {name: value for name, value in CUSTOMER.items() if name != "balance"},
    ],
)
def test_what_says_something_else_is_changed(changed: dict[str, Any]) -> None:
    for laid_out in (msgspec.json.encode(changed), json.dumps(changed, indent=2)):
        assert not says_the_same_as_the_customer(laid_out)


@pytest.mark.parametrize("body", [b'{"id": "cus_1",', b'{"id": "cus_1"} {}', b""])
def test_what_is_not_json_says_nothing(body: bytes) -> None:
    assert not says_the_same(body, b" " + body)


def test_a_hash_is_of_its_mapping_as_well() -> None:
    ref = ConnectionRef(UUID(int=1), UUID(int=2), "acme/stripe")
    adapter = build_adapter("stripe", {}, {"api_key": Secret("sk_test_fake")}, ref)
    assert len({Mapping(adapter, stream).content_hash(b"{}") for stream in ("customers", "invoices")}) == 2


async def lay_out_anew(source: Source) -> None:
    """Store each record's JSON in other bytes that say the same, as if the source had written it so before."""
    stored = {
        source_id: json.dumps(turned(raw), indent=3) for source_id, raw in (await source.stored()).items()
    }
    ref = ConnectionRef(source.connection.id, source.connection.workspace_id, source.connection.key)
    mapping = Mapping(build_adapter(source.connector, source.connection.settings, {}, ref), "customers")
    statement = sql.SQL("UPDATE {} SET raw_data = %s, content_hash = %s WHERE source_id = %s")
    async with source.db.workspace(source.connection.workspace_id) as transaction:
        await transaction.cursor().executemany(
            statement.format(source.key("customers").leaf),
            [(body, mapping.content_hash(body.encode()), source_id) for source_id, body in stored.items()],
        )


async def test_records_that_are_laid_out_anew_are_not_changed(source: Source) -> None:
    """Stripe indents a list otherwise than one record; HubSpot's properties come in no order."""
    await source.sync()
    await lay_out_anew(source)
    before = await source.query("SELECT source_id, xmin::text FROM {leaf} ORDER BY source_id")
    again = await source.sync(full=True)
    assert (again.updated, again.unchanged) == (0, len(before))
    assert await source.query("SELECT source_id, xmin::text FROM {leaf} ORDER BY source_id") == before


async def test_what_a_former_mapping_made_is_mapped_anew(source: Source) -> None:
    await source.sync()
    await source.query(
        "UPDATE {leaf} SET content_hash = content_hash + 1, name = 'as before' RETURNING source_id"
    )
    again = await source.sync(full=True)
    assert (again.updated, again.unchanged) == (again.read, 0)
    await source.assert_agrees()
