"""From raw records to rows: cut columns, leave out what is stored, map the rest, set aside what can't be mapped.

First, columns that the connection leaves out or hashes are cut (:mod:`unified.kit.mapping.columns`): all that follows,
hashes and rejects too, is made of what is left.

Each record has a hash of its bytes, which costs next to nothing and leaves out what is stored byte for byte. One that
is stored in other bytes is compared with these by what the JSON says, whatever the order of its keys, its white space
and the way its numbers are written: :meth:`Mapping.is_stored`.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import xxhash

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import ConnectionRef, Stream
from unified.kit.decoding import says_the_same
from unified.kit.errors import MappingError
from unified.kit.mapping.column_rules import Rules
from unified.kit.mapping.columns import Columns
from unified.kit.mapping.kept_out import KeptOut
from unified.kit.registry import get_adapter
from unified.kit.streams import Origin, Page, is_id
from unified.schema.base import LONGEST_KEY, UnifiedBase
from unified.schema.unusable import has_unusable
from unified.store.errors import RecordError
from unified.store.records.merge import contents
from unified.store.records.merge.contents import Batch, Confirmed, Reject, Row
from unified.store.records.merge.deletions import Deletion

if TYPE_CHECKING:
    from unified.kit.mapping.compiled import FieldRules
    from unified.kit.mapping.rules import Rule

Outcome = tuple[bytes, bool, bool] | str
"""What mapping made of a record: its own columns, as :class:`unified.store.records.merge.contents.Row` holds them,
whether a field of it could not be read, and whether it is from before the stream's start; or why it can't be mapped.
Plain, as many of them travel between processes."""


class Candidate(NamedTuple):
    """A raw record that is not stored in these very bytes yet.

    Attributes:
        source_id: Its id.
        body: Its JSON text.
        content_hash: From :meth:`Mapping.content_hash`.
        observed_at: When its source was in this state.
    """

    source_id: str
    body: bytes | memoryview
    content_hash: int
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Sifted:
    """Pages of one pull, sorted by what there is to do.

    Attributes:
        pages: The pages.
        candidates: Records to be mapped.
        confirmed: Records that are stored already as they are.
        unreadable: Records without a usable id, or of which columns can't be left out.
        columns: What was left out or hashed, of all the connection's streams.
        begins_at: When the stream begins; None where it has no start.
    """

    pages: Sequence[Page]
    candidates: Sequence[Candidate]
    confirmed: Sequence[Confirmed]
    unreadable: Sequence[Reject]
    columns: Rules
    begins_at: datetime | None

    def batch(self, outcomes: Sequence[Outcome]) -> Batch:
        """What one commit stores.

        Args:
            outcomes: For each candidate, from :meth:`Mapping.encode`.
        """
        rows, rejects, deletions = [], list(self.unreadable), []
        unusable = 0
        for (source_id, body, content_hash, observed_at), outcome in zip(
            self.candidates, outcomes, strict=True
        ):
            if isinstance(outcome, str):
                rejects.append(Reject(source_id, body, outcome, observed_at))
            else:
                encoded, is_partly_unusable, is_early = outcome
                rows.append(Row(source_id, observed_at, encoded, body, content_hash, is_early))
                unusable += is_partly_unusable
        for page in self.pages:
            deletions += [
                Deletion(
                    t.source_id,
                    t.deleted_at,
                    page.observed_at,
                    t.merged_into if is_id(t.merged_into) else None,
                    t.erase,
                )
                for t in page.tombstones
                if is_id(t.source_id)  # no record is stored under another one
            ]
        last = self.pages[-1]
        return Batch(
            observed_at=max(page.observed_at for page in self.pages),
            rows=rows,
            confirmed=self.confirmed,
            rejects=rejects,
            unusable=unusable,
            deletions=deletions,
            cursor=next((page.cursor for page in reversed(self.pages) if page.cursor is not None), None),
            refresh_started_at=last.refresh_started_at,
            met=[one for page in self.pages for one in page.met if is_id(one)],
            refresh_done=last.refresh_done,
            columns=self.columns,
            begins_at=self.begins_at,
        )


class Mapping:
    """How one stream of one connection is mapped at present.

    The versions of mapping and model, and the workspace's rules, are part of each record's hash: when one of
    them changes, records that the source did not touch are mapped again as well.

    It can be pickled, for a process that maps: it travels as what it is made of, without the adapter's credentials.
    """

    def __init__(
        self,
        adapter: BaseAdapter[Any],
        stream: str,
        rules: "Sequence[Rule]" = (),
        *,
        since: datetime | None = None,
    ) -> None:
        """Map ``stream`` as ``adapter`` and the workspace's ``rules`` say.

        Records from before ``since`` are marked: only what is stored of them already is brought up to date.

        Raises:
            ConfigurationError: If a rule can't work.
        """
        self._adapter = adapter
        self._stream = adapter.stream(stream)
        self._declared = rules
        self._rules = _compiled(self._stream, rules) if rules else None
        self._cut = adapter.columns.of(stream, is_log=self._stream.entity.is_log)
        self._since = since
        self._kept_out = KeptOut(stream, self._stream.entity.model, adapter.columns)
        parts = (
            adapter.mapping_version(stream),
            self._stream.entity.model.__schema_version__,
            [self._rules.digest] if self._rules else [],
        )
        self._seed = xxhash.xxh3_64_intdigest(repr(parts).encode())

    def __reduce__(self) -> tuple[Any, ...]:
        adapter = self._adapter
        parts = (
            adapter.made_by() or partial(_registered, adapter.__module__, adapter.name),
            adapter.config.model_dump(),
            adapter.connection,
            self._stream.name,
            self._declared,
            adapter.columns.rules,
            self._since,
        )
        return _rebuild, parts

    @property
    def is_cutting(self) -> bool:
        """Whether columns are left out or hashed, for which :meth:`sift` decodes each record."""
        return self._cut is not None

    def content_hash(self, body: bytes | memoryview) -> int:
        """Hash of a raw record's bytes under this mapping, as PostgreSQL's signed bigint."""
        return xxhash.xxh3_64_intdigest(body, self._seed) - (1 << 63)

    def sift(self, pages: Sequence[Page], stored: MappingOf[str, int]) -> Sifted:
        """Leave out or hash columns, and sort out what is stored already.

        Args:
            pages: Consecutive pages of one pull, at least one.
            stored: Hashes of records that are stored and alive, by source id.
        """
        candidates: list[Candidate] = []
        confirmed: list[Confirmed] = []
        unreadable: list[Reject] = []
        for page in pages:
            for record in page.records:
                source_id, body = record.source_id, record.body
                if self._cut is not None:
                    try:
                        body = self._cut(body)
                    except MappingError as error:
                        known = source_id if is_id(source_id) else None
                        unreadable.append(Reject(known, b"", str(error), page.observed_at))
                        continue
                if not is_id(source_id):
                    unreadable.append(Reject(None, body, _why_unreadable(source_id), page.observed_at))
                    continue
                content_hash = self.content_hash(body)
                if stored.get(source_id) == content_hash:
                    confirmed.append(Confirmed(source_id, content_hash, page.observed_at))
                else:
                    candidates.append(Candidate(source_id, body, content_hash, page.observed_at))
        return Sifted(
            pages, candidates, confirmed, unreadable, self._adapter.columns.rules, begins_at=self._since
        )

    def is_stored(self, body: bytes | memoryview, stored: bytes, stored_hash: int) -> bool:
        """Whether a record's stored text says the same as it, and was mapped as it would be now."""
        return self.content_hash(stored) == stored_hash and says_the_same(body, stored)

    def encode(
        self, records: Iterable[tuple[bytes | memoryview, datetime]], synced_at: datetime
    ) -> list[Outcome]:
        """Map records and encode them for the database.

        Args:
            records: JSON text of each, and when its source was in this state.
            synced_at: When they were read.

        Returns:
            What was made of each.
        """
        outcomes: list[Outcome] = []
        origin = None
        for body, observed_at in records:
            if origin is None or origin.observed_at != observed_at:
                origin = self._adapter.origin(self._stream.name, observed_at, synced_at)
            outcomes.append(self._outcome(body, origin))
        return outcomes

    def _outcome(self, body: bytes | memoryview, origin: Origin) -> Outcome:
        """What becomes of one record. Its hundreds of objects end with this call: the next one's take their place."""
        try:
            record = self._adapter.map_record(self._stream.name, body, origin, self._rules)
            self._kept_out.check(record)
            return contents.encode(record), has_unusable(record), self._is_early(record)
        except (MappingError, RecordError) as error:
            cut = ", ".join(self._adapter.columns.rules.get(self._stream.name, ()))
            return f"{error} (left out or hashed: {cut})" if cut else str(error)

    def _is_early(self, record: UnifiedBase) -> bool:
        """Whether a record is from before the stream's start. One that does not say when it was made is not."""
        if self._since is None:
            return False
        made_at = getattr(record, "occurred_at", None) or record.created_at
        return made_at is not None and made_at < self._since


