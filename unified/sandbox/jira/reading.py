"""Issues as the stand-in is asked for them: by search, in bulk, one by one, with their changelogs and comments.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3, api-group-issue-search and api-group-issues.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.clock import DAY
from unified.sandbox.jira.jql import JqlError, parsed
from unified.sandbox.provider import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.clock import Clock
    from unified.sandbox.jira.account import JiraAccount
    from unified.sandbox.provider import ApiError, Call
    from unified.sandbox.tables.table import Record, Row

_MOST_IDS, _MOST_WITH_FIELDS, _USUAL = 5000, 100, 50
_BULK, _BULK_CHANGELOG, _BULK_FIELDS = 100, 1000, 10
_TOKEN_LIVES = 7 * DAY


class ReadingApi:
    """The part of the stand-in that shows issues."""

    clock: Clock
    search_lag: float
    failing: set[str]
    _page: int
    _zone: str

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """The stand-in's."""
        raise NotImplementedError

    def reading_paths(self) -> list[tuple[str, Callable[[Call[JiraAccount]], Reply], str]]:
        """Paths, what answers them, and by which method."""
        return [
            ("search/jql", self._search, "GET"), ("search/jql", self._search, "POST"),
            ("search/approximate-count", self._count, "POST"),
            ("issue/bulkfetch", self._bulk, "POST"), ("changelog/bulkfetch", self._changelog, "POST"),
            ("issue/{id}", self._issue, "GET"), ("issue/{id}/comment", self._comments, "GET"),
        ]  # fmt: skip

    def asked(self, call: Call[JiraAccount]) -> Record:
        """What a request says, by its query or its body."""
        if call.request.method == "GET":
            said: Record = dict(call.request.query_params)
            said["fields"] = said.get("fields", "id").split(",")
            return said
        body: Record = msgspec.json.decode(call.body or b"{}", type=dict[str, Any])
        return body

    def _found(self, call: Call[JiraAccount], asked: Record) -> list[Row]:
        now = self.clock.time()
        try:
            test, order, descending = parsed(str(asked.get("jql", "")), zone=self._zone, now=now)
        except JqlError as error:
            raise self.error(HTTPStatus.BAD_REQUEST, str(error)) from None
        rows = call.account.rows["issues"].live()
        shown = [row for row in rows if self.search_lag == 0 or row.updated <= now - self.search_lag]
        return sorted(
            (row for row in shown if test(row)), key=lambda row: (order(row), int(row.id)), reverse=descending
        )

    def _count(self, call: Call[JiraAccount]) -> Reply:
        return Reply(msgspec.json.encode({"count": len(self._found(call, self.asked(call)))}))

    def _search(self, call: Call[JiraAccount]) -> Reply:
        """By token, without a total."""
        asked = self.asked(call)
        wanted = asked.get("fields") or ["id"]
        most = _MOST_IDS if set(wanted) <= {"id", "key"} else _MOST_WITH_FIELDS
        size = min(int(asked.get("maxResults") or _USUAL), most, self._page)
        found = self._found(call, asked)
        last = self._position(asked)
        if last is not None:
            found = found[next((at + 1 for at, row in enumerate(found) if row.id == last), 0) :]
        answer: Record = {"issues": [call.account.issue(row, wanted) for row in found[:size]]}
        answer["isLast"] = len(found) <= size
        if not answer["isLast"]:
            place = [asked["jql"], found[size - 1].id, self.clock.time() + _TOKEN_LIVES]
            answer["nextPageToken"] = base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()
        return Reply(msgspec.json.encode(answer))

    def _position(self, asked: Record) -> str | None:
        """The last issue of the page before."""
        token = asked.get("nextPageToken")
        if not token:
            return None
        try:
            jql, last, ends = msgspec.json.decode(
                base64.urlsafe_b64decode(token), type=tuple[str, str, float]
            )
        except (msgspec.MsgspecError, ValueError):
            jql, last, ends = "", "", 0.0
        if jql != asked.get("jql") or ends < self.clock.time():
            raise self.error(HTTPStatus.BAD_REQUEST, "The provided next page token is invalid or expired.")
        return last

    def _bulk(self, call: Call[JiraAccount]) -> Reply:
        """Issues that are not there are left out; one that can't be returned now is named as an error."""
        asked = self.asked(call)
        ids = [str(one) for one in asked.get("issueIdsOrKeys", ())]
        if not 1 <= len(ids) <= _BULK:
            raise self.error(
                HTTPStatus.BAD_REQUEST, f"issueIdsOrKeys: between 1 and {_BULK} issues are allowed"
            )
        rows = [row for one in ids if (row := self.find(call.account, one)) is not None]
        issues = [
            call.account.issue(row, asked.get("fields") or ["*navigable"])
            for row in rows
            if row.id not in self.failing
        ]
        errors = [{"id": row.id, "errorMessage": "retry later"} for row in rows if row.id in self.failing]
        return Reply(msgspec.json.encode({"issues": issues, "issueErrors": errors}))

    def find(self, account: JiraAccount, id_or_key: str) -> Row | None:
        """A living issue by its id or its key."""
        rows = account.rows["issues"]
        row = rows.find(id_or_key) or next((one for one in rows if one.fields["key"] == id_or_key), None)
        return None if row is None or row.is_deleted else row

    def found_issue(self, call: Call[JiraAccount]) -> Row:
        """The issue of a path. Raises ApiError where there is none."""
        row = self.find(call.account, call.request.path_params["id"])
        if row is None:
            raise self.error(
                HTTPStatus.NOT_FOUND, "Issue does not exist or you do not have permission to see it."
            )
        return row

    def _issue(self, call: Call[JiraAccount]) -> Reply:
        fields = call.request.query_params.get("fields", "*all").split(",")
        return Reply(msgspec.json.encode(call.account.issue(self.found_issue(call), fields)))

    def _comments(self, call: Call[JiraAccount]) -> Reply:
        query = call.request.query_params
        start, most = int(query.get("startAt", 0)), min(int(query.get("maxResults", 50)), 100)
        return Reply(
            msgspec.json.encode(call.account.comments(self.found_issue(call).id, start=start, most=most))
        )

    def _changelog(self, call: Call[JiraAccount]) -> Reply:
        """Oldest first, over all issues."""
        asked = self.asked(call)
        ids = [str(one) for one in asked.get("issueIdsOrKeys", ())]
        if not 1 <= len(ids) <= _BULK_CHANGELOG or len(asked.get("fieldIds") or ()) > _BULK_FIELDS:
            raise self.error(
                HTTPStatus.BAD_REQUEST, "between 1 and 1000 issues and at most 10 fields are allowed"
            )
        rows = [row for one in ids if (row := self.find(call.account, one)) is not None]
        steps = [step for row in rows for step in call.account.of_issue("histories", row.id)]
        steps.sort(key=lambda step: (step.created, int(step.fields["issue"]), int(step.id)))
        size = min(int(asked.get("maxResults") or 1000), 10_000, self._page)
        begin = int(asked.get("nextPageToken") or 0)
        page = steps[begin : begin + size]
        of: dict[str, list[Record]] = {}
        for step in page:
            of.setdefault(step.fields["issue"], []).append(call.account.history(step))
        answer: Record = {
            "issueChangeLogs": [{"issueId": one, "changeHistories": some} for one, some in of.items()]
        }
        if begin + size < len(steps):
            answer["nextPageToken"] = str(begin + size)
        return Reply(msgspec.json.encode(answer))
