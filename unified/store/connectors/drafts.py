"""Rows of drafts: connector documents that somebody writes in a workspace, before they are installed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.store.errors import InvalidSettingError, StoreError
from unified.store.rows import explained, fetch

MOST = 100
"""Drafts of a workspace."""

_COLUMNS = "name, source, exchanges, revision, saved_by, saved_at"


class DraftNotFoundError(StoreError):
    """There is no draft of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no draft {name!r}")


class DraftChangedError(StoreError):
    """Somebody else has saved a draft meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A draft.

    Attributes:
        name: What the connector is to be called.
        source: The document, as it was typed.
        exchanges: Its recorded exchanges, JSON, where it has some.
        revision: Counts its saves.
        saved_by: Who saved it last.
        saved_at: When.
    """

    name: str
    source: str
    exchanges: str | None
    revision: int
    saved_by: str
    saved_at: datetime


async def listed(conn: AsyncConnection[Any]) -> list[Draft]:
    """The drafts of the workspace, by name."""
    return await fetch(conn, Draft, f"SELECT {_COLUMNS} FROM connector_drafts ORDER BY name")  # noqa: S608


async def get(conn: AsyncConnection[Any], name: str) -> Draft:
    """A draft of the workspace.

    Raises:
        DraftNotFoundError: If it has none of that name.
    """
    found = await fetch(
        conn,
        Draft,
        f"SELECT {_COLUMNS} FROM connector_drafts WHERE name = %(name)s",  # noqa: S608
        name=name,
    )
    if not found:
        raise DraftNotFoundError(name)
    return found[0]


async def save(
    conn: AsyncConnection[Any],
    workspace_id: UUID,
    name: str,
    source: str,
    exchanges: str | None,
    *,
    revision: int,
    actor: str,
) -> Draft:
    """Keep a draft.

    Args:
        conn: A transaction of the workspace.
        workspace_id: The workspace.
        name: What the connector is to be called.
        source: The document, as it was typed.
        exchanges: Its recorded exchanges.
        revision: Of the draft that it changes; 0 for a new one.
        actor: Who saves it.

    Raises:
        DraftChangedError: If there is another revision by now.
        InvalidSettingError: If the workspace has too many, or the name can't be that of a connector.
    """
    values = {
        "workspace": workspace_id,
        "name": name,
        "source": source,
        "exchanges": exchanges,
        "revision": revision,
        "actor": actor,
    }
    if revision == 0:
        (count,) = await (await conn.execute("SELECT count(*) FROM connector_drafts")).fetchone() or (0,)
        if count >= MOST:
            raise InvalidSettingError(f"a workspace has {MOST} drafts at most; remove one first")
        statement = f"""
            INSERT INTO connector_drafts (workspace_id, name, source, exchanges, saved_by)
            VALUES (%(workspace)s, %(name)s, %(source)s, %(exchanges)s, %(actor)s)
            ON CONFLICT DO NOTHING RETURNING {_COLUMNS}
        """  # noqa: S608
    else:
        statement = f"""
            UPDATE connector_drafts SET source = %(source)s, exchanges = %(exchanges)s, revision = revision + 1,
                saved_by = %(actor)s, saved_at = now()
            WHERE name = %(name)s AND revision = %(revision)s RETURNING {_COLUMNS}
        """  # noqa: S608
    with explained(f"draft {name!r}"):
        saved = await fetch(conn, Draft, statement, **values)
    if not saved:
        raise DraftChangedError(
            f"somebody else has saved the draft {name} meanwhile; copy what you changed, and open it anew"
        )
    return saved[0]


async def remove(conn: AsyncConnection[Any], name: str) -> None:
    """Remove a draft, if there is one."""
    await conn.execute("DELETE FROM connector_drafts WHERE name = %s", (name,))
