"""Rows of a query, and what the order of reading needs of each: its place by id, and by the time of its last change.

Not here: the queries (``api``) and the order (``pull``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from adapters.salesforce.objects import number_of

# A record's place in the order of changes is one number: its stamp in milliseconds, then its id.
_IDS = 62**15


class Head(msgspec.Struct):
    """What the order of reading needs of a record; of any type, as an odd one must not break its page."""

    id: Any = msgspec.field(name="Id", default=None)
    is_deleted: Any = msgspec.field(name="IsDeleted", default=False)
    stamp: Any = msgspec.field(name="SystemModstamp", default=None)
    master: Any = msgspec.field(name="MasterRecordId", default=None)
    is_person: Any = msgspec.field(name="IsPersonAccount", default=False)

    @property
    def number(self) -> int | None:
        """The place of its id in the order of ids."""
        return number_of(self.id)

    @property
    def changed_at(self) -> datetime | None:
        """When the system last touched it."""
        try:
            return datetime.fromisoformat(self.stamp).astimezone(UTC)
        except (TypeError, ValueError):
            return None

    @property
    def place(self) -> int | None:
        """Its place in the order of changes."""
        number, changed_at = self.number, self.changed_at
        if number is None or changed_at is None:
            return None
        return round(changed_at.timestamp() * 1000) * _IDS + number


_HEAD = msgspec.json.Decoder(Head)

EXACT = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
"""Reads a row whose amounts matter: encoded again, the digits of every number are kept as text."""


class Rows(NamedTuple):
    """A page of a query.

    Attributes:
        records: As they were sent.
        heads: What is known of each.
        more: Whether more follow.
    """

    records: Sequence[msgspec.Raw]
    heads: Sequence[Head]
    more: bool

    @property
    def last_id(self) -> str | None:
        """The last readable id."""
        return next((head.id for head in reversed(self.heads) if head.number is not None), None)


def head_of(raw: msgspec.Raw) -> Head:
    """What is known of a row; nothing where it can't be read."""
    try:
        return _HEAD.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Head()


def written(moment: datetime) -> str:
    """A time as a query holds it, to the millisecond."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}Z"
