"""What events come to, whatever their number and order."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import permutations

import msgspec

from unified.kit.streams import RawRecord, State, Tombstone
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject, meaning

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def event(kind: str, body: bytes) -> ReceivedEvent:
    return ReceivedEvent(f"key-{kind}", kind, NOW, body)


def subjects(received: ReceivedEvent) -> Iterable[Subject]:
    """An event of these tests holds the ids that it is about."""
    for one in msgspec.json.decode(received.body, type=list[str]):
        match received.event_type:
            case "deleted":
                yield Subject("customers", one, deleted_at=received.occurred_at)
            case "message":
                yield Subject("messages", one, record=received.body)
            case _:
                yield Subject("customers", one)


def test_each_record_is_read_once() -> None:
    events = [event("changed", b'["1", "2"]'), event("created", b'["2", "3"]')]
    found = meaning(events, subjects, log="events")
    assert found.fetch == {"customers": ["1", "2", "3"]}
    assert found.records == {"events": [RawRecord(one.dedupe_key, one.body) for one in events]}
    assert found.tombstones == {}


def test_a_final_deletion_wins_in_any_order() -> None:
    events = [event("changed", b'["1", "2"]'), event("deleted", b'["1"]'), event("created", b'["1"]')]
    for order in permutations(events):
        found = meaning(order, subjects, log=None)
        assert found.fetch == {"customers": ["2"]}
        assert found.tombstones == {"customers": [Tombstone("1", NOW)]}
        assert found.records == {}


def test_an_event_that_is_the_record_is_not_read_again() -> None:
    found = meaning([event("message", b'["7"]')], subjects, log=None)
    assert found.states == {"messages": [State(RawRecord("7", b'["7"]'), "key-message", None)]}
    assert not any(found.fetch.values())


def test_an_event_of_an_unknown_form_is_kept_and_about_no_record() -> None:
    events = [event("changed", b"5"), event("created", b'["2"]')]
    found = meaning(events, subjects, log="events")
    assert found.fetch == {"customers": ["2"]}
    assert len(found.records["events"]) == 2
