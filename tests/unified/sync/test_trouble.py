"""A source that refuses, fails or lies: the error says where and why, and the next sync ends complete."""

import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.conftest import execute
from tests.unified.sync.source import KEYS, Source
from unified.kit.errors import (
    AuthenticationError,
    NotFoundError,
    ProtocolError,
    ProviderError,
    RateLimitedError,
    UnavailableError,
)
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.secrets.credentials.errors import CredentialNotFoundError
from unified.sync.errors import PullError
from unified.sync.pull import PullResult

Act = Callable[[Source], Awaitable[None]]


async def nothing(source: Source) -> None:
    source.sandbox.faults.clear()


def fault(kind: str, **how: Any) -> Act:
    async def act(source: Source) -> None:
        source.fault(kind, times=None, **how)

    return act


async def wrong_key(source: Source) -> None:
    await source.use_key({"stripe": "sk_test_fake_wrong", "hubspot": "pat-fake-wrong"}[source.connector])


async def right_key(source: Source) -> None:
    await source.use_key(source.secret)


def base_url(find: Callable[[Source], str]) -> tuple[Act, Act]:
    before: list[str] = []

    async def break_it(source: Source) -> None:
        before.append(source.connection.settings["base_url"])
        await source.configure(base_url=find(source))

    async def mend_it(source: Source) -> None:
        await source.configure(base_url=before[-1])

    return break_it, mend_it


def closed_port(_: Source) -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


# What breaks it, what mends it, the error behind, a part of its message, and whether a retry may help.
TROUBLES: dict[str, tuple[Act, Act, type[ProviderError], str, bool]] = {
    "wrong key": (wrong_key, right_key, AuthenticationError, "wrong or revoked", False),
    "revoked key": (fault("revoked"), nothing, AuthenticationError, "wrong or revoked", False),
    "unreachable host": (*base_url(closed_port), UnavailableError, "check its address and the network", True),
    "wrong base url": (
        *base_url(lambda source: f"{source.connection.settings['base_url']}/elsewhere"),
        NotFoundError,
        "Is base_url right?",
        False,
    ),
    "HTML": (fault("html", status=200), nothing, ProtocolError, "HTML instead of JSON", True),
    "malformed JSON": (fault("malformed"), nothing, ProtocolError, "not the JSON it documents", True),
    "cut connections": (fault("cut"), nothing, UnavailableError, "got no answer", True),
    "a provider that is down": (fault("status", status=503), nothing, UnavailableError, "503", True),
    "a storm of 429": (fault("status", status=429), nothing, RateLimitedError, "429", True),
    "a storm of 429 that says when": (
        fault("status", status=429, retry_after="0"), nothing, RateLimitedError, "429", True
    ),
    "a wait beyond any run": (
        fault("status", status=429, retry_after="3600"), nothing, RateLimitedError, "The next run", False
    ),
}  # fmt: skip


