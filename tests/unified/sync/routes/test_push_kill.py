"""SIGKILL at each step of a run: the next one creates nobody twice and loses nobody."""

import asyncio

import pytest

from tests.unified.sync.forked import Victim
from tests.unified.sync.routes.pair import Pair, person
from tests.unified.sync.routes.victim import main
from tests.unified.sync.victim import MASTER_KEY
from unified.store.routes.rows import Route
from unified.sync.errors import RouteBusyError
from unified.sync.routes.push import RouteResult

RECORDS = 12


async def kill(pair: Pair, route: Route, point: str) -> None:
    """Run the route in a process of its own until it is at a point, and kill it there."""
    task = {"url": pair.db.url, "route": route.key, "stop": point}
    process = Victim(main, task, **{MASTER_KEY: pair.stripe.master_key})
    try:
        assert await asyncio.to_thread(process.stdout.readline) == "stopped\n", "the victim ended by itself"
    finally:
        process.kill()


async def run_when_free(pair: Pair, route: Route) -> RouteResult:
    """The server notices that its client is gone; then the lease is free."""
    while True:
        try:
            return await pair.run(route)
        except RouteBusyError:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("is_back", "seed"), [(False, 0), (True, 1)])
async def test_killed_at_each_step(pair: Pair, is_back: bool, seed: int) -> None:
    """One route is killed at one step after the other, with new records, changed ones and the rest of the last kill."""
    route = await pair.route(back=is_back)
    expected: dict[str, str] = {}
    for number, point in enumerate(["planned", "intended", "sent", "settling", "settled"]):
        for one in range(RECORDS):
            name, email = f"Name{number}n{one}", f"{number}.{one}@example.com"
            if is_back:
                pair.hubspot.change(
                    "create_contact", email=email, firstname="N", lastname=name, phone=None, mobilephone=None
                )
            else:
                pair.stripe.change("create_customer", **person(f"N {name}", email=email))
            expected[email] = f"N {name}"
        for email in list(expected)[:3]:
            expected[email] = f"N Changed{number}"
            if is_back:
                pair.hubspot.change(
                    "update_contact", pair.contacts()[email]["id"], lastname=f"Changed{number}"
                )
            else:
                pair.stripe.change(
                    "update_customer", pair.customers()[email]["id"], name=f"N Changed{number}"
                )
        await pair.sync()
        pair.wait()
        await kill(pair, route, point)
        if number % 2 == seed:  # else the next one finds what this one left, and is killed over it
            await run_when_free(pair, route)
            assert not await pair.outbox(route)
    await run_when_free(pair, route)

    assert not await pair.outbox(route)
    assert len(await pair.links(route)) == len(expected)
    if is_back:
        found = [(one["email"], one["name"]) for one in pair.stripe.data.all_customers()]
    else:
        found = [(e, f"{one['firstname']} {one['lastname']}") for e, one in pair.contacts().items()]
        assert len(list(pair.hubspot.data.all("contacts"))) == len(found)
    assert sorted(found) == sorted(expected.items())
    pair.writes()
    await pair.sync()
    await pair.run(route)
    assert pair.writes() == 0
