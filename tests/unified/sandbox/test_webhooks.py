"""Deliveries of the stand-ins, taken by a real HTTP server and checked by the product's own verifiers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from tests.unified.sandbox.test_control import control
from tests.waiting import LIMIT_SECONDS
from unified.kit.errors import SignatureError
from unified.kit.registry import get_verifier
from unified.kit.secrets import Secret
from unified.sandbox.webhooks import Endpoint

if TYPE_CHECKING:
    from tests.unified.sandbox.conftest import Receiver
    from unified.sandbox.provider import Provider
    from unified.sandbox.server import SandboxServer

STRIPE_KEY, HUBSPOT_KEY = "sk_test_fake_acme", "pat-fake-acme"
SECRETS = {STRIPE_KEY: "whsec_test_fake", HUBSPOT_KEY: "test_fake_client_secret"}


def deliver(provider: Provider[Any], receiver: Receiver, key: str, **options: Any) -> None:
    """Send an account's events to the receiver, signed in the present."""
    provider.clock.set(datetime.now(UTC).timestamp())
    provider.webhooks.add(Endpoint(key, receiver.url, SECRETS[key], retry_scale=1e-6, **options))


def counts(provider: Provider[Any]) -> dict[str, Any]:
    """What became of the deliveries to the one endpoint, once all are done."""
    assert provider.webhooks.wait(20)
    (report,) = provider.webhooks.report()
    assert "whsec_" not in str(report)
    return {name: count for name, count in report.items() if name not in ("key", "url") and count}


def test_stripe_delivers_each_event_of_its_feed(server: SandboxServer, receiver: Receiver) -> None:
    deliver(server.stripe, receiver, STRIPE_KEY)
    customer = server.stripe.mutate("create_customer", STRIPE_KEY)
    server.stripe.mutate("update_customer", STRIPE_KEY, customer["id"], name="Acme")
    server.stripe.mutate("delete_customer", STRIPE_KEY, customer["id"])
    server.stripe.mutate("create_customer", "sk_test_fake_globex")
    assert counts(server.stripe) == {"attempts": 3, "accepted": 3}
    events = [event for (event,) in receiver.events("stripe", SECRETS[STRIPE_KEY])]
    feed = {event["id"]: event for event in list(server.stripe.account().all_events())[:3]}
    assert {event.event_type for event in events} == {
        f"customer.{name}" for name in ("created", "updated", "deleted")
    }
    for event in events:
        assert msgspec.json.decode(event.body) == feed[event.dedupe_key] | {"pending_webhooks": 1}


def test_hubspot_delivers_a_change_as_one_array(server: SandboxServer, receiver: Receiver) -> None:
    deliver(server.hubspot, receiver, HUBSPOT_KEY)
    portal = server.hubspot.account(HUBSPOT_KEY)
    first, second = (portal.create_contact(lastname=name)["id"] for name in ("A", "B"))
    portal.update_contact(first, firstname="Ada", phone=None)
    portal.merge_contacts(first, second)
    portal.archive_invoice(next(portal.all("invoices"))["id"])
    assert counts(server.hubspot) == {"attempts": 5, "accepted": 5}
    received = receiver.events("hubspot", SECRETS[HUBSPOT_KEY])
    assert sorted([event.event_type for event in events] for events in received) == [
        ["contact.creation"],
        ["contact.creation"],
        ["contact.merge"],
        ["contact.propertyChange", "contact.propertyChange"],
        ["object.deletion"],
    ]
    assert len({event.dedupe_key for events in received for event in events}) == 6


def test_a_refused_delivery_comes_again_signed_anew(server: SandboxServer, receiver: Receiver) -> None:
    deliver(server.hubspot, receiver, HUBSPOT_KEY)
    receiver.answers = [503, 429, 401]
    server.hubspot.mutate("create_contact", HUBSPOT_KEY)
    assert counts(server.hubspot) == {"attempts": 4, "accepted": 1}
    attempts = [msgspec.json.decode(one.body)[0]["attemptNumber"] for one in receiver.deliveries]
    assert attempts == [0, 1, 2, 3]
    assert len({event.dedupe_key for (event,) in receiver.events("hubspot", SECRETS[HUBSPOT_KEY])}) == 1