async def test_trouble_is_told_and_changes_nothing(
    source: Source, subtests: pytest.Subtests, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await source.sync()
    someone = list(source.expected())[2]
    for name, (break_it, mend_it, kind, words, may_pass) in TROUBLES.items():
        with subtests.test(name):
            source.rename(someone, name)
            cursor, stored = await source.cursor(), await source.stored()
            await break_it(source)
            try:
                error = await source.assert_fails()
            finally:
                await mend_it(source)

            assert isinstance(error.__cause__, kind)
            assert words in str(error)
            assert error.retry is may_pass
            assert await source.cursor() == cursor
            assert await source.stored() == stored
            assert (await source.sync()).updated == 1
            await source.assert_agrees()
            assert (await source.state()).sync_status == "success"
    assert source.secret not in caplog.text


PASSING: dict[str, dict[str, Any]] = {
    "malformed JSON": {"kind": "malformed"},
    "HTML": {"kind": "html", "status": 502},
    "a cut connection": {"kind": "cut"},
    "429 with Retry-After": {"kind": "status", "status": 429, "retry_after": "0", "times": 2},
    "429 without": {"kind": "status", "status": 429, "times": 2},
    "500": {"kind": "status", "status": 500, "times": 2},
}


async def test_trouble_that_passes_is_retried(source: Source, subtests: pytest.Subtests) -> None:
    for name, trouble in PASSING.items():
        with subtests.test(name):
            source.sandbox.faults.clear()
            source.fault(**trouble, skip=3)
            result = await source.sync(full=True)
            assert result.retries == trouble.get("times", 1)
            assert result.refused == (result.retries if trouble.get("status") == 429 else 0)
            await source.assert_agrees()


async def test_a_key_revoked_in_mid_pull_keeps_what_was_read(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unified.sync.pull.BATCH_RECORDS", 1)
    await source.configure(concurrency=1)
    source.fault("revoked", skip={"stripe": 5, "hubspot": 6}[source.connector], times=None)
    error = await source.assert_fails()
    assert isinstance(error.__cause__, AuthenticationError)
    kept, cursor = await source.stored(), await source.cursor()
    assert 0 < len(kept) < len(source.expected())
    assert cursor is not None
    assert (await source.history())[0].records_read == len(kept)

    source.sandbox.faults.clear()
    result = await source.sync()

    assert (result.mode, result.is_complete) == ("full", True)
    assert result.inserted == result.read == len(source.expected()) - len(kept)
    await source.assert_agrees()


@pytest.mark.parametrize("connector", KEYS)
async def test_what_the_source_no_longer_knows_as_changes_is_read_anew(
    source_of: Callable[..., Awaitable[Source]], connector: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = await source_of(connector, behind=100)
    await source.sync()
    # Stripe keeps events for 30 days, HubSpot what was archived for 90.
    source.sandbox.clock.advance(days=100)
    result = await source.sync()
    assert (result.mode, result.is_complete) == ("full", True)
    assert "are read again" in caplog.text
    await source.assert_agrees()
    assert (await source.sync()).mode == "incremental"


async def test_a_page_that_repeats_is_refused(source: Source) -> None:
    await source.configure(concurrency=1)
    # Stripe: the key's check and the newest windows come first. HubSpot: two searches tell the range of ids.
    path, skip = {"stripe": ("/v1/customers", 5), "hubspot": ("/crm/objects/2026-09/contacts/search", 3)}[
        source.connector
    ]
    source.fault("repeat", path, skip=skip, times=None)
    error = await source.assert_fails()
    assert isinstance(error.__cause__, ProtocolError)
    assert len(await source.stored()) < len(source.expected())
    source.sandbox.faults.clear()
    await source.sync()
    await source.assert_agrees()


async def test_what_fails_before_the_source_is_asked_is_told_as_well(stripe: Source) -> None:
    await stripe.query("DELETE FROM connector_credentials RETURNING id")
    error = await stripe.assert_fails()
    assert isinstance(error.__cause__, CredentialNotFoundError)
    assert not error.retry
    assert stripe.requests == 0
    # Another stream's success hides it no more than it does any other failure.
    await stripe.use_key(KEYS["stripe"])
    await stripe.sync("events")
    assert (await stripe.state()).error_message == str(error)
    await stripe.sync()
    assert (await stripe.state()).sync_status == "success"


async def test_a_connection_removed_in_mid_pull_stays_removed(
    source: Source, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unified.sync.pull.BATCH_RECORDS", 1)

    def remove(_: PullResult) -> None:
        execute(database_url, "DELETE FROM connector_configs")

    with pytest.raises(PullError) as caught:
        await source.sync(on_progress=remove)
    assert isinstance(caught.value.__cause__, ConnectionNotFoundError)
    assert str(caught.value).startswith("acme/main: customers: there is no connection")
    assert len(await source.stored()) == (await source.query("SELECT count(*) FROM {leaf}"))[0][0] < 201
    with pytest.raises(PullError, match="there is no connection"):
        await source.sync()


async def test_a_fault_of_our_own_leaves_a_state_and_no_value(
    stripe: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"something about {stripe.secret}")

    monkeypatch.setattr("adapters.stripe.mapping._first_tax_id", broken)
    with pytest.raises(RuntimeError):
        await stripe.sync()
    state = await stripe.state()
    assert state.sync_status == "error"
    assert state.error_message == "acme/main: customers: failed unexpectedly (RuntimeError); see the log"
    monkeypatch.undo()
    await stripe.sync()
    await stripe.assert_agrees()
