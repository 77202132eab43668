"""Rows of connector documents: a workspace's own, and those of the deployment, which every workspace sees.

A document that ends stays, with who ended it and when. What a document says is `unified.kit.document`'s; the catalogue
of all connectors is :mod:`unified.store.connectors.catalogue`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection, errors, sql

from unified.store import audit
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, StoreError
from unified.store.rows import fetch
from unified.store.workspaces.rows import WorkspaceNotFoundError

Tier = Literal["project", "workspace", "third_party", "unsigned"]
State = Literal["installed", "replaced", "removed"]
_STATES: tuple[State, ...] = ("installed", "replaced", "removed")

SHOWN = (
    "connector",
    "version",
    "hash",
    "tier",
    "signer",
    "state",
    "installed_by",
    "installed_at",
    "ended_by",
    "ended_at",
)
"""What is shown of a document beside whose it is: all but its text."""

_COLUMNS = (
    "connector, version, hash, source, exchanges, tier, signer, signature, id, state, installed_by, installed_at, "
    "ended_by, ended_at"
)
# The deployment's as rows of no workspace. Of a workspace's, the app's role sees its own.
_BOTH = (
    f"SELECT workspace_id, {_COLUMNS} FROM connector_documents "  # noqa: S608 - constants
    f"UNION ALL SELECT NULL, {_COLUMNS} FROM deployment_documents"
)


class DocumentNotFoundError(StoreError):
    """A connector is not installed as a document, there."""

    def __init__(self, connector: str) -> None:
        super().__init__(
            f"no document of a connector {connector!r} is installed here; `unified connectors list` lists all"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """A document to store.

    Attributes:
        connector: The connector that it is.
        version: As it says.
        hash: SHA-256 of what it says, in hexadecimal digits.
        source: The document itself, YAML or JSON.
        exchanges: Its golden exchanges, JSON, where it has some.
        tier: By who signed it.
        signer: The key that signed it, by its fingerprint.
        signature: Over its hash, in base64.
    """

    connector: str
    version: str
    hash: str
    source: str
    exchanges: str | None = None
    tier: Tier = "unsigned"
    signer: str | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument(NewDocument):
    """A document that is installed, or was.

    Attributes:
        id: Of the row.
        workspace_id: Whose it is; None for the deployment's.
        state: Installed, replaced by an upgrade, or removed.
        installed_by: Who installed it.
        installed_at: When.
        ended_by: Who replaced or removed it.
        ended_at: When.
    """

    id: UUID
    workspace_id: UUID | None
    state: State
    installed_by: str
    installed_at: datetime
    ended_by: str | None
    ended_at: datetime | None


async def add(db: Database, workspace_id: UUID | None, new: NewDocument, *, actor: str) -> None:
    """Store a document, in place of the one of its connector that is installed there, if one is.

    Args:
        db: The database, whose catalogue has the connector already.
        workspace_id: For whom; None for the deployment, and so for every workspace.
        new: The document.
        actor: Who installs it, for the audit log.

    Raises:
        WorkspaceNotFoundError: If there is no such workspace.
        DuplicateNameError: If somebody else installed one of this connector at the same moment.
    """
    async with _scope(db, workspace_id) as conn:
        replaced = await _end(conn, workspace_id, new.connector, "replaced", actor)
        place, owner = _place(workspace_id)
        columns = [*owner, *NewDocument.__slots__, "installed_by"]
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(place),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(map(sql.Placeholder, columns)),
        )
        values = {name: getattr(new, name) for name in NewDocument.__slots__}
        try:
            await conn.execute(statement, {**owner, **values, "installed_by": actor})
        except errors.ForeignKeyViolation:
            if workspace_id is None:
                raise
            raise WorkspaceNotFoundError(workspace_id) from None
        except errors.UniqueViolation:
            raise DuplicateNameError(
                f"the connector {new.connector} was installed by somebody else meanwhile; look at it, and try again"
            ) from None
        detail = {"version": new.version, "hash": new.hash, "tier": new.tier}
        if replaced:
            detail["replaced"] = replaced.version
        action = "connector.upgrade" if replaced else "connector.install"
        await _log(conn, workspace_id, new.connector, action, actor, detail)


async def remove(db: Database, workspace_id: UUID | None, connector: str, *, actor: str) -> StoredDocument:
    """End a document. Its connector's tables and records stay.

    Raises:
        DocumentNotFoundError: If none of that connector is installed there.
    """
    async with _scope(db, workspace_id) as conn:
        ended = await _end(conn, workspace_id, connector, "removed", actor)
        if ended is None:
            raise DocumentNotFoundError(connector)
        detail = {"version": ended.version, "hash": ended.hash}
        await _log(conn, workspace_id, connector, "connector.remove", actor, detail)
    return ended


async def installed(
    db: Database, connector: str | None = None, *, history: bool = False
) -> list[StoredDocument]:
    """All documents that are installed, in every workspace and for the deployment, by connector.

    Args:
        db: The database.
        connector: Only those of this one.
        history: Whether to list those that ended too, the newest first.
    """
    async with db.scheduler() as conn:
        return await _found(conn, connector, states=_STATES if history else _STATES[:1])


async def seen_by(
    db: Database, workspace_id: UUID, connector: str | None = None, *, history: bool = False
) -> list[StoredDocument]:
    """What a workspace sees: its own documents, and those of the deployment, by connector.

    Args:
        db: The database.
        workspace_id: The workspace.
        connector: Only those of this one.
        history: Whether to list those that ended too, the newest first.
    """
    async with db.workspace(workspace_id) as conn:
        return await _found(conn, connector, states=_STATES if history else _STATES[:1])


async def _found(
    conn: AsyncConnection[Any], connector: str | None, *, states: Sequence[State]
) -> list[StoredDocument]:
    return await fetch(
        conn,
        StoredDocument,
        f"""
        SELECT * FROM ({_BOTH}) AS d
        WHERE state = ANY(%(states)s) AND (%(connector)s::text IS NULL OR connector = %(connector)s)
        ORDER BY connector, installed_at DESC, workspace_id NULLS FIRST
        """,  # noqa: S608 - constants
        states=list(states),
        connector=connector,
    )


def _scope(db: Database, workspace_id: UUID | None) -> Any:
    return db.owner() if workspace_id is None else db.workspace(workspace_id)


def _place(workspace_id: UUID | None) -> tuple[str, dict[str, Any]]:
    """Which table holds a workspace's documents, or the deployment's, and its column that says whose they are."""
    if workspace_id is None:
        return "deployment_documents", {}
    return "connector_documents", {"workspace_id": workspace_id}


async def _end(
    conn: AsyncConnection[Any], workspace_id: UUID | None, connector: str, state: State, actor: str
) -> StoredDocument | None:
    place, _ = _place(workspace_id)
    own = "workspace_id" if workspace_id else "NULL::uuid AS workspace_id"
    ended = await fetch(
        conn,
        StoredDocument,
        f"""
        UPDATE {place} SET state = %(state)s, ended_by = %(actor)s, ended_at = now()
        WHERE connector = %(connector)s AND state = 'installed' RETURNING {own}, {_COLUMNS}
        """,  # noqa: S608 - one of two tables
        state=state,
        actor=actor,
        connector=connector,
    )
    return ended[0] if ended else None


async def _log(
    conn: AsyncConnection[Any],
    workspace_id: UUID | None,
    connector: str,
    action: str,
    actor: str,
    detail: dict[str, Any],
) -> None:
    subject = f"connector {connector}"
    if workspace_id is None:
        await audit.record_of_deployment(conn, actor=actor, action=action, subject=subject, detail=detail)
    else:
        await audit.record(
            conn, workspace_id, actor=actor, action=action, subject=subject, outcome="allowed", detail=detail
        )
