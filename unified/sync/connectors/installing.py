"""Installing, upgrading and removing connector documents, for a workspace or for the deployment.

A connector has one document at a time in a deployment: its leaf of each table, its assets, its schedule and the hash of
its mapping are shared by all of its connections (docs/decisions.md). Several workspaces may have the same document.
Command, API and pages call here, and show the outcome.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from unified.kit.errors import AdapterError, ConfigurationError
from unified.store import migrate
from unified.store.connections.registry import Registry, presentable
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.connectors import documents, installed
from unified.store.connectors.documents import DocumentNotFoundError, StoredDocument
from unified.store.database import Database
from unified.sync.connectors.difference import Connector, Difference, difference
from unified.sync.connectors.errors import AgreementError, InstallError
from unified.sync.connectors.files import Files
from unified.sync.connectors.offers import Offer, read_document
from unified.sync.errors import SyncError
from unified.sync.pull import PullResult
from unified.sync.remapping.remap import remap


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An upgrade that was made.

    Attributes:
        before: The version that was replaced.
        difference: What it changed.
        remapped: By connection, what mapping its stored raw records anew did.
        not_remapped: Connections whose stored records wait for `unified remap`, with the reason.
    """

    before: str
    difference: Difference
    remapped: dict[str, list[PullResult]]
    not_remapped: dict[str, str]


async def install(
    db: Database, workspace_id: UUID | None, offer: Offer, *, actor: str, agreed: bool = False
) -> None:
    """Install a document.

    Args:
        db: The database; its login may make tables.
        workspace_id: For whom; None for every workspace.
        offer: From :func:`unified.sync.connectors.offers.examine`.
        actor: Who installs it, for the audit log.
        agreed: Whether a person installs it although it is deprecated.

    Raises:
        AgreementError: If it is deprecated and nobody agreed.
        InstallError: If the connector is installed already, there, for all, or elsewhere in another version.
        WorkspaceNotFoundError: If there is no such workspace.
        RoleError: If the login may not make tables.
    """
    name = offer.adapter.name
    if offer.deprecated and not agreed:
        raise AgreementError(
            f"version {offer.document.version} of {name} is deprecated ({offer.deprecated}); use what is advised "
            "instead, or agree to it: --yes, `agreed` in the API"
        )
    async with _alone(db, name):
        for one in await documents.installed(db, name):
            if one.workspace_id in (None, workspace_id):
                whom = "for every workspace" if one.workspace_id is None else "already"
                raise InstallError(
                    f"the connector {name} is installed {whom}, in version {one.version}; "
                    f"`unified connectors upgrade` takes it to another one"
                )
            if one.hash != offer.document.hash:
                # Whose it is, or what it is, is not for others to know.
                raise InstallError(
                    f"this deployment has another document of a connector {name}, and a connector has one at a time: "
                    "give yours another id, or ask the operator to upgrade that one"
                )
        await asyncio.to_thread(migrate.register_document, db.url, offer.entry)
        await documents.add(db, workspace_id, offer.stored, actor=actor)
    await installed.refresh(db)


async def compare(db: Database, workspace_id: UUID | None, offer: Offer) -> Difference:
    """What an upgrade to a document would change.

    Raises:
        DocumentNotFoundError: If its connector is not installed there.
    """
    before = await _before(db, workspace_id, offer.adapter.name)
    return difference(as_installed(before), (offer.document, offer.adapter))


