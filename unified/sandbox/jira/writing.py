"""What the stand-in takes: issues, comments, customers of the service desk, and webhooks of OAuth apps.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues, .../api-group-webhooks and
https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-customer.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.jira.records import SITE
from unified.sandbox.jira.webhooks import LIFE, DynamicEndpoint
from unified.sandbox.oauth.server import CLIENT_SECRET
from unified.sandbox.provider import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.clock import Clock
    from unified.sandbox.jira.account import JiraAccount
    from unified.sandbox.provider import ApiError, Call
    from unified.sandbox.tables.table import Record, Row
    from unified.sandbox.webhooks import Webhooks

_LONGEST_SUMMARY = 255


class WritingApi:
    """The part of the stand-in that is written to."""

    clock: Clock
    webhooks: Webhooks
    _registered: dict[int, DynamicEndpoint]

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """The stand-in's."""
        raise NotImplementedError

    def found_issue(self, call: Call[JiraAccount]) -> Row:
        """The stand-in's."""
        raise NotImplementedError

    def writing_paths(self) -> list[tuple[str, Callable[[Call[JiraAccount]], Reply], str]]:
        """Paths, what answers them, and by which method."""
        self._registered = {}
        return [
            ("issue", self._create, "POST"), ("issue/{id}/comment", self._comment, "POST"),
            ("/rest/servicedeskapi/customer", self._customer, "POST"),
            ("webhook", self._webhooks, "GET"), ("webhook", self._register, "POST"),
            ("webhook", self._remove, "DELETE"), ("webhook/refresh", self._refresh, "PUT"),
        ]  # fmt: skip

    def _create(self, call: Call[JiraAccount]) -> Reply:
        fields = _body(call).get("fields", {})
        for name, words in (("project", "project"), ("issuetype", "issue type"), ("summary", "summary")):
            if not fields.get(name):
                raise self.error(HTTPStatus.BAD_REQUEST, f"You must specify a {words}.", parameter=name)
        if len(fields["summary"]) > _LONGEST_SUMMARY:
            raise self.error(HTTPStatus.BAD_REQUEST, "The summary is too long.", parameter="summary")
        if not _is_document(fields.get("description")):
            raise self.error(
                HTTPStatus.BAD_REQUEST,
                "Operation value must be an Atlassian Document (see the Atlassian Document Format)",
                parameter="description",
            )
        if fields["project"].get("key", "SUP") != "SUP":
            raise self.error(HTTPStatus.BAD_REQUEST, "valid project is required", parameter="project")
        kept = {name: value for name, value in fields.items() if name not in ("project", "issuetype")}
        made = call.account.create("issues", **kept, issuetype={"id": "10000", **fields["issuetype"]})
        shown = {"id": made["id"], "key": made["key"], "self": f"{SITE}/rest/api/3/issue/{made['id']}"}
        return Reply(msgspec.json.encode(shown), HTTPStatus.CREATED)

    def _comment(self, call: Call[JiraAccount]) -> Reply:
        issue, said = self.found_issue(call), _body(call)
        if not said.get("body") or not _is_document(said["body"]):
            raise self.error(HTTPStatus.BAD_REQUEST, "Comment body is not valid!", parameter="comment")
        made = call.account.create("comments", issue=issue.id, body=said["body"])
        row = call.account.rows["comments"].find(made["id"])
        assert row is not None  # noqa: S101 - it was just made
        return Reply(msgspec.json.encode(call.account.comment(row)), HTTPStatus.CREATED)

    def _customer(self, call: Call[JiraAccount]) -> Reply:
        said = _body(call)
        people = call.account.rows["people"]
        if any(row.fields["emailAddress"] == said["email"] for row in people.live()):
            words = "An account already exists for this email"
            is_strict = call.request.query_params.get("strictConflictStatusCode") == "true"
            raise self.error(HTTPStatus.CONFLICT if is_strict else HTTPStatus.BAD_REQUEST, words)
        made = call.account.create(
            "people", accountType="customer", active=True, timeZone=None,
            emailAddress=said["email"], displayName=said.get("displayName") or said["email"],
        )  # fmt: skip
        return Reply(msgspec.json.encode(call.account.person(made["accountId"])), HTTPStatus.CREATED)

    # Webhooks --------------------------------------------------------------------------------------------

    def _webhooks(self, call: Call[JiraAccount]) -> Reply:
        del call
        values = [
            {"id": one.id, "jqlFilter": one.jql, "events": list(one.events), "url": one.url,
             "expirationDate": int(one.expires_at * 1000)}
            for one in self._registered.values()
            if one.expires_at > self.clock.time()
        ]  # fmt: skip
        answer = {"startAt": 0, "maxResults": 100, "total": len(values), "isLast": True, "values": values}
        return Reply(msgspec.json.encode(answer))

    def _register(self, call: Call[JiraAccount]) -> Reply:
        said = _body(call)
        results: list[Record] = []
        for one in said["webhooks"]:
            if not one.get("jqlFilter"):
                results.append({"errors": ["The clause is missing."]})
                continue
            number = len(self._registered) + 1
            made = DynamicEndpoint(
                self._key_of_account(call), said["url"], CLIENT_SECRET, retry_scale=1e-6, id=number,
                events=tuple(one["events"]), jql=one["jqlFilter"], expires_at=self.clock.time() + LIFE,
            )  # fmt: skip
            self._registered[number] = made
            self.webhooks.add(made)
            results.append({"createdWebhookId": number})
        return Reply(msgspec.json.encode({"webhookRegistrationResult": results}))

    def _refresh(self, call: Call[JiraAccount]) -> Reply:
        ends = self.clock.time() + LIFE
        for number in _body(call)["webhookIds"]:
            one = self._registered.get(number)
            if one is not None and one.expires_at > self.clock.time():
                self._registered[number] = replace(one, expires_at=ends)
                self.webhooks.add(self._registered[number])
        return Reply(msgspec.json.encode({"expirationDate": int(ends * 1000)}))

    def _remove(self, call: Call[JiraAccount]) -> Reply:
        for number in _body(call)["webhookIds"]:
            one = self._registered.pop(number, None)
            if one is not None:
                self.webhooks.add(replace(one, expires_at=0.0))
        return Reply(b"", HTTPStatus.ACCEPTED)

    def _key_of_account(self, call: Call[JiraAccount]) -> str:
        raise NotImplementedError


def _body(call: Call[JiraAccount]) -> Record:
    said: Record = msgspec.json.decode(call.body or b"{}", type=dict[str, Any])
    return said


def _is_document(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and value.get("type") == "doc" and "version" in value)
