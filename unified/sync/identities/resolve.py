"""Resolving a workspace's identities: first the keys of what changed, then whatever these link, scope by scope.

Each step is a transaction of its own, and what is left to do is in the database: a run that was killed is gone on with
by the next one, and two runs after another find the same as one.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Any
from uuid import UUID

from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.identities import records as identity_records
from unified.store.identities import scopes as identity_scopes
from unified.store.identities import settings as identity_settings
from unified.store.identities.records import BATCH_RECORDS, Keyed
from unified.store.identities.scopes import Member, Resolved, Scope
from unified.store.identities.settings import IdentitySettings
from unified.sync.errors import SyncError
from unified.sync.identities import golden, rules
from unified.sync.identities.clusters import assign, clusters

SCOPE_RECORDS = 4_000
"""Records of the queue that a scope is begun with."""

_MOST = {rule.number: rule.most for rule in rules.RULES}
_NAMED = [rule.number for rule in rules.RULES if rule.same_name]
_ZERO = UUID(int=0)


class IdentitiesBusyError(SyncError):
    """Another process resolves the workspace's identities at present."""

    retry = True


@dataclass(slots=True)
class Progress:
    """What a run has done so far.

    Attributes:
        mode: ``full`` if it looked at all customers, ``changes`` if at those that changed.
        keyed: Customers whose keys were made anew.
        removed: Records that were taken out, because their customers were deleted.
        resolved: Records whose links were looked at.
        identities: Identities that these make.
        merged: Identities that were merged into others.
        refused: Records that are linked with more than can be one customer.
        seconds: How long it took.
    """

    mode: str
    keyed: int = 0
    removed: int = 0
    resolved: int = 0
    identities: int = 0
    merged: int = 0
    refused: int = 0
    seconds: float = 0


OnProgress = Callable[[Progress], None]


async def resolve(
    db: Database, workspace_id: UUID, *, full: bool = False, on_progress: OnProgress = lambda _: None
) -> Progress:
    """Bring a workspace's identities up to date with its customers.

    Args:
        db: The database.
        workspace_id: The workspace.
        full: Look at all customers, not only at what changed. Once is enough to come out the same; it is for doubt.
        on_progress: Called after each commit.

    Returns:
        What was done.

    Raises:
        IdentitiesBusyError: If another process is at it.
        StoreError: If the database fails; what was done so far stands, and the next run goes on from there.
    """
    async with alone(db, workspace_id):
        run = _Run(db, workspace_id, on_progress)
        await run.read_changes(full=full)
        await run.work_off()
        return run.progress


async def settle(db: Database, workspace_id: UUID, records: Sequence[UUID]) -> None:
    """Have what a person decided on some records take effect at once, whatever else there is to resolve.

    Raises:
        IdentitiesBusyError: If a run is under way. It takes effect with that run or the next one.
        StoreError: If the database fails.
    """
    async with alone(db, workspace_id):
        await _Run(db, workspace_id, lambda _: None).settle(records)


@asynccontextmanager
async def alone(db: Database, workspace_id: UUID) -> AsyncIterator[None]:
    """Be the only one who resolves a workspace, until the block or the process ends.

    Raises:
        IdentitiesBusyError: If another process is at it.
        StoreError: If the database fails.
    """
    async with db.exclusive(f"identities/{workspace_id}") as is_mine:
        if not is_mine:
            msg = (
                "the workspace's identities are being resolved by another process; try again when it is done"
            )
            raise IdentitiesBusyError(msg)
        yield


