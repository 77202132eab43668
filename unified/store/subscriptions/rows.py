"""A subscription as it is kept: what it follows, where to, and how far it has come."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from pydantic import ValidationError

from unified.store.errors import InvalidSettingError, StoreError
from unified.store.lists.declared import LISTS, RecordList
from unified.store.lists.pages import Place, Wanted
from unified.store.rows import fetch

State = Literal["follows", "waits", "paused", "ended"]
"""Delivers what changes; waits for its receiver; was paused; its receiver wanted no more."""

SELECT = """
    SELECT id, workspace_id, name, list, filters, url, allow_private, sha256(sealed) AS seal, is_active, xid::text,
        row_id, server::bigint, moved_at, delivered, failures, retry_at, error, created_at
    FROM webhook_subscriptions
"""


class SubscriptionNotFoundError(StoreError):
    """The workspace has no such subscription."""

    def __init__(self, which: object) -> None:
        super().__init__(
            f"there is no subscription {which}; `unified subscriptions list` shows those there are"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A standing order.

    Attributes:
        id: Its row.
        workspace_id: Whose.
        name: Unique in the workspace.
        list: Which list it follows.
        filters: Only records that pass; values by filter, as the records API takes them.
        url: Where changes are delivered.
        allow_private: Whether that may be a loopback or private address.
        seal: Another one where its secret is another.
        is_active: Whether it is followed.
        xid: With ``row_id`` the place of the last change dealt with.
        row_id: See ``xid``.
        server: Whose transactions ``xid`` counts.
        moved_at: When it came there.
        delivered: Changes that were delivered so far.
        failures: Batches in a row of which the receiver took nothing.
        retry_at: When it is tried again; None at once.
        error: What the receiver did not take last, and why.
        created_at: When it was made.
    """

    id: UUID
    workspace_id: UUID
    name: str
    list: str
    filters: Mapping[str, Sequence[str]]
    url: str
    allow_private: bool
    seal: bytes = field(repr=False)
    is_active: bool
    xid: str
    row_id: UUID
    server: int
    moved_at: datetime
    delivered: int
    failures: int
    retry_at: datetime | None
    error: str | None = field(repr=False)
    created_at: datetime

    @property
    def place(self) -> Place:
        """The last change dealt with."""
        return Place(self.xid, self.row_id)

    @property
    def state(self) -> State:
        """How it stands."""
        if self.is_active:
            return "waits" if self.failures else "follows"
        return "ended" if self.error else "paused"

    @property
    def followed(self) -> RecordList:
        """The list that it follows."""
        return LISTS[self.list]

    def wanted(self, since: datetime | None = None) -> Wanted:
        """What of the list is delivered, tombstones too, and records that are emptied since for their person's privacy.

        Raises:
            InvalidSettingError: If a filter is not the list's.
        """
        which = self.followed
        values = read_filters(which, self.filters)
        return Wanted(
            fields=tuple(which.item.model_fields), values=values, deleted="true", since=since, erased=True
        )


def read_filters(which: RecordList, filters: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
    """Values of filters, of their text.

    Raises:
        InvalidSettingError: If the list has no such filter, or one takes no such value.
    """
    values = {}
    for name, given in filters.items():
        known = which.filters.get(name)
        if known is None:
            raise InvalidSettingError(
                f"{which.name} have no filter {name!r}; they have {', '.join(sorted(which.filters))}"
            )
        if len(given) > 1 and not known.takes_several:
            raise InvalidSettingError(f"the filter {name} takes one value")
        try:
            values[name] = [known.values.validate_python(one) for one in given]
        except ValidationError as error:
            raise InvalidSettingError(f"the filter {name}: {error.errors()[0]['msg']}") from None
    return values


async def read(conn: AsyncConnection[Any], subscription_id: UUID) -> Subscription:
    """A subscription as it is now.

    Raises:
        SubscriptionNotFoundError: If the workspace has none of that id.
    """
    found = await fetch(conn, Subscription, SELECT + " WHERE id = %(id)s", id=subscription_id)
    if not found:
        raise SubscriptionNotFoundError(subscription_id)
    return found[0]


def filters_of(given: Iterable[str]) -> dict[str, list[str]]:
    """Values by filter, of texts such as ``status=open``.

    Raises:
        InvalidSettingError: If one is no such text.
    """
    filters: dict[str, list[str]] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise InvalidSettingError(f"a filter is FILTER=VALUE, such as status=open; not {one!r}")
        filters.setdefault(name, []).append(value)
    return filters
