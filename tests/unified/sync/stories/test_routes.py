"""Routes between two systems: lost answers, several records that lead to one, addresses spelt in several ways."""

from collections.abc import Callable

import pytest

from tests.unified.sync.stories.conftest import Told
from tests.unified.sync.stories.exchange import CUT, Answer, Request


def cutting(ending: str) -> Callable[[Request, Callable[[], Answer]], Answer]:
    """Carry requests to a path out, and end the connection without a word."""

    def meddle(asked: Request, answer: Callable[[], Answer]) -> Answer:
        given = answer()
        return CUT if asked.method == "POST" and "/".join(asked.path).endswith(ending) else given

    return meddle


@pytest.mark.parametrize("email", [None, "ida.holm@example.com"])
async def test_a_creation_whose_answer_is_lost_is_one_person_at_both_ends(
    told: Told, email: str | None
) -> None:
    stripe, hubspot = told.systems.stripe, told.systems.hubspot
    stripe.create(name="Ida Holm", email=email, phone="+4531415926")
    await told.sync()
    route = await told.route(direction="two_way")
    told.systems.meddle = cutting("contacts/batch/create")
    await told.run(route)
    assert len(hubspot.contacts) == 1, "it took effect"
    told.systems.meddle = None
    for _ in range(3):
        await told.sync()
        assert (await told.run(route)).is_complete
    assert (len(stripe.customers), len(hubspot.contacts)) == (1, 1)
    creations = [one for one in told.systems.asked if one.endswith("/batch/create")]
    assert len(creations) == 1, "sent as often as we say"
    assert await told.standing(route) == ({"linked": 1} if email else {"review": 2})


async def test_several_records_of_one_side_that_lead_to_one_of_the_other(told: Told) -> None:
    """Two spellings of an address, a role's mailbox twice, and one more that only is like its neighbour."""
    stripe, hubspot = told.systems.stripe, told.systems.hubspot
    for name, email in (
        ("Pat Moss", "pat.moss@example.com"),
        ("Pat Moss Ltd", "Pat.Moss@Example.com"),
        ("Accounts", "billing@example.com"),
        ("Accounts East", "BILLING@example.com"),
        ("Pat Mossy", "pat.mossy@example.com"),
    ):
        stripe.create(name=name, email=email)
    hubspot.create(email="pat.moss@example.com", firstname="Pat", lastname="Moss")
    hubspot.create(email="billing@example.com", firstname="Office")
    await told.sync()
    route = await told.route(direction="two_way")
    for _ in range(3):
        assert (await told.run(route)).is_complete
        await told.sync()
    assert (len(stripe.customers), len(hubspot.contacts)) == (5, 3)
    assert await told.standing(route) == {"linked": 2, "review": 4}


@pytest.mark.parametrize("is_stored", [True, False])
async def test_an_address_is_found_however_either_side_spells_it(told: Told, is_stored: bool) -> None:
    """Stripe's filter regards case, and HubSpot keeps lower case; what is not stored here yet is asked for there."""
    stripe, hubspot = told.systems.stripe, told.systems.hubspot
    spelt = ["Mia.Lund@Example.COM", "OLE@EXAMPLE.COM", "zoë@example.com", "o'neil+Bills@example.com"]
    there = {email.lower(): stripe.create(name=email.split("@")[0], email=email)["id"] for email in spelt}
    for email in spelt:
        hubspot.create(email=email, firstname=email.split("@")[0], lastname="Lund")
    if is_stored:
        await told.billing.sync()
    await told.crm.sync()
    route = await told.route(back=True)
    result = await told.run(route)
    assert (result.created, len(stripe.customers)) == (0, 4)
    async with told.db.workspace(route.workspace_id) as conn:
        rows = await conn.execute("SELECT source_id, target_id FROM pushed_records")
        found = dict(await rows.fetchall())
    assert found == {one["id"]: there[one["properties"]["email"]] for one in hubspot.contacts.values()}