def _compiled(stream: Stream, rules: "Sequence[Rule]") -> "FieldRules":
    from unified.kit.mapping.compiled import FieldRules  # noqa: PLC0415 - most connections have no rules

    return FieldRules(stream.entity.model, rules)


def _registered(module: str, name: str) -> type[BaseAdapter[Any]]:
    """The adapter class of a connector, whose module registers it: that spares a look at every package's metadata."""
    import_module(module)
    return get_adapter(name)


def _rebuild(
    adapter_class: Callable[[], type[BaseAdapter[Any]]],
    settings: MappingOf[str, Any],
    ref: ConnectionRef,
    stream: str,
    rules: "Sequence[Rule]",
    columns: Rules,
    since: datetime | None,
) -> Mapping:
    adapter = adapter_class()
    config = adapter.config_model.model_validate(settings)
    return Mapping(adapter(config, {}, ref, columns=Columns(columns)), stream, rules, since=since)


def readable_ids(pages: Sequence[Page]) -> set[str]:
    """Source ids of the records of some pages, each once."""
    return {record.source_id for page in pages for record in page.records if is_id(record.source_id)}


def _why_unreadable(source_id: str | None) -> str:
    # An id that is too long in bytes has at least a quarter as many characters.
    is_long = source_id is not None and len(source_id) > LONGEST_KEY // 4
    return (
        f"the record's id has more than {LONGEST_KEY} bytes" if is_long else "the record has no readable id"
    )
