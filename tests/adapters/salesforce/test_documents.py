"""Credit memos and payments of whatever object holds them."""

from typing import Any

import msgspec
import pytest

from tests.adapters.salesforce.test_invoices import holding
from tests.adapters.salesforce.test_pull import data
from unified.conformance.bench import Copy
from unified.kit.errors import PermissionDeniedError
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.schema.record import UnifiedRecord

OBJECTS = {
    "CreditMemo": "credit_memos", "blng__CreditNote__c": "credit_memos", "Payment": "payments",
    "blng__Payment__c": "payments",
}  # fmt: skip


def sizes(name: str) -> dict[str, int]:
    return {"CreditMemo": 0, "Payment": 0, name: 70}


@pytest.mark.parametrize("name", OBJECTS)
async def test_they_are_found_in_whatever_object_holds_them_and_followed(name: str) -> None:
    with holding(**sizes(name)) as org:
        if name.startswith("blng__"):
            org.provider.mutate("hide", None, "CreditMemo", "Payment")
        copy = Copy(OBJECTS[name])
        await org.sync(copy)
        gone, changed, *_ = sorted(copy.records)
        org.provider.clock.advance(seconds=3600)
        org.provider.mutate("delete", None, name, gone)
        row = data(org).rows[name].find(changed)
        assert row is not None
        amount = next(one for one in row.fields if "Amount" in one and row.fields[one])
        row.fields[amount], row.updated = msgspec.Raw(b"1234567890123456.78"), org.provider.clock.time()
        await org.sync(copy)
        there = data(org).all(name)
        assert (copy.records.keys(), copy.gone.keys()) == (there.keys(), {gone})
        adapter = org.open()
        origin = adapter.origin(copy.stream, org.now(), org.now())
        records = {
            one: adapter.map_record(copy.stream, msgspec.json.encode(raw), origin)
            for one, raw in copy.records.items()
        }
    record = records[changed]
    assert isinstance(record, UnifiedRecord)
    assert {record.custom_fields.get("total"), record.custom_fields.get("amount")} == {
        "1234567890123456.78",
        None,
    }
    assert record.name == (there[changed].get("DocumentNumber") or there[changed].get("PaymentNumber")
                           or there[changed]["Name"])  # fmt: skip
    assert {"account_id", "status", "date", "currency"} <= record.custom_fields.keys()
    assert not [field for field in record.raw_data if "BankAccount" in field or "Token" in field]


async def test_no_object_of_them_is_said_and_is_no_empty_stream() -> None:
    with holding() as org:
        org.provider.mutate("hide", None, "Payment")
        with pytest.raises(
            PermissionDeniedError, match="no object holds payments: neither Payment nor blng__"
        ):
            await org.sync(Copy("payments"))


async def test_a_change_of_one_is_read_again() -> None:
    with holding() as org:
        (one, *_) = sorted(data(org).all("Payment"))
        change: Any = {"organization": "00D", "object": "Payment", "id": one, "at": "2026-09-21T13:33:20Z"}
        event = ReceivedEvent("key", "Payment", org.now(), msgspec.json.encode(change))
        assert org.open().changes([event]).fetch == {"payments": [one]}
