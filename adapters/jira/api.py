"""Jira's requests for issues: ids by search, whole ones in bulk, their changelogs and comments.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3, api-group-issue-search and api-group-issues. A
search is asked with moments in milliseconds: Jira reads a date in text in the time zone of the token's user. It names
no total, and what changed a moment ago is not in it yet.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from unified.kit.errors import NotFoundError, ProtocolError, RequestRefusedError, UnavailableError
from unified.kit.http.client import HttpClient
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import Offset
from unified.kit.reading.raw import id_of, raw_record
from unified.kit.reading.windows import side_by_side
from unified.kit.streams import RawRecord

_log = logging.getLogger(__name__)

# https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-bulkfetch-post
BULK = 100

SEARCH, ISSUES, CHANGELOG = "search", "issues", "changelog"
"""The document's limits: a burst that Jira refuses is one endpoint's."""


class _Found(msgspec.Struct, rename="camel"):
    """A page of a search."""

    issues: list[msgspec.Raw]
    next_page_token: str | None = None
    is_last: bool = False


class Found(NamedTuple):
    """One page of a search.

    Attributes:
        ids: Of its issues.
        odd: Those without a readable id.
        following: The token of the next page; None where it is the last.
        is_anew: Whether the token that was asked with is no longer known, and this is the first page.
    """

    ids: list[str]
    odd: list[RawRecord]
    following: str | None
    is_anew: bool = False


class _Failed(msgspec.Struct, rename="camel"):
    """An issue that can't be returned just now."""

    id: str | int | None = None
    error_message: str = ""


class _Bulk(msgspec.Struct, rename="camel"):
    issues: list[msgspec.Raw]
    issue_errors: list[_Failed] = []


class Step(msgspec.Struct, rename="camel"):
    """A step of a changelog; its time in milliseconds, or as Jira writes it elsewhere."""

    id: str | int
    created: int | str
    items: msgspec.Raw
    author: msgspec.Raw = msgspec.Raw(b"null")


class ChangeLog(msgspec.Struct, rename="camel"):
    """Steps of one issue, oldest first."""

    issue_id: str | int
    change_histories: list[Step]


class ChangeLogs(msgspec.Struct, rename="camel"):
    """A page of changelogs."""

    issue_change_logs: list[ChangeLog]
    next_page_token: str | None = None


class _Field(msgspec.Struct):
    id: str
    name: str
    custom: bool = False


_FOUND = msgspec.json.Decoder(_Found)
_BULK = msgspec.json.Decoder(_Bulk)
_CHANGELOGS = msgspec.json.Decoder(ChangeLogs)
_FIELDS = msgspec.json.Decoder(list[_Field])
_ISSUE = msgspec.json.Decoder(msgspec.Raw)


def milliseconds(moment: datetime) -> int:
    """A moment as JQL takes it."""
    return int(moment.timestamp() * 1000)


class JiraApi:
    """The requests of one connection."""

    def __init__(self, http: HttpClient) -> None:
        """Ask through a connected client."""
        self._http = http

    async def search(self, jql: str, token: Any, *, size: int) -> Found:
        """One page of a search, ids alone.

        Args:
            jql: Which issues, in which order.
            token: Of the page, which Jira knows for seven days; None for the first.
            size: Ids on a page; up to 5,000 are allowed.

        Raises:
            ProtocolError: If a page leads to itself, or an empty one on.
        """
        asked: dict[str, Any] = {"jql": jql, "fields": ["id"], "maxResults": size}
        if token is not None:
            asked["nextPageToken"] = token
        try:
            found = await self._http.request(
                "POST", "/rest/api/3/search/jql", _FOUND, json=asked, limit=SEARCH
            )
        except RequestRefusedError as error:
            if token is None:
                raise
            _log.warning("%s; the search is read from its start", error)
            return (await self.search(jql, None, size=size))._replace(is_anew=True)
        records = [raw_record(id_of(one), one) for one in found.issues]
        following = None if found.is_last else found.next_page_token or None
        if following is not None and (following == token or not records):
            raise ProtocolError(
                f"{self._http.label}: a page of the search leads to itself, or an empty one on"
            )
        ids = [one.source_id for one in records if one.source_id is not None]
        return Found(ids, [one for one in records if one.source_id is None], following)

    async def issues(self, ids: Sequence[str], fields: Sequence[str]) -> list[msgspec.Raw]:
        """Issues with some of their fields, any number; those that are not there, or not to be seen, are left out.

        Raises:
            UnavailableError: If Jira can't return one that is there.
        """
        batches = [ids[at : at + BULK] for at in range(0, len(ids), BULK)]
        return [
            one for some in await side_by_side(self._some(batch, fields) for batch in batches) for one in some
        ]

    async def _some(self, ids: Sequence[str], fields: Sequence[str]) -> list[msgspec.Raw]:
        asked = {"issueIdsOrKeys": list(ids), "fields": list(fields)}
        found = await self._http.request(
            "POST", "/rest/api/3/issue/bulkfetch", _BULK, json=asked, limit=ISSUES
        )
        # Named as errors are those that are there and too much for one answer; each of them alone may fit.
        failed = [str(one.id) for one in found.issue_errors if one.id is not None]
        if len(failed) < len(found.issue_errors):
            raise UnavailableError(
                f"{self._http.label}: Jira can't return some issues just now ({found.issue_errors[0].error_message}). "
                "The next run goes on from here"
            )
        self._are_asked(ids, [id_of(one) for one in found.issues])
        alone = await side_by_side(self._one(one, fields) for one in failed)
        return [*found.issues, *(one for one in alone if one is not None)]

    def _are_asked(self, asked: Sequence[str], answered: Sequence[Any]) -> None:
        """Refuse an answer about others, as one that is repeated."""
        if {one for one in answered if one is not None} - set(asked):
            raise ProtocolError(f"{self._http.label}: Jira answered with other issues than were asked for")

    async def _one(self, issue: str, fields: Sequence[str]) -> msgspec.Raw | None:
        params = {"fields": ",".join(fields)}
        try:
            return await self._http.request(
                "GET", f"/rest/api/3/issue/{issue}", _ISSUE, params=params, limit=ISSUES
            )
        except NotFoundError:
            return None  # deleted meanwhile

    async def changelogs(self, ids: Sequence[str], token: str | None, *, size: int) -> ChangeLogs:
        """One page of the changelogs of up to a thousand issues, oldest step first."""
        asked: dict[str, Any] = {"issueIdsOrKeys": list(ids), "maxResults": size}
        if token is not None:
            asked["nextPageToken"] = token
        page = await self._http.request(
            "POST", "/rest/api/3/changelog/bulkfetch", _CHANGELOGS, json=asked, limit=CHANGELOG
        )
        self._are_asked(ids, [str(one.issue_id) for one in page.issue_change_logs])
        if page.next_page_token is not None and page.next_page_token == token:
            raise ProtocolError(f"{self._http.label}: a page of changelogs leads to itself")
        return page

    async def further_comments(self, issue: str, begin: int) -> list[msgspec.Raw]:
        """The comments of an issue from a number on."""
        path = f"/rest/api/3/issue/{issue}/comment"
        paging = Offset("startAt", 100, size_parameter="maxResults", count=("total",))
        comments = ListEndpoint(path, paging, ("comments",), limit=ISSUES)
        return [one async for part in comments.pages(self._http, begin=begin) for one in part.items]

    async def custom_names(self) -> Mapping[str, str]:
        """Names of a site's own fields, by id."""
        fields = await self._http.request("GET", "/rest/api/3/field", _FIELDS)
        return {one.id: one.name for one in fields if one.custom}
