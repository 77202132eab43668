"""A receiver that is down for a day: what changes meanwhile is held nowhere, and comes in order afterwards."""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from aiohttp import web

from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.source import Source
from tests.unified.sync.subscriptions.receiver import Order, Receiver, Subscribe
from unified.store.database import Database

DAY = timedelta(days=1)


@pytest.fixture
async def stripe(source_of: MakeSource) -> Source:
    """Some forty are deleted, and there is a change once fifty more have come."""
    return await source_of("stripe", customers=120, invoices=5)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """The time that has passed beside the real one, for those who deliver: one item, to be replaced."""
    so_far = [timedelta()]
    real = Database.clock

    async def clock(self: Database, *, not_before: datetime | None = None) -> Callable[[], datetime]:
        now = await real(self, not_before=not_before)
        return lambda: now() + so_far[0]

    monkeypatch.setattr(Database, "clock", clock)
    return so_far


async def change(order: Order, number: int) -> None:
    """Every third customer has another name, and each hour one is deleted."""
    async with order.source.db.workspace(order.workspace) as conn:
        await conn.execute(
            "UPDATE unified_customers SET name = %s WHERE deleted_at IS NULL AND content_hash %% 3 = %s",
            (f"{number:03}", number % 3),
        )
        await conn.execute(
            """
            UPDATE unified_customers SET name = %s, deleted_at = now() WHERE unified_id = (
                SELECT unified_id FROM unified_customers WHERE deleted_at IS NULL ORDER BY unified_id LIMIT 1
            )
            """,
            (f"{number:03}",),
        )


async def states(order: Order) -> dict[str, tuple[str, str]]:
    """What each customer is."""
    rows = await order.source.query(
        "SELECT source_id, CASE WHEN deleted_at IS NULL THEN 'changed' ELSE 'deleted' END, name FROM {leaf}"
        " WHERE connection_id = %(connection)s"
    )
    return {source_id: (f"customer.{kind}", name) for source_id, kind, name in rows}


async def test_after_a_day_away_all_comes_in_order(
    subscribe: Subscribe, receiver: Receiver, passed: list[timedelta], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unified.sync.subscriptions.deliver.BATCH", 20)
    monkeypatch.setattr("unified.sync.subscriptions.deliver.PARALLEL", 4)
    order = await subscribe()
    await order.source.sync_all()
    await order.deliver()
    before, begun = await order.now(), (await order.source.db.clock())()
    untouched = await states(order)
    asked = list[str]()

    async def away(request: web.Request) -> web.Response:
        asked.append(request.headers["webhook-id"])
        return web.Response(status=503)

    receiver.handler = away
    attempts = 0
    while passed[0] < DAY:
        await change(order, attempts)
        await order.deliver()
        attempts += 1
        waits = await order.now()
        assert waits.retry_at is not None
        passed[0] = waits.retry_at - begun
    assert attempts < 40
    assert len(asked) - attempts < 4  # at first as many as go side by side, then one asks for all
    assert await order.undelivered() == []
    assert (waits.place, waits.delivered, waits.failures) == (before.place, before.delivered, attempts)

    receiver.taken.clear()

    async def meanwhile(request: web.Request) -> web.Response:
        if len(receiver.taken) == 50:
            await change(order, attempts)
        return await receiver.handle(request)

    receiver.handler = meanwhile
    await order.deliver()
    said = defaultdict[str, list[tuple[str, str]]](list)
    for event in receiver.taken:
        said[event["data"]["source_id"]].append((event["type"], event["data"]["name"]))
    now = await states(order)
    assert {one: come[-1] for one, come in said.items()} == {
        one: state for one, state in now.items() if state != untouched[one]
    }
    for come in said.values():
        assert [name for _, name in come] == sorted({name for _, name in come}), (
            "each state once, none older later"
        )
    assert max(map(len, said.values())) == 2
    assert (await order.now()).state == "follows"
