"""What Jira does otherwise than one would guess, each fact by a request to the stand-in."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest

from adapters.jira.adapter import JiraAdapter
from adapters.jira.adf import document_of, text_of
from adapters.jira.api import JiraApi
from tests.adapters.jira.test_conformance import EMAIL, JiraBench
from unified.conformance.bench import Copy
from unified.kit.declarations import ConnectionRef
from unified.kit.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    RateLimitedError,
)
from unified.kit.http.limits import RateLimit
from unified.kit.secrets import Secret
from unified.sandbox.jira import JiraSandbox
from unified.sandbox.jira.records import text_of as document
from unified.schema.customer import CustomerKind

if TYPE_CHECKING:
    from collections.abc import Iterator

ANYTHING = msgspec.json.Decoder(msgspec.Raw)
OTHER = JiraSandbox.default_keys[1]


@pytest.fixture
def bench() -> Iterator[JiraBench]:
    with JiraBench() as running:
        yield running


def site(bench: JiraBench) -> JiraSandbox:
    provider = bench.provider
    assert isinstance(provider, JiraSandbox)
    return provider


async def records(bench: JiraBench, stream: str, **settings: Any) -> dict[str, Any]:
    """What a sync of all of a stream is mapped to, by id."""
    async with bench.open(**settings) as adapter:
        origin = adapter.origin(stream, bench.now(), bench.now())
        made = [
            adapter.map_record(stream, one.body, origin)
            async for page in adapter.pull(stream, None)
            for one in page.records
        ]
    return {one.source_id: one for one in made}


# People


async def test_people_are_customers_staff_or_neither(bench: JiraBench) -> None:
    people = site(bench).account().all("people")
    for stream, kind in (("customers", "customer"), ("staff", "atlassian")):
        found = await records(bench, stream)
        assert found.keys() == {
            name for name, one in people.items() if one["accountType"] == kind and one["active"]
        }
        hidden = [name for name, one in found.items() if one.email is None]
        assert hidden, "an address may be hidden for privacy"
        assert {one.kind for one in found.values()} == {CustomerKind.PERSON}
    assert "staff" not in [one.name for one in JiraAdapter.chosen()]


async def test_a_page_of_people_that_is_not_full_is_not_the_last(bench: JiraBench) -> None:
    site(bench)._page = 7
    people = site(bench).account().all("people").values()
    living = [one for one in people if one["accountType"] == "customer" and one["active"]]
    assert len(await records(bench, "customers")) == len(living) > 7


async def test_somebody_who_is_switched_off_or_erased_is_a_tombstone(bench: JiraBench) -> None:
    copy = await bench.loaded("customers")
    off, erased, *_ = sorted(copy.records)
    site(bench).mutate("update", None, "people", off, active=False)
    site(bench).mutate("delete", None, "people", erased)
    await bench.sync(copy)
    assert off in copy.gone
    assert not {off, erased} & copy.records.keys()
    async with bench.open() as adapter:
        pages = [page async for page in adapter.fetch("customers", [off, erased])]
    assert {one.source_id for page in pages for one in page.tombstones} == {off, erased}


async def test_organizations_are_companies_and_have_members(bench: JiraBench) -> None:
    site(bench)._page = 2
    found = await records(bench, "organizations")
    rows = site(bench).account().all("organizations")
    assert {name: (one.name, one.kind) for name, one in found.items()} == {
        name: (row["name"], CustomerKind.COMPANY) for name, row in rows.items()
    }
    members = await records(bench, "memberships")
    customers = {one["accountId"] for row in rows for one in site(bench).account().members(row)}
    assert {one.custom_fields["customer_id"] for one in members.values()} == customers
    assert len(members) == len(customers) > len(rows)


async def test_a_site_without_a_service_desk_says_so(bench: JiraBench) -> None:
    site(bench).has_service_desk = False
    async with bench.open() as adapter:
        with pytest.raises(PermissionDeniedError, match=r"Service Management\?.* may not read organizations"):
            await adapter.test()


# Issues


async def test_an_issue_has_text_and_its_own_fields_by_name(bench: JiraBench) -> None:
    account = site(bench).account()
    asked = {
        "customfield_10016": 3.5,
        "customfield_10020": {"value": "High"},
        "customfield_10022": {"value": "Major"},
    }
    made = site(bench).mutate(
        "create", None, "issues", **asked, summary="Slow", description=document("One.", "Two."),
        customfield_10021=document("An index."), customfield_10023=[{"value": "Web"}, {"value": "API"}],
        customfield_10002=["1"], assignee=None,
    )  # fmt: skip
    found = (await records(bench, "issues"))[made["id"]]
    assert (found.name, found.custom_fields["description"]) == ("Slow", "One.\nTwo.")
    own = {
        name: found.custom_fields[name]
        for name in ("Story Points", "Severity", "Root cause", "Affected services")
    }
    assert own == {
        "Story Points": "3.5", "Severity": "High", "Root cause": "An index.", "Affected services": ["Web", "API"],
    }  # fmt: skip
    assert found.custom_fields["Severity (customfield_10022)"] == "Major"
    assert found.custom_fields["Organizations"] == [account.all("organizations")["1"]["name"]]
    assert found.custom_fields["key"] == made["key"]
    assert "assignee_id" not in found.custom_fields
    assert found.custom_fields["reporter_id"] in account.all("people")


async def test_an_issue_that_moves_keeps_its_identity(bench: JiraBench) -> None:
    copy = await bench.loaded("issues")
    moved = min(copy.records)
    site(bench).mutate("update", None, "issues", moved, key="OPS-1")
    bench.provider.clock.advance(seconds=60)
    await bench.sync(copy)
    assert copy.records[moved]["key"] == "OPS-1"


async def test_a_changed_issue_comes_whatever_the_users_time_zone(bench: JiraBench) -> None:
    """Dates in text would be read in it; both bounds are milliseconds."""
    site(bench)._zone = "Pacific/Kiritimati"
    copy = await bench.loaded("issues")
    changed = bench.edit("update", "issues", min(copy.records))
    bench.provider.clock.advance(seconds=60)
    pages = await bench.sync(copy)
    assert copy.met == [changed]
    assert copy.cursor is not None
    assert copy.cursor["since"] == (bench.now() - timedelta(minutes=5)).isoformat()
    assert not any(page.refresh_done for page in pages)


async def test_a_change_that_search_shows_late_is_met_by_the_next_pull(bench: JiraBench) -> None:
    copy = await bench.loaded("issues")
    changed = bench.edit("update", "issues", min(copy.records))
    site(bench).search_lag = 120
    bench.provider.clock.advance(seconds=60)
    await bench.sync(copy)
    assert changed not in copy.met
    bench.provider.clock.advance(seconds=120)
    await bench.sync(copy)
    assert changed in copy.met


async def test_ids_are_compared_once_a_day_and_nothing_is_read_for_it(bench: JiraBench) -> None:
    copy = await bench.loaded("issues")
    gone = bench.edit("delete", "issues", min(copy.records))
    await bench.sync(copy)
    assert gone in copy.records, "a search shows nothing of it"
    bench.provider.clock.advance(days=1)
    bench.provider.stats.reset()
    pages = await bench.sync(copy)
    assert copy.records.keys() == bench.ids("issues")
    assert [len(page.records) for page in pages if page.refresh_started_at] == [0] * 4
    assert sum(len(page.met) for page in pages) == len(copy.records)
    # So the store asks for it by its id before it buries it.
    assert pages[-1].refresh_done
    async with bench.open() as adapter:
        (page,) = [page async for page in adapter.fetch("issues", [gone])]
    assert [one.source_id for one in page.tombstones] == [gone]
    await bench.sync(copy)
    assert not copy.met


async def test_a_comparison_that_is_killed_goes_on(bench: JiraBench) -> None:
    copy = await bench.loaded("issues")
    gone = bench.edit("delete", "issues", min(copy.records))
    bench.provider.clock.advance(days=1)
    for _ in range(10):
        pages = await bench.sync(copy, pages=1)
        if pages[-1].refresh_done:
            break
    assert gone not in copy.records
    assert copy.records.keys() == bench.ids("issues")


async def test_an_issue_that_jira_can_not_return_in_bulk_is_read_alone(bench: JiraBench) -> None:
    site(bench).failing = set(sorted(bench.ids("issues"))[:3])
    copy = Copy("issues")
    await bench.sync(copy)
    assert copy.records.keys() == bench.ids("issues")


async def test_a_token_of_a_search_that_has_run_out_begins_anew(bench: JiraBench) -> None:
    copy = Copy("issues")
    await bench.sync(copy, pages=1)
    bench.provider.clock.advance(days=8)
    await bench.sync(copy)
    assert copy.records.keys() == bench.ids("issues")


# Access


async def test_a_search_that_is_answered_to_a_stranger_is_no_empty_site(bench: JiraBench) -> None:
    copy = await bench.loaded("issues")
    before = dict(copy.records)
    site(bench).answers_strangers = True
    bench.credentials = {**bench.credentials, "api_token": "expired"}
    with pytest.raises(AuthenticationError, match="answered 200"):
        await bench.sync(copy)
    assert copy.records == before


@pytest.mark.parametrize(
    ("reason", "holds_all"), [("jira-burst-based", False), ("jira-quota-tenant-based", True)]
)
async def test_a_burst_slows_one_endpoint_and_a_quota_all(
    bench: JiraBench, monkeypatch: pytest.MonkeyPatch, reason: str, *, holds_all: bool
) -> None:
    slowed: list[RateLimit] = []
    sound = RateLimit.refused
    monkeypatch.setattr(RateLimit, "refused", lambda self, *how: slowed.append(self) or sound(self, *how))
    bench.fault("status", "/rest/api/3/search/jql", status=429, code=reason, retry_after="0")
    async with bench.open(requests_per_second=None) as adapter:
        await JiraApi(adapter.http).search("id > 0", None, size=1)
        limits = adapter.http._limits
    assert {name for name, one in limits.items() if one in slowed} == (
        set(limits) if holds_all else {"search"}
    )


async def test_a_quota_that_lasts_is_left_to_the_next_run(bench: JiraBench) -> None:
    bench.fault("status", status=429, code="jira-quota-global-based", retry_after="1800")
    with pytest.raises(RateLimitedError, match="The next run goes on from here"):
        await bench.sync(Copy("issues"))
    assert sum(bench.provider.stats.requests.values()) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [({}, "site is not set"), ({"site": "acme"}, None), ({"cloud_id": JiraSandbox.cloud_id(EMAIL)}, None)],
)
def test_where_requests_go(settings: dict[str, str], words: str | None) -> None:
    adapter = JiraAdapter(
        JiraAdapter.config_model.model_validate(settings),
        {name: Secret("fake") for name in ("email", "api_token")},
        ConnectionRef(UUID(int=1), UUID(int=2), "acme/jira"),
    )
    if words is not None:
        with pytest.raises(ConfigurationError, match=words):
            adapter.open_http()
        return
    where = adapter.open_http().url("/rest")
    assert where in (
        "https://acme.atlassian.net/rest",
        f"https://api.atlassian.com/ex/jira/{settings.get('cloud_id')}/rest",
    )


async def test_a_wrong_site_is_no_empty_one(bench: JiraBench) -> None:
    async with bench.open(base_url=f"{bench.url}/nowhere") as adapter:
        with pytest.raises(ConfigurationError, match=r"there is no Jira at .* correct site or cloud_id"):
            await adapter.test()


# Documents


def test_a_document_becomes_text_and_nothing_in_it_is_too_odd() -> None:
    said = {
        "type": "doc",
        "content": [
            {"type": "heading", "content": [{"type": "text", "text": "Title"}]},
            {"type": "paragraph", "content": [
                {"type": "mention", "attrs": {"id": "5b10", "text": "@Ada"}}, {"type": "text", "text": " saw "},
                {"type": "inlineCard", "attrs": {"url": "https://x.example"}}, {"type": "hardBreak"},
                {"type": "date", "attrs": {"timestamp": "1790000000000"}},
                {"type": "emoji", "attrs": {"shortName": ":)"}},
            ]},
            {"type": "bulletList", "content": [
                {"type": "listItem", "content": [{"type": "paragraph", "content": [{"type": "text", "text": one}]}]}
                for one in ("a", "b")
            ]},
            {"type": "table", "content": [{"type": "tableRow", "content": [
                {"type": "tableCell", "content": [{"type": "paragraph", "content": [{"type": "text", "text": one}]}]}
                for one in ("1", "2")
            ]}]},
            {"type": "mediaSingle", "content": [{"type": "media"}]},
            {"type": "text", "text": 7}, None, 5, {"content": "x"}, {"type": "date", "attrs": {"timestamp": "soon"}},
        ],
    }  # fmt: skip
    assert text_of(said) == "Title\n@Ada saw https://x.example\n2026-09-21:)\n- a\n- b\n1  | 2"
    assert text_of(None) is text_of({"type": "doc", "content": []}) is None
    deep: dict[str, Any] = {"type": "text", "text": "x"}
    for _ in range(5000):
        deep = {"type": "paragraph", "content": [deep]}
    assert text_of(deep) is None
    assert text_of(document_of("One.\n\nTwo.")) == "One.\nTwo."
