"""What counts as changed: what the JSON says, and not how it is written."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tests.unified.sync.source import Source
from unified.kit.declarations import ConnectionRef
from unified.kit.decoding import decode_record
from unified.kit.factory import build_adapter
from unified.kit.secrets import Secret
from unified.sync.mapping import Mapping

CUSTOMER: dict[str, Any] = {
    "id": "cus_1", "object": "customer", "created": 1790000000, "name": "Ada King", "balance": 10.5,
    "metadata": {"b": "1.0", "a": [1, {"y": None, "x": "é"}]},
}  # fmt: skip


def mapping(stream: str = "customers") -> Mapping:
    ref = ConnectionRef(UUID(int=1), UUID(int=2), "acme/stripe")
    return Mapping(build_adapter("stripe", {}, {"api_key": Secret("sk_test_fake")}, ref), stream)


def content(body: str | bytes) -> int:
    return mapping().content_hash(decode_record(body if isinstance(body, bytes) else body.encode()))


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
    assert content(body) == content(msgspec.json.encode(CUSTOMER))


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
    assert content(msgspec.json.encode(changed)) != content(msgspec.json.encode(CUSTOMER))


def test_a_hash_is_of_its_mapping_as_well() -> None:
    assert mapping().content_hash(CUSTOMER) != mapping("invoices").content_hash(CUSTOMER)


async def test_records_that_are_laid_out_anew_are_not_changed(source: Source) -> None:
    """Stripe indents a list otherwise than one record; HubSpot's properties come in no order."""
    await source.sync()
    before = await source.query("SELECT source_id, xmin::text, content_hash FROM {leaf} ORDER BY source_id")
    await source.query(
        "UPDATE {leaf} SET raw_hash = 0 RETURNING source_id"
    )  # as if no byte were where it was
    again = await source.sync(full=True)
    assert (again.updated, again.unchanged) == (0, len(before))
    after = await source.query("SELECT source_id, content_hash FROM {leaf} ORDER BY source_id")
    assert after == [(source_id, content_hash) for source_id, _, content_hash in before]


async def test_rows_of_the_release_before_are_not_written_again(source: Source) -> None:
    """Their only hash is of the bytes. Where those come again, nothing is mapped."""
    await source.sync()
    await source.query("UPDATE {leaf} SET content_hash = raw_hash, raw_hash = NULL RETURNING source_id")
    before = await source.query("SELECT source_id, xmin::text FROM {leaf} ORDER BY source_id")
    again = await source.sync(full=True)
    assert again.updated + again.unchanged == len(before)
    if source.connector == "stripe":  # HubSpot shuffles its properties: such a record is written once more
        assert again.updated == 0
        assert await source.query("SELECT source_id, xmin::text FROM {leaf} ORDER BY source_id") == before
    assert (await source.sync(full=True)).updated == 0
