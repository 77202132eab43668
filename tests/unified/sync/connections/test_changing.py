"""Connections and their secrets: what is tried, what is stored, and what is left where something fails."""

from typing import Any

import pytest

from tests.unified.sync.conftest import COMMON, KEYS
from tests.unified.sync.source import Source
from unified.kit.secrets import Secret
from unified.kit.settings import UnusableSettingsError
from unified.store.connections import approval
from unified.store.connections.approval import ConnectionNotApprovedError
from unified.store.errors import DuplicateNameError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import KeyProvider, LocalKeyProvider, MasterKeyError, generate_key
from unified.store.workspaces import workspaces
from unified.sync.connections.changing import Connections
from unified.sync.connections.wanted import CredentialFieldsError, NewConnection
from unified.sync.errors import CredentialRefusedError

KEY = {"api_key": Secret(KEYS["stripe"])}
WRONG = {"api_key": Secret("sk_test_fake_nobody")}


def connections(source: Source, provider: KeyProvider | None = None) -> Connections:
    credentials = CredentialStore(source.db, provider or LocalKeyProvider([source.master_key]))
    return Connections(source.db, credentials, actor="tests")


def another(source: Source, **parts: Any) -> NewConnection:
    settings = {**source.connection.settings, **COMMON}
    return NewConnection(**{"connector": "stripe", "name": "other", "settings": settings, **parts})


async def names(source: Source) -> list[str]:
    return [one.name for one in await source.registry.connections(source.connection.workspace_id)]


async def approve(source: Source, connection_id: Any) -> None:
    await approval.decide(source.db, source.connection.workspace_id, connection_id, "approved", actor="tests")


async def test_a_connection_is_tried_and_then_stored_with_its_secret(stripe: Source) -> None:
    workspace_id = stripe.connection.workspace_id
    added, trial = await connections(stripe).add(workspace_id, another(stripe, secrets=KEY))
    assert trial is not None
    assert trial.account is not None
    tested, again = await connections(stripe).test(workspace_id, added.id)
    assert again.account == trial.account
    assert (tested.tested_at is not None, tested.test_error) == (True, None)


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ({"secrets": WRONG}, CredentialRefusedError),
        ({"secrets": {"password": Secret("planted")}}, CredentialFieldsError),
        ({"settings": {"retry_count": 99}, "secrets": KEY}, UnusableSettingsError),
        ({"name": "main", "secrets": KEY}, DuplicateNameError),
    ],
)
async def test_what_is_refused_leaves_nothing(
    stripe: Source, parts: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as refused:
        await connections(stripe).add(stripe.connection.workspace_id, another(stripe, **parts))
    assert "planted" not in str(refused.value)
    assert await names(stripe) == ["main"]


async def test_a_connection_whose_secret_can_not_be_stored_is_not_added(stripe: Source) -> None:
    stranger = connections(stripe, LocalKeyProvider([generate_key()]))
    with pytest.raises(MasterKeyError):
        await stranger.add(stripe.connection.workspace_id, another(stripe, secrets=KEY))
    assert await names(stripe) == ["main"]


async def test_until_it_is_approved_a_credential_is_used_for_nothing(stripe: Source) -> None:
    workspace_id = stripe.connection.workspace_id
    await workspaces.update(stripe.db, workspace_id, requires_approval=True)
    work, asked = connections(stripe), stripe.sandbox.stats.requests.total()
    added, trial = await work.add(workspace_id, another(stripe, secrets=WRONG))
    assert (added.approval, trial) == ("pending", None)
    for attempt in (work.change(added, secrets=KEY), work.test(workspace_id, added.id)):
        with pytest.raises(ConnectionNotApprovedError):
            await attempt
    assert (await work.change(added, secrets=KEY, test=False)).trial is None
    assert stripe.sandbox.stats.requests.total() == asked
    await approve(stripe, added.id)
    assert (await work.test(workspace_id, added.id))[1].account is not None


async def test_a_secret_that_the_provider_refuses_replaces_none(stripe: Source) -> None:
    work, workspace_id = connections(stripe), stripe.connection.workspace_id
    with pytest.raises(CredentialRefusedError, match="nothing was stored"):
        await work.change(stripe.connection, secrets=WRONG)
    assert (await work.test(workspace_id, stripe.connection.id))[1].account is not None
    # Settings are tried together with the secret that stays.
    nowhere = {"base_url": f"{stripe.connection.settings['base_url']}/nowhere", "retry_count": 0}
    with pytest.raises(CredentialRefusedError):
        await work.change(stripe.connection, settings=nowhere)
    stored = await stripe.registry.get_connection(workspace_id, stripe.connection.id)
    assert stored.settings == stripe.connection.settings
