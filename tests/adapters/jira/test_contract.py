"""Atlassian's OpenAPI file beside the stand-in's answers. It is of 2022: what came later is not in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import msgspec
import pytest

from adapters.jira import registering
from tests.adapters.jira.test_conformance import EMAIL, JiraBench
from unified.sandbox.jira import JiraSandbox
from unified.sandbox.jira.records import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).parents[4] / "shared" / "data" / "jira" / "platform-swagger.v3.2022-07.json"
AUTH = (EMAIL, JiraSandbox.token(EMAIL))

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason="Atlassian's OpenAPI file (../shared/data/jira) is not here"
)


@cache
def document() -> Any:
    return json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def bench() -> Iterator[JiraBench]:
    with JiraBench() as running:
        yield running


def schema_of(method: str, path: str, status: str) -> Any:
    answer = document()["paths"][path][method]["responses"][status]
    return answer["content"]["application/json"]["schema"]


def faults(schema: Any, value: Any) -> list[str]:
    """What a value has that the file does not say: its types, and members that it does not name."""
    resolved = {**schema, "components": document()["components"]}
    return [
        f"{one.json_path}: {one.message[:120]}"
        for one in jsonschema.Draft202012Validator(resolved).iter_errors(value)
    ]


ISSUE = "/rest/api/3/issue/{issueIdOrKey}"
READ = {
    "the user who asks": ("get", "/rest/api/3/myself", {}),
    "the server": ("get", "/rest/api/3/serverInfo", {}),
    "fields": ("get", "/rest/api/3/field", {}),
    "people": ("get", "/rest/api/3/users/search", {}),
    "an issue": ("get", ISSUE, {"issueIdOrKey": "10000"}),
    "comments": ("get", f"{ISSUE}/comment", {"issueIdOrKey": "10000"}),
    "webhooks": ("get", "/rest/api/3/webhook", {}),
}


@pytest.mark.parametrize("what", READ)
def test_answers_have_the_form_that_atlassian_publishes(bench: JiraBench, what: str) -> None:
    method, path, values = READ[what]
    answer = httpx.request(method, f"{bench.url}{path.format(**values)}", auth=AUTH)
    assert answer.status_code == 200
    assert faults(schema_of(method, path, "200"), answer.json()) == []
    assert answer.json()


def test_what_is_made_and_refused_has_it_as_well(bench: JiraBench) -> None:
    url = f"{bench.url}/rest/api/3/issue"
    fields = {
        "project": {"key": "SUP"},
        "issuetype": {"name": "Task"},
        "summary": "x",
        "description": text_of("y"),
    }
    said = {"fields": fields}
    assert faults({"$ref": "#/components/schemas/IssueUpdateDetails"}, said) == []
    made = httpx.post(url, json=said, auth=AUTH)
    assert (made.status_code, faults(schema_of("post", "/rest/api/3/issue", "201"), made.json())) == (201, [])
    commented = httpx.post(f"{url}/{made.json()['id']}/comment", json={"body": text_of("z")}, auth=AUTH)
    assert commented.status_code == 201
    assert faults(schema_of("post", f"{ISSUE}/comment", "201"), commented.json()) == []
    refused = httpx.post(url, json={"fields": {**fields, "summary": ""}}, auth=AUTH)
    assert refused.status_code == 400
    assert faults({"$ref": "#/components/schemas/ErrorCollection"}, refused.json()) == []


def test_webhooks_of_apps_have_it_as_well(bench: JiraBench) -> None:
    url = f"{bench.url}/rest/api/3/webhook"
    wanted = {"jqlFilter": "project = SUP", "events": ["comment_created"]}
    said = {"url": "https://app.example/hook", "webhooks": [wanted]}
    assert faults({"$ref": "#/components/schemas/WebhookRegistrationDetails"}, said) == []
    made = httpx.post(url, json=said, auth=AUTH).json()
    assert faults(schema_of("post", "/rest/api/3/webhook", "200"), made) == []
    ids = [one["createdWebhookId"] for one in made["webhookRegistrationResult"]]
    renewed = httpx.put(f"{url}/refresh", json={"webhookIds": ids}, auth=AUTH).json()
    assert faults(schema_of("put", "/rest/api/3/webhook/refresh", "200"), renewed) == []
    assert httpx.request("DELETE", url, json={"webhookIds": ids}, auth=AUTH).status_code == 202


def test_webhooks_of_its_examples_are_read() -> None:
    """Where the schema has numbers for the time of their end, the example has text."""
    answers = {
        method: json.loads(said["responses"]["200"]["content"]["application/json"]["example"])
        for method, said in document()["paths"]["/rest/api/3/webhook"].items()
        if method != "delete"
    }
    listed = [registering._WEBHOOK.decode(msgspec.json.encode(one)) for one in answers["get"]["values"]]
    assert [one.expiration_date for one in listed] == ["2019-06-01T12:42:30.000+0000"] * 3
    assert [registering._is_due(listed[0], datetime(2019, 5, day, tzinfo=UTC)) for day in (12, 13)] == [
        False,
        True,
    ]
    made = registering._REGISTRATION.decode(msgspec.json.encode(answers["post"]))
    assert [(one.created_webhook_id, one.errors) for one in made.webhook_registration_result] == [
        (1000, []), (None, ["The clause watchCount is unsupported"]), (1001, []),
    ]  # fmt: skip
