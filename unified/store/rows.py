"""Rows in and out: a query's rows as dataclasses, and in words which rule of the tables a new row breaks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from psycopg import AsyncConnection, errors
from psycopg.rows import class_row

from unified.store.errors import DuplicateNameError, InvalidSettingError, StoreError

_Row = TypeVar("_Row")

KEEP_SINCE = "state_since = coalesce(state_since, synced_at)"
"""Assigned with ``synced_at`` where a row is written anew, or deleted, and its record's state began before.

Entities with former states have the column.
"""


async def fetch(conn: AsyncConnection[Any], model: type[_Row], query: str, **values: Any) -> list[_Row]:
    """Rows of a query as instances of a dataclass, whose fields have the columns' names."""
    async with conn.cursor(row_factory=class_row(model)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


@contextmanager
def explained(what: str, *, without: StoreError | None = None) -> Iterator[None]:
    """Say in words which rule of the tables a name breaks.

    Args:
        what: The thing that is named.
        without: Raised where the row that it would belong to does not exist.
    """
    try:
        yield
    except errors.UniqueViolation:
        raise DuplicateNameError(f"there is a {what} already; choose another name") from None
    except errors.CheckViolation:
        raise InvalidSettingError(
            f"the name of {what} is not valid: use 1 to 63 lower-case letters, digits and inner hyphens"
        ) from None
    except errors.ForeignKeyViolation:
        if without is None:
            raise
        raise without from None
