"""Connections that are silent, while others of the same asset are not."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from resources.store import DatabaseResource
from sensors.alerts import ALERT_URL_VARIABLE
from tests.sensors.alerts import alert_server
from tests.sensors.conftest import CREDENTIALS
from tests.unified_assets.conftest import Installation


def tick(installation: Installation, cursor: str | None = None) -> Any:
    with dg.build_sensor_context(
        instance=installation.instance,
        cursor=cursor,
        resources={"database": DatabaseResource(), "credentials": CREDENTIALS},
    ) as context:
        return installation.defs.resolve_sensor_def("silent_connections").evaluate_tick(context)


def synced(
    installation: Installation,
    key: str,
    ago: timedelta,
    *,
    every: timedelta = timedelta(hours=1),
    ever: bool = True,
    paused: bool = False,
) -> None:
    """A connection that was added, and synced last if ``ever``, so long ago."""
    connection = installation.add(key, "stripe")
    installation.execute(
        """
        UPDATE connector_configs SET created_at = now() - %s::interval, sync_interval_minutes = %s, is_active = %s,
            last_sync_at = CASE WHEN %s THEN now() - %s::interval END
        WHERE id = %s
        """,
        ago, every // timedelta(minutes=1), not paused, ever, ago, connection.id,
    )  # fmt: skip


def test_each_silent_connection_is_told_once_a_day_whatever_the_others_do(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced(installation, "acme/busy", timedelta(minutes=5))
    synced(installation, "acme/silent", timedelta(hours=3))
    synced(installation, "acme/daily", timedelta(hours=30), every=timedelta(days=1))
    synced(installation, "acme/quick", timedelta(minutes=40), every=timedelta(minutes=15))
    synced(installation, "acme/never", timedelta(hours=3), ever=False)
    synced(installation, "acme/new", timedelta(minutes=1), ever=False)
    synced(installation, "acme/paused", timedelta(days=9), paused=True)
    with alert_server() as (url, received):
        monkeypatch.setenv(ALERT_URL_VARIABLE, url)
        answer = tick(installation)
        (asked,) = answer.run_requests
        turned = asked.run_config["ops"]["report_turned"]["config"]["connections"]
        assert turned == ["acme/never", "acme/quick", "acme/silent"]
        assert tick(installation, answer.cursor).skip_message == "3 connection(s) are silent"
    (message,) = received
    text = str(message)
    for told in ("acme/silent has not synced", "acme/quick has not synced", "acme/never has never synced"):
        assert told in text
    for other in ("busy", "daily", "new", "paused"):
        assert f"acme/{other} " not in text


def report(installation: Installation, answer: Any) -> None:
    """Do the run that a tick has asked for."""
    (asked,) = answer.run_requests
    job = installation.defs.resolve_job_def("connections_fresh")
    assert job.execute_in_process(instance=installation.instance, run_config=asked.run_config).success


def outcomes(installation: Installation, key: str) -> dict[str, Any]:
    """How the check `fresh` of a connection's customers and events stands."""
    found = {}
    for stream in ("customers", "subscriptions"):
        check = dg.AssetCheckKey(dg.AssetKey(["stripe", stream]), "fresh")
        records = installation.instance.event_log_storage.get_asset_check_execution_history(check, limit=50)
        mine = [
            evaluation for one in records if one.event and (evaluation := evaluation_of(one)).partition == key
        ]
        found[stream] = mine[0].passed if mine else None
    return found


def evaluation_of(record: Any) -> dg.AssetCheckEvaluation:
    data: dg.AssetCheckEvaluation = record.event.dagster_event.event_specific_data
    return data


def test_a_connection_that_falls_silent_fails_its_check_until_it_is_back(installation: Installation) -> None:
    synced(installation, "acme/busy", timedelta(minutes=5))
    synced(installation, "acme/silent", timedelta(hours=3))
    first = tick(installation)
    report(installation, first)
    # It does not read subscriptions, which are of no use to blame.
    assert outcomes(installation, "acme/silent") == {"customers": False, "subscriptions": True}
    assert outcomes(installation, "acme/busy") == {"customers": None, "subscriptions": None}
    installation.execute("UPDATE connector_configs SET last_sync_at = now()")
    second = tick(installation, first.cursor)
    report(installation, second)
    assert outcomes(installation, "acme/silent") == {"customers": True, "subscriptions": True}
    assert tick(installation, second.cursor).skip_message == "0 connection(s) are silent"


def test_the_check_looks_at_one_connection_and_no_sync_runs_it(installation: Installation) -> None:
    synced(installation, "acme/quiet", timedelta(hours=3))
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(["stripe", "customers"]), "fresh"))
    job = dg.define_asset_job("look", selection=selection)
    defs = dg.Definitions.merge(installation.defs, dg.Definitions(jobs=[job]))
    done = defs.resolve_job_def("look").execute_in_process(instance=installation.instance)
    (found,) = done.get_asset_check_evaluations()
    assert not found.passed
    assert found.metadata["connections"].value == 1
    assert "acme/quiet has not synced successfully since" in str(found.description)
    keys = installation.defs.resolve_job_def("stripe_sync").asset_layer.asset_graph.asset_check_keys
    assert keys
    assert all(key.name != "fresh" for key in keys)
