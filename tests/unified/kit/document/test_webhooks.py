"""Webhooks of a document: deliveries that are proven, and the records that their events are about."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.document.api import NOW, Api, opened
from tests.unified.kit.document.test_model import desk
from tests.unified.kit.document.test_reading import stream
from unified.kit.declarations import Capability
from unified.kit.document.model import read
from unified.kit.errors import AdapterError, SignatureError
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Delivery

if TYPE_CHECKING:
    from unified.kit.document.engine import DocumentAdapter
    from unified.kit.streams import Changes

SECRET = "whsec_fake_desk"
WEBHOOKS: dict[str, Any] = {
    "verifier": "hmac",
    "options": {
        "header": "x-desk-signature",
        "prefix": "v1=",
        "events_field": "events",
        "id_field": "uid",
        "type_field": "kind",
        "time_field": "at",
    },
    "events": [
        {"stream": "things", "types": ["thing.*"], "id": ["data", "id"]},
        {"stream": "things", "types": ["thing.deleted"], "id": ["data", "id"], "deleted": True},
        {"stream": "notes", "types": ["note.saved"], "record": ["data"]},
    ],
}
NOTES = stream(
    "/notes",
    filter="{{ record.state != 'draft' }}",
    transformations=[{"do": "remove", "path": ["secret"]}],
)


def document(**changed: Any) -> dict[str, Any]:
    streams = {"things": stream("/things", one="/things/{id}"), "notes": NOTES}
    return desk(streams=streams, webhooks={**WEBHOOKS, **changed})


def delivered(adapter: DocumentAdapter, *events: Any, key: str = SECRET) -> Changes:
    body = json.dumps({"events": events}).encode()
    signature = b"v1=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest().encode()
    delivery = Delivery("POST", "https://x.example/", {"x-desk-signature": signature}, body, NOW)
    received = adapter.verifiers[0].receive(delivery, [Secret(SECRET)])
    assert isinstance(received, list)
    return adapter.changes(received)


def event(kind: str, data: Any, uid: str = "e1") -> dict[str, Any]:
    return {"uid": uid, "kind": kind, "at": NOW.isoformat(), "data": data}


def adapter() -> DocumentAdapter:
    return opened(Api("http://127.0.0.1:1"), document())


def test_what_a_document_says_of_webhooks_is_declared() -> None:
    made = adapter()
    assert Capability.WEBHOOK in made.capabilities
    assert made.verifier_options == WEBHOOKS["options"]


def test_by_what_events_lead_to_records_is_declared() -> None:
    assert adapter().leading == {"uid", "kind", "at", "data.id", "data"}
    plain = document(options={}, events=[{"stream": "things", "id": ["id"]}])
    assert opened(Api("http://127.0.0.1:1"), plain).leading == {"id", "type", "timestamp"}


def test_records_are_read_again_buried_or_taken_as_they_are() -> None:
    meant = delivered(
        adapter(),
        event("thing.changed", {"id": 7}, "e1"),
        event("thing.deleted", {"id": "8"}, "e2"),
        event("note.saved", [{"id": 1, "title": "a", "secret": "x"}, {"id": 2, "state": "draft"}], "e3"),
        event("other", {"id": 9}, "e4"),
    )
    assert meant.fetch == {"things": ["7"], "notes": []}
    assert {name: [one.source_id for one in gone] for name, gone in meant.tombstones.items()} == {
        "things": ["8"],
        "notes": ["2"],
    }
    (state,) = meant.states["notes"]
    assert (state.record.source_id, state.event, state.as_of) == ("1", "e3", NOW)
    assert json.loads(bytes(state.record.body)) == {"id": 1, "title": "a"}


@pytest.mark.parametrize("data", [None, {}, {"id": None}, {"id": [1]}, {"id": {"a": 1}}, 7, [1], "x"])
def test_an_event_without_an_id_costs_no_other_and_is_said(
    data: Any, caplog: pytest.LogCaptureFixture
) -> None:
    meant = delivered(adapter(), event("thing.changed", data, "e1"), event("thing.changed", {"id": 3}, "e2"))
    assert meant.fetch == {"things": ["3"]}
    (said,) = caplog.messages
    assert "1 event(s) lack what the document says of a record" in said
    assert "of type 'thing.changed'" in said


def test_a_record_without_an_id_is_a_reject() -> None:
    (state,) = delivered(adapter(), event("note.saved", {"title": "a"})).states["notes"]
    assert state.record.source_id is None


def test_a_deletion_without_a_time_is_read_again() -> None:
    said = {**event("thing.deleted", {"id": 8}), "at": None}
    assert delivered(adapter(), said).fetch == {"things": ["8"]}


def test_a_delivery_that_is_not_proven_is_refused() -> None:
    with pytest.raises(SignatureError):
        delivered(adapter(), event("thing.changed", {"id": 7}), key="another")


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "an option that there is not": ({"options": {"secret": "x"}}, "has no option secret"),
    "a time that nobody signs": ({"options": {"time_header": "x-time"}}, "a time that is not signed proves nothing"),
    "a stream that is not there": ({"events": [{"stream": "x", "id": ["id"]}]}, "webhooks: there is no stream 'x'"),
    "records that can't be read again": ({"events": [{"stream": "notes", "id": ["id"]}]}, "single notes can't be read"),
    "nothing of a record": ({"events": [{"stream": "notes"}]}, "say by `id` or by `record`"),
    "a deletion by a record": (
        {"events": [{"stream": "notes", "record": [], "deleted": True}]}, "is named by `id`",
    ),
    "another verifier": ({"verifier": "rot13"}, "webhooks.verifier"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_webhooks_that_can_not_work_are_refused(fault: str) -> None:
    changed, words = FAULTS[fault]
    with pytest.raises(AdapterError, match=words):
        read(json.dumps(document(**changed)).encode(), "desk.json")
