"""A Slack connection from consent to records: with and without token rotation, and what ends a grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from tests.conftest import execute
from tests.unified.sync.oauth import OWN_APP, Case, consented
from unified.kit.errors import AuthenticationError, ConfigurationError
from unified.sandbox.oauth.server import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI
from unified.sandbox.server import Server
from unified.sandbox.slack import SlackSandbox
from unified.sandbox.slack.account import workspace_of
from unified.store.connections.registry import Registry
from unified.store.secrets.keys import generate_key
from unified.store.workspaces import workspaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from unified.store.database import Database

TEAM = workspace_of("xoxb-fake-acme")


class Workspace(Case):
    """A connection ``acme/team``, without a grant at first."""

    async def works(self) -> bool:
        adapter = await self.factory.create(self.connection.workspace_id, self.connection.id, purpose="test")
        async with adapter:
            return (await adapter.test()).id == TEAM

    async def with_settings(self, **settings: Any) -> None:
        self.connection = await Registry(self.db).update_connection(
            self.connection.workspace_id, self.connection.id, settings={**self.connection.settings, **settings},
            actor="test",
        )  # fmt: skip

    async def asked_scopes(self) -> set[str]:
        begun = await self.authorizer.begin(self.connection, REDIRECT_URI, subject="ada", own=OWN_APP)
        query = parse_qs(urlsplit(begun.url).query)
        assert "code_challenge" not in query, "only public clients prove themselves so"
        return set(query["scope"][0].split(","))


@pytest_asyncio.fixture
async def team(database: Database) -> AsyncIterator[Workspace]:
    sandbox = SlackSandbox(users=5, channels=5, messages=0)
    with Server(sandbox) as server:
        execute(
            database.url,
            "INSERT INTO connectors (name, display_name, capabilities, streams) "
            "VALUES ('slack', 'Slack', '{READ}', '{users}') ON CONFLICT DO NOTHING",
        )
        workspace = await workspaces.create(database, "acme")
        settings = {
            "base_url": f"{server.url}/slack", "allow_private_hosts": True, "retry_delay": 0,
            "requests_per_second": 1000,
        }  # fmt: skip
        connection = await Registry(database).add_connection(workspace.id, "slack", "team", settings)
        made: Any = Workspace(database, connection, sandbox, generate_key())  # type: ignore[arg-type]
        yield made


async def test_without_rotation_a_token_has_no_end(team: Workspace) -> None:
    authorized = await team.authorize()
    assert authorized.account is not None
    assert authorized.account.id == TEAM
    assert "refresh_token" not in await team.secrets()
    team.sandbox.clock.advance(days=400)
    assert await team.works()
    assert team.refreshes == 0


async def test_with_rotation_a_token_is_refreshed_and_its_refresh_token_used_once(team: Workspace) -> None:
    team.oauth.rotate()
    await team.authorize()
    before = await team.secrets()
    team.run_out()
    assert await team.works()
    after = await team.secrets()
    assert (team.refreshes, before["refresh_token"] != after["refresh_token"]) == (1, True)
    client = WebClient(base_url=f"{team.connection.settings['base_url']}/api/")
    with pytest.raises(SlackApiError) as used:
        client.oauth_v2_access(
            client_id=CLIENT_ID, client_secret=CLIENT_SECRET, grant_type="refresh_token",
            refresh_token=before["refresh_token"],
        )  # fmt: skip
    assert used.value.response["error"] == "invalid_refresh_token"


async def test_a_token_that_is_rejected_before_its_time_is_replaced_though_slack_answers_200(
    team: Workspace,
) -> None:
    team.oauth.rotate()
    await team.authorize()
    team.oauth.forget_access_tokens()
    assert await team.works()
    assert team.refreshes == 1


@pytest.mark.parametrize("rotates", [True, False])
async def test_a_grant_that_was_taken_back_needs_a_person(team: Workspace, *, rotates: bool) -> None:
    if rotates:
        team.oauth.rotate()
    await team.authorize()
    team.oauth.revoke_all()
    team.oauth.forget_access_tokens()
    with pytest.raises(
        AuthenticationError, match="authorize it with `unified connections authorize acme/team`"
    ):
        await team.works()
    assert (await team.state()).needs_reauth


async def test_a_connection_may_ask_for_further_scopes(team: Workspace) -> None:
    usual = {"users:read", "users:read.email", "channels:read"}
    assert await team.asked_scopes() == usual
    await team.with_settings(scopes="channels:history,users:read")
    assert await team.asked_scopes() == usual | {"channels:history"}


async def test_slacks_own_client_gets_the_same_grant(team: Workspace) -> None:
    begun = await team.authorizer.begin(team.connection, REDIRECT_URI, subject="ada", own=OWN_APP)
    code = parse_qs(urlsplit(await consented(begun.url)).query)["code"][0]
    client = WebClient(base_url=f"{team.connection.settings['base_url']}/api/")
    granted = client.oauth_v2_access(
        client_id=CLIENT_ID, client_secret=CLIENT_SECRET, code=code, redirect_uri=REDIRECT_URI
    )  # fmt: skip
    assert (granted["team"]["id"], granted["token_type"]) == (TEAM, "bot")
    assert "expires_in" not in granted.data
    with pytest.raises(SlackApiError) as twice:
        client.oauth_v2_access(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, code=code)
    assert (twice.value.response.status_code, twice.value.response["error"]) == (200, "invalid_code")


async def test_a_wrong_secret_of_the_app_is_named(team: Workspace) -> None:
    team.oauth.clients[CLIENT_ID] = "another-fake-secret"
    said = r"\(bad_client_secret\); client id and client secret are not those of one OAuth app\."
    with pytest.raises(AuthenticationError, match=said):
        await team.authorize()


async def test_an_organization_is_authorized_for_the_workspace_that_is_set(team: Workspace) -> None:
    team.sandbox._organization = frozenset({"xoxb-fake-acme"})  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="set team_id to one of its workspaces"):
        await team.authorize()
    await team.with_settings(team_id=TEAM)
    await team.authorize()
    assert await team.works()
