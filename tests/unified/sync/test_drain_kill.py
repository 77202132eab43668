"""SIGKILL of drains at random, under deliveries and changes: nothing lost, each row once, in its newest state."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from tests.unified.sync.deliveries import Event, all_events, assert_applied, deliver, drained
from tests.unified.sync.source import Source
from tests.unified.sync.victim import MASTER_KEY

ROOT = Path(__file__).parents[3]
DRAINS = 5
"""Processes killed."""


async def start(source: Source) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.unified.sync.drain_victim",
        source.db.url,
        cwd=ROOT,
        env={**os.environ, MASTER_KEY: source.master_key},
        stdout=PIPE,
    )


async def test_killed_drains_lose_nothing_and_apply_nothing_twice(stripe: Source) -> None:
    await stripe.sync_all()
    rng = random.Random(11)  # noqa: S311 - a seeded choice of moments
    known = {event["id"] for event in all_events(stripe)}
    acknowledged: list[Event] = []
    customers = list(stripe.expected())
    is_over = asyncio.Event()

    async def traffic() -> None:
        """Changes at the source, each delivered at least once, some late and some again."""
        late: list[Event] = []
        while not is_over.is_set():
            for _ in range(rng.randint(1, 8)):
                stripe.rename(rng.choice(customers[:100]), f"Renamed {rng.random()}")
            if rng.random() < 0.3:
                stripe.change("delete_customer", customers.pop())
            new = [event for event in all_events(stripe) if event["id"] not in known]
            known.update(event["id"] for event in new)
            late += new
            rng.shuffle(late)
            now, late = late[: len(late) // 2 + 1], late[len(late) // 2 + 1 :]
            await deliver(stripe, now + acknowledged[-3:])
            acknowledged.extend(now)
            await asyncio.sleep(0.01)
        await deliver(stripe, late)
        acknowledged.extend(late)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic())
        for _ in range(DRAINS):
            process = await start(stripe)
            assert process.stdout is not None
            for _ in range(rng.randint(1, 10)):
                assert await process.stdout.readline(), "the drain ended by itself"
            await asyncio.sleep(rng.random() / 20)
            process.kill()
            await process.wait()
        is_over.set()
    # The last one's lease is free once the server has noticed that it is gone.
    while (await stripe.query(PENDING)) != [(False,)]:
        await drained(stripe)

    assert len(acknowledged) > 50
    await assert_applied(stripe, all_events(stripe))
    await stripe.assert_agrees("customers", "invoices")


PENDING = """
    SELECT EXISTS (
        SELECT FROM webhook_inbox AS i JOIN inbox_cursors AS k USING (workspace_id, connection_id)
        WHERE connection_id = %(connection)s AND (i.xid, i.id) > (k.xid, k.id)
    )
"""
