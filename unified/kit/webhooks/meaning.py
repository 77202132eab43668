"""What received events mean for the tables: which records to read again, and which are gone.

A connector says of one event which records it is about (:class:`Subject`); what follows for many is the same for all
of them. Not here: how a delivery is verified and taken apart (``signatures``, ``payloads``), and who reads the
records (``unified.sync``).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from unified.kit.streams import Changes, RawRecord, State, Tombstone, is_id
from unified.kit.webhooks.deliveries import ReceivedEvent


@dataclass(frozen=True, slots=True)
class Subject:
    """A record that an event is about. As a rule it is read again: a payload may be old, or less than the record.

    Attributes:
        stream: The record's stream.
        source_id: Its id, or whatever else :meth:`unified.kit.adapter.BaseAdapter.fetch` of that stream takes; None
            where the event carries a record without a readable one. What can't be an id is of no record that is stored,
            and is not asked for.
        deleted_at: When it was deleted, where that is final: it is not read again, whatever other events say.
        record: The record itself, whole, as JSON: it is not read again either.
        as_of: When the record was in that state; None where it is when the event was received.
        merged_into: The id of the record that holds a deleted one now, where the two were merged.
        erase: Whether the source deleted it for the sake of a person's privacy: all that is stored of it is emptied.
    """

    stream: str
    source_id: str | None
    deleted_at: datetime | None = None
    record: bytes | None = None
    as_of: datetime | None = None
    merged_into: str | None = None
    erase: bool = False


def meaning(
    events: Sequence[ReceivedEvent],
    subjects: Callable[[ReceivedEvent], Iterable[Subject]],
    *,
    log: str | None,
) -> Changes:
    """What events mean. Pure.

    Args:
        events: Any number, in any order.
        subjects: The records that one event is about. A msgspec error says that it is about none, as an event of an
            unknown form is.
        log: The stream whose records the events are themselves, under their dedupe keys, if there is one.
    """
    fetch: dict[str, dict[str, None]] = {}
    gone: dict[str, dict[str, Tombstone]] = {}
    erasures: dict[str, dict[str, None]] = {}
    states: dict[str, list[State]] = {}
    records: dict[str, list[RawRecord]] = {}
    if log is not None:
        records[log] = [RawRecord(event.dedupe_key, event.body) for event in events]
    for event in events:
        try:
            found = list(subjects(event))
        except msgspec.MsgspecError:
            continue
        for one in found:
            if one.record is not None:
                state = State(RawRecord(one.source_id, one.record), event.dedupe_key, one.as_of)
                states.setdefault(one.stream, []).append(state)
            if one.record is not None or not is_id(one.source_id):
                continue
            if one.erase:
                erasures.setdefault(one.stream, {})[one.source_id] = None
            ids = fetch.setdefault(one.stream, {})
            if one.deleted_at is not None:
                stone = Tombstone(one.source_id, one.deleted_at, one.merged_into)
                gone.setdefault(one.stream, {})[one.source_id] = stone
            else:
                ids[one.source_id] = None
    return Changes(
        records=records,
        fetch={name: [one for one in ids if one not in gone.get(name, ())] for name, ids in fetch.items()},
        tombstones={name: list(stones.values()) for name, stones in gone.items()},
        erasures={name: list(ids) for name, ids in erasures.items()},
        states=states,
    )
