"""What this process knows of installed documents: read from the database, made into adapters, said to the registry.

Each process looks by itself: a command and a run when they open the database, Dagster's code server when it loads its
definitions, and every few seconds as other servers do. Nothing is imported for an installation without documents.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.rows import class_row

from unified.kit.errors import ConfigurationError
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.rows import fetch
from unified.store.server.failures import clear_errors
from unified.store.server.roles import SCHEDULER_ROLE
from unified.store.server.urls import database_url
from unified.store.sessions import link_settings

if TYPE_CHECKING:
    from unified.kit.adapter import BaseAdapter

LOOK_SECONDS = 5.0
"""A server learns of what was installed or removed within so long."""

_PLACES: LiteralString = """
    SELECT d.connector, d.hash, d.workspace_id, r.reason
    FROM (
        SELECT connector, hash, signer, workspace_id FROM connector_documents WHERE state = 'installed'
        UNION ALL
        SELECT connector, hash, signer, NULL FROM deployment_documents WHERE state = 'installed'
    ) AS d
    LEFT JOIN LATERAL (SELECT min(reason) AS reason FROM revocations WHERE revoked IN (d.hash, d.signer)) AS r ON true
    ORDER BY d.connector, d.hash, d.workspace_id
"""
_SOURCES: LiteralString = """
    SELECT hash, source FROM connector_documents WHERE hash = ANY(%(hashes)s) AND state = 'installed'
    UNION SELECT hash, source FROM deployment_documents WHERE hash = ANY(%(hashes)s) AND state = 'installed'
"""

_Row = TypeVar("_Row")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document is installed.

    Attributes:
        connector: The connector that it is.
        hash: Of what it says.
        workspace_id: For whom; None for the deployment.
        reason: Why it was revoked, if it was.
    """

    connector: str
    hash: str
    workspace_id: UUID | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Source:
    hash: str
    source: str


# What this process made of documents, by hash, and where they are installed by what it saw last.
_made: "dict[str, type[BaseAdapter[Any]] | str]" = {}
_seen: list[Place] = []
# Where they were installed when this process loaded its definitions.
_loaded: list[Place] = []


async def refresh(db: Database) -> None:
    """Learn which documents are installed at this moment.

    Raises:
        UnreachableError, BusyError: If the server fails; what was known stays.
    """
    async with db.scheduler() as conn:
        found = await fetch(conn, Place, _PLACES)
        unknown = _unknown(found)
        sources = await fetch(conn, _Source, _SOURCES, hashes=unknown) if unknown else []
    _learn(found, sources)


def load() -> None:
    """The same without an event loop, for a module that is being imported: of ``DATABASE_URL``, or the embedded server.

    Where there is no installation yet none is made, and one that is not migrated has no documents.

    Raises:
        UnreachableError: If the server can't be reached.
    """
    from unified.store.server import embedded  # noqa: PLC0415 - of no use with a server of one's own

    if not os.environ.get("DATABASE_URL") and not embedded.is_made():
        return
    url = database_url()
    with (
        clear_errors("reading the connector documents"),
        psycopg.connect(url, autocommit=True, **link_settings(url)) as conn,
    ):
        found = places(conn)
        unknown = _unknown(found)
        sources = _read(conn, _Source, _SOURCES, hashes=unknown) if unknown else []
    _learn(found, sources)
    _loaded[:] = found


def are_others_than_loaded() -> bool:
    """Whether other documents are installed, as far as this process knows, than :func:`load` found."""
    return _seen != _loaded


def places(conn: psycopg.Connection[Any]) -> list[Place]:
    """Which documents are installed where, by connector, without learning them.

    Args:
        conn: A connection without a transaction, of a login that may become the scheduler.
    """
    try:
        return _read(conn, Place, _PLACES)
    except (errors.UndefinedTable, errors.UndefinedObject, errors.InvalidParameterValue):
        return []  # not migrated yet


def _read(conn: psycopg.Connection[Any], kind: type[_Row], query: LiteralString, **values: Any) -> list[_Row]:
    with conn.transaction(), conn.cursor(row_factory=class_row(kind)) as cursor:
        cursor.execute(f"SET LOCAL ROLE {SCHEDULER_ROLE}".encode())
        return cursor.execute(query, values).fetchall()


def forget() -> None:
    """Know of no document, as a process that has just begun."""
    _learn([], [])


@asynccontextmanager
async def followed(db: Database) -> AsyncIterator[None]:
    """Keep knowing which documents are installed, for the length of a block of a process that stays."""
    await refresh(db)
    task = asyncio.create_task(_follow(db))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _follow(db: Database) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            await refresh(db)
        except StoreError as error:
            _log.warning("connector documents are as they were: %s", error)


def _unknown(found: Sequence[Place]) -> list[str]:
    return sorted({place.hash for place in found if place.hash not in _made})


def _learn(found: list[Place], sources: Iterable[_Source]) -> None:
    if not found and not _seen:
        return
    # Pydantic and the engine, which a process without documents does without.
    from unified.kit.registry import Installed, set_installed  # noqa: PLC0415

    _made.update({one.hash: _adapter(one.source) for one in sources})
    for forgotten in _made.keys() - {place.hash for place in found}:
        del _made[forgotten]
    by_connector: dict[str, list[Place]] = {}
    for place in found:
        by_connector.setdefault(place.connector, []).append(place)
    set_installed(
        {
            connector: Installed(_usable(connector, where), _workspaces(where))
            for connector, where in by_connector.items()
        }
    )
    _seen[:] = found


def _usable(connector: str, where: Sequence[Place]) -> "type[BaseAdapter[Any]] | str":
    if reason := next((place.reason for place in where if place.reason), None):
        return f"the document of the connector {connector} was revoked ({reason}); upgrade it, or remove it"
    made = _made[where[0].hash]
    return (
        f"the document of the connector {connector} can't be used: {made}" if isinstance(made, str) else made
    )


def _workspaces(where: Sequence[Place]) -> frozenset[UUID] | None:
    ids = [place.workspace_id for place in where]
    return None if None in ids else frozenset(one for one in ids if one is not None)


def _adapter(source: str) -> "type[BaseAdapter[Any]] | str":
    """The adapter of a document; where this release can't use it, why not."""
    from unified.kit.document.engine import adapter_class  # noqa: PLC0415 - as above
    from unified.kit.document.model import read  # noqa: PLC0415

    try:
        made: type[BaseAdapter[Any]] = adapter_class(read(source.encode(), "document"))
    except ConfigurationError as error:
        return f"{error}; upgrade it, or remove it"
    return made
