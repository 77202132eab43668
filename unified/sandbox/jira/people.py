"""People and organizations as the stand-in lists them.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-users and
https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-organization.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.jira.records import shown_organization
from unified.sandbox.provider import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unified.sandbox.jira.account import JiraAccount
    from unified.sandbox.provider import ApiError, Call
    from unified.sandbox.tables.table import Record

_MOST_USERS, _MOST_ORGANIZATIONS = 1000, 50


class PeopleApi:
    """The part of the stand-in that lists people."""

    _page: int

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """The stand-in's."""
        raise NotImplementedError

    def people_paths(self) -> list[tuple[str, Callable[[Call[JiraAccount]], Reply], str]]:
        """Paths, what answers them, and by which method."""
        desk = "/rest/servicedeskapi/organization"
        return [
            ("users/search", self._users, "GET"), ("user", self._user, "GET"),
            (desk, self._organizations, "GET"), (f"{desk}/{{id}}", self._organization, "GET"),
            (f"{desk}/{{id}}/user", self._members, "GET"),
        ]  # fmt: skip

    def _users(self, call: Call[JiraAccount]) -> Reply:
        """A bare array; inactive people are in it."""
        query = call.request.query_params
        start, most = (
            int(query.get("startAt", 0)),
            min(int(query.get("maxResults", 50)), _MOST_USERS, self._page),
        )
        people = [call.account.person(row.id) for row in call.account.rows["people"].live()]
        return Reply(msgspec.json.encode(people[start : start + most]))

    def _user(self, call: Call[JiraAccount]) -> Reply:
        found = call.account.rows["people"].find(call.request.query_params.get("accountId", ""))
        if found is None or found.is_deleted:
            raise self.error(
                HTTPStatus.NOT_FOUND, "Specified user does not exist or you do not have required permissions"
            )
        return Reply(msgspec.json.encode(call.account.person(found.id)))

    def _organizations(self, call: Call[JiraAccount]) -> Reply:
        rows = call.account.rows["organizations"]
        return self._listed(call, [shown_organization(rows.shown(row)) for row in rows.live()])

    def _organization(self, call: Call[JiraAccount]) -> Reply:
        rows = call.account.rows["organizations"]
        row = rows.find(call.request.path_params["id"])
        if row is None or row.is_deleted:
            raise self.error(HTTPStatus.NOT_FOUND, "The organization does not exist.")
        return Reply(msgspec.json.encode(shown_organization(rows.shown(row))))

    def _members(self, call: Call[JiraAccount]) -> Reply:
        return self._listed(call, call.account.members(call.request.path_params["id"]))

    def _listed(self, call: Call[JiraAccount], records: Sequence[Record]) -> Reply:
        query = call.request.query_params
        start, most = (
            int(query.get("start", 0)),
            min(int(query.get("limit", 50)), _MOST_ORGANIZATIONS, self._page),
        )
        page = records[start : start + most]
        answer: dict[str, Any] = {
            "size": len(page), "start": start, "limit": most, "isLastPage": start + most >= len(records), "_links": {},
            "values": page,
        }  # fmt: skip
        return Reply(msgspec.json.encode(answer))