def test_a_delivery_is_given_up_in_the_end(server: SandboxServer, receiver: Receiver) -> None:
    deliver(server.stripe, receiver, STRIPE_KEY)
    receiver.answers = [500] * 4
    server.stripe.mutate("create_customer", STRIPE_KEY)
    assert counts(server.stripe) == {"attempts": 4, "given_up": 1}


def test_nobody_there_is_a_refusal(server: SandboxServer) -> None:
    server.stripe.webhooks.add(
        Endpoint(STRIPE_KEY, "http://127.0.0.1:9/", "whsec_test_fake", retry_scale=1e-6)
    )
    server.stripe.mutate("create_customer", STRIPE_KEY)
    assert counts(server.stripe) == {"attempts": 4, "given_up": 1}


def test_duplicates_and_drops(server: SandboxServer, receiver: Receiver) -> None:
    deliver(server.stripe, receiver, STRIPE_KEY, duplicates=2, drop=0.5)
    for _ in range(40):
        server.stripe.mutate("create_customer", STRIPE_KEY)
    done = counts(server.stripe)
    assert 5 < done["dropped"] < 35
    assert done["accepted"] == done["attempts"] == 3 * (40 - done["dropped"])
    assert (
        len({event.dedupe_key for (event,) in receiver.events("stripe", SECRETS[STRIPE_KEY])})
        == 40 - done["dropped"]
    )


def test_reordering(server: SandboxServer, receiver: Receiver) -> None:
    deliver(server.stripe, receiver, STRIPE_KEY, delay=0.05, reorder=0.2)
    made = [server.stripe.mutate("create_customer", STRIPE_KEY)["id"] for _ in range(10)]
    assert counts(server.stripe)["accepted"] == 10
    came = [msgspec.json.decode(one.body)["data"]["object"]["id"] for one in receiver.deliveries]
    assert sorted(came) == sorted(made)
    assert came != made


def test_another_secret_does_not_fit(server: SandboxServer, receiver: Receiver) -> None:
    deliver(server.stripe, receiver, STRIPE_KEY)
    server.stripe.mutate("create_customer", STRIPE_KEY)
    counts(server.stripe)
    with pytest.raises(SignatureError):
        get_verifier("stripe").receive(receiver.deliveries[0], [Secret("whsec_test_fake_other")])


def test_endpoints_over_http(server: SandboxServer, receiver: Receiver) -> None:
    endpoint = {"key": HUBSPOT_KEY, "url": receiver.url, "secret": "test_fake", "retry_scale": 0}
    assert control(server, "POST", "hubspot/webhooks", endpoint).status_code == 200
    assert control(server, "POST", "hubspot/webhooks", endpoint | {"key": "pat-nobody"}).status_code == 400
    assert control(server, "POST", "hubspot/webhooks", endpoint | {"colour": "red"}).status_code == 400
    control(server, "POST", "hubspot/mutate", {"do": "create_company", "key": HUBSPOT_KEY})
    assert server.hubspot.webhooks.wait(20)
    assert control(server, "GET", "hubspot/webhooks").json() == [
        {
            "key": HUBSPOT_KEY,
            "url": receiver.url,
            "waiting": 0,
            "attempts": 1,
            "accepted": 1,
            "dropped": 0,
            "given_up": 0,
        }
    ]
    receiver.answers = [503]
    control(server, "POST", "hubspot/webhooks", endpoint | {"retry_scale": 1})
    control(server, "POST", "hubspot/mutate", {"do": "create_company", "key": HUBSPOT_KEY})
    assert control(server, "DELETE", "hubspot/webhooks").status_code == 200, "though a delivery is pending"
    assert control(server, "GET", "hubspot/webhooks").json() == []


def test_changes_are_answered_before_they_are_delivered(server: SandboxServer) -> None:
    server.stripe.webhooks.add(Endpoint(STRIPE_KEY, "http://127.0.0.1:9/", "whsec_test_fake"))
    assert control(server, "POST", "stripe/mutate", {"do": "create_customer"}).status_code == 200
    (report,) = server.stripe.webhooks.report()
    assert report["waiting"] == 1
    httpx.get(f"{server.url}/_sandbox/stripe/stats", timeout=LIMIT_SECONDS).raise_for_status()
