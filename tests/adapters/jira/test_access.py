"""Who may ask Jira: apps by way of the gateway, the sites that a grant opens, and what an app may say and renew."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pytest

from adapters.jira import registering
from adapters.jira.adapter import JiraAdapter
from tests.adapters.jira.test_conformance import EMAIL, JiraBench
from unified.conformance.bench import Copy, Granted
from unified.kit.declarations import ConnectionRef
from unified.kit.errors import (
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RequestRefusedError,
    UndecidedError,
)
from unified.kit.http.answers import Answer
from unified.kit.oauth import TokenEndpoint, Tokens
from unified.kit.oauth_app import OAuthClient
from unified.kit.reading.people import Person, Reported
from unified.kit.secrets import Secret
from unified.sandbox.faults import Fault
from unified.sandbox.jira import JiraSandbox
from unified.sandbox.oauth.server import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = JiraSandbox.default_keys[1]
SITES = [JiraSandbox.cloud_id(one) for one in (EMAIL, OTHER)]


@pytest.fixture
def bench() -> Iterator[JiraBench]:
    with JiraBench() as running:
        yield running


def site(bench: JiraBench) -> JiraSandbox:
    provider = bench.provider
    assert isinstance(provider, JiraSandbox)
    return provider


def endpoint(bench: JiraBench, **settings: Any) -> TokenEndpoint:
    said = {"base_url": bench.url, "allow_private_hosts": True, **settings}
    config = JiraAdapter.config_model.model_validate(said)
    return TokenEndpoint(
        JiraAdapter, config, OAuthClient(CLIENT_ID, Secret(CLIENT_SECRET)), label="acme/jira"
    )


async def granted(bench: JiraBench) -> Tokens:
    """What a person's consent gives."""
    asked = endpoint(bench)
    consent = asked.consent(REDIRECT_URI, "state")
    query = parse_qs(urlsplit(consent.url).query)
    assert (query["audience"], query["prompt"]) == (["api.atlassian.com"], ["consent"])
    assert "offline_access" in query["scope"][0]
    async with httpx.AsyncClient() as browser:
        sent = await browser.get(consent.url)
    (code,) = parse_qs(urlsplit(sent.headers["location"]).query)["code"]
    return await asked.exchange(Secret(code), consent.verifier, REDIRECT_URI)


def opened(bench: JiraBench, token: Secret, **settings: Any) -> JiraAdapter:
    quick = {"base_url": bench.url, "allow_private_hosts": True, "retry_delay": 0, "requests_per_second": 1e6}
    return JiraAdapter(
        JiraAdapter.config_model.model_validate({**quick, **settings}),
        {},
        ConnectionRef(UUID(int=1), UUID(int=2), "acme/jira"),
        clock=bench.now,
        tokens=Granted(token.reveal()),
    )


async def test_a_grant_opens_one_site_or_says_which_there_are(bench: JiraBench) -> None:
    tokens = await granted(bench)
    assert await endpoint(bench).settings(tokens, {}) == {"cloud_id": SITES[0]}
    site(bench)._grants = {EMAIL: (EMAIL, OTHER)}
    with pytest.raises(
        ConfigurationError, match=rf"{SITES[1]} \(globex\).* set cloud_id to the one that is meant"
    ):
        await endpoint(bench).settings(tokens, {})
    assert await endpoint(bench, cloud_id=SITES[1]).settings(tokens, {}) == {"cloud_id": SITES[1]}
    async with opened(bench, tokens.access_token, cloud_id=SITES[1]) as adapter:
        assert (await adapter.test()).id == "acme.atlassian.net"
        ids = {one.source_id async for page in adapter.pull("issues", None) for one in page.records}
    assert ids == set(site(bench).account(OTHER).all("issues"))


async def test_a_refresh_token_rotates_and_the_former_one_works_for_ten_minutes(bench: JiraBench) -> None:
    first = (await granted(bench)).refresh_token
    assert first is not None
    second = (await endpoint(bench).refresh(first)).refresh_token
    assert second not in (None, first)
    bench.provider.clock.advance(seconds=500)
    await endpoint(bench).refresh(first)
    bench.provider.clock.advance(seconds=1200)
    with pytest.raises(ProviderError) as refused:
        await endpoint(bench).refresh(first)
    assert refused.value.code == "invalid_grant"
    # So the former one may be tried where the newest is lost, and is by the policy of the document.
    assert JiraAdapter.oauth is not None
    assert not JiraAdapter.oauth.reuse_revokes