async def upgrade(
    db: Database, workspace_id: UUID | None, offer: Offer, *, agreed: bool, actor: str
) -> Upgrade:
    """Replace a document by another version of it, everywhere, and map stored raw records anew.

    Args:
        db: The database; its login may make tables.
        workspace_id: Who upgrades it: a workspace that alone has it; None for the operator, wherever it is installed.
        offer: The other version; its recorded exchanges have passed.
        agreed: Whether a person has seen and agreed that it reaches further.
        actor: Who upgrades it, for the audit logs.

    Raises:
        DocumentNotFoundError: If it is not installed there.
        AgreementError: If it reaches further and nobody agreed.
        InstallError: If it is the same document, if others have it too, or if a stream would land in another table.
        RoleError: If the login may not make tables.
    """
    name = offer.adapter.name
    async with _alone(db, name):
        before = await _before(db, workspace_id, name)
        holders = await documents.installed(db, name)
        if workspace_id is not None and any(one.workspace_id != workspace_id for one in holders):
            raise InstallError(
                f"the connector {name} is not this workspace's alone, and a connector has one document at a time: "
                "the operator upgrades it for all, with `unified connectors upgrade`"
            )
        if before.hash == offer.document.hash:
            raise InstallError(
                f"the connector {name} is this very document already, version {before.version}"
            )
        changed = difference(as_installed(before), (offer.document, offer.adapter))
        if changed.moved:
            raise InstallError(
                f"version {offer.document.version} of {name} puts the records of {', '.join(changed.moved)} into "
                "another table, away from those that are stored; a stream that means something else needs another name"
            )
        if changed.grows and not agreed:
            raise AgreementError(
                f"version {offer.document.version} of {name} reaches further than {before.version}: "
                f"{'; '.join(changed.growth())}; look at it, and say --yes"
            )
        await asyncio.to_thread(migrate.register_document, db.url, offer.entry)
        for holder in holders:
            await documents.add(db, holder.workspace_id, offer.stored, actor=actor)
    await installed.refresh(db)
    remapped, waiting = await _remap(db, name) if changed.rules else ({}, {})
    return Upgrade(before.version, changed, remapped, waiting)


async def remove(db: Database, workspace_id: UUID | None, name: str, *, actor: str) -> StoredDocument:
    """Remove a document. The connector's tables stay, without rows: those go with each connection.

    Args:
        db: The database; its login may change the catalogue.
        workspace_id: Whose; None for the deployment's.
        name: The connector's.
        actor: Who removes it, for the audit log.

    Raises:
        DocumentNotFoundError: If it is not installed there.
        InstallError: If connections use it, or it is installed elsewhere alone.
    """
    async with _alone(db, name):
        holders = await documents.installed(db, name)
        if not any(one.workspace_id == workspace_id for one in holders):
            if workspace_id is None and holders:
                raise InstallError(
                    f"the connector {name} is a workspace's, not the deployment's; add --workspace SLUG"
                )
            raise DocumentNotFoundError(name)
        own = {one.workspace_id for one in holders if one.workspace_id not in (None, workspace_id)}
        using = [
            one.key
            for one in await Registry(db).all_connections()
            if one.connector == name
            and (one.workspace_id == workspace_id if workspace_id else one.workspace_id not in own)
        ]
        if using:
            raise InstallError(
                f"the connector {name} is used by {', '.join(using)}; remove those first, with their records, or pause "
                "them and keep it"
            )
        ended = await documents.remove(db, workspace_id, name, actor=actor)
        await asyncio.to_thread(migrate.retire_documents, db.url)
    await installed.refresh(db)
    return ended


async def _before(db: Database, workspace_id: UUID | None, name: str) -> StoredDocument:
    """The document that is installed; with None as workspace, anywhere."""
    for one in await documents.installed(db, name):
        if workspace_id is None or one.workspace_id in (None, workspace_id):
            return one
    raise DocumentNotFoundError(name)


def as_installed(stored: StoredDocument) -> Connector | None:
    """A document that is installed; None where this release can't read it, which an upgrade may mend."""
    try:
        return read_document(Files(f"the installed document of {stored.connector}", stored.source.encode()))
    except ConfigurationError:
        return None


@asynccontextmanager
async def _alone(db: Database, name: str) -> AsyncIterator[None]:
    """Keep others from installing, upgrading or removing a connector at the same time."""
    async with db.exclusive(f"connector/{name}") as is_ours:
        if not is_ours:
            raise InstallError(f"somebody installs, upgrades or removes the connector {name} now; try again")
        yield


async def _remap(db: Database, name: str) -> tuple[dict[str, list[PullResult]], dict[str, str]]:
    """Map what is stored of a connector's connections anew; those that can't be wait for it, with the reason."""
    registry = Registry(db)
    done: dict[str, list[PullResult]] = {}
    waiting: dict[str, str] = {}
    for summary in await registry.all_connections():
        if summary.connector != name:
            continue
        try:
            connection = await registry.get_connection(summary.workspace_id, summary.id)
            done[summary.key] = await remap(db, connection)
        except ConnectionNotFoundError:
            continue  # removed meanwhile
        except (SyncError, AdapterError) as error:
            waiting[summary.key] = presentable(str(error))
    return done, waiting
