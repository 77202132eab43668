"""What travels between a source and the rest: pages of raw records, tombstones, cursors, and their origin.

Not here: what a stream is (``declarations``), who reads it (``reading``), and the changes that are made at a target
(``writing``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeGuard
from uuid import UUID

from unified.schema.base import LONGEST_KEY, unified_id

Cursor = dict[str, Any]


def is_id(value: object) -> TypeGuard[str]:
    """Whether a record can be kept under it: a text with something in it that PostgreSQL can hold and look up."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    if value.isascii():
        return len(value) <= LONGEST_KEY
    try:
        return len(value.encode()) <= LONGEST_KEY
    except UnicodeEncodeError:  # half a surrogate pair
        return False


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record as the source sent it.

    Attributes:
        source_id: Its id, or None where the record has no readable one (it will be a reject).
        body: JSON text with all that the mapping needs, so that mapping can be repeated without the source.
    """

    source_id: str | None
    body: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A record that its source deleted or archived.

    Attributes:
        source_id: Its id.
        deleted_at: When the source did so, as closely as it says. The first time that is said stays.
        merged_into: The id of the record that holds it now, where it was merged into another one: what names it,
            as an invoice names its customer, names that one from then on.
        erase: Whether that was for the sake of a person's privacy: all that is stored of a customer is emptied.
    """

    source_id: str
    deleted_at: datetime
    merged_into: str | None = None
    erase: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What one step of a pull brought. Rows and cursor are committed together, in the order of the pages.

    Attributes:
        records: Raw records, any number.
        observed_at: When the source was known to be in the state that ``records`` show.
        cursor: Where the stream goes on from once everything up to this page is stored; None leaves it as it is.
        tombstones: Records that are gone.
        refresh_started_at: Set on every page of a full refresh: when that refresh began.
        refresh_done: True on the last page of a full refresh: what it never met no longer exists.
        met: Ids of records that a full refresh found to be there without reading them.
        source_count: The source's own count of live records, where it gives one.
    """

    records: Sequence[RawRecord]
    observed_at: datetime
    cursor: Cursor | None
    tombstones: Sequence[Tombstone] = ()
    refresh_started_at: datetime | None = None
    refresh_done: bool = False
    source_count: int | None = None
    met: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class State:
    """A record that an event carries.

    Attributes:
        record: The record.
        event: Dedupe key of the event.
        as_of: When the record was in that state, as the event says; None where it does not say.
    """

    record: RawRecord
    event: str
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What received events mean for the tables; stream names are the keys throughout.

    Attributes:
        records: Events that are records themselves, ready to be mapped; observed when they were received.
        fetch: What to hand to :meth:`unified.kit.adapter.BaseAdapter.fetch`, as it may be different or gone; each once.
        tombstones: Records that are gone for good, whatever is delivered later. Count them as observed when
            they were received: providers round the time of a deletion down, and it has to win over what was
            read before.
        erasures: Ids of records that the source deleted for the sake of a person's privacy.
        states: Records that events carry; the state of the latest time counts, in whatever order they came.
        needs_sync: Whether the source has to be asked all the same: events were lost, or the access may have ended.
    """

    records: Mapping[str, Sequence[RawRecord]]
    fetch: Mapping[str, Sequence[str]]
    tombstones: Mapping[str, Sequence[Tombstone]] = field(default_factory=dict)
    erasures: Mapping[str, Sequence[str]] = field(default_factory=dict)
    states: Mapping[str, Sequence[State]] = field(default_factory=dict)
    needs_sync: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where and when a page of records was read: the part of a unified record that no mapping knows.

    Attributes:
        source_system: The connector's name.
        namespace: From :func:`unified.schema.connection_namespace`.
        observed_at: When the source was known to be in this state.
        synced_at: When it was read.
    """

    source_system: str
    namespace: UUID
    observed_at: datetime
    synced_at: datetime

    def identify(self, source_id: str) -> dict[str, Any]:
        """The identity fields of one record, ready to pass to its model."""
        return {
            "source_system": self.source_system,
            "source_id": source_id,
            "unified_id": unified_id(self.namespace, source_id),
            "observed_at": self.observed_at,
            "synced_at": self.synced_at,
        }
