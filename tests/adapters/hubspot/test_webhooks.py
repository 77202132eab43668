"""HubSpot's events: the signed URL, the keys, and what each event means for the tables."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import strategies as st

from adapters.hubspot.webhooks import subjects
from tests.properties import given
from tests.unified.kit.webhooks.senders import NOW, SENDERS, b64, digest, unix
from unified.kit.errors import ConfigurationError, MappingError, PayloadError, SignatureError
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.kit.webhooks.meaning import meaning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.adapters.hubspot.conftest import Portal
    from unified.kit.streams import Changes

SENDER = SENDERS["hubspot"]
BASE: dict[str, Any] = {
    "eventId": 1, "subscriptionId": 12345, "portalId": 62515, "occurredAt": 1_564_113_600_000,
    "attemptNumber": 0, "changeSource": "CRM_UI", "sourceId": "userId:77", "appId": 54321,
}  # fmt: skip


def changes(received: Sequence[ReceivedEvent]) -> Changes:
    return meaning(received, subjects, log="events")


def events(*changed: dict[str, Any]) -> list[ReceivedEvent]:
    return SENDER.events([{**BASE, **one} for one in changed])


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://a.example/h?x=1&y=2", "https://a.example/h?x=1&y=2"),
        (
            "https://a.example/h%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B?q=%3A",
            "https://a.example/h:/?@!$'()*,;?q=:",
        ),
        # Escapes that HubSpot leaves alone: of space, &, =, +, %, é, in lower case, and of an escape.
        ("https://a.example/%20%26%3D%2B%25%C3%A9?q=%3a", "https://a.example/%20%26%3D%2B%25%C3%A9?q=%3a"),
        ("https://a.example/%253A", "https://a.example/%253A"),
    ],
)
def test_the_signed_url_has_only_some_characters_decoded(url: str, signed: str) -> None:
    message = b"POST" + signed.encode() + SENDER.body + unix(NOW, 1000)
    headers = {
        "x-hubspot-signature-v3": b64(digest(SENDER.secret().encode(), message)),
        "x-hubspot-request-timestamp": unix(NOW, 1000),
    }
    delivery = Delivery("POST", url, headers, SENDER.body, NOW)
    assert SENDER.receive(delivery)
    for other in (replace(delivery, url=url + "&z=3"), replace(delivery, method="GET")):
        with pytest.raises(SignatureError):
            SENDER.receive(other)


def test_older_signatures_are_taken_only_where_they_are_asked_for() -> None:
    for old in ("hubspot_v1", "hubspot_v2"):
        with pytest.raises(SignatureError):
            SENDER.receive(replace(SENDER.delivery(), headers=SENDERS[old].delivery().headers))
    v1 = SENDERS["hubspot_v1"]
    delivery = v1.delivery()
    with pytest.raises(SignatureError):
        v1.receive(replace(delivery, headers={**delivery.headers, "x-hubspot-signature-version": b"v2"}))


def test_each_element_is_an_event_of_its_own() -> None:
    first, second = events(
        {"subscriptionType": "contact.creation", "objectId": 1},
        {"subscriptionType": "contact.creation", "objectId": 2},
    )
    assert first.occurred_at == datetime(2019, 7, 26, 4, tzinfo=UTC)
    assert json.loads(second.body) == {**BASE, "subscriptionType": "contact.creation", "objectId": 2}
    assert SENDER.events([]) == []


def test_an_attempt_is_no_event_of_its_own() -> None:
    change = {"subscriptionType": "contact.creation", "objectId": 1}
    first, again = events({**change, "attemptNumber": 0}, {**change, "attemptNumber": 3})
    assert first.dedupe_key == again.dedupe_key


@given(
    st.sampled_from(
        [
            ("portalId", 2), ("subscriptionId", 2), ("objectId", 2), ("occurredAt", 2), ("eventId", 2),
            ("subscriptionType", "company.propertyChange"), ("propertyName", "email"), ("propertyValue", "x"),
            ("objectTypeId", "0-2"), ("changeFlag", "NEW"), ("fromObjectId", 2), ("toObjectId", 2),
            ("associationRemoved", True), ("mergedObjectIds", [2]), ("newObjectId", 2), ("messageId", "m"),
        ]
    ),
    st.permutations([*BASE, "subscriptionType", "objectId"]),
)  # fmt: skip
def test_the_key_tells_changes_apart_whatever_the_order_of_fields(
    change: tuple[str, Any], order: list[str]
) -> None:
    one = {**BASE, "subscriptionType": "contact.propertyChange", "objectId": 1}
    same, other = events({name: one[name] for name in order}, {**one, change[0]: change[1]})
    assert same.dedupe_key == events(one)[0].dedupe_key != other.dedupe_key


@pytest.mark.parametrize(
    "odd",
    [{"subscriptionType": None}, {"occurredAt": "now"}, {"occurredAt": 10**18}, {"portalId": 10**30},
     {"objectId": {}}, {"objectTypeId": ["0-1"]}, {"mergedObjectIds": 7}, {"objectId": "x" * 300}],
)  # fmt: skip
def test_an_event_of_another_form_is_a_payload_error(odd: dict[str, Any]) -> None:
    with pytest.raises(PayloadError):
        events({"subscriptionType": "contact.creation", "objectId": 1, **odd})


@pytest.mark.parametrize(
    "odd",
    [
        b"null", b"7", b"[]", b'"text"', b"{}", b'{"subscriptionType":"x","occurredAt":"now","portalId":1}',
        b'{"subscriptionType":null,"occurredAt":1,"portalId":1}',
        b'{"subscriptionType":"x","occurredAt":1000000000000000000,"portalId":1}',
        b'{"subscriptionType":"contact.\\ud83d","occurredAt":1,"portalId":1}',
        b'{"a":' * 120 + b"1" + b"}" * 120,
    ],
    ids=range(10),
)  # fmt: skip
def test_one_odd_event_does_not_cost_its_batch(odd: bytes) -> None:
    sound = msgspec.json.encode({**BASE, "subscriptionType": "contact.creation", "objectId": 31})
    received = SENDER.receive(SENDER.delivery(b"[" + sound + b"," + odd + b"]"))
    assert isinstance(received, list)
    first, second = received
    assert (first.event_type, first.body) == ("contact.creation", sound)
    assert second.event_type == "unreadable"
    assert second.dedupe_key != first.dedupe_key
    assert json.loads(second.body) == json.loads(odd.replace(rb"\ud83d", rb"\ufffd"))
    assert changes(received).fetch["customers"] == ["31"]


CASES = Path(__file__).parents[4] / "shared" / "cases" / "turn2"


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases from the field (../shared/cases) are not here")
def test_half_a_surrogate_pair_does_not_cost_its_batch() -> None:
    case = json.loads((CASES / "hubspot_batch_with_half_a_surrogate.json").read_text())
    received = SENDER.receive(SENDER.delivery(case["body_text"].encode()))
    assert isinstance(received, list)
    assert [json.loads(one.body)["propertyValue"] for one in received] == ["Graz", "bis bald \ufffd"]
    assert changes(received).fetch["customers"] == ["31", "32"]


CONTACTS, COMPANIES, INVOICES = {"objectTypeId": "0-1"}, {"objectTypeId": "0-2"}, {"objectTypeId": "0-53"}


@pytest.mark.parametrize(
    ("kind", "fields", "fetched"),
    [
        ("contact.creation", {"objectId": 1}, {"customers": ["1"]}),
        ("contact.propertyChange", {"objectId": 1, "propertyName": "x"}, {"customers": ["1"]}),
        ("contact.deletion", {"objectId": 1}, {"customers": ["1"]}),
        ("contact.restore", {"objectId": "1"}, {"customers": ["1"]}),
        (
            "contact.merge",
            {"primaryObjectId": 1, "mergedObjectIds": [1, 2], "newObjectId": 3, "objectId": 1},
            {"customers": ["3", "1", "2"]},
        ),
        (
            "contact.associationChange",
            {"associationType": "CONTACT_TO_COMPANY", "fromObjectId": 1, "toObjectId": 9},
            {"customers": ["1"], "companies": ["9"]},
        ),
        (
            "company.associationChange",
            {"associationType": "COMPANY_TO_CONTACT", "fromObjectId": 9, "toObjectId": 1},
            {"companies": ["9"], "customers": ["1"]},
        ),
        (
            "object.associationChange",
            {"fromObjectTypeId": "0-53", "fromObjectId": 5, "toObjectTypeId": "0-1", "toObjectId": 1},
            {"invoices": ["5"], "customers": ["1"]},
        ),
        ("company.propertyChange", {"objectId": 9, "propertyName": "name"},
         {"companies": ["9"], "customers": ["companies/9"]}),
        ("object.propertyChange", {**COMPANIES, "objectId": 9, "propertyName": "domain"},
         {"companies": ["9"], "customers": ["companies/9"]}),
        ("company.propertyChange", {"objectId": 9, "propertyName": "city"}, {"companies": ["9"]}),
        ("company.restore", {"objectId": 9}, {"companies": ["9"], "customers": ["companies/9"]}),
        ("company.creation", {"objectId": 9}, {"companies": ["9"]}),
        ("deal.creation", {"objectId": 9}, {"deals": ["9"]}),
        ("object.creation", {"objectId": 9, "objectTypeId": "0-14"}, {"quotes": ["9"]}),
        ("object.creation", {**CONTACTS, "objectId": 1}, {"customers": ["1"]}),
        ("object.propertyChange", {**INVOICES, "objectId": 5, "propertyName": "x"}, {"invoices": ["5"]}),
        ("object.deletion", {**INVOICES, "objectId": 5}, {"invoices": ["5"]}),
        ("object.creation", {"objectTypeId": "0-3", "objectId": 1}, {"deals": ["1"]}),
        ("object.creation", {"objectTypeId": "0-48", "objectId": 1}, {}),
        ("object.creation", {"objectId": 1}, {}),
        ("call.creation", {"objectId": 1}, {}),
        ("conversation.newMessage", {"objectId": 1, "messageId": "m"}, {}),
        ("contact.creation", {"objectId": "٣"}, {}),
        ("contact", {}, {}),
    ],
)  # fmt: skip
def test_what_an_event_makes_read_again(kind: str, fields: dict[str, Any], fetched: dict[str, Any]) -> None:
    (one,) = events({"subscriptionType": kind, **fields})
    found = changes([one, one])
    assert {stream: ids for stream, ids in found.fetch.items() if ids} == fetched
    assert not found.tombstones
    assert [record.source_id for record in found.records["events"]] == [one.dedupe_key] * 2
    assert not found.erasures


def test_a_deletion_for_privacy_is_final() -> None:
    """HubSpot restores no such contact, so it is not read again, whatever else is said of it."""
    found = changes(
        events(
            {"subscriptionType": "contact.deletion", "objectId": 1},
            {"subscriptionType": "contact.privacyDeletion", "objectId": 1},
            {"subscriptionType": "contact.creation", "objectId": 2},
        )
    )
    assert found.erasures == {"customers": ["1"]}
    assert found.fetch == {"customers": ["2"]}
    assert [stone.source_id for stone in found.tombstones["customers"]] == ["1"]


@pytest.mark.parametrize("body", [b"7", b"{}", b"null", b'[{"subscriptionType":1}]'])
def test_a_body_of_another_sender_is_only_a_record(body: bytes) -> None:
    found = changes([ReceivedEvent("key", "kind", None, body)])
    assert len(found.records["events"]) == 1
    assert not any(found.fetch.values())


def test_an_event_is_mapped_as_a_unified_one(portal: Portal) -> None:
    adapter = portal.adapter()
    received = events(
        {"subscriptionType": "object.propertyChange", **INVOICES, "objectId": 5, "propertyName": "x"}
    )
    (record,) = adapter.changes(received).records["events"]
    unified = adapter.map_record("events", record.body, adapter.origin("events", NOW, NOW))
    assert unified.source_id == record.source_id
    told = unified.model_dump(
        include={"event_type", "event_category", "resource_type", "resource_id", "user_id"}
    )
    assert told == {
        "event_type": "object.propertyChange", "event_category": "invoice", "resource_type": "invoice",
        "resource_id": "5", "user_id": "77",
    }  # fmt: skip
    assert unified.custom_fields == {"portal_id": 62515}
    odd = events(
        {"subscriptionType": "contact.propertyChange", "objectId": 1, "propertyValue": "a\0b\\u0000"}
    )
    (record,) = adapter.changes(odd).records["events"]
    mapped = adapter.map_record("events", record.body, adapter.origin("events", NOW, NOW))
    assert mapped.source_id == record.source_id
    with pytest.raises(MappingError):
        adapter.map_record("events", b'{"subscriptionType":"x"}', adapter.origin("events", NOW, NOW))


async def test_a_renamed_company_brings_its_contacts(portal: Portal) -> None:
    data = portal.data
    company = next(
        one for one in data.indexes("companies") if data.associations("companies", "contacts", one)
    )
    linked = data.associations("companies", "contacts", company) or []
    of_company = {data.record_id("contacts", link.index) for link in linked}
    some = next(one for one in portal.ids("contacts") if one not in of_company)
    company_id = data.record_id("companies", company)
    portal.change("update_company", company_id, name="Renamed Inc")
    renamed = {"subscriptionType": "company.propertyChange", "objectId": company_id, "propertyName": "name"}
    found = changes(events(renamed, {"subscriptionType": "contact.creation", "objectId": some}))
    async with (
        portal.adapter() as adapter,
        aclosing(adapter.fetch("customers", found.fetch["customers"])) as pages,
    ):
        met = [page async for page in pages]
    read = [record for page in met for record in page.records]
    assert not any(page.tombstones for page in met)
    assert sorted(str(record.source_id) for record in read) == sorted({some} | of_company)
    assert {record.source_id for record in read if b"Renamed Inc" in bytes(record.body)} == of_company


async def test_events_are_never_asked_for(portal: Portal) -> None:
    async with portal.adapter() as adapter:
        with pytest.raises(ConfigurationError, match="webhook"):
            adapter.pull("events", None)
        with pytest.raises(ConfigurationError, match="webhook"):
            adapter.fetch("events", ["1"])
