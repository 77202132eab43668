"""What happened to issues: created, changed step by step, commented on. A log, read from their changelogs.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3, api-group-issues (changelog bulkfetch) and
api-group-issue-comments. An event has the form and the key that it has where a webhook delivers it (``events``), so it
is one event however it came. Deletions leave no trace to be read: they come by webhook alone.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from adapters.jira.api import BULK, ChangeLogs, JiraApi, milliseconds
from adapters.jira.events import event_record
from adapters.jira.issues import settled, updated_jql
from adapters.jira.registering import EVERY, renew
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.errors import SingleRecordsError
from unified.kit.reading.changes import provider_time
from unified.kit.streams import Cursor, Page, RawRecord
from unified.schema.reading import moment

_STEPS = 1000
_TALK = ("comment", "created", "creator")
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class _Comments(msgspec.Struct):
    comments: list[msgspec.Raw] = []
    total: int = 0


class _Fields(msgspec.Struct):
    created: str
    comment: _Comments = msgspec.field(default_factory=_Comments)
    creator: Any = None


class _Issue(msgspec.Struct):
    id: str
    fields: _Fields
    key: str | None = None


class _Comment(msgspec.Struct):
    id: str
    created: str
    updated: str | None = None


_ISSUE = msgspec.json.Decoder(_Issue)
_COMMENT = msgspec.json.Decoder(_Comment)


class EventSource:
    """Reads what happened to the issues of a site."""

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Read through a connected adapter."""
        self._api = JiraApi(adapter.http)
        self._http, self._clock, self._stream = adapter.http, adapter.clock, stream
        self._is_app = adapter.tokens is not None

    async def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All that happened, or what did since the last pull began.

        A cursor inside a pull holds ``until``, up to when changes are asked for, the token of a page of issues (``at``)
        and within it that of a page of their changelogs (``log``); and when an app's webhooks were ``renewed``.
        """
        at: Cursor = dict(cursor or {})
        kept = await self._renewed(at.get("renewed"))
        since = at.get("since")
        begin = _BEGINNING if since is None else datetime.fromisoformat(since)
        while True:
            observed_at = self._clock()
            until = int(at.get("until") or milliseconds(observed_at))
            found = await self._api.search(updated_jql(since, until), at.get("at"), size=BULK)
            log = None if found.is_anew else at.get("log")
            steps = await self._api.changelogs(found.ids, log, size=_STEPS) if found.ids else ChangeLogs([])
            records = [*_steps(steps, begin), *(await self._talk(found.ids, begin) if log is None else ())]
            records += found.odd if log is None else ()
            inside = {**kept, "since": since, "until": until}
            if steps.next_page_token is not None:
                page = None if found.is_anew else at.get("at")
                at = {**inside, "at": page, "log": steps.next_page_token}
            elif found.following is not None:
                at = {**inside, "at": found.following}
            else:
                now = provider_time(self._http, self._clock)
                yield Page(records, observed_at, {**kept, "since": settled(since, until, now)})
                return
            yield Page(records, observed_at, at)

    async def _renewed(self, before: str | None) -> Cursor:
        """Renew the webhooks of an OAuth app once a day; when that was last."""
        if not self._is_app:
            return {}
        now = self._clock()
        if before is None or now - datetime.fromisoformat(before) >= EVERY:
            await renew(self._http, now)
            before = now.isoformat()
        return {"renewed": before}

    def fetch(self, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """No single event can be read.

        Raises:
            SingleRecordsError: Always.
        """
        raise SingleRecordsError(
            f"{self._http.label}: {len(source_ids)} {self._stream.name} can't be read singly; wait for the next sync"
        )

    async def _talk(self, ids: Sequence[str], begin: datetime) -> list[RawRecord]:
        """That issues were created, and what was said about them."""
        records: list[RawRecord] = []
        for raw in await self._api.issues(ids, _TALK):
            try:
                issue = _ISSUE.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                records.append(RawRecord(None, bytes(raw)))
                continue
            comments = issue.fields.comment.comments
            if issue.fields.comment.total > len(comments):
                comments = [*comments, *await self._api.further_comments(issue.id, len(comments))]
            records += _created(issue, begin)
            for comment in comments:
                records += _said(issue, comment, begin)
        return records


def _steps(page: ChangeLogs, begin: datetime) -> Iterator[RawRecord]:
    for log in page.issue_change_logs:
        for step in log.change_histories:
            happened = moment(step.created, per_second=1000)
            if happened is not None and happened >= begin:
                changelog = {"id": str(step.id), "items": step.items}
                said = {"user": step.author, "issue": {"id": str(log.issue_id)}, "changelog": changelog}
                yield event_record("jira:issue_updated", happened, said)


def _created(issue: _Issue, begin: datetime) -> Iterator[RawRecord]:
    happened = moment(issue.fields.created)
    if happened is not None and happened >= begin:
        said = {"user": issue.fields.creator, "issue": {"id": issue.id, "key": issue.key}}
        yield event_record("jira:issue_created", happened, said)


def _said(issue: _Issue, raw: msgspec.Raw, begin: datetime) -> Iterator[RawRecord]:
    """That a comment was made, and that it was changed last."""
    try:
        comment = _COMMENT.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        yield RawRecord(None, bytes(raw))
        return
    said = {"comment": raw, "issue": {"id": issue.id, "key": issue.key}}
    made, changed = moment(comment.created), moment(comment.updated)
    if made is not None and made >= begin:
        yield event_record("comment_created", made, said)
    if changed is not None and changed != made and changed >= begin:
        yield event_record("comment_updated", changed, said)
