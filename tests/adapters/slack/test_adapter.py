"""What Slack alone has: refusals with 200, limits by method, pages that end oddly, people of many kinds, messages."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.adapters.slack.test_conformance import SlackBench
from unified.conformance.bench import Copy
from unified.kit.declarations import ConnectionRef
from unified.kit.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitedError,
    RequestRefusedError,
    UnavailableError,
)
from unified.sandbox.slack.account import workspace_of
from unified.sandbox.slack.records import joined_in
from unified.sandbox.tables.api import RequestLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unified.kit.adapter import BaseAdapter
    from unified.schema.base import UnifiedBase

TOKEN = SlackBench.credentials["bot_token"]
ALL = frozenset(("users:read", "users:read.email", "channels:read", "channels:history"))


@pytest.fixture
def bench() -> Iterator[SlackBench]:
    with SlackBench() as running:
        yield running


def reads(bench: SlackBench, *streams: str, **settings: Any) -> BaseAdapter[Any]:
    """An adapter of a connection that chose its streams."""
    adapter = bench.open(**settings)
    ref = adapter.connection
    adapter.connection = ConnectionRef(ref.id, ref.workspace_id, ref.key, streams)
    return adapter


def mapped(bench: SlackBench, stream: str, raw: dict[str, Any]) -> UnifiedBase:
    adapter = bench.open()
    origin = adapter.origin(stream, bench.now(), bench.now())
    return adapter.map_record(stream, msgspec.json.encode(raw), origin)


# People


async def test_humans_and_guests_are_customers_bots_and_slackbot_are_not(bench: SlackBench) -> None:
    copy = Copy("users")
    await bench.sync(copy)
    shown = bench.provider.account().rows["users"]
    everybody = [shown.shown(row) for row in shown]
    assert {one["id"] for one in everybody if not one["is_bot"] and not one["deleted"]} == set(copy.records)
    assert any(one["is_bot"] for one in everybody)
    assert {"is_restricted", "is_ultra_restricted", "is_stranger"} <= {
        name for one in copy.records.values() for name, value in one.items() if value is True
    }
    assert "USLACKBOT" not in copy.records
    assert {one["id"] for one in everybody if one["deleted"] and not one["is_bot"]} <= set(copy.gone)


async def test_a_deactivated_person_is_a_tombstone_until_they_are_back(bench: SlackBench) -> None:
    copy = await bench.loaded("users")
    person = min(copy.records)
    bench.edit("delete", "users", person)
    await bench.sync(copy)
    assert person in copy.gone
    bench.provider.mutate("reactivate", None, person)
    await bench.sync(copy)
    assert person in copy.records


@pytest.mark.parametrize(
    ("profile", "more", "name", "email", "kind"),
    [
        (
            {"real_name": "Ada King", "email": "ada@acme.example"},
            {},
            "Ada King",
            "ada@acme.example",
            "member",
        ),
        ({"email": None, "real_name": ""}, {"real_name": "Ada"}, "Ada", None, "member"),
        ({"email": "", "display_name": "ada"}, {"is_restricted": True}, "ada", None, "guest"),
        (
            {},
            {"name": "ada.k", "is_restricted": True, "is_ultra_restricted": True},
            "ada.k",
            None,
            "single_channel_guest",
        ),
        ({"real_name": "Ada"}, {"is_stranger": True, "team_id": "T0OTHER"}, "Ada", None, "outsider"),
    ],
)
def test_any_field_of_a_profile_may_be_absent_null_or_empty(
    bench: SlackBench, profile: dict[str, Any], more: dict[str, Any], name: str, email: str | None, kind: str
) -> None:
    person: Any = mapped(bench, "users", {"id": "W0123", "profile": profile, **more})
    assert (person.name, person.email, person.custom_fields["member_type"]) == (name, email, kind)
    assert (person.source_id, person.phone, person.kind) == ("W0123", None, "person")


# Pages


async def test_short_and_empty_pages_are_not_the_end(bench: SlackBench) -> None:
    for kinds, wanted in (
        ("public_channel", lambda one: not one["is_private"]),
        ("private_channel", lambda one: one["is_group"]),
    ):
        bench.provider._page = 3  # type: ignore[attr-defined]
        copy = Copy("channels")
        pages = await bench.sync(copy, channel_types=kinds)
        rows = bench.provider.account().rows["channels"]
        assert set(copy.records) == {row.id for row in rows.live() if wanted(row.fields)}
        sizes = [len(page.records) for page in pages]
        assert 0 in sizes[:-2], "the stand-in has to send an empty page before the end"


async def test_a_cursor_that_is_not_known_any_more_begins_the_list_anew(bench: SlackBench) -> None:
    copy = Copy("users")
    await bench.sync(copy, pages=1)
    assert copy.cursor is not None
    broken = msgspec.json.encode(copy.cursor).replace(b"bmV4dD", b"eHh4eD")
    copy.cursor = msgspec.json.decode(broken)
    await bench.sync(copy)
    assert copy.records.keys() == bench.ids("users")


async def test_people_are_asked_for_by_pages_for_without_a_limit_slack_refuses(bench: SlackBench) -> None:
    for _ in range(400):
        bench.edit("create", "users", None)
    async with bench.open() as adapter:
        with pytest.raises(RequestRefusedError) as refused:
            await adapter.http.request("GET", "/api/users.list", msgspec.json.Decoder())
    assert refused.value.code == "limit_required"
    copy = Copy("users")
    await bench.sync(copy)
    assert copy.records.keys() == bench.ids("users")


# Messages


async def test_messages_come_from_channels_of_which_the_app_is_a_member(bench: SlackBench) -> None:
    copy = Copy("messages")
    await bench.sync(copy)
    found = {one["ts"]: one["channel"] for one in copy.records.values()}
    assert found == {ts: one["channel"] for ts, one in bench.provider.account().all("messages").items()}
    assert {f"{channel}:{ts}" for ts, channel in found.items()} == set(copy.records)
    rows = bench.provider.account().rows["channels"]
    assert set(found.values()) <= set(joined_in(rows))
    asked = bench.provider.stats.report()["requests"]["GET /api/conversations.history"]
    assert asked < len(rows.live()), "channels that the app is not in are not asked for"
    record: Any = mapped(bench, "messages", copy.records[min(copy.records)])
    ts = min(copy.records).partition(":")[2]
    assert record.custom_fields["ts"] == ts
    whole, _, digits = ts.partition(".")
    assert record.created_at == datetime.fromtimestamp(int(whole), UTC) + timedelta(microseconds=int(digits))
    assert not [name for name in record.custom_fields if name.startswith("invalid_")]


@pytest.mark.parametrize("stream", ["users", "channels", "messages"])
async def test_no_field_of_a_plain_record_is_unusable(bench: SlackBench, stream: str) -> None:
    copy = Copy(stream)
    await bench.sync(copy, channel_types="public_channel,private_channel")
    for raw in copy.records.values():
        assert not [name for name in mapped(bench, stream, raw).custom_fields if name.startswith("invalid_")]


async def test_new_messages_come_with_the_next_pull_and_old_ones_do_not(bench: SlackBench) -> None:
    copy = await bench.loaded("messages")
    place = next(one["channel"] for one in copy.records.values())
    sent = bench.provider.mutate("create", None, "messages", channel=place)
    bench.provider.clock.advance(seconds=60)
    await bench.sync(copy)
    assert copy.met == [f"{place}:{sent['ts']}"]


async def test_a_channel_that_the_app_left_meanwhile_costs_no_other(bench: SlackBench) -> None:
    copy = Copy("messages")
    bench.fault("status", "/api/conversations.history", status=400, code="not_in_channel")
    pages = await bench.sync(copy, concurrency=1)
    assert copy.records
    assert not any(page.refresh_done for page in pages), "what is not seen is not taken for deleted"


# Limits


async def test_each_method_has_its_own_limit_and_retry_after_is_waited_for(bench: SlackBench) -> None:
    limits = {
        one.name: (round(one.rate * 60), one.burst) for one in reads(bench, requests_per_second=None).limits()
    }
    assert limits == {
        "default": (48, 1), "users_list": (20, 5), "conversations_list": (20, 5), "history": (50, 5),
        "users_info": (100, 10), "post": (60, 1),
    }  # fmt: skip
    bench.provider.set_limits(RequestLimit(2, 0.6))
    copy, began = Copy("users"), time.monotonic()
    await bench.sync(copy)
    assert copy.records.keys() == bench.ids("users")
    assert time.monotonic() - began > 1, "the wait that Slack asks for"


async def test_an_app_that_is_sold_gets_fifteen_messages_whatever_it_asks_for(bench: SlackBench) -> None:
    bench.provider.is_sold = True  # type: ignore[attr-defined]
    place = joined_in(bench.provider.account().rows["channels"])[0]
    for _ in range(40):
        bench.provider.mutate("create", None, "messages", channel=place)
    copy = Copy("messages")
    pages = await bench.sync(copy)
    assert max(len(page.records) for page in pages) == 15
    assert {one["ts"] for one in copy.records.values()} == bench.provider.account().all("messages").keys()


# Refusals


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("invalid_auth", AuthenticationError), ("account_inactive", AuthenticationError),
        ("token_revoked", AuthenticationError), ("token_expired", AuthenticationError),
        ("not_authed", AuthenticationError), ("missing_scope", PermissionDeniedError),
        ("not_allowed_token_type", PermissionDeniedError), ("team_access_not_granted", PermissionDeniedError),
        ("ratelimited", RateLimitedError), ("internal_error", UnavailableError), ("fatal_error", UnavailableError),
        ("team_added_to_org", UnavailableError), ("user_not_found", NotFoundError),
        ("limit_required", RequestRefusedError), ("a_word_of_tomorrow", RequestRefusedError),
    ],
)  # fmt: skip
async def test_a_refusal_comes_with_200_and_its_word_says_what_it_is(
    bench: SlackBench, word: str, kind: type[ProviderError]
) -> None:
    bench.fault("status", "/api/users.list", status=400, code=word, times=None)
    with pytest.raises(ProviderError, match=word) as refused:
        await bench.sync(Copy("users"), retry_count=0)
    assert type(refused.value) is kind
    assert refused.value.status == 200


@pytest.mark.parametrize(
    ("scopes", "streams", "settings", "lacks"),
    [
        (
            ALL - {"users:read.email"},
            (),
            {},
            "lacks users:read.email (users); add that to the app's Bot Token",
        ),
        (ALL - {"channels:read"}, (), {}, "lacks channels:read (channels)"),
        (ALL - {"channels:history"}, ("messages",), {}, "lacks channels:history (messages)"),
        (
            ALL,
            ("channels", "messages"),
            {"channel_types": "public_channel,private_channel"},
            "lacks groups:read (channels), groups:read (messages), groups:history (messages)",
        ),
        (ALL - {"users:read.email"}, (), {"emails": "no"}, ""),
        (ALL - {"channels:history"}, (), {}, ""),
    ],
)
async def test_scopes_that_a_stream_needs_are_said_when_a_connection_is_added(
    bench: SlackBench, scopes: frozenset[str], streams: tuple[str, ...], settings: dict[str, str], lacks: str
) -> None:
    bench.provider.scopes[TOKEN] = scopes  # type: ignore[attr-defined]
    async with reads(bench, *streams, **settings) as adapter:
        if not lacks:
            assert (await adapter.test()).id == workspace_of(TOKEN)
            return
        with pytest.raises(PermissionDeniedError) as refused:
            await adapter.test()
        assert lacks in str(refused.value)


async def test_a_missing_scope_is_named_in_the_refusal(bench: SlackBench) -> None:
    bench.provider.scopes[TOKEN] = frozenset({"chat:write"})  # type: ignore[attr-defined]
    with pytest.raises(PermissionDeniedError, match=r"missing_scope \(needs users:read, has chat:write\)"):
        await bench.sync(Copy("users"))


# Workspaces


@contextmanager
def organization() -> Iterator[SlackBench]:
    bench = SlackBench()
    bench.provider._organization = frozenset({TOKEN})  # type: ignore[attr-defined]
    with bench:
        yield bench


async def test_a_token_of_an_organization_reads_the_workspace_that_is_set() -> None:
    with organization() as bench:
        async with reads(bench) as adapter:
            with pytest.raises(ConfigurationError, match=r"opens the organization .* set team_id"):
                await adapter.test()
        async with reads(bench, team_id="T0OTHER") as adapter:
            with pytest.raises(PermissionDeniedError, match="team_access_not_granted"):
                await adapter.test()
        team = workspace_of(TOKEN)
        async with reads(bench, team_id=team) as adapter:
            assert (await adapter.test()).id == team
        copy = Copy("users")
        await bench.sync(copy, team_id=team)
        assert copy.records.keys() == bench.ids("users")


async def test_a_token_of_another_workspace_than_is_set_is_refused(bench: SlackBench) -> None:
    async with reads(bench, team_id="T0OTHER") as adapter:
        with pytest.raises(ConfigurationError, match="and not T0OTHER; correct team_id"):
            await adapter.test()
