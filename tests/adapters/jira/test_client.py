"""jira, the community's client, reads the stand-in and finds what the adapter finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jira import JIRA

from tests.adapters.jira.test_conformance import EMAIL, JiraBench
from unified.conformance.bench import Copy
from unified.sandbox.jira import JiraSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def bench() -> Iterator[JiraBench]:
    with JiraBench() as running:
        yield running


@pytest.fixture(scope="module")
def client(bench: JiraBench) -> JIRA:
    return JIRA(bench.url, basic_auth=(EMAIL, JiraSandbox.token(EMAIL)), max_retries=0)


async def test_both_read_the_same_issues(bench: JiraBench, client: JIRA) -> None:
    copy = Copy("issues")
    await bench.sync(copy)
    found: Any = client.enhanced_search_issues("project = SUP", maxResults=0)
    assert {one.id: one.fields.summary for one in found} == {
        name: one["fields"]["summary"] for name, one in copy.records.items()
    }
    assert len(found) == len(copy.records) == len(bench.ids("issues"))
    counted = client.approximate_issue_count("project = SUP")
    assert counted == len(found)


async def test_both_read_the_same_comments(bench: JiraBench, client: JIRA) -> None:
    copy = Copy("events")
    await bench.sync(copy)
    ours = {name for name in copy.records if name.startswith("comment:") and name.endswith(":created")}
    issues = {one["issue"]["id"] for name, one in copy.records.items() if name in ours}
    theirs = {f"comment:{one.id}:created" for issue in issues for one in client.comments(issue)}
    assert ours == theirs
    assert ours


def test_it_names_fields_as_the_adapter_does(bench: JiraBench, client: JIRA) -> None:
    names = {one["id"]: one["name"] for one in client.fields() if one["custom"]}
    assert names["customfield_10016"] == "Story Points"
    assert client.server_info()["deploymentType"] == "Cloud"


def test_it_makes_what_the_adapter_reads(bench: JiraBench, client: JIRA) -> None:
    """Its text is no document, which version 3 would refuse; so it makes an issue without one."""
    made = client.create_issue(
        fields={"project": {"key": "SUP"}, "issuetype": {"name": "Task"}, "summary": "Made by another client"}
    )
    assert made.id in bench.ids("issues")
