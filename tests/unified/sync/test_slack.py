"""Slack's notices in the pipeline: what it dropped is read again, and an app that was removed ends its connection."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import pytest_asyncio

from adapters.slack.adapter import SlackAdapter
from tests.conftest import connectors, migrated_database
from tests.unified.sync.source import Content, Source
from unified.kit.webhooks.deliveries import Delivery
from unified.sandbox.server import Server
from unified.sandbox.slack import SlackSandbox
from unified.store.connections import sync_requests
from unified.store.connections.registry import Registry
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.database import Database
from unified.store.inbox import events as inbox
from unified.store.inbox.events import Received
from unified.store.migrate import migrate
from unified.store.secrets.keys import generate_key
from unified.store.workspaces import workspaces
from unified.sync.drain import drain
from unified.sync.errors import SyncError

TOKEN = "xoxb-fake-acme"


@pytest.fixture(scope="module")
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A database that knows the connector."""
    with migrated_database(server_url, template) as url:
        migrate(url, [*connectors(), ConnectorEntry.of(SlackAdapter)])
        yield url


class Workspace(Source):
    """A connection to the stand-in."""

    @property
    def secret(self) -> str:
        return TOKEN

    def rename(self, customer_id: str, name: str) -> None:
        self.change("update", "users", customer_id, real_name=name)

    async def deliver(self, *changes: str) -> None:
        """What Slack sends of changes, as the ingress stores it."""
        sent: list[bytes] = []
        account, form = self.data, self.sandbox.webhook_form
        announce = account._announce
        account._announce = lambda events: sent.extend(
            form.body([{**self.sandbox.named(TOKEN), **one}], 0) for one in events
        )
        for change in changes:
            self.change(change)
        account._announce = announce
        (verifier,) = SlackAdapter.verifiers
        received = [
            Received(self.connection.workspace_id, self.connection.id, event)
            for body in sent
            for event in verifier.read_events(Delivery.polled(body, datetime.now(UTC)))
        ]
        assert await inbox.append(self.db, received) == len(received)
        (result,) = await drain(self.db, self.factory, "slack")
        assert (result.events, result.failed, result.error) == (len(received), 0, None)

    async def asked(self) -> bool:
        """Whether a sync of it was asked for."""
        return [one.connection.id for one in await sync_requests.pending(self.db)] == [self.connection.id]

    def expected(self, stream: str = "users") -> Content:
        return dict(self.data.all(stream))

    def expected_totals(self) -> dict[str, dict[str, Decimal]]:
        return {}


@pytest_asyncio.fixture
async def slack(database: Database) -> AsyncIterator[Workspace]:
    sandbox = SlackSandbox(users=30, channels=12, messages=0)
    with Server(sandbox) as server:
        workspace = await workspaces.create(database, "acme")
        settings = {
            "base_url": f"{server.url}/slack",
            "allow_private_hosts": True,
            "requests_per_second": 1000,
        }
        connection = await Registry(database).add_connection(workspace.id, "slack", "main", settings)
        made = Workspace(database, connection, sandbox, generate_key())
        await made.use_key(TOKEN)
        await made.sync_all()
        yield made


async def test_what_slack_dropped_is_read_again(slack: Workspace) -> None:
    gone, *_ = sorted(slack.expected())
    slack.change("delete", "users", gone)
    assert gone in await slack.stored("users"), "its event was dropped"
    await slack.deliver("limit_events")
    assert await slack.asked()
    await slack.sync_all()
    await slack.assert_agrees("users", "channels")
    assert gone in await slack.tombstones("users")


async def test_an_app_that_was_removed_ends_its_connection(slack: Workspace) -> None:
    await slack.deliver("uninstall")
    assert await slack.asked()
    slack.sandbox.revoke(TOKEN)
    with pytest.raises(
        SyncError, match=r"token_revoked\. The credential is wrong or revoked; add a valid one"
    ):
        await slack.sync_all()
    assert (await slack.state()).sync_status == "error"
    assert await slack.stored("users"), "what was read before stays"
