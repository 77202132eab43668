"""Alerts by a connection: a message to a channel of Slack, and what is said where it can't be sent."""

from collections.abc import Iterator

import dagster as dg
import pytest

from resources.store import DatabaseResource
from sensors.alerts import ALERT_CONNECTION_VARIABLE, ALERT_URL_VARIABLE, alert
from tests.sensors.alerts import alert_server
from tests.sensors.conftest import CREDENTIALS
from tests.unified_assets.conftest import Installation
from unified.kit.secrets import Secret
from unified.sandbox.server import Server
from unified.sandbox.slack import SlackSandbox
from unified.sandbox.slack.records import joined_in
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.providers import load_provider
from unified.store.workspaces import workspaces

TOKEN = "xoxb-fake-acme"


def said(text: str = "stripe_sync failed") -> str:
    with dg.build_resources({"credentials": CREDENTIALS}) as resources:
        return alert(text, DatabaseResource(), resources.credentials)


@pytest.fixture
def slack(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackSandbox]:
    """The connection ``ops/team``, without a URL for alerts."""
    monkeypatch.delenv(ALERT_URL_VARIABLE, raising=False)
    sandbox = SlackSandbox(users=3, channels=9, messages=0)
    installation.execute(
        "INSERT INTO connectors (name, display_name, capabilities, streams) "
        "VALUES ('slack', 'Slack', '{READ}', '{users}') ON CONFLICT DO NOTHING"
    )
    with Server(sandbox) as server:
        settings = {"base_url": f"{server.url}/slack", "allow_private_hosts": True, "retry_count": 0}

        async def add(db: Database) -> None:
            workspace = await workspaces.create(db, "ops")
            made = await Registry(db).add_connection(workspace.id, "slack", "team", settings)
            store = CredentialStore(db, load_provider())
            await store.put(workspace.id, made.id, "bearer_token", {"bot_token": Secret(TOKEN)})

        installation.ask(add)
        yield sandbox


def test_an_alert_goes_to_the_channel_and_to_the_url(
    slack: SlackSandbox, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = slack.account().rows["channels"]
    (channel, *_) = [one for one in joined_in(rows) if not rows.find(one).fields["is_archived"]]  # type: ignore[union-attr]
    monkeypatch.setenv(ALERT_CONNECTION_VARIABLE, f"ops/team:{channel}")
    assert said("first") == "the alert was sent by ops/team"
    with alert_server() as (url, received):
        monkeypatch.setenv(ALERT_URL_VARIABLE, url)
        assert said("second") == "the alert was sent; the alert was sent by ops/team"
    assert received == [{"text": "second"}]
    sent = slack.account().all("messages").values()
    assert [one["text"] for one in sent] == ["first", "second"]
    audited = installation.execute("SELECT count(*) FROM audit_log WHERE actor = 'alerts'")
    assert audited == [(2,)], "each use of the token is on record"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("ops/team", "UNIFIED_ALERT_CONNECTION must look like ops/team:C0123ABCD"),
        ("ops/none:C1", "by ops/none: there is no connection"),
        (
            "ops/team:C0NOWHERE",
            "by ops/team: slack connection ops/team: POST /slack/api/chat.postMessage answered 200",
        ),
        ("ops/shop:C1", "by ops/shop: stripe has no place for messages"),
    ],
)
@pytest.mark.usefixtures("slack")
def test_an_alert_that_can_not_be_sent_says_why_and_fails_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, target: str, reason: str
) -> None:
    installation.add("ops/shop", "stripe")
    monkeypatch.setenv(ALERT_CONNECTION_VARIABLE, target)
    answer = said()
    assert answer.startswith("the alert could not be sent")
    assert reason in answer
    assert TOKEN not in answer
