"""Slack's events: whose one is, what it means, and when the workspace has to be asked all the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest

from adapters.slack.adapter import SlackAdapter
from tests.adapters.slack.test_adapter import mapped
from tests.adapters.slack.test_conformance import SlackBench
from unified.conformance.bench import Copy
from unified.conformance.webhooks import _events, _receiver
from unified.kit.errors import MappingError
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.owners import Owner, Reader, belongs_to
from unified.kit.webhooks.verifiers import SlackVerifier
from unified.sandbox.slack.account import workspace_of
from unified.sandbox.slack.records import joined_in
from unified.sandbox.webhooks import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = SlackBench.credentials["bot_token"]
AT = 1_790_000_000


@pytest.fixture(scope="module")
def bench() -> Iterator[SlackBench]:
    with SlackBench() as running:
        yield running


def received(event: dict[str, Any], **envelope: Any) -> ReceivedEvent:
    said = {
        "type": "event_callback",
        "event_id": "Ev1",
        "event_time": AT,
        "team_id": "T1",
        "event": event,
        **envelope,
    }
    body = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
    return ReceivedEvent("Ev1", str(event.get("type", said["type"])), None, body)


def delivered(bench: SlackBench, change: str, *about: Any, **fields: Any) -> list[ReceivedEvent]:
    """What the stand-in delivers of a change."""
    with _receiver(bench) as (url, taken):
        bench.provider.webhooks.add(Endpoint(TOKEN, url, bench.webhook_secret))
        bench.provider.mutate(change, None, *about, **fields)
        assert bench.provider.webhooks.wait(30)
        bench.provider.webhooks.clear()
    return [event for one in taken for event in _events(bench, one)]


@pytest.mark.parametrize(
    ("event", "fetched"),
    [
        ({"type": "team_join", "user": {"id": "U1"}}, {"users": ["U1"]}),
        ({"type": "user_change", "user": {"id": "W1", "deleted": True}}, {"users": ["W1"]}),
        ({"type": "user_profile_changed", "user": {"id": "U1"}}, {"users": ["U1"]}),
        ({"type": "channel_created", "channel": {"id": "C1"}}, {"channels": ["C1"]}),
        ({"type": "channel_rename", "channel": {"id": "C1"}}, {"channels": ["C1"]}),
        ({"type": "channel_archive", "channel": "C1", "user": "U1"}, {"channels": ["C1"]}),
        ({"type": "channel_deleted", "channel": "C1"}, {"channels": ["C1"]}),
        (
            {"type": "channel_id_changed", "old_channel_id": "C1", "new_channel_id": "C2"},
            {"channels": ["C1", "C2"]},
        ),
        ({"type": "group_rename", "channel": {"id": "G1"}}, {}),
        ({"type": "channel_rename", "channel": {"id": "../C1"}}, {}),
        ({"type": "user_change", "user": None}, {}),
        ({"type": "reaction_added", "user": "U1"}, {}),
        ({"type": 7}, {}),
        ({}, {}),
    ],
    ids=lambda value: str(value.get("type", "")) if isinstance(value, dict) else None,
)
def test_people_and_channels_are_read_again(
    bench: SlackBench, event: dict[str, Any], fetched: dict[str, list[str]]
) -> None:
    changes = bench.open().changes([received(event)])
    assert {name: ids for name, ids in changes.fetch.items() if ids} == fetched
    assert (changes.tombstones, changes.states) == ({}, {}), "deactivation can be undone"


def test_private_channels_are_read_where_the_connection_reads_them(bench: SlackBench) -> None:
    adapter = bench.open(channel_types="private_channel")
    changes = adapter.changes(
        [
            received({"type": "group_rename", "channel": {"id": "G1"}}),
            received({"type": "channel_rename", "channel": {"id": "C1"}}),
            received({"type": "message", "channel_type": "channel", "channel": "C1", "ts": "1.2"}),
            received({"type": "message", "channel_type": "group", "channel": "G1", "ts": "1.2"}),
            received({"type": "message", "channel_type": "im", "channel": "D1", "ts": "1.2"}),
        ]
    )
    assert changes.fetch["channels"] == ["G1"]
    assert [one.record.source_id for one in changes.states["messages"]] == ["G1:1.2"]


async def test_messages_come_whole_and_are_those_that_a_poll_reads(bench: SlackBench) -> None:
    place = joined_in(bench.provider.account().rows["channels"])[0]
    (event,) = delivered(bench, "create", "messages", channel=place, text="hello")
    (state,) = bench.open().changes([event]).states["messages"]
    copy = Copy("messages")
    await bench.sync(copy)
    source_id = str(state.record.source_id)
    assert msgspec.json.decode(state.record.body) == copy.records[source_id]
    assert state.as_of == datetime.fromtimestamp(int(bench.provider.clock.time()), UTC)
    ts = source_id.partition(":")[2]
    (event,) = delivered(bench, "update", "messages", ts, text="hello, edited")
    (state,) = bench.open().changes([event]).states["messages"]
    record: Any = mapped(bench, "messages", msgspec.json.decode(state.record.body))
    assert (state.record.source_id, record.name) == (source_id, "hello, edited")
    (event,) = delivered(bench, "delete", "messages", ts)
    (stone,) = bench.open().changes([event]).tombstones["messages"]
    assert stone.source_id == source_id


@pytest.mark.parametrize(
    ("event", "is_kept"),
    [
        ({"thread_ts": "1.1"}, False),
        ({"thread_ts": "1.1", "subtype": "thread_broadcast"}, True),
        ({"thread_ts": "1.2"}, True),
        ({"subtype": "message_changed", "message": {"ts": "1.2", "thread_ts": "1.1"}}, False),
        ({"subtype": "message_changed", "message": None}, False),
        ({"ts": 1.2}, False),
    ],
)
def test_answers_in_threads_are_left_to_the_threads(
    bench: SlackBench, event: dict[str, Any], *, is_kept: bool
) -> None:
    said = {"type": "message", "channel_type": "channel", "channel": "C1", "ts": "1.2", **event}
    assert ("messages" in bench.open().changes([received(said)]).states) == is_kept


def test_an_event_belongs_to_the_workspace_that_installed_the_app() -> None:
    ours, theirs = UUID(int=1), UUID(int=2)
    readers = [Reader(ours, "T1", None), Reader(theirs, "T2", None)]
    shared = {"team_id": "T9", "authorizations": [{"team_id": None}, {"team_id": "T2"}]}
    for envelope, account, connections in (
        ({}, "T1", (ours,)),
        ({"team_id": "T2"}, "T2", [theirs]),
        (shared, "T2", [theirs]),
        ({"team_id": "T3"}, "T3", ()),
        ({"team_id": None}, None, (ours,)),
        ({"team_id": 7}, None, (ours,)),
    ):
        owner = SlackAdapter.owner(received({"type": "team_join"}, **envelope))
        assert owner == Owner(account)
        assert belongs_to(owner, ours, readers) == connections


def test_what_was_dropped_or_taken_back_is_asked_for(bench: SlackBench) -> None:
    (notice,) = delivered(bench, "limit_events")
    assert notice.dedupe_key == f"app_rate_limited:{workspace_of(TOKEN)}:{AT // 60 * 60}"
    assert SlackAdapter.owner(notice) == Owner(workspace_of(TOKEN))
    ended = delivered(bench, "uninstall")
    assert sorted(event.event_type for event in ended) == ["app_uninstalled", "tokens_revoked"]
    # Ids of people and channels are others then.
    moved = received({"type": "grid_migration_finished", "enterprise_id": "E1"})
    for event in (notice, *ended, moved):
        assert bench.open().changes([event]).needs_sync
    assert not bench.open().changes([received({"type": "user_change", "user": {"id": "U1"}})]).needs_sync


def test_events_are_records_under_the_key_that_they_are_known_by(bench: SlackBench) -> None:
    (joined,) = delivered(bench, "create", "users")
    (notice,) = delivered(bench, "limit_events")
    for event, about in ((joined, "user"), (notice, None)):
        (record,) = bench.open().changes([event]).records["events"]
        made: Any = mapped(bench, "events", msgspec.json.decode(bytes(record.body)))
        assert (made.source_id, made.event_type) == (event.dedupe_key, event.event_type)
        assert (made.resource_type, made.resource_id is not None) == (about, about is not None)
        assert made.occurred_at <= bench.now()
    for odd in ({"type": "x"}, {"event": 7}, {"type": "x", "event_id": "Ev1", "event_time": 10**18}):
        with pytest.raises(MappingError):
            mapped(bench, "events", odd)


def test_a_retry_is_known_by_its_event_id() -> None:
    events = [received({"type": "team_join", "user": {"id": "U1"}}) for _ in range(2)]
    assert events[0].dedupe_key == events[1].dedupe_key
    assert SlackVerifier in {type(one) for one in SlackAdapter.verifiers}
