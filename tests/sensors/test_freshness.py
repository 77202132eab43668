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
        assert answer.skip_message == "3 connection(s) are silent; the alert was sent"
        assert tick(installation, answer.cursor).skip_message == "3 connection(s) are silent"
    (message,) = received
    text = str(message)
    for told in ("acme/silent has not synced", "acme/quick has not synced", "acme/never has never synced"):
        assert told in text
    for other in ("busy", "daily", "new", "paused"):
        assert f"acme/{other} " not in text