class _Run:
    """One run in one workspace."""

    def __init__(self, db: Database, workspace_id: UUID, on_progress: OnProgress) -> None:
        self._db = db
        self._workspace_id = workspace_id
        self._on_progress = on_progress
        self._began = monotonic()
        self._settings = IdentitySettings()
        self.progress = Progress("changes")

    async def read_changes(self, *, full: bool) -> None:
        """Keep keys in step with customers, and queue what that touches."""
        async with self._db.workspace(self._workspace_id) as conn:
            state = await identity_settings.load(conn)
            # Taken before anything is read: whatever commits from now on is for the next run, if this one misses it.
            snapshot = await identity_settings.snapshot(conn)
        self._settings = state.settings
        made_with = _fingerprint(state.settings)
        is_anew = state.made_with != made_with
        position = state.position if state.is_recent and not is_anew and not full else None
        self.progress.mode = "full" if position is None else "changes"
        for connection in await Registry(self._db).connections(self._workspace_id):
            changed: AsyncIterator[list[str]]
            if position is None:
                changed = identity_records.all_ids(self._db, connection)
            else:
                changed = identity_records.changed_ids(self._db, connection, position)
            async for ids in changed:
                await self._key(connection, ids, unchanged_too=is_anew, is_first=state.is_empty)
                if position is not None:
                    await self._remove(connection, ids)
            if position is None and not state.is_empty:
                while await self._remove(connection, None) == BATCH_RECORDS:
                    pass
        async with self._db.workspace(self._workspace_id) as conn:
            await identity_settings.move(conn, self._workspace_id, snapshot, made_with)

    async def _key(
        self, connection: ConnectionSummary, ids: list[str], *, unchanged_too: bool, is_first: bool
    ) -> None:
        async with self._db.workspace(self._workspace_id) as conn:
            found = await identity_records.read(conn, connection, ids, unchanged_too=unchanged_too)
            keyed = [
                Keyed(
                    customer,
                    [key.hash for key in rules.keys_of(customer, self._settings)],
                    rules.name_hash(customer),
                )
                for customer in found
            ]
            await identity_records.store(
                conn, self._workspace_id, keyed, most=_MOST, named=_NAMED, is_first=is_first
            )
        self.progress.keyed += len(keyed)
        self._tell()

    async def _remove(self, connection: ConnectionSummary, ids: list[str] | None) -> int:
        async with self._db.workspace(self._workspace_id) as conn:
            removed = await identity_records.remove_gone(conn, connection, ids, most=_MOST)
        self.progress.removed += removed
        self._tell()
        return removed

    async def work_off(self) -> None:
        """Resolve all that is queued."""
        after = _ZERO
        while True:
            async with self._db.workspace(self._workspace_id) as conn:
                begin = await identity_scopes.queued(conn, after=after, limit=SCOPE_RECORDS)
                if not begin:
                    await identity_settings.finish(conn)
                    return
                await self._settle(conn, begin)
            after = begin[-1]
            self._tell()

    async def settle(self, begin: Sequence[UUID]) -> None:
        """Resolve some records, whatever else is queued."""
        async with self._db.workspace(self._workspace_id) as conn:
            self._settings = (await identity_settings.load(conn)).settings
            await self._settle(conn, begin)

    async def _settle(self, conn: Any, begin: Sequence[UUID]) -> None:
        scope = await identity_scopes.take(conn, begin, most=_MOST)
        customers = {
            customer.unified_id: customer
            async for customer in identity_scopes.customers(conn, list(scope.members))
        }
        resolved = self._resolve(scope, customers)
        await identity_scopes.store(conn, self._workspace_id, scope, resolved)
        self.progress.resolved += len(resolved.members)
        self.progress.identities += len(resolved.golden)
        self.progress.merged += len(resolved.aliases)
        self.progress.refused += sum(member.refused_group is not None for member in resolved.members)

    def _resolve(self, scope: Scope, customers: dict[UUID, identity_records.Customer]) -> Resolved:
        found = list(clusters(scope))
        ids, aliases = assign(found, scope.members, scope.ages)
        resolved = Resolved(aliases=aliases)
        for cluster, identity_id in zip(found, ids, strict=True):
            for record in cluster.members:
                link = cluster.links.get(record)
                resolved.members.append(
                    Member(
                        customers[record],
                        identity_id,
                        rules.BY_NUMBER[link.rule].name if link else None,
                        link.confidence if link else 1.0,
                        link.linked_to if link else None,
                        cluster.refused_group,
                    )
                )
            resolved.golden.append(
                golden.merge(
                    identity_id,
                    [customers[record] for record in cluster.members],
                    self._settings.source_priority,
                )
            )
        return resolved

    def _tell(self) -> None:
        self.progress.seconds = monotonic() - self._began
        self._on_progress(self.progress)


def _fingerprint(settings: IdentitySettings) -> str:
    """What keys and golden customers follow from, besides the customers."""
    return sha256(f"{rules.VERSION} {settings!r}".encode()).hexdigest()[:16]
