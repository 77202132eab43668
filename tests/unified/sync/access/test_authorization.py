"""Refreshing OAuth tokens: once for all who ask, never used before stored, and an error when only a person can help."""

import asyncio
import logging
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unified.sync.oauth import TOKEN_PATH, Case
from tests.unified.sync.source import until
from unified.kit.errors import AuthenticationError, ConfigurationError, UnavailableError
from unified.kit.oauth import Tokens
from unified.kit.secrets import Secret
from unified.sandbox.faults import Fault
from unified.store import audit
from unified.store.connections import turns
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.errors import UnreachableError
from unified.store.secrets.authorizations import Authorizations
from unified.sync.access.authorization import pair_of
from unified.sync.connection import sync_stream
from unified.sync.errors import PullError


async def test_a_fresh_token_is_used_as_it_is(case: Case) -> None:
    assert await case.works()
    assert await case.works()
    assert case.refreshes == 0


async def test_a_token_that_is_due_is_refreshed_before_it_is_used(case: Case) -> None:
    case.run_out()
    before = await case.secrets()
    assert await case.works()
    after = await case.secrets()
    assert case.refreshes == 1
    assert case.sandbox.stats.statuses[401] == 0
    assert after["refresh_token"] != before["refresh_token"]
    assert after["former_refresh_token"] == before["refresh_token"]
    assert await case.works()
    assert case.refreshes == 1


async def test_it_is_replaced_in_the_last_fifth_of_its_life(case: Case) -> None:
    tokens = await case.tokens()
    first = await tokens.current()
    stored = {
        info.field: info for info in await case.credentials.describe(case.ref.workspace_id, case.ref.id)
    }
    info = stored["access_token"]
    assert info.expires_at is not None
    life = info.expires_at - info.updated_at
    assert timedelta(seconds=1790) < life <= timedelta(seconds=1800)
    for share, refreshes in ((0.5, 0), (0.84, 1)):  # five minutes of thirty are its last sixth
        moment = info.updated_at + share * life
        tokens = await case.tokens()
        tokens._clock = lambda moment=moment: moment
        assert (await tokens.current() == first) is (refreshes == 0)
        assert case.refreshes == refreshes


async def test_a_token_that_is_rejected_before_its_time_is_refreshed_and_the_request_sent_again(
    case: Case,
) -> None:
    case.oauth.forget_access_tokens()
    adapter = await case.factory.create(case.ref.workspace_id, case.ref.id, purpose="test")
    async with adapter:
        await adapter.test()
        # The account, again with the new token, and four kinds of records that the token must read.
        assert (adapter.http.traffic.requests, adapter.http.traffic.retries) == (6, 1)
    assert case.refreshes == 1


async def test_a_rejection_that_a_new_token_does_not_end_is_told_after_one_refresh(case: Case) -> None:
    case.sandbox.faults.add(Fault("revoked", path="/account-info", times=None))
    with pytest.raises(AuthenticationError, match="wrong or revoked"):
        await case.works()
    assert case.refreshes == 1
    assert not (await case.state()).needs_reauth


async def test_a_long_pull_outlives_its_tokens(case: Case) -> None:
    """Each access token ends after two requests; the pull does not notice."""
    counted = case.sandbox.authenticate
    served = 0
    settings = {**case.connection.settings, "concurrency": 1}
    await Registry(case.db).update_connection(case.ref.workspace_id, case.ref.id, settings=settings)

    def authenticate(key: str | None) -> Any:
        nonlocal served
        served += 1
        if served % 3 == 0:
            case.oauth.forget_access_tokens()
        return counted(key)

    case.sandbox.authenticate = authenticate  # type: ignore[method-assign]
    result = await sync_stream(case.db, case.factory, case.connection, "customers")
    assert result.is_complete
    assert result.inserted == result.source_count == case.sandbox.account().source_counts()["contacts"]
    assert case.refreshes > 2
    assert (await case.state()).sync_status == "success"


