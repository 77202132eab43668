"""Creations whose answers are lost, at a system that has nothing to look them up by: nobody is created twice."""

from typing import Any

import pytest

from tests.unified.sync.routes.pair import Pair, person
from tests.unified.sync.routes.test_push_kill import kill, run_when_free
from unified.store.routes import review, runs
from unified.store.routes.rows import Route

PEOPLE = 5
CREATE = "/crm/objects/2026-09/contacts/batch/create"


async def lose(pair: Pair, how: str = "cut", people: int = PEOPLE) -> Route:
    """A two-way route that has created customers without an e-mail address at HubSpot, and does not know it."""
    for number in range(people):
        pair.stripe.change(
            "create_customer", **person(f"N Number{number}", email=None, phone=f"+4416329600{number:02}")
        )
    await pair.sync()
    route = await pair.route(direction="two_way")
    if how == "killed":
        await kill(pair, route, "sent")
        result = await run_when_free(pair, route)
    else:
        pair.hubspot.fault("cut", CREATE, times=30)
        result = await pair.run(route)
        pair.hubspot.sandbox.faults.clear()
    assert (result.recovered, result.waiting, result.looked_at, result.created) == (0, people, people, 0)
    assert len(contacts(pair)) == people
    return route


def contacts(pair: Pair) -> dict[str, dict[str, Any]]:
    return {one["lastname"]: one for one in pair.contacts().values()}


async def decide(pair: Pair, route: Route, side: Any, record: str, decision: Any, other: Any = None) -> None:
    async with pair.db.workspace(route.workspace_id) as conn:
        await review.decide(conn, route, side, record, decision, other)


async def counts(pair: Pair, route: Route) -> dict[str, int]:
    async with pair.db.workspace(route.workspace_id) as conn:
        return await review.counts(conn, route)


async def is_due(pair: Pair) -> bool:
    return bool(await runs.due(pair.db, (await pair.db.clock())()))


@pytest.mark.parametrize("how", ["cut", "killed"])
async def test_what_a_lost_push_created_waits_and_is_not_created_back(pair: Pair, how: str) -> None:
    """A person sees both ends, and says which are one."""
    route = await lose(pair, how)
    assert await counts(pair, route) == {"review": PEOPLE}
    assert not await is_due(pair), "nothing can be found out by running it again"
    pair.hubspot.change("create_contact", email=None, firstname="Somebody", lastname="Else", phone=None)
    for _ in range(2):
        await pair.sync()
        await pair.run(route)
    assert len(pair.customers()) == PEOPLE + 1, "what nobody sent is created at Stripe, the others are not"
    assert await counts(pair, route) == {"review": 2 * PEOPLE, "linked": 1}
    there = contacts(pair)
    outbox = await pair.outbox(route)
    customers = {one["name"]: one["id"] for one in pair.stripe.data.all_customers()}
    for number in range(PEOPLE):
        customer, contact = customers[f"N Number{number}"], there[f"Number{number}"]["id"]
        assert [one["id"] for one in outbox[contact].candidates] == [customer]
        assert {"id": contact} in outbox[customer].candidates

    # What is known of a customer may change meanwhile: it is not sent again.
    pair.stripe.change("update_customer", customers["N Number0"], name="Ada")
    await pair.sync()
    assert (await pair.run(route)).waiting == 1
    for number in range(PEOPLE):
        ends = customers[f"N Number{number}"], there[f"Number{number}"]["id"]
        if number % 2:
            await decide(pair, route, "source", ends[0], "link", ends[1])
        else:
            await decide(pair, route, "target", ends[1], "link", ends[0])
    for _ in range(3):
        await pair.run(route)
        await pair.sync()
    assert await counts(pair, route) == {"linked": PEOPLE + 1}
    assert (len(pair.contacts()), len(pair.customers())) == (PEOPLE + 1, PEOPLE + 1)
    assert "Ada" in {one["firstname"] for one in pair.contacts().values()}


@pytest.mark.parametrize(
    "changes",
    [{"lastname": "NUMBER0"}, {"phone": "1"}, {"lastname": "Other"}, {"email": "n0@example.com"}],
)
async def test_what_a_lost_push_created_is_known_again_when_it_was_changed_since(
    pair: Pair, changes: dict[str, str]
) -> None:
    route = await lose(pair, people=1)
    pair.hubspot.change("update_contact", contacts(pair)["Number0"]["id"], **changes)
    for _ in range(2):
        await pair.sync()
        await pair.run(route)
    assert len(pair.customers()) == 1
    assert await counts(pair, route) == {"review": 2}


@pytest.mark.parametrize(
    ("decision", "customers", "people", "standing"),
    [
        (("source", "create"), 2, 2, {"linked": 2}),
        (("target", "create"), 2, 1, {"linked": 1, "review": 1}),
        (("source", "skip"), 1, 1, {"skipped": 1, "review": 1}),
        (("target", "skip"), 1, 1, {"skipped": 1, "review": 1}),
    ],
)
async def test_a_persons_word_on_a_lost_push(
    pair: Pair, decision: tuple[Any, Any], customers: int, people: int, standing: dict[str, int]
) -> None:
    """That it is another one frees both ends; that one end is left alone does not create the other anew."""
    route = await lose(pair, people=1)
    await pair.sync()
    await pair.run(route)
    (customer,), (contact,) = pair.customers().values(), contacts(pair).values()
    side, word = decision
    await decide(pair, route, side, customer["id"] if side == "source" else contact["id"], word)
    for _ in range(3):
        await pair.run(route)
        await pair.sync()
    assert (len(pair.customers()), len(pair.contacts())) == (customers, people)
    assert await counts(pair, route) == standing


async def test_a_creation_at_stripe_whose_key_is_forgotten(pair: Pair) -> None:
    """Killed, and not run again for a day: Stripe may have forgotten the key, and the customer comes back by itself."""
    pair.hubspot.change(
        "create_contact", email=None, firstname="Ada", lastname="Lovelace", phone="+441632960000"
    )
    await pair.sync()
    route = await pair.route(direction="two_way")
    await kill(pair, route, "sent")
    async with pair.db.workspace(route.workspace_id) as conn:
        await conn.execute("UPDATE route_outbox SET sent_at = sent_at - interval '30 hours'")
    await pair.sync()
    result = await run_when_free(pair, route)
    assert (result.recovered, result.created, result.waiting) == (0, 0, 2)
    assert await counts(pair, route) == {"review": 2}
    assert (len(pair.customers()), len(pair.contacts())) == (1, 1)


async def test_what_is_found_out_is_recovered_and_what_is_not_waits(pair: Pair) -> None:
    """By their e-mail addresses HubSpot says what became of three; of two it can't."""
    for number in range(5):
        email = None if number < 2 else f"n{number}@example.com"
        pair.stripe.change("create_customer", **person(f"N Number{number}", email=email))
    await pair.sync()
    route = await pair.route(direction="two_way")
    await kill(pair, route, "sent")
    assert (await counts(pair, route)) == {"sending": 5}
    result = await run_when_free(pair, route)
    assert (result.recovered, result.looked_at, result.waiting) == (3, 2, 2)
    assert (await pair.routes.get(route.workspace_id, route.id)).counts == result.counts()
    assert await counts(pair, route) == {"linked": 3, "review": 2}
    assert len(pair.contacts()) == 5
