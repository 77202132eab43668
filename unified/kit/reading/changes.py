"""Following changes by time: how far back to ask, how far a pull got, when it is too late.

A provider's "changed since" has three catches. Changes show up some time after they happened, now and then long after;
two of its servers, and it and we, differ in what time it is; and some of what happened is forgotten after a while.
:class:`Since` holds against each. :func:`in_steps` makes a pull resumable that has several things to do one after
another.

Not here: requests (the adapter's, or ``listing``).
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from unified.kit.errors import StaleCursorError
from unified.kit.http.client import HttpClient
from unified.kit.streams import Cursor, Page

_DONE = "done"


@dataclass(frozen=True, slots=True)
class Since:
    """How a stream's changes are followed.

    Attributes:
        lag: For how long a change may stay invisible: a pull is complete up to so long before the provider's time.
        overlap: How much earlier than the last pull got to ask again, where servers do not share one clock.
        keeps: For how long the provider knows what changed (or was deleted); None for ever.
        late: For how long a change may stay invisible at worst, where the list is kept by an index that is now and then
            behind by more than ``lag``. Each span is read a second time, by the pulls that begin so much later; what
            did not change since is left out by its hash.
    """

    lag: timedelta
    overlap: timedelta = timedelta(0)
    keeps: timedelta | None = None
    late: timedelta = timedelta(0)

    def reach(self, since: datetime) -> datetime:
        """The time to ask from, where the last pull was complete up to ``since``.

        A change that it did not see had happened less than ``late`` before it began, however long ago it was itself: so
        a pull that reaches back so far sees it, as soon as the list shows it.
        """
        return since - max(self.overlap, self.late)

    def settled(self, now: datetime) -> datetime:
        """Up to when a pull is complete that began when it was ``now`` at the provider: ``since`` of the next one."""
        return now - self.lag

    def is_stale(self, since: datetime, now: datetime | None) -> bool:
        """Whether the provider has forgotten some of what changed since then; never where it does not say the time."""
        return self.keeps is not None and now is not None and now - since > self.keeps

    def check(self, since: datetime, now: datetime | None, *, label: str) -> None:
        """Refuse a time that is too long ago; the pull then becomes a full refresh.

        Args:
            since: Up to when the last pull was complete.
            now: The provider's time.
            label: Names the connection.

        Raises:
            StaleCursorError: If the provider has forgotten some of what changed since then.
        """
        if self.keeps is not None and self.is_stale(since, now):
            raise StaleCursorError(
                f"{label}: the last pull is longer ago (it got to {since:%Y-%m-%d %H:%M}) than the "
                f"{self.keeps.days} days for which the provider knows what changed; only a full refresh helps"
            )


def provider_time(http: HttpClient, clock: Callable[[], datetime]) -> datetime | None:
    """What time it is at the provider, by its last answer; None where none has said so.

    A provider whose clock is ahead is not believed, as what follows would be skipped: its word counts up to our time.

    Args:
        http: Has asked the provider.
        clock: Says our own time.
    """
    return None if http.server_time is None else min(http.server_time, clock())


Step = Callable[[Any], AsyncGenerator[Page, None]]
"""Reads one kind of change from where its last page left off; None is its start. The cursor of each page is
``{"at": …}``, or None for the page that ends the step."""


async def in_steps(cursor: Cursor, steps: Mapping[str, Step]) -> AsyncGenerator[Page, None]:
    """Take the steps of a pull one after another, from where its cursor stands.

    Args:
        cursor: Holds the name of a ``step`` and how far it is (``at``), and what else every page's cursor has to hold.
        steps: In their order, by name.

    Yields:
        Pages, each with the cursor that goes on after it. The caller ends the pull by a page with the next one's.
    """
    names = [*steps, _DONE]
    for number, name in enumerate(names[:-1]):
        if number < names.index(cursor["step"]):
            continue
        at = cursor["at"] if name == cursor["step"] else None
        after = {**cursor, "step": names[number + 1], "at": None}
        async with aclosing(steps[name](at)) as pages:
            async for page in pages:
                now = after if page.cursor is None else {**cursor, "step": name, **page.cursor}
                yield replace(page, cursor=now)