async def test_an_expiry_in_mid_pull_is_noticed_without_a_rejection(case: Case) -> None:
    # The provider's clock stands still: for us each token is due as soon as it is there, and there it lasts.
    case.sandbox.clock.set(case.sandbox.clock.time())
    case.oauth.access_seconds = 0.001
    case.run_out()
    result = await sync_stream(case.db, case.factory, case.connection, "customers")
    assert result.inserted == result.source_count == case.sandbox.account().source_counts()["contacts"]
    assert case.refreshes > 2
    assert case.sandbox.stats.statuses[401] == 0


async def test_fifty_refreshers_at_once_make_one_call(case: Case) -> None:
    case.run_out()
    case.sandbox.latency_ms = 100
    found = await asyncio.gather(*[(await case.tokens()).current() for _ in range(50)])
    assert len({token.reveal() for token in found}) == 1
    assert case.refreshes == 1


async def test_a_provider_that_names_no_refresh_token_leaves_the_former_in_force(case: Case) -> None:
    case.oauth.rotates = case.oauth.names_refresh_token = False
    before = await case.secrets()
    for _ in range(2):
        case.run_out()
        assert await case.works()
    after = await case.secrets()
    assert after["refresh_token"] == before["refresh_token"]
    assert "former_refresh_token" not in after


@pytest.mark.parametrize(
    "trouble",
    [
        Fault("status", TOKEN_PATH, status=503, times=None),
        Fault("html", TOKEN_PATH, status=200, times=None),
        Fault("malformed", TOKEN_PATH, times=None),
        Fault("status", TOKEN_PATH, status=429, times=None),
    ],
    ids=["503", "HTML", "malformed JSON", "429"],
)
async def test_other_trouble_leaves_all_as_it_was_and_waits(case: Case, trouble: Fault) -> None:
    case.oauth.rotates = False
    case.run_out()
    before = await case.secrets()
    case.sandbox.faults.add(trouble)
    with pytest.raises(Exception, match="hubspot connection acme/crm: POST /hubspot/oauth"):
        await case.works()
    with pytest.raises(UnavailableError, match=r"could not be refreshed.*the next attempt is after"):
        await case.works()
    assert case.sandbox.stats.requests[f"POST {TOKEN_PATH}"] == 1
    assert await case.secrets() == before
    assert not (await case.state()).needs_reauth
    case.sandbox.faults.clear()
    case.execute("UPDATE authorizations SET next_attempt_at = now()")
    assert await case.works()
    assert case.execute("SELECT failures, next_attempt_at, error FROM authorizations") == [(0, None, None)]


async def test_the_wait_between_failures_doubles(case: Case) -> None:
    state = await case.authorizations.load(case.ref)
    assert state is not None
    waits = []
    fence = state.fence
    for _ in range(9):
        lease = await case.authorizations.lease(case.ref, fence)
        assert lease is not None
        await case.authorizations.fail(lease, "no")
        fence = lease.fence
        ((wait,),) = case.execute("SELECT extract(epoch FROM next_attempt_at - now()) FROM authorizations")
        waits.append(round(float(wait) + 0.4))
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


async def test_a_token_that_is_still_good_is_used_while_no_other_can_be_had(case: Case) -> None:
    case.sandbox.faults.add(Fault("status", TOKEN_PATH, status=503, times=None))
    tokens = await case.tokens()
    first = await tokens.current()
    later = datetime.now(UTC) + timedelta(minutes=26)
    tokens = await case.tokens()
    tokens._clock = lambda: later
    with pytest.raises(UnavailableError):
        await tokens.current()
    assert await tokens.current() == first
    assert await tokens.current() == first
    assert case.sandbox.stats.requests[f"POST {TOKEN_PATH}"] == 1