async def test_a_site_that_is_not_known_or_not_granted_is_said(bench: JiraBench) -> None:
    tokens = await granted(bench)
    with pytest.raises(ConfigurationError, match="cloud_id is not set"):
        async with opened(bench, tokens.access_token):
            pass
    async with opened(bench, tokens.access_token, cloud_id=SITES[1]) as adapter:
        with pytest.raises(ConfigurationError, match=r"there is no Jira at .* correct site or cloud_id"):
            await adapter.test()


async def test_a_missing_scope_is_a_missing_right(bench: JiraBench) -> None:
    tokens = await granted(bench)
    site(bench).oauth.grants[-1].scopes = ["read:jira-work"]
    async with opened(bench, tokens.access_token, cloud_id=SITES[0]) as adapter:
        with pytest.raises(
            PermissionDeniedError, match=r"scope does not match.* may not read organizations, customers"
        ):
            await adapter.test()


# Webhooks of an app


URL, ONLY = "http://127.0.0.1:9/hook", "project = SUP"


async def test_an_app_registers_a_webhook_once(bench: JiraBench) -> None:
    tokens = await granted(bench)
    async with opened(bench, tokens.access_token, cloud_id=SITES[0]) as adapter:
        made = await adapter.register_webhook(URL, ONLY, verifier="jira_app")
        assert await adapter.register_webhook(URL, ONLY, verifier="jira_app") == made
        (one,) = site(bench)._registered.values()
        assert (one.url, one.jql, str(one.id)) == (URL, ONLY, made)
        assert {"jira:issue_deleted", "comment_created"} <= set(one.events)
        with pytest.raises(ConfigurationError, match="--verifier jira_app"):
            await adapter.register_webhook(URL, ONLY, verifier="jira")
        with pytest.raises(ConfigurationError, match="--only"):
            await adapter.register_webhook(URL, "", verifier="jira_app")
        with pytest.raises(RequestRefusedError, match="The clause is missing"):
            await registering.register(adapter.http, URL, "")
        listed = site(bench)._registered
        listed[1] = replace(listed[1], jql=cast("Any", None))
        with pytest.raises(ProtocolError, match="another form than documented"):
            await adapter.register_webhook(URL, ONLY, verifier="jira_app")
        site(bench).oauth.grants[-1].scopes = ["read:jira-work"]
        with pytest.raises(PermissionDeniedError):
            await adapter.register_webhook(URL, "project = X", verifier="jira_app")
    async with bench.open() as by_token:
        with pytest.raises(ConfigurationError, match="only an OAuth app"):
            await by_token.register_webhook(URL, ONLY, verifier="jira_app")


@pytest.mark.parametrize(
    ("ends", "is_due"),
    [
        (b"1758461600000", True),
        (b'"2026-09-21T13:33:20.000+0000"', True),
        (b'"soon"', True),
        (b"4000000000000", False),
        (b'"2096-09-21T13:33:20.000+0000"', False),
        (b"null", False),
    ],
)
def test_an_end_is_read_in_either_form(ends: bytes, *, is_due: bool) -> None:
    """Atlassian's schema has milliseconds, its examples have text."""
    listed = registering._WEBHOOK.decode(b'{"id": 1, "expirationDate": %b}' % ends)
    assert registering._is_due(listed, datetime(2026, 9, 10, tzinfo=UTC)) is is_due


async def test_a_sync_renews_an_apps_webhooks_before_they_end(bench: JiraBench) -> None:
    tokens = await granted(bench)
    site(bench).oauth.access_seconds = 1e9
    tokens = await granted(bench)
    cursor: Any = None
    async with opened(bench, tokens.access_token, cloud_id=SITES[0]) as adapter:
        await adapter.register_webhook(URL, ONLY, verifier="jira_app")
        for _ in range(8):
            copy = Copy("events", cursor=cursor)
            async for page in adapter.pull("events", copy.cursor):
                copy.add(page)
            cursor = copy.cursor
            bench.provider.clock.advance(days=9)
    assert [one.expires_at > bench.now().timestamp() for one in site(bench)._registered.values()] == [True]
    # Without the right to, a sync goes on all the same.
    site(bench).oauth.grants[-1].scopes = ["read:jira-work"]
    async with opened(bench, tokens.access_token, cloud_id=SITES[0]) as adapter:
        assert [page async for page in adapter.pull("events", cursor)]


# Saying something


