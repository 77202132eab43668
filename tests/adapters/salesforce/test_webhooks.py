"""Outbound Messages and a flow's HTTP call: who is let in, what is read again, and what XML is not parsed."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.salesforce.webhooks import FlowVerifier, OutboundMessageVerifier
from tests.adapters.salesforce.test_conformance import SalesforceBench
from unified.kit.errors import ConfigurationError, PayloadError, SignatureError
from unified.kit.secrets import Secret
from unified.kit.streams import Changes
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.kit.webhooks.owners import Owner
from unified.sandbox.salesforce.fields import identifier
from unified.sandbox.salesforce.webhooks import envelope

ORGANIZATION, OTHER = identifier("00D", 1), identifier("00D", 2)
SECRETS = [Secret(ORGANIZATION)]
NOW = datetime(2026, 9, 21, tzinfo=UTC)
CONTACT = {"Id": identifier("003", 1), "SystemModstamp": "2026-09-21T14:13:20.000+0000", "AccountId": "001"}
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
ABROAD = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


def delivery(body: bytes, **headers: str) -> Delivery:
    sent = {name: value.encode() for name, value in headers.items()}
    return Delivery("POST", "https://hooks.example.com/webhooks/salesforce/x", sent, body, NOW)


def message(*objects: tuple[str, dict[str, Any]], organization: str = ORGANIZATION) -> bytes:
    events = [
        {"serial": serial, "object": name, "record": record} for serial, (name, record) in enumerate(objects)
    ]
    return envelope(events, organization)


def received(body: bytes) -> list[ReceivedEvent]:
    found = OutboundMessageVerifier().receive(delivery(body), SECRETS)
    assert isinstance(found, list)
    return found


def meant(*events: ReceivedEvent, **settings: Any) -> Changes:
    return SalesforceBench(empty=True).open(**settings).changes(events)


def test_a_message_of_another_organization_is_refused() -> None:
    with pytest.raises(SignatureError):
        OutboundMessageVerifier().receive(
            delivery(message(("Contact", CONTACT), organization=OTHER)), SECRETS
        )


def test_an_organization_s_id_may_have_fifteen_characters() -> None:
    found = OutboundMessageVerifier().receive(
        delivery(message(("Contact", CONTACT))), [Secret(ORGANIZATION[:15])]
    )
    assert isinstance(found, list)
    assert SalesforceBench.adapter_class.owner(found[0]) == Owner(ORGANIZATION)


@pytest.mark.parametrize("secret", ["x", "whsec_x", "001" + ORGANIZATION[3:], ORGANIZATION + "x"])
def test_a_secret_is_an_organization_s_id(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="begins with 00D"):
        OutboundMessageVerifier().check_secret(Secret(secret))


def test_each_notification_is_an_event_and_a_repeated_one_is_known() -> None:
    both = message(("Contact", CONTACT), ("Account", {"Id": identifier("001", 5)}))
    first, second = received(both)
    assert (first.event_type, first.occurred_at) == (
        "Contact.changed",
        datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC),
    )
    assert (second.event_type, second.occurred_at) == ("Account.changed", None)
    assert [one.dedupe_key for one in received(both)] == [first.dedupe_key, second.dedupe_key]
    assert first.dedupe_key != second.dedupe_key


def test_what_a_message_says_is_read_again_and_not_believed() -> None:
    changes = meant(
        *received(
            message(("Contact", {**CONTACT, "IsDeleted": True}), ("Lead", {"Id": identifier("00Q", 1)}))
        )
    )
    assert {name: list(ids) for name, ids in changes.fetch.items()} == {"contacts": [CONTACT["Id"]]}
    assert not changes.tombstones
    assert len(changes.records["events"]) == 2


def test_a_line_reads_its_invoice() -> None:
    parent = identifier("3tt", 1)
    events = received(message(("InvoiceLine", {"Id": identifier("5TV", 1), "InvoiceId": parent})))
    assert meant(*events).fetch == {"invoices": [parent]}


def test_an_own_object_of_invoices_is_known_by_the_settings() -> None:
    one = identifier("a1I", 1)
    events = received(message(("Rechnung__c", {"Id": one})))
    assert meant(*events).fetch == {}
    assert meant(*events, invoice_object="Rechnung__c").fetch == {"invoices": [one]}


def test_the_answer_holds_the_ack_that_ends_the_repetitions() -> None:
    answer = OutboundMessageVerifier().stored
    assert b"<Ack>true</Ack>" in answer.body
    assert answer.headers["content-type"].startswith("text/xml")


def test_a_session_s_id_is_never_kept() -> None:
    session = b"<SessionId>00D-fake-session!AQ</SessionId>"
    body = message(("Contact", CONTACT)).replace(b'<SessionId xsi:nil="true"/>', session)
    assert b"00D-fake-session" in body
    assert all(b"00D-fake-session" not in one.body for one in received(body))


@pytest.mark.parametrize("doctype", [BOMB, ABROAD], ids=["entities", "external"])
def test_a_document_type_is_refused_before_anything_of_it_is_read(doctype: bytes) -> None:
    body = (
        message(("Contact", CONTACT)).replace(b"?>\n", b"?>\n" + doctype, 1).replace(b"2026-09-21T14", b"&a;")
    )
    with pytest.raises(SignatureError):
        received(body)


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"{}", b"<a/>", b"<a>" * 50_000, message(("Contact", CONTACT))[:400]]
)
def test_garbage_is_refused_and_never_an_error(body: bytes) -> None:
    with pytest.raises(SignatureError):
        received(body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"sf:Id>", b"sf:Ix>"),
        (b"<sObject", b"<tObject"),
        (b"<Notification>", b"<Other>"),
        (b"xsi:type=", b"xsi:kind="),
    ],
)
def test_a_message_of_another_form_is_said_to_be_one(old: bytes, new: bytes) -> None:
    body = message(("Contact", CONTACT)).replace(old, new)
    body = body.replace(old.replace(b"<", b"</"), new.replace(b"<", b"</"))
    with pytest.raises(PayloadError):
        received(body)


def called(**fields: Any) -> Delivery:
    said = {
        "organization": ORGANIZATION,
        "object": "Contact",
        "id": CONTACT["Id"],
        "at": "2026-09-21T14:13:20Z",
    }
    proof = base64.b64encode(b"acme:fake-password").decode()
    body = json.dumps({**said, **fields}).encode()
    return delivery(body, authorization=f"Basic {proof}")


def test_a_flow_proves_a_password_and_names_a_record() -> None:
    verifier, secrets = FlowVerifier(), [Secret("acme:fake-password")]
    (event,) = verifier.receive(called(), secrets)  # type: ignore[misc]
    assert meant(event).fetch == {"contacts": [CONTACT["Id"]]}
    (short,) = verifier.receive(called(id=CONTACT["Id"][:15]), secrets)  # type: ignore[misc]
    assert meant(short).fetch == {"contacts": [CONTACT["Id"]]}
    (later,) = verifier.receive(called(at="2026-09-21T14:13:21Z"), secrets)  # type: ignore[misc]
    assert event.dedupe_key != later.dedupe_key
    with pytest.raises(SignatureError):
        verifier.receive(replace(called(), headers={}), secrets)
    with pytest.raises(PayloadError, match="when it was made"):
        verifier.receive(called(at=None), secrets)


def test_a_delivered_change_is_kept_as_an_event() -> None:
    (event,) = received(message(("Contact", CONTACT)))
    adapter = SalesforceBench(empty=True).open()
    (raw,) = adapter.changes([event]).records["events"]
    record: Any = adapter.map_record("events", raw.body, adapter.origin("events", NOW, NOW))
    assert (record.source_id, record.event_type) == (event.dedupe_key, "Contact.changed")
    assert (record.resource_type, record.resource_id) == ("Contact", CONTACT["Id"])
