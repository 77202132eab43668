"""Whose data are kept, said to a provider that demands it, by the sync of a stream of people once it is complete.

In cycles: each person once, in the order of their ids, some with one request. What the answer asks for is done and
committed before the cycle goes on, so a run that is killed names a few once more and loses nothing. Who closed their
account is erased as by :mod:`unified.sync.privacy`; whose data changed is read anew. A report that fails stops no sync:
it is logged, `unified doctor` says so, and it goes on an hour later, or when the provider said.
"""

import logging
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.errors import MAY_PASS, AdapterError
from unified.kit.reading.people import Reported
from unified.kit.streams import Page, Tombstone
from unified.store.connections import waits
from unified.store.connections.registry import presentable
from unified.store.database import Database
from unified.store.records import reports
from unified.store.records.reports import Cycle
from unified.store.records.tables import StreamKey
from unified.sync.errors import wait_of
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.storing import store_pages

_AFTER_FAILURE = timedelta(hours=1)

_log = logging.getLogger(__name__)


async def report(
    db: Database, adapter: BaseAdapter[Any], key: StreamKey, mapping: Mapping, mapper: Mapper, epoch: int
) -> None:
    """Go on with a stream's cycle, if there is one and it is due. Only an app that a person authorized has one.

    Args:
        db: Where.
        adapter: The connection's, open.
        key: Which stream; the caller holds its lease.
        mapping: How its records are mapped.
        mapper: Where.
        epoch: The connection's when its credentials were read.

    Raises:
        AccountChangedError: If the connection is another account's by now.
        StoreError: If the database fails.
    """
    asked = adapter.reporting
    if asked is None or key.stream not in asked.streams:
        return
    now = adapter.clock()
    async with db.workspace(key.workspace_id) as conn:
        if adapter.tokens is None:
            await reports.forget(conn, key)
            return
        cycle = await reports.load(conn, key)
    # A time that is later than any may be was written by a clock that has been set back since.
    if cycle is not None and now < cycle.due_at <= now + max(cycle.every, waits.LONGEST):
        return
    if cycle is None or not cycle.after:
        cycle = Cycle(now, asked.every, now)
    try:
        while cycle.after is not None:
            async with db.workspace(key.workspace_id) as conn:
                people = await reports.people(conn, key, cycle.after, limit=asked.at_once)
            answer = await adapter.report(people) if people else Reported()
            if erased := _erasures(adapter, answer):
                await store_pages(db, key, mapping, mapper, erased, adapter.clock(), epoch=epoch)
            if anew := await _anew(adapter, key, answer):
                await store_pages(db, key, mapping, mapper, anew, adapter.clock(), epoch=epoch)
            every = answer.every or cycle.every
            if len(people) < asked.at_once:
                cycle = Cycle(cycle.began_at, every, cycle.began_at + every, None)
            else:
                cycle = replace(cycle, every=every, after=people[-1].source_id, error=None)
            async with db.workspace(key.workspace_id) as conn:
                await reports.save(conn, key, cycle)
    except AdapterError as error:
        _log.warning(
            "%s: %s: the report of whose data are kept goes on later: %s", adapter.label, key.stream, error
        )
        seconds = min(wait_of(error) or _AFTER_FAILURE.total_seconds(), waits.LONGEST.total_seconds())
        due_at = adapter.clock() + timedelta(seconds=seconds)
        failed = replace(cycle, due_at=due_at, error=presentable(str(error)))
        async with db.workspace(key.workspace_id) as conn:
            await reports.save(conn, key, failed)


def _erasures(adapter: BaseAdapter[Any], answer: Reported) -> list[Page]:
    """Those who closed their account, as deleted for privacy."""
    now = adapter.clock()
    gone = [Tombstone(one, now, erase=True) for one in answer.closed]
    return [Page([], now, None, gone)] if gone else []


async def _anew(adapter: BaseAdapter[Any], key: StreamKey, answer: Reported) -> list[Page]:
    """Those whose data changed, as they are now. Someone who can't be read stops no cycle: the next one finds them.

    Raises:
        AdapterError: If the provider fails in a way that may pass.
    """
    found: list[Page] = []
    if answer.changed:
        try:
            async with aclosing(adapter.fetch(key.stream, list(answer.changed))) as pages:
                async for page in pages:
                    found.append(page)  # noqa: PERF401 - what was read before an error is kept
        except MAY_PASS:
            raise
        except AdapterError as error:
            _log.warning(
                "%s: %s: whose data changed can't be read anew: %s", adapter.label, key.stream, error
            )
    return found
