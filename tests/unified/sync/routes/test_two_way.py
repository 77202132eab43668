"""A two-way route: both sides agree in the end, and what one of them was told never comes back to it."""

import random
from typing import Any, get_args

import pytest

from tests.unified.sync.routes.pair import Pair, person
from unified.store.routes.settings import Policy, RouteField


async def test_both_ways_and_no_echo(pair: Pair) -> None:
    one = pair.stripe.change("create_customer", **person("Ada Lovelace"))["id"]
    two = pair.hubspot.change(
        "create_contact", email="grace@example.com", firstname="Grace", lastname="Hopper", phone="1",
        company=None, address=None, city=None, state=None, zip=None, country=None, mobilephone=None,
    )["id"]  # fmt: skip
    await pair.sync()
    route = await pair.route(direction="two_way")
    result = await pair.run(route)
    assert (result.created, result.looked_at) == (2, 2)
    assert pair.customers()["grace@example.com"]["name"] == "Grace Hopper"
    assert pair.contacts()["ada.lovelace@example.com"]["firstname"] == "Ada"

    # What comes back is recognised.
    pair.writes()
    for _ in range(2):
        await pair.sync()
        await pair.run(route)
    assert pair.writes() == 0

    pair.stripe.change("update_customer", one, name="Ada King")
    pair.hubspot.change(
        "update_contact", pair.contacts()["ada.lovelace@example.com"]["id"], phone="+15550100"
    )
    pair.hubspot.change("update_contact", two, lastname="Murray Hopper")
    await pair.sync()
    await pair.run(route)
    assert pair.contacts()["ada.lovelace@example.com"]["lastname"] == "King"
    assert pair.customers()["ada.lovelace@example.com"]["phone"] == "+15550100"
    assert pair.customers()["grace@example.com"]["name"] == "Grace Murray Hopper"
    pair.writes()
    for _ in range(2):
        await pair.sync()
        await pair.run(route)
    assert pair.writes() == 0


@pytest.mark.parametrize(("policy", "expected"), [("source_wins", "Stripe"), ("target_wins", "Hub")])
async def test_where_both_changed_a_field_the_policy_decides(pair: Pair, policy: Any, expected: str) -> None:
    one = pair.stripe.change("create_customer", **person("Ada Lovelace", phone="+1"))["id"]
    await pair.sync()
    route = await pair.route(
        direction="two_way", fields=(RouteField("email", "email"), RouteField("name", "name", policy))
    )
    await pair.run(route)
    pair.stripe.change("update_customer", one, name="Stripe")
    pair.hubspot.change(
        "update_contact", pair.contacts()["ada.lovelace@example.com"]["id"], firstname="Hub", lastname=None
    )
    # Only one side's news has come: what would be overwritten is read first.
    await pair.stripe.sync()
    for _ in range(2):
        await pair.run(route)
        await pair.sync()
    assert pair.customers()["ada.lovelace@example.com"]["name"] == expected
    assert pair.contacts()["ada.lovelace@example.com"]["firstname"] == expected


@pytest.mark.parametrize("seed", range(2))
async def test_random_edits_on_both_sides_settle(pair: Pair, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded choice of edits
    people = [pair.stripe.change("create_customer", **person(f"P Person{number}")) for number in range(4)]
    await pair.sync()
    route = await pair.route(direction="two_way", conflict_policy=rng.choice(get_args(Policy)))
    await pair.run(route)
    for _ in range(20):
        customer, value = rng.choice(people), f"+1555{rng.randrange(4)}"
        match rng.choice(["stripe", "stripe", "hubspot", "hubspot", "sync", "run"]):
            case "stripe":
                pair.stripe.change(
                    "update_customer", customer["id"], **{rng.choice(["name", "phone"]): value}
                )
            case "hubspot":
                contact = pair.contacts()[customer["email"]]
                news = rng.choice([{"firstname": value, "lastname": None}, {"phone": value}])
                pair.hubspot.change("update_contact", contact["id"], **news)
            case "sync":
                await pair.sync()
            case _:
                await pair.run(route)
    for _ in range(4):
        await pair.sync()
        await pair.run(route)
    pair.writes()
    await pair.sync()
    await pair.run(route)
    assert pair.writes() == 0
    contacts = pair.contacts()
    for customer in people:
        now = pair.stripe.data.customers.get(pair.stripe.data.customers.index_of(customer["id"]))
        contact = contacts[customer["email"]]
        assert now["phone"] == contact["phone"]
        assert now["name"] == " ".join(filter(None, (contact["firstname"], contact["lastname"])))
    assert not await pair.outbox(route)
