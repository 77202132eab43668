"""Slack's own client reads the same workspace as the adapter, and finds the same in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from tests.adapters.slack.test_conformance import SlackBench
from unified.conformance.bench import Copy
from unified.sandbox.slack.account import workspace_of
from unified.sandbox.slack.records import joined_in
from unified.sandbox.tables.api import RequestLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = SlackBench.credentials["bot_token"]


@pytest.fixture(scope="module")
def bench() -> Iterator[SlackBench]:
    with SlackBench() as running:
        yield running


@pytest.fixture
def client(bench: SlackBench) -> WebClient:
    return WebClient(token=TOKEN, base_url=f"{bench.url}/api/")


def everything(pages: Any, of: str) -> dict[str, dict[str, Any]]:
    """What the client finds by going from page to page, by id."""
    found = [one for page in pages for one in page[of]]
    named = {one.get("id") or one["ts"]: one for one in found}
    assert len(named) == len(found)
    return named


async def stored(bench: SlackBench, stream: str, **settings: Any) -> Copy:
    copy = Copy(stream)
    await bench.sync(copy, **settings)
    return copy


async def test_people_count_alike(bench: SlackBench, client: WebClient) -> None:
    ours = await stored(bench, "users")
    theirs = everything(client.users_list(limit=50), "members")
    people = {name: one for name, one in theirs.items() if not one["is_bot"] and name != "USLACKBOT"}
    assert ours.records == {name: one for name, one in people.items() if not one["deleted"]}
    assert {name for name, one in people.items() if one["deleted"]} <= set(ours.gone)
    assert len(theirs) > len(people) > len(ours.records) > 100


async def test_channels_count_alike(bench: SlackBench, client: WebClient) -> None:
    for kinds in ("public_channel", "public_channel,private_channel"):
        ours = await stored(bench, "channels", channel_types=kinds)
        assert ours.records == everything(client.conversations_list(limit=7, types=kinds), "channels")


async def test_messages_count_alike(bench: SlackBench, client: WebClient) -> None:
    ours = await stored(bench, "messages", channel_types="public_channel,private_channel")
    theirs = {}
    for channel in joined_in(bench.provider.account().rows["channels"]):
        found = everything(client.conversations_history(channel=channel, limit=4), "messages")
        assert list(found) == sorted(found, reverse=True)
        theirs |= {f"{channel}:{ts}": {**one, "channel": channel} for ts, one in found.items()}
    assert ours.records == theirs
    assert len(theirs) > 100


async def test_the_workspace_is_the_same_one(bench: SlackBench, client: WebClient) -> None:
    async with bench.open() as adapter:
        account = await adapter.test()
    assert account.id == client.auth_test()["team_id"] == workspace_of(TOKEN)
    assert account.name == client.team_info()["team"]["name"]


def test_single_records_and_threads_are_found(bench: SlackBench, client: WebClient) -> None:
    person = min(bench.ids("users"))
    assert client.users_info(user=person)["user"]["id"] == person
    messages = bench.provider.account().rows["messages"]
    answer = next(row for row in messages.live() if "thread_ts" in row.fields)
    thread = client.conversations_replies(channel=answer.fields["channel"], ts=answer.fields["thread_ts"])
    assert [one["ts"] for one in thread["messages"]] == [answer.fields["thread_ts"], answer.id]


def test_refusals_are_those_that_the_client_knows(bench: SlackBench, client: WebClient) -> None:
    for call, word in (
        (lambda: client.users_info(user="U0NOBODY"), "user_not_found"),
        (lambda: client.conversations_history(channel="C0NOWHERE"), "channel_not_found"),
        (lambda: client.users_list(cursor="nonsense", limit=5), "invalid_cursor"),
        (lambda: client.api_call("users.nonsense"), "unknown_method"),
        (lambda: WebClient(token="xoxb-other", base_url=client.base_url).auth_test(), "invalid_auth"),
    ):
        with pytest.raises(SlackApiError) as refused:
            call()  # type: ignore[no-untyped-call]
        assert (refused.value.response.status_code, refused.value.response["error"]) == (200, word)


def test_the_client_waits_as_long_as_a_limit_says(bench: SlackBench, client: WebClient) -> None:
    bench.provider.set_limits(RequestLimit(1, 1))
    try:
        for _ in range(5):
            client.users_info(user=min(bench.ids("users")))
        client.users_list(limit=5)
        with pytest.raises(SlackApiError) as limited:
            client.users_list(limit=5)
        assert limited.value.response.status_code == 429
        assert limited.value.response["error"] == "ratelimited"
        assert int(limited.value.response.headers["Retry-After"]) >= 1
        client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=2))
        assert client.users_list(limit=5)["ok"]
    finally:
        bench.provider.set_limits(None)