async def test_a_revoked_grant_waits_for_a_person_and_says_so_everywhere(case: Case) -> None:
    case.oauth.revoke_all()
    case.run_out()
    with pytest.raises(PullError) as caught:
        await sync_stream(case.db, case.factory, case.connection, "customers")
    told = str(caught.value)
    assert "no longer honours its authorization" in told
    assert "`unified connections authorize acme/crm`" in told
    assert not caught.value.retry
    state = await case.state()
    assert state.needs_reauth
    assert (state.sync_status, state.error_message) == ("error", told)
    with pytest.raises(PullError) as again:
        await sync_stream(case.db, case.factory, case.connection, "customers")
    assert str(again.value).count("no longer honours") == 1
    assert str(again.value).count("authorize it") == 1
    calls = case.refreshes
    for _ in range(2):
        with pytest.raises(AuthenticationError, match="no longer honours"):
            await case.works()
    assert case.refreshes == calls
    later = datetime.now(UTC) + timedelta(days=1)
    assert await turns.due(case.db, later) == []

    await case.authorize(own=None)  # its own app is stored

    state = await case.state()
    assert (state.needs_reauth, state.sync_status, state.error_message) == (False, "idle", None)
    assert [one.key for one in await turns.due(case.db, later)] == ["acme/crm"]
    assert (await sync_stream(case.db, case.factory, case.connection, "customers")).is_complete


async def test_without_a_refresh_token_a_person_is_needed_once_the_access_token_is_over(case: Case) -> None:
    case.run_out()
    case.execute("DELETE FROM connector_credentials WHERE field = 'refresh_token'")
    with pytest.raises(AuthenticationError, match="there is no refresh token, or it has expired"):
        await case.works()
    assert (await case.state()).needs_reauth
    assert case.refreshes == 0


async def test_a_pair_that_somebody_else_stored_is_taken_where_the_old_one_is_refused(case: Case) -> None:
    """A refresher that was held up before it asked, while another one finished."""
    tokens = await case.tokens()
    case.run_out()
    stale = await case.credentials.release(case.ref.workspace_id, case.ref.id, actor="test", purpose="test")
    assert await case.works()
    stored = await case.secrets()
    release = tokens._release
    first = [stale]

    async def stale_at_first() -> Any:
        return first.pop() if first else await release()

    tokens._release = stale_at_first  # type: ignore[method-assign]
    assert (await tokens.current()).reveal() == stored["access_token"]
    assert await case.secrets() == stored
    assert not (await case.state()).needs_reauth


async def test_the_former_token_is_tried_once_where_the_newest_is_unknown(case: Case) -> None:
    """The provider lost what it had just given: its former token still works."""
    case.oauth.grace_seconds = 3600
    case.run_out()
    assert await case.works()
    stored = await case.secrets()
    del case.oauth._issued[stored["refresh_token"]]
    case.run_out()
    assert await case.works()
    assert case.refreshes == 3
    after = await case.secrets()
    assert after["refresh_token"] not in (stored["refresh_token"], stored["former_refresh_token"])
    case.run_out()
    assert await case.works()


async def test_a_cancelled_request_does_not_cut_a_refresh_off(case: Case) -> None:
    case.run_out()
    case.sandbox.latency_ms = 200
    before = await case.secrets()
    running = asyncio.create_task((await case.tokens()).current())
    await until(lambda: case.sandbox.stats.in_flight > 0, running.done)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await case.secrets())["refresh_token"] != before["refresh_token"]
    assert await case.works()
    assert case.refreshes == 1


