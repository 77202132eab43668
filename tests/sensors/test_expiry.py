"""Credentials that expire soon, and the inbox's upkeep."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from resources.store import DatabaseResource
from sensors.alerts import ALERT_URL_VARIABLE
from tests.sensors.alerts import alert_server
from tests.sensors.conftest import CREDENTIALS
from tests.unified_assets.conftest import STRIPE_KEY, Installation
from unified.kit.oauth import declared
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.providers import load_provider


def tick(installation: Installation, sensor: str, cursor: str | None = None) -> Any:
    with dg.build_sensor_context(
        instance=installation.instance,
        cursor=cursor,
        resources={"database": DatabaseResource(), "credentials": CREDENTIALS},
    ) as context:
        return installation.defs.resolve_sensor_def(sensor).evaluate_tick(context)


def expire(installation: Installation, key: str, after: timedelta) -> None:
    connection = installation.find(key)
    installation.ask(
        lambda db: CredentialStore(db, load_provider()).put(
            connection.workspace_id,
            connection.id,
            "api_key",
            {"api_key": Secret(STRIPE_KEY)},
            datetime.now(UTC) + after,
        )
    )


def test_what_expires_within_a_week_is_told_once_a_day(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("soon", "late", "gone", "never"):
        installation.add(f"acme/{name}", "stripe")
    expire(installation, "acme/soon", timedelta(days=6))
    expire(installation, "acme/late", timedelta(days=8))
    expire(installation, "acme/gone", -timedelta(days=1))
    with alert_server() as (url, received):
        monkeypatch.setenv(ALERT_URL_VARIABLE, url)
        answer = tick(installation, "expiring_credentials")
        assert (
            answer.skip_message == "2 credential(s) expire within a week or have expired; the alert was sent"
        )
        again = tick(installation, "expiring_credentials", answer.cursor)
        assert again.skip_message == "2 credential(s) expire within a week or have expired"
        expire(installation, "acme/late", timedelta(days=2))
        tick(installation, "expiring_credentials", again.cursor)
        tomorrow = str(again.cursor).replace(f"{datetime.now(UTC):%Y-%m-%d}", "2026-01-01")
        tick(installation, "expiring_credentials", tomorrow)
    first, fresh, next_day = (message["text"] for message in received)
    assert "api_key of acme/gone expired on" in first
    assert "api_key of acme/soon expires on" in first
    assert "`unified connections update acme/soon --secret` replaces it" in first
    assert "acme/late" in fresh
    assert "acme/soon" not in fresh
    assert all(name in next_day for name in ("acme/soon", "acme/gone", "acme/late"))
    assert STRIPE_KEY not in first + fresh + next_day


def test_the_inbox_is_tended_without_a_drain(installation: Installation) -> None:
    ahead = f"{datetime.now(UTC).date() + timedelta(days=2):%Y%m%d}"
    installation.execute(f"DROP TABLE IF EXISTS webhook_inbox_{ahead}")
    assert "made" in tick(installation, "inbox_retention").skip_message
    assert installation.execute(f"SELECT to_regclass('webhook_inbox_{ahead}')") != [(None,)]
    assert tick(installation, "inbox_retention").skip_message == "there was nothing to do"


def test_a_token_that_is_refreshed_alarms_nobody_and_a_grant_that_is_gone_does(
    installation: Installation,
) -> None:
    connection = installation.add("acme/crm", "hubspot")
    place = connection.workspace_id, connection.id

    def put(field: str, after: timedelta) -> None:
        fields, expires_at = {field: Secret(f"fake-{field}")}, datetime.now(UTC) + after
        installation.ask(
            lambda db: CredentialStore(db, load_provider()).put(
                *place, "oauth_token", fields, expires_at, replace=True
            )
        )

    def told() -> str:
        return str(json.loads(tick(installation, "expiring_credentials").cursor))

    put("access_token", timedelta(minutes=30))
    assert "acme/crm access_token" in told()  # nothing can refresh it
    installation.execute(
        "INSERT INTO authorizations (workspace_id, connector_config_id, grant_type, authorized_by)"
        " SELECT workspace_id, id, 'authorization_code', 'ada' FROM connector_configs"
    )
    assert "acme/crm access_token" in told()
    put("refresh_token", timedelta(days=90))
    assert told() == "{}"
    put("refresh_token", timedelta(days=6))
    assert "acme/crm refresh_token" in told()
    put("refresh_token", timedelta(days=90))
    installation.execute(
        "UPDATE connector_configs SET needs_reauth = true, sync_status = 'error', error_message = 'it is gone'"
    )
    assert told() == "{'acme/crm authorization': '%s'}" % f"{datetime.now(UTC):%Y-%m-%d}"  # noqa: UP031


def test_a_consent_that_ends_for_good_is_announced_before(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Intuit's does after five years, however often its tokens were replaced; where none is declared, it lasts."""
    for name, connector in (("old", "hubspot"), ("new", "hubspot"), ("lasting", "stripe")):
        installation.add(f"acme/{name}", connector)
    oauth = replace(declared(get_adapter("hubspot")), lasts=declared(get_adapter("quickbooks")).lasts)
    monkeypatch.setattr(get_adapter("hubspot"), "oauth", oauth)
    installation.execute(
        "INSERT INTO authorizations (workspace_id, connector_config_id, grant_type, authorized_by, authorized_at)"
        " SELECT workspace_id, id, 'authorization_code', 'ada',"
        " now() - CASE name WHEN 'new' THEN interval '1800 days' ELSE interval '1820 days' END FROM connector_configs"
    )
    told = json.loads(tick(installation, "expiring_credentials").cursor)
    assert list(told) == ["acme/old consent"]
