"""Which record may be what a push created whose answer was lost. Pure.

On a two-way route such a record comes back as a stranger. Were it taken for one, it would be created once more on
the side where it began. Which pushes were lost is kept in the outbox (:func:`unified.store.routes.outbox.lost`).
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from unified.schema.customer import UnifiedCustomer
from unified.store.routes.outbox import Entry
from unified.sync.routes.end import RouteEnd

_CLOCKS_APART = timedelta(minutes=5)
"""How far the clocks of a system and of the database may differ."""


def origin_of(record: UnifiedCustomer, here: RouteEnd, lost: Sequence[Entry]) -> Entry | None:
    """The first of some lost creations that may have made a record.

    It is no older than that, and shows one of the values that were sent. The others may have been changed since: by a
    person, or by the system, which spells them in its own way.

    Args:
        record: A record without a counterpart.
        here: Its side.
        lost: Creations that were sent to its side.
    """
    shown = here.values(record)
    for sent in lost:
        if record.created_at and sent.sent_at and record.created_at < sent.sent_at - _CLOCKS_APART:
            continue
        values = (sent.agreed or {}).get(here.side, {})
        if any(_is_alike(here, rule, value, shown.get(rule)) for rule, value in values.items()):
            return sent
    return None


def _is_alike(end: RouteEnd, rule: str, sent: Any, shown: Any) -> bool:
    if sent is None or shown is None:
        return False
    return _letters(sent) == _letters(shown) != "" or not end.differs(rule, sent, shown)


def _letters(value: Any) -> str:
    return "".join(filter(str.isalnum, str(value).casefold()))