async def test_a_database_that_is_away_for_a_moment_costs_no_pair(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, failures = Authorizations.store, [UnreachableError("gone"), UnreachableError("gone")]

    async def store_later(self: Authorizations, *args: Any, **kwargs: Any) -> bool:
        if failures:
            raise failures.pop()
        return await store(self, *args, **kwargs)

    monkeypatch.setattr(Authorizations, "store", store_later)
    case.run_out()
    assert await case.works()
    assert not failures
    assert case.refreshes == 1


async def test_no_error_log_or_audit_entry_holds_a_token(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    planted = dict(await case.secrets())
    shown: list[str] = []
    for trouble in (
        lambda: case.sandbox.faults.add(Fault("status", TOKEN_PATH, status=500, times=1)),
        lambda: case.sandbox.faults.add(Fault("malformed", TOKEN_PATH, times=1)),
        case.oauth.revoke_all,  # the stand-in quotes the token that it refuses
    ):
        case.run_out()
        case.execute("UPDATE authorizations SET next_attempt_at = NULL, failures = 0, error = NULL")
        trouble()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - each has another one
            await case.works()
        planted |= {f"{name} later": secret for name, secret in (await case.secrets()).items()}
        shown += traceback.format_exception(caught.value)
    tokens = await case.tokens()
    shown += [repr(tokens), repr(tokens._held), str((await case.state()).error_message)]
    async with case.db.workspace(case.ref.workspace_id) as conn:
        shown += map(repr, await audit.entries(conn))
    shown += [record.getMessage() for record in caplog.records]
    public = {planted.pop("client_id"), planted.pop("client_id later")}
    assert len(public) == 1
    assert len(set(planted.values())) >= 3
    assert len(shown) > 30
    assert not [line for line in shown for secret in planted.values() if secret in line]


async def test_each_attempt_is_on_record_before_it_is_made(case: Case) -> None:
    case.run_out()
    assert await case.works()
    async with case.db.workspace(case.ref.workspace_id) as conn:
        entries = await audit.entries(conn)
    kinds = [one.action for one in reversed(entries) if one.action.startswith("oauth.")]
    assert kinds == ["oauth.begin", "oauth.authorize", "oauth.attempt", "oauth.refresh"]


async def test_what_is_stored_by_a_lower_fence_is_not_stored(case: Case) -> None:
    state = await case.authorizations.load(case.ref)
    assert state is not None
    late = await case.authorizations.lease(case.ref, state.fence)
    assert late is not None
    assert await case.authorizations.lease(case.ref, late.fence) is None  # it is taken
    case.end_lease()
    assert await case.authorizations.lease(case.ref, state.fence) is None  # somebody had it since
    prompt = await case.authorizations.lease(case.ref, late.fence)
    assert prompt is not None

    def pair(name: str) -> Any:
        return pair_of(Tokens(Secret(f"access-{name}"), 60, Secret(f"refresh-{name}")), datetime.now(UTC))

    assert await case.authorizations.store(prompt, pair("prompt"), used=None)
    assert not await case.authorizations.store(late, pair("late"), used=None)
    assert not await case.authorizations.give_up(late, "no")
    assert (await case.secrets())["refresh_token"] == "refresh-prompt"
    assert not (await case.state()).needs_reauth


async def test_a_new_consent_wins_over_a_refresh_under_way(case: Case) -> None:
    case.run_out()
    case.sandbox.latency_ms = 150
    running = asyncio.create_task((await case.tokens()).current())
    await until(lambda: case.sandbox.stats.in_flight > 0, running.done)
    case.sandbox.latency_ms = 0
    await case.authorize()
    consented = (await case.secrets())["refresh_token"]
    await running
    assert (await case.secrets())["refresh_token"] == consented
    assert await case.works()


async def test_a_connection_has_a_key_or_an_authorization(case: Case) -> None:
    place = case.ref.workspace_id, case.ref.id
    key = case.sandbox._specs and next(iter(case.sandbox._specs))
    await case.credentials.put(*place, "bearer_token", {"access_token": Secret(key)}, replace=True)
    assert await case.secrets() == {"access_token": key}
    assert await case.authorizations.load(case.ref) is None
    assert await case.works()
    await case.authorize()
    assert set(await case.secrets()) == {"access_token", "refresh_token", "client_id", "client_secret"}
    assert await case.works()


async def test_the_deployments_app_is_used_at_the_connectors_own_address_only(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def authorize() -> Connection:
        await case.credentials.delete(case.ref.workspace_id, case.ref.id)
        return (await case.authorize(own=None)) and await case.state()

    with pytest.raises(ConfigurationError, match="set both UNIFIED_OAUTH_HUBSPOT_CLIENT_ID and"):
        await authorize()
    monkeypatch.setenv("UNIFIED_OAUTH_HUBSPOT_CLIENT_ID", "client-fake-acme")
    with pytest.raises(ConfigurationError, match="set both"):
        await authorize()
    monkeypatch.setenv("UNIFIED_OAUTH_HUBSPOT_CLIENT_SECRET", "secret-fake-acme")
    with pytest.raises(ConfigurationError, match="base_url is not HubSpot's own"):
        await authorize()
    monkeypatch.setenv("UNIFIED_OAUTH_HUBSPOT_BASE_URL", case.connection.settings["base_url"])
    await authorize()
    assert set(await case.secrets()) == {"access_token", "refresh_token"}
    case.run_out()
    assert await case.works()
