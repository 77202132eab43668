"""Runs that fail: what the connection says afterwards, and who is told."""

from typing import Any

import dagster as dg
import pytest

from resources.store import DatabaseResource
from sensors.alerts import ALERT_CONNECTION_VARIABLE, ALERT_URL_VARIABLE, alert
from tests.sensors.alerts import alert_server
from tests.sensors.conftest import CREDENTIALS
from tests.streams import key_of
from tests.unified_assets.conftest import STRIPE_KEY, Installation
from unified.store.connections.registry import Registry
from unified.store.records import history


def failed_run(installation: Installation, key: str | None, job: str = "stripe_sync") -> dg.DagsterRun:
    """A run whose process was killed, as Dagster notes it."""
    definition = installation.defs.resolve_job_def(job)
    tags = {"dagster/partition": key} if key else {}
    run = installation.instance.create_run_for_job(definition, status=dg.DagsterRunStatus.STARTED, tags=tags)
    installation.instance.report_run_failed(
        run, "Run execution process unexpectedly exited with exit code -9."
    )
    return run


def notice(installation: Installation, run: dg.DagsterRun) -> Any:
    """What the sensor answers to a failed run."""
    sensor = installation.defs.resolve_sensor_def("failures")
    (event,) = [
        entry.dagster_event
        for entry in installation.instance.all_logs(run.run_id)
        if entry.dagster_event and entry.dagster_event.event_type is dg.DagsterEventType.RUN_FAILURE
    ]
    context = dg.build_run_status_sensor_context(
        sensor_name="failures", dagster_event=event, dagster_instance=installation.instance, dagster_run=run
    ).for_run_failure()
    return sensor(context, database=DatabaseResource(), credentials=CREDENTIALS)


def open_sync(installation: Installation, key: str, run_id: str) -> None:
    """What a killed sync leaves behind."""
    connection = installation.find(key)

    async def begin(db: Any) -> None:
        await Registry(db).begin_sync(connection.workspace_id, connection.id)
        await history.begin(db, key_of(connection, "customers"), "full", run_id)

    installation.ask(begin)


def test_a_connection_whose_sync_died_says_so(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.add("acme/stripe", "stripe")
    run = failed_run(installation, "acme/stripe")
    open_sync(installation, "acme/stripe", run.run_id)
    assert installation.find("acme/stripe").sync_status == "syncing"
    with alert_server() as (url, received):
        monkeypatch.setenv(ALERT_URL_VARIABLE, url)
        assert notice(installation, run).skip_message == "the alert was sent"
    connection = installation.find("acme/stripe")
    assert connection.sync_status == "error"
    assert "the run died" in str(connection.error_message)
    assert "exit code -9" in str(connection.error_message)
    (message,) = received
    assert message["text"].startswith(
        "Unified Assets: stripe_sync of acme/stripe failed: acme/stripe: the run died"
    )
    assert run.run_id in message["text"]


def test_a_sync_that_has_said_why_is_left_as_it_is(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.add("acme/stripe", "stripe")
    installation.sandbox.stripe.revoke(STRIPE_KEY)
    result = installation.sync("acme/stripe")
    before = installation.find("acme/stripe").error_message
    assert before
    run = installation.instance.get_run_by_id(result.run_id)
    assert run is not None
    with alert_server() as (url, received):
        monkeypatch.setenv(ALERT_URL_VARIABLE, url)
        notice(installation, run)
    assert installation.find("acme/stripe").error_message == before
    (message,) = received
    assert before in message["text"]
    assert STRIPE_KEY not in message["text"]


def test_a_later_sync_is_not_marked(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    run = failed_run(installation, "acme/stripe")
    open_sync(installation, "acme/stripe", "the-run-after-it")
    notice(installation, run)
    assert installation.find("acme/stripe").sync_status == "syncing"


@pytest.mark.parametrize(
    ("key", "job", "what"),
    [
        (None, "stripe_drain", "stripe_drain failed: Run execution process"),
        ("acme/removed", "stripe_sync", "stripe_sync of acme/removed failed: Run execution process"),
    ],
)
def test_runs_of_no_connection_are_told_of(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, key: str | None, job: str, what: str
) -> None:
    with alert_server() as (url, received):
        monkeypatch.setenv(ALERT_URL_VARIABLE, url)
        notice(installation, failed_run(installation, key, job))
    assert what in received[0]["text"]


def test_an_alert_that_cannot_be_sent_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALERT_URL_VARIABLE, raising=False)
    monkeypatch.delenv(ALERT_CONNECTION_VARIABLE, raising=False)
    neither = "neither UNIFIED_ALERT_URL nor UNIFIED_ALERT_CONNECTION is set, so no alert was sent"
    assert alert("text", DatabaseResource(), CREDENTIALS) == neither
    for url in ("http://127.0.0.1:9/secret-path", "not a url", "http://[/secret-path"):
        monkeypatch.setenv(ALERT_URL_VARIABLE, url)
        said = alert("text", DatabaseResource(), CREDENTIALS)
        assert said.startswith("the alert could not be sent")
        assert "secret-path" not in said
    with alert_server() as (url, _):
        monkeypatch.setenv(ALERT_URL_VARIABLE, f"{url}/refused")
        said = alert("text", DatabaseResource(), CREDENTIALS)
        assert said == "the alert was answered with 403; look at UNIFIED_ALERT_URL"
