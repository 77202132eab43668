"""How a connection gets its first tokens: by the app's own right, with any connector, and whose account they open."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from adapters.hubspot.adapter import HubSpotAdapter
from tests.conftest import execute
from tests.unified.sync.oauth import OWN_APP, TOKEN_PATH, Case, consented
from unified.kit import registry
from unified.kit.declarations import OAuth
from unified.kit.errors import AuthenticationError, ConfigurationError, ForbiddenHostError, UnavailableError
from unified.kit.oauth import TokenEndpoint, returned
from unified.kit.oauth_app import client_of
from unified.kit.registry import register_adapter
from unified.kit.secrets import Secret
from unified.sandbox.faults import Fault
from unified.sandbox.hubspot.oauth import REDIRECT_URI
from unified.store.connections.registry import Registry
from unified.store.secrets.authorizations import OtherAccountError
from unified.store.secrets.consents import ConsentError
from unified.store.secrets.credentials.errors import CredentialNotFoundError
from unified.sync.connection import sync_stream


class ThirdParty(HubSpotAdapter):
    """An adapter of another package: it declares where OAuth is, and has no code for it."""

    name = "thirdparty"
    display_name = "Third Party"
    oauth = OAuth(token_url=TOKEN_PATH, scopes=("read", "all"), grants=("client_credentials",))


@pytest.fixture
async def third_party(case: Case, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(registry, "_ADAPTERS", {**registry._ADAPTERS, "hubspot": HubSpotAdapter})
    register_adapter(ThirdParty)
    execute(
        case.db.url,
        "INSERT INTO connectors (name, display_name, capabilities, streams) "
        "VALUES ('thirdparty', 'Third Party', '{READ}', '{customers}') ON CONFLICT DO NOTHING",
        "CALL create_source_partitions('thirdparty')",
    )
    connection = await Registry(case.db).add_connection(
        case.ref.workspace_id, "thirdparty", "other", case.connection.settings
    )
    return Case(case.db, connection, case.sandbox, case.master_key)


async def test_any_connector_that_declares_it_works_by_client_credentials(third_party: Case) -> None:
    case = third_party
    done = await case.authorizer.by_credentials(case.connection, subject="ada", own=OWN_APP)
    assert done.account is not None
    assert set(await case.secrets()) == {"access_token", "client_id", "client_secret"}
    assert case.oauth.grants[-1].scopes == ["read", "all"]
    calls = case.oauth.calls["client_credentials"]
    assert (await sync_stream(case.db, case.factory, case.connection, "customers")).is_complete
    assert case.oauth.calls["client_credentials"] == calls
    case.run_out()
    assert (await sync_stream(case.db, case.factory, case.connection, "customers")).is_complete
    assert case.oauth.calls["client_credentials"] == calls + 1
    assert case.refreshes == 0
    # A new secret of the app: an error that mends by itself once the secret is right, and no person is asked.
    case.oauth.clients["client-fake-acme"] = "another-fake-secret"
    case.run_out()
    with pytest.raises(AuthenticationError, match="invalid_client"):
        await case.works()
    assert not (await case.state()).needs_reauth
    with pytest.raises(ConfigurationError, match="only by client_credentials"):
        await case.authorizer.begin(case.connection, REDIRECT_URI, subject="ada", own=OWN_APP)


async def test_another_account_would_mix_records(case: Case) -> None:
    stored = await case.secrets()
    usual, case.oauth.account = case.oauth.account, "pat-fake-another"
    case.sandbox._keys += ("pat-fake-another",)
    case.sandbox._specs["pat-fake-another"] = case.sandbox._specs[usual]
    with pytest.raises(OtherAccountError, match="has records of account"):
        await case.authorize()
    assert await case.secrets() == stored
    assert await case.works()


async def test_a_consent_is_for_one_subject_and_one_use(case: Case) -> None:
    begun = await case.authorizer.begin(case.connection, REDIRECT_URI, subject="ada")
    answer = returned(await consented(begun.url))
    with pytest.raises(ConsentError):
        await case.authorizer.complete(answer, subject="eve")
    with pytest.raises(ConsentError):
        await case.authorizer.complete(answer, subject="ada")
    with pytest.raises(ConsentError):
        await case.authorizer.complete(answer)


async def test_a_code_without_its_verifier_is_worth_nothing(case: Case) -> None:
    """PKCE: the stand-in, as providers do, refuses a code that comes with another verifier."""
    ours = await case.authorizer.begin(case.connection, REDIRECT_URI, subject="ada")
    theirs = await case.authorizer.begin(case.connection, REDIRECT_URI, subject="ada")
    stolen = returned(await consented(theirs.url))["code"]
    with pytest.raises(Exception, match="code_verifier does not match"):
        await case.authorizer.complete({"state": ours.state.reveal(), "code": stolen}, subject="ada")
    assert await case.works()


async def test_tokens_that_open_nothing_are_not_stored(case: Case) -> None:
    stored = await case.secrets()
    case.sandbox.faults.add(Fault("status", "/account-info", status=403, times=None))
    with pytest.raises(Exception, match="403"):
        await case.authorize()
    case.sandbox.faults.clear()
    assert await case.secrets() == stored


async def test_revoking_forgets_even_what_the_provider_no_longer_knows(case: Case) -> None:
    case.oauth.revoke_all()
    await case.authorizer.revoke(case.connection, subject="ada")
    with pytest.raises(CredentialNotFoundError):
        await case.secrets()
    assert await case.authorizations.load(case.ref) is None


async def test_a_provider_that_is_down_keeps_what_should_be_revoked(case: Case) -> None:
    stored = await case.secrets()
    case.sandbox.faults.add(Fault("status", f"{TOKEN_PATH}/revoke", status=503))
    with pytest.raises(UnavailableError):
        await case.authorizer.revoke(case.connection, subject="ada")
    assert await case.secrets() == stored


# Where requests go ----------------------------------------------------------------------------------


def endpoint(adapter: Any = HubSpotAdapter, **settings: Any) -> TokenEndpoint:
    config = adapter.config_model(**settings)
    return TokenEndpoint(
        adapter, config, client_of(adapter, config, OWN_APP), label="hubspot connection acme/crm"
    )


def test_hubspots_own_addresses_are_used_where_the_connection_leaves_them() -> None:
    url = httpx.URL(endpoint().consent("https://app.example.com/callback", "state").url)
    assert (url.host, url.path) == ("app.hubspot.com", "/oauth/authorize")
    assert dict(url.params) | {"code_challenge": ""} == {
        "response_type": "code",
        "client_id": "client-fake-acme",
        "redirect_uri": "https://app.example.com/callback",
        "scope": "oauth crm.objects.contacts.read crm.objects.companies.read crm.objects.invoices.read "
        "crm.objects.line_items.read",
        "optional_scope": "crm.objects.contacts.write crm.objects.custom.read crm.objects.deals.read "
        "crm.objects.owners.read crm.objects.products.read crm.objects.quotes.read crm.schemas.custom.read tickets",
        "state": "state",
        "code_challenge": "",
        "code_challenge_method": "S256",
    }
    assert (
        endpoint()._url("https://api.hubapi.com/oauth/2026-03/token")
        == "https://api.hubapi.com/oauth/2026-03/token"
    )


@pytest.mark.parametrize("token_url", ["https://169.254.169.254/token", "https://2130706433/token", "/token"])
async def test_a_token_url_goes_through_the_same_guard(token_url: str) -> None:
    class Inward(HubSpotAdapter):
        oauth = OAuth(token_url=token_url)

    settings = {} if token_url.startswith("https") else {"base_url": "https://localhost"}
    if settings:
        Inward.config_model = type("Anywhere", (HubSpotAdapter.config_model,), {"hosts": ()})
    with pytest.raises(ForbiddenHostError, match="is not public"):
        await endpoint(Inward, **settings).refresh(Secret("refresh-fake"))


async def test_a_token_url_is_no_place_for_plain_http() -> None:
    class Plain(HubSpotAdapter):
        oauth = OAuth(token_url="http://api.example.com/token")

    with pytest.raises(ConfigurationError, match="must be https"):
        await endpoint(Plain).refresh(Secret("refresh-fake"))


async def test_a_redirect_of_the_token_endpoint_is_not_followed(case: Case) -> None:
    case.sandbox.faults.add(Fault("status", TOKEN_PATH, status=307, times=None))
    case.run_out()
    with pytest.raises(Exception, match="Redirects are not followed"):
        await case.works()


async def test_settings_that_a_grant_brings_are_kept_with_the_connection(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(case.connection.settings)
    brought = replace(HubSpotAdapter.oauth, redirect_settings={"realmId": "key_property"})
    monkeypatch.setattr(HubSpotAdapter, "oauth", brought)
    begun = await case.authorizer.begin(case.connection, REDIRECT_URI, subject="ada", own=OWN_APP)
    back = {**returned(await consented(begun.url)), "realmId": "company"}
    await case.authorizer.complete(back, subject="ada")
    assert (await case.state()).settings == {**before, "key_property": "company"}
    assert await case.works()
    (entry,) = case.execute("SELECT actor FROM audit_log WHERE action = 'connection.update'")
    assert entry == ("ada",)
