"""What received events mean for the tables: the records that have to be read again, read, mapped and ready to commit.

Nothing is stored here, and the database is not asked.
"""

import logging
import time
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.errors import (
    AdapterError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RequestRefusedError,
)
from unified.kit.streams import Changes, Page, RawRecord
from unified.kit.webhooks.owners import Owner, Reader, belongs_to
from unified.store.connections.accounts import KnownAccount
from unified.store.connections.registry import presentable
from unified.store.connections.rows import ConnectionSummary
from unified.store.inbox.dead_letters import Failure
from unified.store.inbox.events import StoredEvent
from unified.store.records.merge.contents import Batch
from unified.store.records.tables import StreamKey
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping

# No more events at once than whose records take about so long to be read again, at the provider's pace so far.
FETCH_SECONDS = 5.0
_FETCHED_FIRST, _FETCHED_LEAST, _FETCHED_MOST = 500, 50, 4_000

# The provider's word on what was asked for, not on the connection.
ABOUT_RECORDS = (RequestRefusedError, NotFoundError, ProtocolError, PermissionDeniedError)
# Failed requests that the search for the records to blame may cost.
_MOST_PROBES = 40

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What some events come to.

    Attributes:
        events: Those that this is about: all that were asked about, or the first of them.
        merging: What to store, by stream, in the order in which to store it.
        failures: Events that can't be applied.
        strays: Events that are another account's, as is known now.
        erasures: Ids of records, by stream, that the source deleted for the sake of a person's privacy.
        needs_sync: Whether the source has to be asked all the same.
    """

    events: Sequence[StoredEvent]
    merging: MappingOf[StreamKey, Batch]
    failures: Sequence[Failure]
    strays: Sequence[StoredEvent] = ()
    erasures: MappingOf[str, Sequence[str]] = field(default_factory=dict)
    needs_sync: bool = False


class Interpreter:
    """Says what a connection's events mean, by its adapter."""

    def __init__(
        self,
        connection: ConnectionSummary,
        adapter: BaseAdapter[Any],
        mappings: MappingOf[str, Mapping],
        mapper: Mapper,
        account: KnownAccount,
    ) -> None:
        """Interpret events of ``connection`` by its open ``adapter``; ``mapper`` applies the mapping of each stream.

        ``account`` is whose the connection was when its credentials were read.

        Only streams with a mapping are read: what events say of others is left out. The order of ``mappings`` is that
        of the streams in a commit: the same for all, so that no two can lock each other out.
        """
        self._connection = connection
        self.adapter = adapter
        self.mappings = mappings
        self._mapper = mapper
        self._account = account
        self._most_fetched = _FETCHED_FIRST

    async def interpret(self, events: Sequence[StoredEvent]) -> Meaning:
        """Say what events mean, or, where they make us read too much, the first of them.

        Args:
            events: At least one, in any order.

        Raises:
            AdapterError: If the connection can't be used.
        """
        own = self._own(events)
        changes, failures = self._understand(own)
        while len(events) > 1 and (ids := _count_ids(changes)) > self._most_fetched:
            events = events[: max(1, len(events) * self._most_fetched // ids)]
            own = self._own(events)
            changes, failures = self._understand(own)
        pages, failed_ids = await self._fetch(changes)
        failures += _failures(self.adapter, own, failed_ids)
        merging = await self._map(changes, pages, own) if own else {}
        taken = set(map(id, own))
        strays = [one for one in events if id(one) not in taken]
        return Meaning(events, merging, failures, strays, changes.erasures, changes.needs_sync)

    def _understand(self, events: Sequence[StoredEvent]) -> tuple[Changes, list[Failure]]:
        """What events mean for the streams that are read."""
        changes, failures = _understand(self.adapter, events)
        fetch = {stream: ids for stream, ids in changes.fetch.items() if stream in self.mappings}
        return replace(changes, fetch=fetch), failures

    def _own(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Those of the account that this connection reads."""
        here = Reader(self._connection.id, self._account.id, self._account.livemode)

        @cache  # as a rule all of them name the same one
        def is_here(owner: Owner) -> bool:
            return bool(belongs_to(owner, here.connection_id, [here]))

        return [one for one in events if is_here(self.adapter.owner(one.event))]

    async def _fetch(self, changes: Changes) -> tuple[dict[str, list[Page]], dict[tuple[str, str], str]]:
        """Pages by stream, and why single records could not be had, by stream and id."""
        pages: dict[str, list[Page]] = {}
        failed: dict[tuple[str, str], str] = {}
        started = time.monotonic()
        for stream, ids in changes.fetch.items():
            if ids:
                search = Search(self.adapter, stream)
                await search.fetch(ids)
                pages[stream] = search.pages
                failed |= {(stream, one): error for one, error in search.failed.items()}
        if (number := _count_ids(changes)) >= _FETCHED_LEAST:
            pace = number / max(time.monotonic() - started, 0.001)
            self._most_fetched = min(max(int(pace * FETCH_SECONDS), _FETCHED_LEAST), _FETCHED_MOST)
        return pages, failed

    async def _map(
        self, changes: Changes, pages: MappingOf[str, Sequence[Page]], events: Sequence[StoredEvent]
    ) -> dict[StreamKey, Batch]:
        received = {one.event.dedupe_key: one.received_at for one in events}
        latest = max(received.values())
        synced_at = self.adapter.clock()
        merging = {}
        for stream, mapping in self.mappings.items():
            met = list(pages.get(stream, ()))
            if stones := changes.tombstones.get(stream):
                met.append(Page((), latest, None, stones))
            by_time: dict[Any, list[RawRecord]] = {}
            for one in changes.records.get(stream, ()):
                by_time.setdefault(received.get(one.source_id or "", latest), []).append(one)
            for state in changes.states.get(stream, ()):
                # A sender's clock may be ahead; what comes later must not lose against a time that has not come.
                received_at = received.get(state.event, latest)
                as_of = min(state.as_of or received_at, received_at)
                by_time.setdefault(as_of, []).append(state.record)
            met += [Page(records, observed_at, None) for observed_at, records in by_time.items()]
            if met:
                key = StreamKey.of(self._connection, self.adapter.stream(stream))
                # What is stored already is found by the merge: the commit before may be under way still.
                sifted = mapping.sift(met, {})
                batch = sifted.batch(await self._mapper.encode(mapping, sifted.candidates, synced_at))
                # A received event is stored once, whatever else of its record is.
                merging[key] = replace(batch, epoch=self._account.epoch, is_new=key.entity.is_log)
        return merging


def _count_ids(changes: Changes) -> int:
    return sum(map(len, changes.fetch.values()))


def _understand(adapter: BaseAdapter[Any], events: Sequence[StoredEvent]) -> tuple[Changes, list[Failure]]:
    """What events mean, and those that even a sound adapter may stumble over."""
    try:
        return adapter.changes([one.event for one in events]), []
    except AdapterError:
        raise
    except Exception:  # noqa: BLE001 - an event that breaks an adapter must not hold up the others
        _log.exception("%s: an event is not understood", adapter.connection.key)
    good, failures = [], []
    for one in events:
        try:
            adapter.changes([one.event])
        except Exception as error:  # noqa: BLE001 - as above
            reason = f"the event is not understood ({type(error).__name__}); see the log"
            failures.append(Failure(one, reason, is_final=True))
        else:
            good.append(one)
    return adapter.changes([one.event for one in good]), failures


def _failures(
    adapter: BaseAdapter[Any], events: Sequence[StoredEvent], failed: dict[tuple[str, str], str]
) -> list[Failure]:
    """The events that speak of records which could not be had."""
    failures = []
    for one in events if failed else ():
        fetch = adapter.changes([one.event]).fetch
        errors = [
            failed[stream, record]
            for stream, ids in fetch.items()
            for record in ids
            if (stream, record) in failed
        ]
        if errors:
            failures.append(Failure(one, presentable(errors[0])))
    return failures


class Search:
    """Fetches records, and finds out which of them the provider does not give."""

    def __init__(self, adapter: BaseAdapter[Any], stream: str) -> None:
        self.pages: list[Page] = []
        self.failed: dict[str, str] = {}
        self._adapter = adapter
        self._stream = stream
        self._probes = 0

    async def fetch(self, ids: Sequence[str]) -> None:
        """Fetch by halves, where the whole is refused.

        Raises:
            AdapterError: If it is not about these records.
        """
        try:
            async with aclosing(self._adapter.fetch(self._stream, ids)) as pages:
                got = [page async for page in pages]
        except PermissionDeniedError as error:
            self.failed |= dict.fromkeys(ids, str(error))  # to this kind of record, so to each of them
        except ABOUT_RECORDS as error:
            self._probes += 1
            if self._probes > _MOST_PROBES:
                if not self.pages:
                    raise  # it gives nothing at all
                self.failed |= dict.fromkeys(ids, str(error))
            elif len(ids) == 1:
                self.failed[ids[0]] = str(error)
            else:
                await self.fetch(ids[: len(ids) // 2])
                await self.fetch(ids[len(ids) // 2 :])
        else:
            self.pages += got