async def test_an_issue_is_made_in_a_project_and_commented_on(bench: JiraBench) -> None:
    account = site(bench).account()
    async with bench.open() as adapter:
        made = await adapter.notify("SUP:Incident", "The sync of acme/books fails.\nThe key was revoked.")
        fields = account.all("issues")[made]
        assert fields["summary"] == "The sync of acme/books fails."
        assert (fields["issuetype"]["name"], fields["description"]["type"]) == ("Incident", "doc")
        said = await adapter.notify(fields["key"], "It works again.")
        assert account.all("comments")[said]["issue"] == made
        long = await adapter.notify("SUP", "x" * 300)
        assert len(account.all("issues")[long]["summary"]) == 255
        for place, kind in (
            ("somewhere else", ConfigurationError),
            ("NOPE", RequestRefusedError),
            ("SUP-9999", NotFoundError),
        ):
            with pytest.raises(kind):
                await adapter.notify(place, "x")


async def test_what_may_have_been_made_is_not_made_again(bench: JiraBench) -> None:
    before = bench.ids("issues")
    bench.fault("cut")
    async with bench.open() as adapter:
        with pytest.raises(UndecidedError):
            await adapter.notify("SUP", "Once.")
    assert len(bench.ids("issues") - before) == 1


# Whose data are kept


@pytest.mark.parametrize(
    ("said", "days"),
    [
        ("14", 14),
        (" P14D ", 14),
        ("604800", 7),
        ("86400", 1),
        ("90", 90),
        ("1000", None),
        ("P999D", None),
        ("999999999", None),
        ("", None),
        ("0", None),
        ("weekly", None),
        ("-7", None),
    ],
)
async def test_how_long_a_cycle_is(bench: JiraBench, said: str, days: int | None) -> None:
    tokens = await granted(bench)
    site(bench).cycle_period = said
    async with opened(bench, tokens.access_token, cloud_id=SITES[0]) as adapter:
        reported = await adapter.report([Person("5b10nobody", bench.now())])
    assert reported == Reported([], [], None if days is None else timedelta(days=days))


async def test_an_account_that_is_not_taken_costs_no_other(
    bench: JiraBench, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = await granted(bench)
    ids = sorted(bench.provider.account().all("people"))[:4]
    bench.provider.mutate("delete", None, "people", ids[0])
    bench.provider.clock.advance(seconds=60)
    bench.provider.mutate("update", None, "people", ids[3], displayName="Grace")
    people = [Person(one, bench.now() - timedelta(seconds=30)) for one in (*ids, "not an id")]
    async with opened(bench, tokens.access_token, cloud_id=SITES[0]) as adapter:
        reported = await adapter.report(people)
        assert (reported.closed, reported.changed) == ([ids[0]], [ids[3]])
        assert "does not take the account not an id" in caplog.text
        bench.provider.faults.add(Fault("status", "/app/report-accounts/", status=403))
        with pytest.raises(PermissionDeniedError, match="switch on the Personal data reporting API"):
            await adapter.report(people)
        bench.provider.faults.clear()


async def test_where_no_account_is_taken_that_is_an_error(bench: JiraBench) -> None:
    """It is the request that Atlassian does not take, not one odd account after the other."""
    async with opened(bench, (await granted(bench)).access_token, cloud_id=SITES[0]) as adapter:
        with pytest.raises(RequestRefusedError, match="valid accounts"):
            await adapter.report([Person(f"not an id {n}", bench.now()) for n in range(3)])
        assert await adapter.report([Person("not an id", bench.now())]) == Reported([], [])


@pytest.mark.parametrize("odd", [b"[]", b'{"accounts": 1}', b"{", b"<html>Log in</html>"])
async def test_an_odd_answer_about_accounts_is_said(bench: JiraBench, odd: bytes) -> None:
    async with opened(bench, (await granted(bench)).access_token, cloud_id=SITES[0]) as adapter:
        with answering(adapter, odd), pytest.raises(ProtocolError, match="reported accounts is unreadable"):
            await adapter.report([Person("5b10one", bench.now())])


async def test_an_odd_element_costs_no_other_and_strangers_are_nobody(bench: JiraBench) -> None:
    said = """{"accounts": [
        1, {"accountId": 2}, {"accountId": "b", "status": 3}, {"accountId": "c", "status": "new"},
        {"accountId": "a", "status": "closed"}, {"accountId": "x", "status": "closed"}
    ]}"""
    async with opened(bench, (await granted(bench)).access_token, cloud_id=SITES[0]) as adapter:
        with answering(adapter, said.encode()):
            assert await adapter.report([Person(one, bench.now()) for one in "abc"]) == Reported(
                ["a"], [], None
            )


@contextmanager
def answering(adapter: JiraAdapter, body: bytes) -> Iterator[None]:
    """What no stand-in answers."""

    async def exchange(*_: Any, **__: Any) -> Answer:
        return Answer(200, {}, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter.http, "exchange", exchange)
        yield
