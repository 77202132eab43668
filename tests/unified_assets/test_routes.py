"""Routes in Dagster: partitions, runs after a connection's sync, and what a materialization tells."""

from typing import Any

import dagster as dg

from resources.store import DatabaseResource
from sensors.routes import routes_sensor
from tests.unified_assets.conftest import Installation, failures, metadata
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route
from unified.store.routes.settings import RouteSettings


def add_route(installation: Installation, source: str, target: str, **settings: Any) -> Route:
    ends = installation.find(source), installation.find(target)
    return installation.ask(lambda db: Routes(db).add("crm", *ends, RouteSettings(**settings)))


def tick(installation: Installation) -> dg.SensorResult | dg.SkipReason:
    """One tick of the sensor; the partitions that it asks for are added."""
    context = dg.build_sensor_context(
        instance=installation.instance,
        resources={"database": DatabaseResource()},
        definitions=installation.defs,
    )
    result = routes_sensor()(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    for request in result.dynamic_partitions_requests or () if isinstance(result, dg.SensorResult) else ():
        change = (
            installation.instance.add_dynamic_partitions
            if isinstance(request, dg.AddDynamicPartitionsRequest)
            else installation.instance.delete_dynamic_partition
        )
        for key in request.partition_keys:
            change("routes", [key] if isinstance(request, dg.AddDynamicPartitionsRequest) else key)  # type: ignore[arg-type]
    return result


def asked(result: dg.SensorResult | dg.SkipReason) -> list[str | None]:
    return (
        [run.partition_key for run in result.run_requests or ()]
        if isinstance(result, dg.SensorResult)
        else []
    )


def test_a_route_runs_after_its_sources_sync_and_tells_what_it_did(installation: Installation) -> None:
    installation.add("acme/billing", "stripe")
    crm = installation.add("acme/crm", "hubspot")
    route = add_route(installation, "acme/billing", "acme/crm")
    assert route.partition == "acme/route:crm"
    assert asked(tick(installation)) == []  # there is its partition now, and nothing to push yet
    assert asked(tick(installation)) == []
    installation.load("acme/billing", "acme/crm")
    assert asked(tick(installation)) == [route.partition]

    live = installation.execute("SELECT count(*) FROM unified_customers_stripe WHERE deleted_at IS NULL")[0][
        0
    ]
    result = installation.materialize(route.partition, "routes/customers")
    assert result.success, failures(result)
    told = metadata(result, "routes/customers")
    parts = ("created", "updated", "deleted", "unchanged", "refused", "waiting", "left_out")
    assert told["looked_at"] == live == sum(told[name] for name in parts)
    assert told["created"] > 0
    assert told["linked"] == told["created"] + told["updated"] + told["unchanged"]
    assert told["is_complete"]
    assert asked(tick(installation)) == []

    # A paused connection: the run says why, and no retry of Dagster's helps.
    installation.execute("UPDATE connector_configs SET is_active = false WHERE id = %s", crm.id)
    result = installation.materialize(route.partition, "routes/customers")
    assert not result.success
    assert "acme/crm is paused" in str(failures(result))
    assert asked(tick(installation)) == []

    async def remove(db: Any) -> None:
        await Routes(db).remove(route)

    installation.ask(remove)
    tick(installation)
    assert installation.instance.get_dynamic_partitions("routes") == []


def test_a_run_that_was_asked_for_is_asked_of_dagster_once(installation: Installation) -> None:
    installation.add("acme/billing", "stripe")
    installation.add("acme/crm", "hubspot")
    route = add_route(installation, "acme/billing", "acme/crm")
    tick(installation)
    installation.ask(lambda db: Routes(db).activate(route, is_active=False))
    installation.load("acme/billing")
    assert asked(tick(installation)) == []
    installation.ask(lambda db: Routes(db).request(route))
    first, again = tick(installation), tick(installation)
    assert asked(first) == [route.partition]
    assert isinstance(first, dg.SensorResult)
    assert isinstance(again, dg.SensorResult)
    assert [run.run_key for run in first.run_requests or ()] == [
        run.run_key for run in again.run_requests or ()
    ]
    assert installation.materialize(route.partition, "routes/customers").success
    assert asked(tick(installation)) == []

    installation.execute("UPDATE routes SET status = 'error', error_message = 'limited', finished_at = now()")
    assert asked(tick(installation)) == []
    installation.ask(lambda db: Routes(db).request(route))
    assert asked(tick(installation)) == [route.partition], "who asks is not made to wait"
