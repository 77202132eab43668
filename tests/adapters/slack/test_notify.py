"""Messages to a channel: sent once, as plain text that pings nobody, and read back by Slack's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from slack_sdk import WebClient

from tests.adapters.slack.test_conformance import SlackBench
from unified.kit.errors import NotFoundError, PermissionDeniedError, UndecidedError
from unified.sandbox.slack.records import joined_in

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = SlackBench.credentials["bot_token"]


@pytest.fixture
def bench() -> Iterator[SlackBench]:
    with SlackBench() as running:
        yield running


@pytest.fixture
def channel(bench: SlackBench) -> str:
    rows = bench.provider.account().rows["channels"]
    return next(one for one in joined_in(rows) if not rows.find(one).fields["is_archived"])  # type: ignore[union-attr]


def messages(bench: SlackBench, channel: str) -> list[str]:
    """The channel's newest messages, as Slack's client shows them."""
    client = WebClient(token=TOKEN, base_url=f"{bench.url}/api/")
    return [one["text"] for one in client.conversations_history(channel=channel, limit=3)["messages"]]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("hubspot failed: 403", "hubspot failed: 403"),
        ("<!channel> & <@U1> look", "&lt;!channel&gt; &amp; &lt;@U1&gt; look"),
        ("x" * 5_000, "x" * 3_999 + "…"),
    ],
)
async def test_a_text_is_said_as_it_is_and_pings_nobody(
    bench: SlackBench, channel: str, said: str, shown: str
) -> None:
    async with bench.open() as adapter:
        source_id = await adapter.notify(channel, said)
    assert messages(bench, channel)[0] == shown
    assert source_id.startswith(f"{channel}:")
    assert source_id.partition(":")[2] in bench.provider.account().all("messages")


async def test_a_message_whose_answer_is_lost_is_not_sent_again(bench: SlackBench, channel: str) -> None:
    bench.fault("cut", "/api/chat.postMessage")
    async with bench.open() as adapter:
        with pytest.raises(UndecidedError, match="whether it was carried out is open"):
            await adapter.notify(channel, "once")
    assert messages(bench, channel).count("once") == 1


async def test_a_limit_is_waited_for_and_the_message_sent_once(bench: SlackBench, channel: str) -> None:
    bench.fault("status", "/api/chat.postMessage", status=429, retry_after="0")
    async with bench.open() as adapter:
        await adapter.notify(channel, "after a while")
    assert messages(bench, channel).count("after a while") == 1


async def test_what_keeps_a_message_from_a_channel_is_said(bench: SlackBench, channel: str) -> None:
    rows = bench.provider.account().rows["channels"]
    elsewhere = next(
        row.id for row in rows.live() if not row.fields["is_member"] and not row.fields["is_archived"]
    )
    async with bench.open() as adapter:
        with pytest.raises(
            PermissionDeniedError, match=f"the app is not in the channel {elsewhere}; invite it"
        ):
            await adapter.notify(elsewhere, "text")
        with pytest.raises(NotFoundError, match="channel_not_found"):
            await adapter.notify("C0NOWHERE", "text")
        bench.provider.scopes[TOKEN] = frozenset({"users:read"})  # type: ignore[attr-defined]
        with pytest.raises(PermissionDeniedError, match=r"missing_scope \(needs chat:write"):
            await adapter.notify(channel, "text")
