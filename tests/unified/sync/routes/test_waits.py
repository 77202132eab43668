"""A provider that wants to be left alone for hours: a route notes it, waits as long, says so, and goes on by itself."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import execute
from tests.unified.sync.routes.pair import Pair, person
from tests.unified.sync.source import Source
from unified.store.connections import turns
from unified.store.routes import runs
from unified.store.routes.rows import Route
from unified.sync.errors import RouteError

HOURS = timedelta(hours=3)
CREATE = "/crm/objects/2026-09/contacts/batch/create"


async def is_due(pair: Pair) -> bool:
    return bool(await runs.due(pair.db, datetime.now(UTC)))


async def limited(pair: Pair, route: Route, by: Source, path: str) -> datetime:
    """Have a run meet a day's limit; until when the route waits."""
    by.fault("status", path, status=429, retry_after=str(int(HOURS.total_seconds())), times=None)
    with pytest.raises(RouteError) as failed:
        await pair.run(route)
    by.sandbox.faults.clear()
    assert not failed.value.retry, "not again in a minute"
    until = (await pair.routes.get(route.workspace_id, route.id)).waits_until
    assert until == (await by.state()).waits_until
    assert until is not None
    assert timedelta(0) <= HOURS - (until - datetime.now(UTC)) < timedelta(minutes=10)
    return until


async def test_a_route_waits_for_its_target_and_goes_on(pair: Pair, database_url: str) -> None:
    for name in ("Ada Lovelace", "Grace Hopper"):
        pair.stripe.change("create_customer", **person(name))
    await pair.sync()
    route = await pair.route()
    assert await is_due(pair)
    # What a clock wrote that has been set back since is no wait, and hides none.
    execute(database_url, "UPDATE connector_configs SET waits_until = now() + interval '1 year'")
    assert await is_due(pair)
    until = await limited(pair, route, pair.hubspot, CREATE)
    execute(database_url, "UPDATE connector_configs SET waits_until = NULL WHERE name = 'billing'")

    assert not await is_due(pair)
    assert (await pair.stripe.state()).waits_until is None
    # It is the connection's wait, so its schedule keeps to it as well.
    assert "acme/crm" not in [one.key for one in await turns.due(pair.db, until - timedelta(minutes=1))]
    await pair.routes.request(route)
    assert await is_due(pair), "a person does not wait for that"
    execute(database_url, "UPDATE routes SET requested_at = NULL")

    pair.writes()
    execute(database_url, "UPDATE connector_configs SET waits_until = now() - interval '1 s'")
    assert await is_due(pair)
    assert (await pair.run(route)).created == 2
    assert pair.contacts().keys() == {"ada.lovelace@example.com", "grace.hopper@example.com"}
    assert not await is_due(pair)


async def test_it_waits_for_its_source_only_where_it_asks_it(pair: Pair, database_url: str) -> None:
    pair.stripe.change("create_customer", **person("Ada Lovelace"))
    await pair.sync()
    route = await pair.route(conflict_policy="newest_wins")
    await pair.run(route)
    wait = "UPDATE connector_configs SET waits_until = now() + interval '3 hours' WHERE name = 'billing'"
    pair.stripe.change("create_customer", **person("Grace Hopper"))
    await pair.sync()
    execute(database_url, wait)
    assert await is_due(pair), "a new customer is created at HubSpot without a word of Stripe's"
    execute(database_url, "UPDATE routes SET direction = 'two_way'")
    assert not await is_due(pair)
    execute(
        database_url,
        "UPDATE routes SET direction = 'one_way'",
        wait.replace("now() + interval '3 hours'", "NULL"),
    )

    (one,) = [one["id"] for one in pair.customers().values() if one["name"] == "Ada Lovelace"]
    pair.stripe.change("update_customer", one, name="Ada King")
    await pair.sync()
    await limited(pair, route, pair.stripe, "/v1/customers")
    assert not await is_due(pair), "that run had to ask Stripe how the customer is now"
