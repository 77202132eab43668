"""What one commit stores, and what came of it: records, rejects and deletions on their way into a stream's table.

How they are stored: :mod:`unified.store.records.merge.batches`. Deletions are in
:mod:`unified.store.records.merge.deletions`.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from unified.kit.mapping.column_rules import Rules
from unified.schema import UnifiedBase
from unified.store.errors import RecordError
from unified.store.records.merge import merge_sql
from unified.store.records.merge.deletions import Deletion
from unified.store.records.merge.rows import row_encoder
from unified.store.records.tables import TABLES


# Tuples, as is all that is made once for each record: a frozen dataclass takes three times as long to make.
class Row(NamedTuple):
    """A record to store, encoded as binary COPY takes it.

    The record itself is let go: with it would stay its decoded raw record, hundreds of objects each, which Python's
    cycle collector walks over again and again while some thousand of them wait for their commit.

    Attributes:
        source_id: The record's id in its source.
        observed_at: When the source was in this state.
        encoded: Its own columns, from :func:`encode`.
        raw: The JSON text that it was mapped from.
        content_hash: Signed 64-bit hash of ``raw`` and of the mapping's version; equal means nothing changed.
        is_early: Whether it is from before the stream's start: then it is stored only where it is stored already.
    """

    source_id: str
    observed_at: datetime
    encoded: bytes
    raw: bytes | memoryview
    content_hash: int
    is_early: bool = False

    @classmethod
    def of(cls, record: UnifiedBase, raw: bytes | memoryview, content_hash: int) -> "Row":
        """The row of a unified record.

        Raises:
            RecordError: If PostgreSQL can't hold one of its values.
        """
        return cls(record.source_id, record.observed_at, encode(record), raw, content_hash)


class Confirmed(NamedTuple):
    """A record that was read and is stored already with this very content.

    Attributes:
        source_id: Its id in its source.
        content_hash: The hash that it is stored with.
        observed_at: When the source was seen to be still in that state.
    """

    source_id: str
    content_hash: int
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Reject:
    """A raw record that could not become a unified one.

    Attributes:
        source_id: Its id in its source, or None where it has no readable one.
        raw: The bytes as received.
        error: Why, without any of its values.
        observed_at: When it was read.
    """

    source_id: str | None
    raw: bytes | memoryview
    error: str
    observed_at: datetime

    @property
    def key(self) -> str:
        """What the reject is known by: its source id, or a hash of its bytes."""
        return self.source_id or f"sha256:{sha256(self.raw).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one commit stores.

    Attributes:
        observed_at: When the newest of it was observed.
        rows: Records that are new or may have changed.
        confirmed: Records known to be stored unchanged; they only count.
        rejects: Raw records that could not be mapped.
        unusable: How many of the rows have a field that could not be read.
        deletions: Records that are gone.
        keep_unknown: Whether those of them that were never stored get rows: something stored names them.
        cursor: Where the stream goes on from; None leaves it where it is.
        refresh_started_at: Set on every batch of a full refresh: when that refresh began.
        met: Ids that it knows to be there beside those.
        refresh_done: True on its last one: what it never met is deleted.
        since: Where that refresh began to ask: records that were made before were not to be met. None for all.
        history_id: The row of ``sync_history`` whose counts go up.
        scope: What the cursor was made with; None leaves that as it is.
        epoch: The connection's when its credentials were read; None stores whatever it is by now.
        columns: What was left out or hashed of it, of all the connection's streams; None stores it whatever the
            connection says by now.
        is_known: Whether it was mapped from what is stored: what was seen at the same time is the same state then.
        is_new: Whether, as a rule, nothing of it is stored yet: then rows are inserted without a look at what is,
            and merged as others where that fails.
        begins_at: When the stream began as its early rows were marked; None where none was.
    """

    observed_at: datetime
    rows: Sequence[Row] = ()
    confirmed: Sequence[Confirmed] = ()
    rejects: Sequence[Reject] = ()
    unusable: int = 0
    deletions: Sequence[Deletion] = ()
    keep_unknown: bool = False
    cursor: Mapping[str, Any] | None = None
    refresh_started_at: datetime | None = None
    met: Sequence[str] = ()
    refresh_done: bool = False
    since: datetime | None = None
    history_id: UUID | None = None
    scope: str | None = None
    epoch: int | None = None
    columns: Rules | None = None
    is_known: bool = False
    is_new: bool = False
    begins_at: datetime | None = None

    def ids(self) -> list[str]:
        """Source ids of all records that this batch may change."""
        return ids_of([*self.rows, *self.rejects, *self.deletions])


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """The outcomes of the records of some batches; ``deleted`` counts live ones that became tombstones.

    ``unusable`` counts records with a field that could not be read, ``suppressed`` those of a person whose data were
    deleted on request: left out, or stored without personal columns. Each is one of the others as well.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    deleted: int = 0
    unusable: int = 0
    suppressed: int = 0

    @property
    def read(self) -> int:
        """Records that came in; each is in exactly one of the four counts that add up to this."""
        return self.inserted + self.updated + self.unchanged + self.rejected

    def __add__(self, other: "MergeCounts") -> "MergeCounts":
        return MergeCounts(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def encode(record: UnifiedBase) -> bytes:
    """A record's own columns, as a :class:`Row` holds them.

    Raises:
        RecordError: If PostgreSQL can't hold one of its values.
    """
    try:
        return _encoder(type(record))(record)
    except (ValueError, struct.error) as error:
        raise unstorable(record.source_id, None, type(error).__name__) from None


@cache
def _encoder(model: type[UnifiedBase]) -> Callable[[UnifiedBase], bytes]:
    table = next(table for entity, table in TABLES.items() if entity.model is model)
    return row_encoder(table, merge_sql.staged_columns(table)[:-3])


def unstorable(source_id: str, column: str | None, reason: str | None) -> RecordError:
    """The error of a value that PostgreSQL can't hold: it names the record and the column, never the value."""
    msg = f"PostgreSQL can't hold the {column or 'values'} of record {source_id}: {reason}"
    return RecordError(msg, source_id=source_id, column=column)


_Item = TypeVar("_Item", Row, Row | Confirmed, Reject)


def newest(items: Sequence[_Item]) -> list[_Item]:
    """One item for each record, its newest, ordered by id so that two writers can't lock each other out."""
    found: dict[str, _Item] = {}
    for item in sorted(items, key=attrgetter("observed_at")):
        found[_key(item)] = item
    return [found[key] for key in sorted(found)]


def _key(item: Row | Confirmed | Reject) -> str:
    return item.key if isinstance(item, Reject) else item.source_id


def ids_of(items: Sequence[Row | Confirmed | Deletion | Reject]) -> list[str]:
    """Their source ids, but of a reject that has no readable one."""
    return [item.source_id for item in items if item.source_id is not None]
