"""Many deliveries, one statement: what is written together, what fails alone, what is turned away."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from unified.api.ingress.group_commit import FullError, GroupCommit, NotStoredError, UnstorableError
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.store.errors import StoreError
from unified.store.inbox import events as inbox
from unified.store.inbox.events import Received

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from unified.store.database import Database
    from unified.store.records.tables import StreamKey


class Writes:
    """Writes to the real inbox, when the test lets it, and remembers the sizes of its writes."""

    def __init__(self, database: Database) -> None:
        self._append = partial(inbox.append, database)
        self.sizes: list[int] = []
        self.has_begun = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def __call__(self, rows: Sequence[Received]) -> None:
        self.sizes.append(len(rows))
        self.has_begun.set()
        await self.may_go_on.wait()
        await self._append(rows)


@pytest.fixture
def writes(database: Database) -> Writes:
    return Writes(database)


def event(key: StreamKey, name: str) -> list[Received]:
    return [Received(key.workspace_id, key.connection_id, ReceivedEvent(name, "x", None, b"{}"))]


async def stored(database: Database, workspace_id: UUID) -> set[str]:
    async with database.workspace(workspace_id) as conn:
        rows = await conn.execute("SELECT event_key FROM webhook_inbox")
        return {name for (name,) in await rows.fetchall()}


async def test_a_single_delivery_waits_for_nobody(writes: Writes, stream: StreamKey) -> None:
    await GroupCommit(writes, waiting=10).commit(event(stream, "one"), 2)
    assert writes.sizes == [1]


async def test_what_comes_during_a_write_goes_into_the_next(
    writes: Writes, stream: StreamKey, database: Database
) -> None:
    group = GroupCommit(writes, waiting=100, writers=1)
    writes.may_go_on.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(group.commit(event(stream, "first"), 2))
        await writes.has_begun.wait()
        for number in range(50):
            tasks.create_task(group.commit(event(stream, str(number)), 2))
        await asyncio.sleep(0)
        writes.may_go_on.set()
    assert writes.sizes == [1, 50]
    assert len(await stored(database, stream.workspace_id)) == 51


async def test_one_that_can_not_be_stored_does_not_fail_the_others(
    writes: Writes, stream: StreamKey, database: Database
) -> None:
    group = GroupCommit(writes, waiting=100)
    names = [*map(str, range(20)), "no text for PostgreSQL: \0"]
    outcomes = await asyncio.gather(
        *(group.commit(event(stream, name), 2) for name in names), return_exceptions=True
    )
    assert outcomes[:20] == [None] * 20
    assert isinstance(outcomes[20], UnstorableError)
    assert await stored(database, stream.workspace_id) == set(names[:20])


async def test_more_than_may_wait_are_turned_away(
    writes: Writes, stream: StreamKey, database: Database
) -> None:
    group = GroupCommit(writes, waiting=5, writers=1)
    writes.may_go_on.clear()
    written = asyncio.ensure_future(group.commit(event(stream, "written"), 2))
    await writes.has_begun.wait()
    waiting = [asyncio.ensure_future(group.commit(event(stream, str(number)), 2)) for number in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(FullError):
        await group.commit(event(stream, "too many"), 2)
    # One that gives up makes room, and is not written.
    waiting.pop().cancel()
    await asyncio.sleep(0)
    waiting.append(asyncio.ensure_future(group.commit(event(stream, "in its place"), 2)))
    await asyncio.sleep(0)
    writes.may_go_on.set()
    await asyncio.gather(written, *waiting)
    assert await stored(database, stream.workspace_id) == {"written", "0", "1", "2", "3", "in its place"}


async def test_another_writer_joins_where_many_wait(
    writes: Writes, stream: StreamKey, database: Database
) -> None:
    group = GroupCommit(writes, waiting=1_000, writers=2)
    writes.may_go_on.clear()
    waiting = []
    for number in range(200):
        waiting.append(asyncio.ensure_future(group.commit(event(stream, str(number)), 2)))
        await asyncio.sleep(0)
    assert writes.sizes == [1, 64]  # and no third
    writes.may_go_on.set()
    await asyncio.gather(*waiting)
    assert len(await stored(database, stream.workspace_id)) == 200


async def test_whoever_comes_as_a_writer_leaves_is_written(writes: Writes, stream: StreamKey) -> None:
    group = GroupCommit(writes, waiting=10)

    async def one_after_the_other(name: str) -> None:
        for number in range(50):
            await group.commit(event(stream, f"{name}{number}"), 2)

    await asyncio.gather(*map(one_after_the_other, "abc"))
    assert sum(writes.sizes) == 150


async def test_large_deliveries_are_spread_over_several_writes(writes: Writes, stream: StreamKey) -> None:
    group = GroupCommit(writes, waiting=100, writers=1)
    await asyncio.gather(*(group.commit(event(stream, str(number)), 3_000_000) for number in range(4)))
    assert writes.sizes == [2, 2]


@pytest.mark.parametrize("error", [StoreError("the database is away"), RuntimeError("a mistake of ours")])
async def test_whatever_fails_a_write_is_no_success(error: Exception, stream: StreamKey) -> None:
    async def fail(_: Sequence[Received]) -> None:
        raise error

    group = GroupCommit(fail, waiting=10)
    for _ in range(2):  # and the writer is free again
        with pytest.raises(NotStoredError):
            await group.commit(event(stream, "lost"), 2)


async def test_what_waits_behind_a_failed_write_need_not_wait_as_long_again(
    writes: Writes, stream: StreamKey, database: Database
) -> None:
    async def fail_once(rows: Sequence[Received]) -> None:
        await writes(rows)
        if len(writes.sizes) == 1:
            raise StoreError("the database took too long")

    group = GroupCommit(fail_once, waiting=10, writers=1)
    writes.may_go_on.clear()
    first = asyncio.ensure_future(group.commit(event(stream, "first"), 2))
    await writes.has_begun.wait()
    second = asyncio.ensure_future(group.commit(event(stream, "second"), 2))
    await asyncio.sleep(0)
    writes.may_go_on.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotStoredError, NotStoredError]
    await group.commit(event(stream, "third"), 2)
    # The first was stored all the same, and nobody was told otherwise than that it may not be.
    assert await stored(database, stream.workspace_id) == {"first", "third"}
