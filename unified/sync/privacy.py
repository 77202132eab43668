"""A person's data deleted on request: of a person (command, API), or of the source that announces it (a webhook).

Nothing brings them back: a suppressed record stays a tombstone through syncs, full ones too, drains, merges at the
source and routes, until a person lifts it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.privacy import deletion
from unified.store.privacy.deletion import Deleted
from unified.sync.errors import SyncError

PATIENCE_SECONDS = 30.0
"""How long a deletion waits for a run that resolves identities."""
_LOOK_SECONDS = 0.2

_log = logging.getLogger(__name__)


class PrivacyRequestError(SyncError):
    """A request to delete a person's data does not say whose."""


async def delete(
    db: Database,
    workspace_id: UUID,
    *,
    email: str | None = None,
    ids: Sequence[UUID] = (),
    actor: str,
    plan: bool = False,
) -> Deleted:
    """Empty or remove all that is stored of a person, and keep it out from now on. Done twice it changes nothing more.

    Amounts stay: invoices lose their personal columns and raw records. Syncs and drains wait for it.

    Args:
        db: Where.
        workspace_id: Whose person.
        email: An address: all customers that have it are theirs, and whatever else holds it.
        ids: Customers by ``unified_id``; those that were merged at the source belong together.
        actor: Who asked for it, for the audit log, which gets ids and counts.
        plan: Only say what would be done: all of it is done, and undone.

    Returns:
        Which customers, and how many rows of each table.

    Raises:
        PrivacyRequestError: If neither an address nor an id is given, or what is given is no address.
        UnknownRecordError: If an id is no customer's.
        IdentitiesBusyError: If identities are being resolved for longer than PATIENCE_SECONDS; nothing was done.
        StoreError: If the database fails; nothing was done.
    """
    if not email and not ids:
        raise PrivacyRequestError("say whose data are to be deleted, by an e-mail address or an id")
    if email and "@" not in email.strip(" @"):
        raise PrivacyRequestError("that is not an e-mail address: it needs something before and behind an @")
    async with _resting(db, workspace_id, PATIENCE_SECONDS):
        return await deletion.delete(db, workspace_id, email=email, ids=ids, actor=actor, plan=plan)


async def complete(db: Database, connection: ConnectionSummary) -> None:
    """Empty what the source of a connection asked to delete, and what was merged with it.

    Where identities are being resolved it is left to the next sync or drain; it is suppressed already.

    Raises:
        StoreError: If the database fails.
    """
    if not await deletion.is_unfinished(db, connection):
        return
    from unified.sync.identities.resolve import IdentitiesBusyError  # noqa: PLC0415 - see _resting

    try:
        async with _resting(db, connection.workspace_id, 0):
            done = await deletion.complete(db, connection)
    except IdentitiesBusyError:
        _log.info("%s: a deletion for privacy waits until identities are resolved", connection.key)
        return
    if done:
        _log.info("%s: data of %d record(s) deleted for privacy", connection.key, len(done.records))


@asynccontextmanager
async def _resting(db: Database, workspace_id: UUID, patience: float) -> AsyncIterator[None]:
    """While no identities are resolved: a run holds values that it has read, and would store them."""
    # Every sync looks whether there is a deletion to complete; what resolves identities takes long to load.
    from unified.sync.identities.resolve import IdentitiesBusyError, alone  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    async with AsyncExitStack() as stack:
        while True:
            try:
                await stack.enter_async_context(alone(db, workspace_id))
                break
            except IdentitiesBusyError:
                if loop.time() >= deadline:
                    raise
            await asyncio.sleep(_LOOK_SECONDS)
        yield
