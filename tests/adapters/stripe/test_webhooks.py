"""Stripe's events: what is let in, and what each means for the tables."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapters.stripe.webhooks import subjects
from tests.exchanges import Exchanges
from tests.unified.kit.webhooks.senders import NOW, SENDERS, hexed, unix
from unified.kit.errors import PayloadError, SignatureError
from unified.kit.registry import get_verifier
from unified.kit.streams import Tombstone
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.kit.webhooks.meaning import meaning
from unified.kit.webhooks.owners import Owner
from unified.schema import UnifiedEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.adapters.stripe.conftest import Stripe
    from unified.kit.streams import Changes

SAMPLES = Path(__file__).parents[4] / "shared" / "data" / "webhooks" / "stripe_events"
SENDER = SENDERS["stripe"]


def changes(received: Sequence[ReceivedEvent]) -> Changes:
    return meaning(received, subjects, log="events")


def event(kind: str, subject: dict[str, Any], **more: Any) -> ReceivedEvent:
    body = {"id": f"evt_{kind}", "type": kind, "created": 1_700_000_000, "data": {"object": subject}, **more}
    (received,) = SENDER.events(body)
    return received


def samples() -> list[bytes]:
    if not SAMPLES.is_dir():
        pytest.skip("the sample events are not beside the repository")
    return [path.read_bytes() for path in sorted(SAMPLES.glob("*.json"))]


def test_all_sample_events_are_let_in_and_understood(stripe: Stripe) -> None:
    bodies = samples()
    assert len(bodies) == 71
    received = [one for body in bodies for one in SENDER.events(body)]
    assert [one.event_type for one in received] == [json.loads(body)["type"] for body in bodies]
    for one, body in zip(received, bodies, strict=True):
        sent = json.loads(body)
        if "client_secret" not in body.decode():
            assert one.body == body
        sent["data"]["object"].pop("client_secret", None)
        assert json.loads(one.body) == sent
    adapter = stripe.adapter()
    found = adapter.changes(received)
    origin = adapter.origin("events", NOW, NOW)
    stored = [adapter.map_record("events", record.body, origin) for record in found.records["events"]]
    assert [record.source_id for record in found.records["events"]] == [one.source_id for one in stored]
    assert set(found.fetch["invoices"]) == {
        json.loads(body)["data"]["object"]["id"]
        for body in bodies
        if json.loads(body)["data"]["object"]["object"] == "invoice"
        and json.loads(body)["type"] != "invoice.deleted"
    }
    # The only customer that was updated is the one that was deleted as well.
    assert found.fetch["customers"] == []
    assert found.tombstones["customers"] == [
        Tombstone("cus_IhGfebO16cMIGN", datetime.fromtimestamp(1_619_701_111, UTC))
    ]
    assert len(found.tombstones["invoices"]) == 1


def test_a_polled_event_and_its_delivered_twin_are_one() -> None:
    (delivered,) = SENDER.events(SENDER.body)
    (polled,) = get_verifier("stripe").read_events(Delivery.polled(SENDER.body, NOW))
    assert polled == delivered


@pytest.mark.parametrize(
    ("kind", "subject", "fetched"),
    [
        ("customer.created", {"object": "customer", "id": "cus_1"}, {"customers": ["cus_1"]}),
        ("invoice.paid", {"object": "invoice", "id": "in_1"}, {"invoices": ["in_1"]}),
        ("invoice.of_tomorrow", {"object": "invoice", "id": "in_1"}, {"invoices": ["in_1"]}),
        ("invoice.upcoming", {"object": "invoice"}, {}),
        ("invoice.upcoming", {"object": "invoice", "id": "upcoming_in_1"}, {}),
        (
            "customer.subscription.deleted",
            {"object": "subscription", "id": "sub_1"},
            {"subscriptions": ["sub_1"]},
        ),
        ("charge.succeeded", {"object": "charge", "id": "ch_1"}, {"charges": ["ch_1"]}),
        ("customer.source.updated", {"object": "card", "id": "card_1"}, {}),
        ("balance.available", {"object": "balance"}, {}),
        ("strange", {"object": {"odd": 1}, "id": ["odd"]}, {}),
    ],
)
def test_what_an_event_makes_read_again(kind: str, subject: dict[str, Any], fetched: dict[str, Any]) -> None:
    one = event(kind, subject)
    found = changes([one, one])
    assert {stream: ids for stream, ids in found.fetch.items() if ids} == fetched
    assert not any(found.tombstones.values())
    assert [record.source_id for record in found.records["events"]] == [one.dedupe_key] * 2


def test_a_deletion_is_final_in_whatever_order_it_comes() -> None:
    gone = event("invoice.deleted", {"object": "invoice", "id": "in_1"})
    late = event("invoice.updated", {"object": "invoice", "id": "in_1"})
    for order in ([gone, late], [late, gone]):
        found = changes(order)
        assert found.fetch["invoices"] == []
        assert found.tombstones["invoices"] == [Tombstone("in_1", datetime.fromtimestamp(1_700_000_000, UTC))]


@pytest.mark.parametrize(
    ("more", "owner"),
    [
        ({"account": "acct_2", "livemode": True}, Owner("acct_2", livemode=True)),
        ({"livemode": False}, Owner(None, livemode=False)),
        ({"context": "acct_3", "livemode": True}, Owner("acct_3", livemode=True)),
        ({"context": "org_1/acct_4"}, Owner("acct_4")),
        ({"account": None, "context": None, "livemode": None}, Owner()),
        ({"account": 7, "livemode": "yes"}, Owner()),
    ],
)
def test_an_event_names_its_account_and_mode(stripe: Stripe, more: dict[str, Any], owner: Owner) -> None:
    one = event("customer.updated", {"object": "customer", "id": "cus_1"}, **more)
    assert stripe.adapter().owner(one) == owner
    assert changes([one]).fetch["customers"] == ["cus_1"]


def test_an_event_without_an_object_is_a_record() -> None:
    thin = {"id": "evt_2", "object": "v2.core.event", "type": "v2.core.account.updated",
            "created": "2026-11-20T12:00:00.000Z"}  # fmt: skip
    (one,) = SENDER.events(thin)
    assert one.occurred_at == NOW
    assert [record.source_id for record in changes([one]).records["events"]] == ["evt_2"]


@pytest.mark.parametrize(
    "odd", [{"id": "evt\0"}, {"id": ""}, {"id": "e" * 300}, {"id": 7}, {"type": "\0"}, {"created": 10**15}]
)
def test_an_envelope_that_could_not_be_stored_is_a_payload_error(odd: dict[str, Any]) -> None:
    with pytest.raises(PayloadError):
        SENDER.events({**json.loads(SENDER.body), **odd})


@pytest.mark.parametrize(
    "header",
    [
        b"v1=%(good)b", b"t=%(at)b", b"t=%(at)b,t=%(at)b,v1=%(good)b", b"t=%(at)b,v0=%(good)b",
        b"t=%(at)b, v1=%(good)b", b"t=%(at)b;v1=%(good)b", b"t=%(at)b,v1==%(good)b", b"t=%(at)b,v1=%(good)bx",
        b"t=0%(at)b,v1=%(good)b", b"%(good)b", b"t=,v1=", b"t,v1",
    ],
)  # fmt: skip
def test_a_header_of_another_form_is_refused(header: bytes) -> None:
    delivery = SENDER.delivery()
    good = delivery.headers["stripe-signature"].rpartition(b"=")[2]
    odd = header % {b"at": unix(NOW), b"good": good}
    with pytest.raises(SignatureError):
        SENDER.receive(replace(delivery, headers={"stripe-signature": odd}))


def test_further_signatures_and_unknown_elements_do_no_harm() -> None:
    delivery = SENDER.delivery()
    at, good = delivery.headers["stripe-signature"].split(b",")
    for value in (
        b",".join([at, b"v1=" + hexed(b"x" * 32), good, good]),
        b",".join([b"v2=x", good, at, b"odd"]),
    ):
        assert SENDER.receive(replace(delivery, headers={"stripe-signature": value}))


async def test_what_an_event_names_is_fetched(stripe: Stripe) -> None:
    copy = stripe.copy("invoices")
    wanted = next(iter(stripe.oracle("invoices")))
    found = changes([event("invoice.updated", {"object": "invoice", "id": wanted})])
    async with (
        stripe.adapter() as adapter,
        aclosing(adapter.fetch("invoices", found.fetch["invoices"])) as pages,
    ):
        async for page in pages:
            copy.add(page)
    assert copy.records == {wanted: stripe.oracle("invoices")[wanted]}


def thin(kind: str, related: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {
        "id": "evt_test_1",
        "object": "v2.core.event",
        "type": kind,
        "livemode": False,
        "created": "2026-11-02T07:15:00.000Z",
        "context": None,
        "related_object": related,
        "reason": None,
        **more,
    }


@pytest.mark.parametrize(
    ("body", "resource", "category"),
    [
        (
            thin("v2.core.account.updated", {"id": "acct_1", "type": "v2.core.account", "url": "/v2/1"}),
            ("v2.core.account", "acct_1"),
            "core",
        ),
        (
            thin("v1.customer.deleted", {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"}),
            ("customer", "cus_1"),
            "customer",
        ),
        (thin("v2.core.event_destination.ping", None), (None, None), "core"),
        (thin("v2.core.account_link.returned", None, data={"account_id": "acct_1"}), (None, None), "core"),
    ],
)
def test_a_thin_event_is_a_row_and_what_it_names_is_read_again(
    stripe: Stripe, body: dict[str, Any], resource: tuple[str | None, str | None], category: str
) -> None:
    (received,) = SENDER.events(body)
    found = changes([received])
    adapter = stripe.adapter()
    (record,) = found.records["events"]
    row = adapter.map_record("events", record.body, adapter.origin("events", NOW, NOW))
    assert isinstance(row, UnifiedEvent)
    assert (row.event_type, row.event_category, row.livemode) == (body["type"], category, False)
    assert row.occurred_at == received.occurred_at == datetime(2026, 11, 2, 7, 15, tzinfo=UTC)
    assert (row.resource_type, row.resource_id) == resource
    wanted = ["cus_1"] if resource[0] == "customer" else []
    assert found.fetch.get("customers", []) == wanted
    assert not any(found.tombstones.values())


async def test_a_connected_account_is_named_in_every_request(stripe: Stripe) -> None:
    async with stripe.adapter(stripe_account="acct_Joined") as joined, stripe.adapter() as own:
        answers = [Exchanges(one.http).answers for one in (joined, own)]
        for one in (joined, own):
            async with aclosing(one.pull("customers", None)) as pages:
                await anext(pages)
    named = [{answer.request.headers.get("stripe-account") for answer in each} for each in answers]
    assert named == [{"acct_Joined"}, {None}]
