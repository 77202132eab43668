"""Several records of one side that lead to one of the other: one is linked, the others wait, and a run ends well."""

from typing import Any

import pytest

from tests.unified.sync.routes.pair import Pair, person
from tests.unified.sync.routes.test_push import decide
from unified.store.routes import outbox, review
from unified.store.routes.outbox import Entry
from unified.store.routes.rows import Route


async def settle(pair: Pair, route: Route) -> None:
    """Sync and run until nothing more is to be done; each run ends with counts."""
    for _ in range(3):
        result = await pair.run(route)
        assert result.is_complete
        parts = ("created", "updated", "deleted", "unchanged", "refused", "waiting", "left_out")
        assert sum(getattr(result, part) for part in parts) == result.looked_at
        await pair.sync()


def ottilie(pair: Pair) -> str:
    """A contact with a further address."""
    contact = pair.hubspot.change(
        "create_contact", email="ottilie@main.example", hs_additional_emails="o.brandt@alt.example;ob@third.example",
        firstname="Ottilie", lastname="Brandt",
    )  # fmt: skip
    return str(contact["id"])


@pytest.mark.parametrize("direction", ["one_way", "two_way"])
@pytest.mark.parametrize(
    "addresses",
    [
        ["o.brandt@alt.example"],
        ["o.brandt@alt.example", "ottilie@main.example"],
        ["o.brandt@alt.example", "ob@third.example"],
        ["ob@third.example", "O.Brandt@ALT.example", "ottilie@main.example", "new@example.com"],
    ],
)
async def test_customers_whose_addresses_are_all_of_one_contact(
    pair: Pair, direction: Any, addresses: list[str]
) -> None:
    contact = ottilie(pair)
    for address in addresses:
        pair.stripe.change("create_customer", **person("Ottilie Brandt", email=address))
    await pair.sync()
    route = await pair.route(direction=direction)
    await settle(pair, route)

    links, outbox = await pair.links(route), await pair.outbox(route)
    assert [link.target.id for link in links.values()].count(contact) == 1
    customers = [one["id"] for one in pair.stripe.data.all_customers()]
    assert len(customers) == len(addresses), "the contact was created at Stripe a second time"
    assert {entry.state for entry in outbox.values()} <= {"review"}
    assert set(links) | set(outbox) == set(customers), "none is lost"
    strangers = [one for one in addresses if one.startswith("new")]
    assert len(list(pair.hubspot.data.all("contacts"))) == 1 + len(strangers), "others of the route go on"
    pair.writes()
    assert (await pair.run(route)).looked_at == 0
    assert pair.writes() == 0


async def test_customers_of_which_a_person_says_that_they_are_one_contact(pair: Pair) -> None:
    """Two decisions for one contact, while nobody has it: the second waits once more, and says for whom."""
    pair.hubspot.change("create_contact", email="office@example.com", firstname="O", lastname=None)
    contact = pair.contacts()["office@example.com"]["id"]
    twins = [
        pair.stripe.change("create_customer", **person(f"Twin{number}", email="office@example.com"))["id"]
        for number in range(3)
    ]
    await pair.sync()
    route = await pair.route()
    await pair.run(route)
    assert set(await pair.outbox(route)) == set(twins)
    for twin in twins:
        await decide(pair, route, twin, "link", contact)
    await settle(pair, route)
    links, outbox = await pair.links(route), await pair.outbox(route)
    assert [link.target.id for link in links.values()] == [contact]
    assert {entry.state for entry in outbox.values()} == {"review"}
    assert len(outbox) == 2
    assert all(contact in str(entry.candidates) for entry in outbox.values())


async def test_a_creation_that_finds_a_contact_which_is_linked_already(pair: Pair) -> None:
    """Two customers are alike; a person says to create the second, and HubSpot names the contact of the first."""
    first, second = (pair.stripe.change("create_customer", **person("Ada Lovelace"))["id"] for _ in range(2))
    await pair.sync()
    route = await pair.route()
    await pair.run(route)
    (asked,) = await pair.outbox(route)
    assert asked in (first, second)
    await decide(pair, route, asked, "create")
    await settle(pair, route)
    (link,) = (await pair.links(route)).values()
    entry = (await pair.outbox(route))[asked]
    assert (entry.state, [one["id"] for one in entry.candidates]) == ("review", [link.target.id])


async def test_contacts_of_which_a_person_says_that_they_are_one_customer(pair: Pair) -> None:
    """From the target's side as well: the second one does not take the first one's customer from it."""
    customer = pair.stripe.change("create_customer", **person("Ada Lovelace"))["id"]
    first, second = (
        pair.hubspot.change("create_contact", email=f"{n}@example.com", firstname="Ada", lastname="L")["id"]
        for n in range(2)
    )
    await pair.sync()
    route = await pair.route(direction="two_way")
    asked = [Entry(side="target", record_id=one, state="review", reason="?") for one in (first, second)]
    async with pair.db.workspace(route.workspace_id) as conn:
        await outbox.put(conn, route, asked)
        for one in (first, second):
            await review.decide(conn, route, "target", one, "link", customer)
    await settle(pair, route)
    links, left = await pair.links(route), await pair.outbox(route)
    assert links[customer].target.id == first
    assert {record: entry.state for record, entry in left.items()} == {second: "review"}
