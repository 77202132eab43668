"""Issues: all of them by the time of their creation, then what changed, and once a day which are still there.

Ids are searched first and read in bulk then, as a search with whole issues shows a hundred a page, later than a read by
id. A deleted issue leaves no trace in a search, so ids are compared: what is stored and not listed is asked for by its
id before it counts as deleted. The names of a site's own fields are put beside an issue's fields, as Jira does itself
where single issues are read with ``expand=names``.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from adapters.jira.api import BULK, Found, JiraApi, milliseconds
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Stream
from unified.kit.reading.changes import Since, provider_time
from unified.kit.reading.raw import by_ids, id_of, raw_record
from unified.kit.reading.refresh import Refresh, RefreshedSource
from unified.kit.reading.windows import Window, WindowPage
from unified.kit.streams import Cursor, Page, RawRecord

# Without what has streams or lists of its own, and grows without bound.
FIELDS = ("*all", "-comment", "-worklog")

PAGE = 500
_IDS_PAGE = 5000

# Search follows within seconds as a rule.
TIMES = Since(lag=timedelta(minutes=5))
_COMPARE_EVERY = timedelta(days=1)
# What was read or delivered so short a time before is not judged by a list of ids.
_YOUNG = timedelta(minutes=10)


class _Issue(msgspec.Struct):
    fields: dict[str, msgspec.Raw] = {}


_ISSUE = msgspec.json.Decoder(_Issue)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOTHING = (b"null", b"[]")


class IssueSource(RefreshedSource):
    """Reads the issues of a site."""

    readers = 1

    def __init__(self, adapter: BaseAdapter[Any], stream: Stream) -> None:
        """Read through a connected adapter."""
        del stream
        self._api = JiraApi(adapter.http)
        self._http, self._clock = adapter.http, adapter.clock
        self._names: Mapping[str, str] | None = None

    def fetch(self, ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Single issues; see :meth:`unified.kit.adapter.BaseAdapter.fetch`."""
        return by_ids(ids, self._whole, clock=self._clock, size=BULK)

    async def _whole(self, ids: Sequence[str]) -> list[RawRecord]:
        """Issues with all their fields, and the names of their own ones."""
        if self._names is None:
            self._names = await self._api.custom_names()
        found = await self._api.issues(ids, FIELDS)
        return [raw_record(id_of(one), named(one, self._names)) for one in found]

    # Full refresh

    async def begin(self) -> Refresh:
        """All that were created up to now."""
        started_at = self._clock()
        until = milliseconds(started_at)
        # The first answer says what time it is there.
        await self._api.search(f"created <= {until}", None, size=1)
        since = TIMES.settled(provider_time(self._http, self._clock) or started_at - timedelta(days=1))
        then = {"since": since.isoformat(), "compared": started_at.isoformat()}
        return Refresh(started_at, [Window(0, until + 1)], then)

    async def window(self, window: Window) -> WindowPage:
        """A page of them."""
        observed_at = self._clock()
        found = await self._created(window, PAGE)
        return WindowPage([*await self._whole(found.ids), *found.odd], observed_at, _behind(window, found))

    async def ids(self, window: Window) -> WindowPage:
        """A page of ids alone."""
        observed_at = self._clock()
        found = await self._created(window, _IDS_PAGE)
        return WindowPage((), observed_at, _behind(window, found), met=found.ids)

    async def _created(self, window: Window, size: int) -> Found:
        """In an order that no change moves an issue in."""
        jql = f"created < {window.high} ORDER BY created ASC"
        return await self._api.search(jql, window.page, size=size)

    # Changes

    async def changes(self, cursor: Cursor) -> AsyncGenerator[Page, None]:
        """What changed since the last pull began; then, if that was not done for a day, which are still there.

        A cursor inside a pull holds ``until``, up to when changes are asked for, and the token of a page (``at``). The
        last page of changes leads into the comparison, so that a run that ends there goes on with it.
        """
        while True:
            observed_at = self._clock()
            until = int(cursor.get("until") or milliseconds(observed_at))
            jql = updated_jql(cursor["since"], until)
            found = await self._api.search(jql, cursor.get("at"), size=PAGE)
            records = [*await self._whole(found.ids), *found.odd]
            kept = {"since": cursor["since"], "compared": cursor["compared"]}
            if found.following is None:
                break
            cursor = {**kept, "until": until, "at": found.following}
            yield Page(records, observed_at, cursor)
        since = settled(cursor["since"], until, provider_time(self._http, self._clock))
        then = {**kept, "since": since}
        now = self._clock()
        if now - datetime.fromisoformat(kept["compared"]) < _COMPARE_EVERY:
            yield Page(records, observed_at, then)
            return
        windows = [Window(0, milliseconds(now) + 1)]
        comparison = Refresh(
            now - _YOUNG, windows, {**then, "compared": now.isoformat()}, compares=True
        ).dump()
        yield Page(records, observed_at, comparison)
        async with aclosing(self._refresh(comparison)) as pages:
            async for page in pages:
                yield page


def _behind(window: Window, found: Found) -> Window | None:
    return None if found.following is None else replace(window, page=found.following)


def updated_jql(since: str | None, until: int) -> str:
    """What asks for the issues that changed in a span, oldest change first; both ends count.

    Args:
        since: ISO time of the last pull; None for all that there are.
        until: Milliseconds: what changes later moves out of the list, and not from page to page.
    """
    begin = "" if since is None else f"updated >= {milliseconds(datetime.fromisoformat(since))} AND "
    return f"{begin}updated <= {until} ORDER BY updated ASC"


def settled(since: str | None, until: int, now: datetime | None) -> str:
    """ISO time up to which a pull is complete that asked up to ``until`` milliseconds of our clock.

    Args:
        since: Up to when the one before it was.
        until: What it asked up to.
        now: Jira's time.
    """
    ours = datetime.fromtimestamp(until / 1000, UTC)
    complete = TIMES.settled(ours if now is None else min(ours, now))
    return (complete if since is None else max(datetime.fromisoformat(since), complete)).isoformat()


def named(issue: msgspec.Raw, names: Mapping[str, str]) -> bytes:
    """An issue's text with the names of those of a site's own fields that have a value; as it was where it is odd."""
    try:
        fields = _ISSUE.decode(issue).fields
        own = {
            name: names[name]
            for name, value in fields.items()
            if name in names and bytes(value) not in _NOTHING
        }
        return msgspec.json.encode({**_OBJECT.decode(issue), "names": own})
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return bytes(issue)
