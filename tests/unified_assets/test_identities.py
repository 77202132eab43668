"""The asset of identities and the sensor that asks for its runs, from a sync to golden customers."""

import dagster as dg
import pytest

from resources.store import DatabaseResource
from sensors import identities
from sensors.identities import identities_sensor
from tests.unified_assets.conftest import Installation
from unified.store.workspaces import workspaces
from unified_assets.identities import KEY
from unified_assets.partitions import WORKSPACES


def ask(installation: Installation) -> dg.SensorResult | dg.SkipReason:
    with dg.build_sensor_context(
        instance=installation.instance, resources={"database": DatabaseResource()}
    ) as context:
        result = identities_sensor()(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def test_a_workspace_is_resolved_once_it_changed(installation: Installation) -> None:
    installation.ask(lambda db: workspaces.create(db, "quiet"))
    installation.add("acme/billing", "stripe")
    installation.add("acme/crm", "hubspot")
    for source, key in (("stripe", "acme/billing"), ("hubspot", "acme/crm")):
        assert installation.materialize(key, f"{source}/customers").success
    found = ask(installation)
    assert isinstance(found, dg.SensorResult)
    assert not found.run_requests  # the partition comes first
    (added,) = found.dynamic_partitions_requests or ()
    assert set(added.partition_keys) >= {"acme", "quiet"}
    installation.instance.add_dynamic_partitions(str(WORKSPACES.name), list(added.partition_keys))
    found = ask(installation)
    assert isinstance(found, dg.SensorResult)
    assert [run.partition_key for run in found.run_requests or ()] == ["acme"]
    result = installation.materialize("acme", "unified/customers")
    assert result.success
    (event,) = result.asset_materializations_for_node("unified__customers")
    assert event.asset_key == KEY
    assert all(check.passed for check in result.get_asset_check_evaluations())
    (customers,) = installation.execute("SELECT count(*) FROM unified_customers WHERE deleted_at IS NULL")
    (records,) = installation.execute("SELECT count(*) FROM customer_identities")
    assert records == customers
    assert event.metadata["records"].value == customers[0]
    assert isinstance(ask(installation), dg.SkipReason)
    installation.load("acme/billing")
    assert isinstance(ask(installation), dg.SkipReason), "a sync that changed nothing"


def test_a_tick_asks_for_some_of_many_runs(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identities, "_MOST", 2)
    slugs = ["acme", "globex", "initech"]
    for slug in slugs:
        installation.add(f"{slug}/billing", "stripe")
    installation.execute(
        "INSERT INTO cursors (workspace_id, connector_config_id, stream, cursor, observed_at)"
        " SELECT workspace_id, id, 'customers', '{}', now() FROM connector_configs"
    )
    installation.instance.add_dynamic_partitions(str(WORKSPACES.name), slugs)
    found = ask(installation)
    assert isinstance(found, dg.SensorResult)
    assert [run.partition_key for run in found.run_requests or ()] == ["acme", "globex"]
