"""Streams that a connection reads where it chooses them: each whole, followed, mapped."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from adapters.stripe.adapter import StripeAdapter
from adapters.stripe.webhooks import StripeVerifier
from unified.conformance.bench import Copy
from unified.kit.errors import PermissionDeniedError
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.sandbox.stripe.objects import KINDS
from unified.schema.record import UnifiedRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.stripe.conftest import Stripe

FURTHER = [stream.name for stream in StripeAdapter.streams if not stream.is_usual]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def account(stripe_of: "Callable[..., Stripe]") -> "Stripe":
    """Little of each kind, and more than a page of it."""
    return stripe_of(customers=5, invoices=0, objects=130)


def without_secrets(records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        one: {name: value for name, value in record.items() if name != "client_secret"}
        for one, record in records.items()
    }


def test_the_stand_in_has_each_of_them() -> None:
    assert set(KINDS) == set(FURTHER)


@pytest.mark.parametrize("stream", FURTHER)
async def test_all_of_it_is_read_and_then_what_changed(account: "Stripe", stream: str) -> None:
    copy = Copy(stream)
    await account.sync(copy)
    first, second = sorted(account.ids(stream))[:2]
    assert copy.records == without_secrets(account.oracle(stream))
    account.sandbox.clock.advance(days=1)
    await account.sync(copy)
    account.requests()
    made = account.change("create_object", stream)["id"]
    if KINDS[stream].events:
        account.change("update_object", stream, first, metadata={"changed": "yes"})
    if KINDS[stream].is_deletable:
        account.change("delete_object", stream, second)
    account.sandbox.clock.advance(seconds=60)
    await account.sync(copy)
    assert copy.records == without_secrets(account.oracle(stream))
    assert made in copy.records
    assert (second in copy.gone) == KINDS[stream].is_deletable
    assert sum(account.requests().values()) <= 5, "what changed is read, and no more"


@pytest.mark.parametrize("stream", FURTHER)
async def test_each_is_a_record_with_its_name_and_time(account: "Stripe", stream: str) -> None:
    async with account.adapter() as adapter:
        for raw in account.oracle(stream).values():
            record = adapter.map_record(stream, msgspec.json.encode(raw), adapter.origin(stream, NOW, NOW))
            assert isinstance(record, UnifiedRecord)
            assert record.created_at == datetime.fromtimestamp(raw["created"], UTC)
            assert record.custom_fields == raw.get("metadata", {})
            assert record.name == (
                raw.get("name") or raw.get("nickname") or raw.get("number") or raw.get("description")
            )


async def test_a_subscription_that_was_canceled_stays(account: "Stripe") -> None:
    copy = Copy("subscriptions")
    await account.sync(copy)
    states = {record["status"] for record in copy.records.values()}
    assert {"active", "canceled"} <= states
    items = [len(record["items"]["data"]) for record in copy.records.values()]
    assert max(items) == 14, "ten come with it, the others are listed"


async def test_no_secret_of_a_payment_is_read_into_a_table(account: "Stripe") -> None:
    copy = Copy("payment_intents")
    await account.sync(copy)
    async with account.adapter() as adapter:
        pages = [page async for page in adapter.fetch("payment_intents", list(copy.records)[:3])]
    fetched = [bytes(record.body) for page in pages for record in page.records]
    assert (len(copy.records), len(fetched)) == (130, 3)
    assert "client_secret" not in f"{copy.records}{fetched}"


async def test_nor_by_an_event_however_it_comes(account: "Stripe") -> None:
    account.change("update_object", "payment_intents", min(account.ids("payment_intents")), metadata={})
    event = next(account.data.all_events())
    secret = event["data"]["object"]["client_secret"]
    copy = Copy("events")
    await account.sync(copy)
    assert event["id"] in copy.records
    assert secret not in f"{copy.records}"
    delivery = Delivery.polled(msgspec.json.encode(event), datetime.now(UTC))
    (received,) = StripeVerifier().read_events(delivery)
    assert secret.encode() not in received.body
    del event["data"]["object"]["client_secret"]
    assert msgspec.json.decode(received.body) == event


@pytest.mark.parametrize("stream", [name for name in FURTHER if KINDS[name].events])
def test_an_event_of_one_names_it(account: "Stripe", stream: str) -> None:
    changed = account.change("update_object", stream, min(account.ids(stream)), metadata={})
    event = next(account.data.all_events())
    received = ReceivedEvent(event["id"], event["type"], NOW, msgspec.json.encode(event))
    changes = StripeAdapter.changes(account.adapter(), [received])
    assert changes.fetch == {stream: [changed["id"]]}


async def test_a_key_is_tried_for_the_streams_that_are_chosen(account: "Stripe") -> None:
    account.fault("status", "/v1/disputes", status=403, times=None)
    account.fault("status", "/v1/payouts", status=403, times=None)
    async with account.adapter() as adapter:
        await adapter.test()
    async with account.adapter() as adapter:
        adapter.connection = replace(adapter.connection, streams=FURTHER)
        with pytest.raises(PermissionDeniedError, match=r"may not read payouts, disputes: "):
            await adapter.test()
