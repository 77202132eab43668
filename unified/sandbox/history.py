"""When generated records came to be and were last changed: two years up to the sandbox's start, with ties.

Not here: what they look like, and changes made later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unified.sandbox.clock import DAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.draw import Draw

HISTORY_DAYS = 730
"""How far back the generated records reach."""

_TIES = {3: 1, 4: 2, 10: 1, 17: 1, 24: 1, 31: 1}
"""Of each 35 records, which were created in the second of the record so many places before."""


def creation_times(count: int, until: int) -> Callable[[int], int]:
    """Index → Unix seconds, over the two years before `until`: never decreasing, with ties.

    A cursor on `created` alone would lose or repeat the records that share a second.
    """
    step = HISTORY_DAYS * DAY / max(count, 1)
    start = until - HISTORY_DAYS * DAY

    def created(index: int) -> int:
        return start + int((index + 1 - _TIES.get(index % 35, 0)) * step)

    return created


def change_time(draw: Draw, created: int, until: int) -> int:
    """When a record was last changed: a third never were, and a fifth of the others share the second of an hour."""
    if draw.chance(330):
        return created
    later = created + draw.below(max(1, until - created))
    return max(created, later // 3600 * 3600) if draw.chance(200) else later
