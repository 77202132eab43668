"""From raw records to rows: hash, leave out what is stored, map the rest, set aside what can't be mapped."""

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import xxhash

from adapters.base import BaseAdapter
from adapters.errors import MappingError
from adapters.streams import Page, RawRecord
from store.batches import Batch, Confirmed, Deletion, Reject, Row
from store.errors import RecordError
from unified_schema.field_rules import FieldRule


class Mapping:
    """How one stream of one connection is mapped at present.

    The versions of mapping and model, and the workspace's rules, are part of each record's hash: when one of
    them changes, records that the source did not touch are mapped again as well.
    """

    def __init__(self, adapter: BaseAdapter[Any], stream: str, rules: Sequence[FieldRule] = ()) -> None:
        """Map ``stream`` as ``adapter`` and the workspace's ``rules`` say."""
        self._adapter = adapter
        self._stream = adapter.stream(stream)
        self._rules = rules
        parts = (
            self._stream.mapping_version,
            self._stream.model.__schema_version__,
            sorted(map(repr, rules)),
        )
        self._seed = xxhash.xxh3_64_intdigest(repr(parts).encode())

    def content_hash(self, body: bytes | memoryview) -> int:
        """Hash of a raw record under this mapping, as PostgreSQL's signed bigint."""
        return xxhash.xxh3_64_intdigest(body, self._seed) - (1 << 63)

    def batch(self, pages: Sequence[Page], stored: MappingOf[str, int], synced_at: datetime) -> Batch:
        """Map pages into what one commit stores.

        Args:
            pages: Consecutive pages of one pull, at least one.
            stored: Content hashes of records that are stored and alive, by source id.
            synced_at: When they were read.
        """
        rows: list[Row] = []
        confirmed: list[Confirmed] = []
        rejects: list[Reject] = []
        deletions: list[Deletion] = []
        for page in pages:
            for record in page.records:
                content_hash = self.content_hash(record.body)
                source_id = _readable_id(record)
                if source_id is not None and stored.get(source_id) == content_hash:
                    confirmed.append(Confirmed(source_id, content_hash, page.observed_at))
                    continue
                outcome = self.apply(record, content_hash, page.observed_at, synced_at)
                if isinstance(outcome, Row):
                    rows.append(outcome)
                else:
                    rejects.append(outcome)
            deletions += [Deletion(t.source_id, t.deleted_at, page.observed_at) for t in page.tombstones]
        return Batch(
            observed_at=max(page.observed_at for page in pages),
            rows=rows,
            confirmed=confirmed,
            rejects=rejects,
            deletions=deletions,
            cursor=next((page.cursor for page in reversed(pages) if page.cursor is not None), None),
            refresh_started_at=pages[-1].refresh_started_at,
            refresh_done=pages[-1].refresh_done,
        )

    def apply(
        self, record: RawRecord, content_hash: int, observed_at: datetime, synced_at: datetime
    ) -> Row | Reject:
        """Map one record, or say why it can't be.

        Args:
            record: The raw record.
            content_hash: From :meth:`content_hash`.
            observed_at: When its source was in this state.
            synced_at: When it was read.
        """
        source_id = _readable_id(record)
        if source_id is None:
            return Reject(None, record.body, "the record has no readable id", observed_at)
        try:
            origin = self._adapter.origin(self._stream.name, observed_at, synced_at)
            unified = self._adapter.map_record(self._stream.name, record.body, origin, self._rules)
            return Row.of(unified, record.body, content_hash)
        except (MappingError, RecordError) as error:
            return Reject(source_id, record.body, str(error), observed_at)


def readable_ids(pages: Sequence[Page]) -> set[str]:
    """Source ids of the records of some pages, each once."""
    ids = (_readable_id(record) for page in pages for record in page.records)
    return {source_id for source_id in ids if source_id is not None}


def _readable_id(record: RawRecord) -> str | None:
    """The record's id, unless it has none or one with U+0000, which PostgreSQL can't look up."""
    return None if record.source_id is None or "\0" in record.source_id else record.source_id
