"""What a workspace can connect, and what it could install: connectors of packages, documents, templates.

What the operator advises against is said here too. Installing is :mod:`unified.sync.connectors.installing`'s; how syncs
went, :mod:`unified.store.connections.statistics`'.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal
from uuid import UUID

from unified.kit.adapter import BaseAdapter
from unified.kit.registry import adapters_for, packaged_adapters
from unified.store.connectors import documents, trust
from unified.store.connectors.documents import StoredDocument, Tier
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.sync.connectors import templates
from unified.sync.connectors.difference import Connector
from unified.sync.connectors.offers import read_document


@dataclass(frozen=True, slots=True)
class Listed:
    """A connector that is there, or could be.

    Attributes:
        name: The connector's.
        adapter: What it is: as installed, else as its template has it; None of a document that can't be read any more.
        tier: Who vouches for it; ``package`` of one that comes with an installed package.
        installed: The document that the workspace has or sees; None of a connector of a package and of a template.
        deprecated: Why the operator advises against it, where that is so.
        offered: The template of that name, where it is another document than the one that is installed.
    """

    name: str
    adapter: type[BaseAdapter[Any]] | None
    tier: Tier | Literal["package"]
    installed: StoredDocument | None
    deprecated: str | None
    offered: Connector | None

    @property
    def title(self) -> str:
        """What people call it."""
        return self.adapter.display_name if self.adapter else self.name

    @property
    def can_connect(self) -> bool:
        """Whether a connection to it can be added now."""
        return self.adapter is not None and (self.tier == "package" or self.installed is not None)

    def is_about(self, words: str) -> bool:
        """Whether all of some words stand in its name, its title, its hosts or the names of its streams."""
        said = [self.name, self.title]
        if self.adapter is not None:
            said += [*self.adapter.config_model.hosts, *(one.name for one in self.adapter.all_streams())]
        text = " ".join(said).lower()
        return all(word in text for word in words.lower().split())


async def listed(db: Database, workspace_id: UUID) -> list[Listed]:
    """All of it, by title.

    Args:
        db: The database.
        workspace_id: Who looks.
    """
    offered = await asyncio.to_thread(_templates)
    seen = {one.connector: one for one in await documents.seen_by(db, workspace_id)}
    advised = await trust.deprecations(db)
    packaged, known = packaged_adapters(), adapters_for(workspace_id)
    found = [Listed(name, adapter, "package", None, None, None) for name, adapter in packaged.items()]
    for name in {*seen, *offered}.difference(packaged):
        installed, template = seen.get(name), offered.get(name)
        if installed is None:
            assert template is not None  # noqa: S101 - else it would be neither
            deprecated = trust.why_deprecated(advised, name, template[0].hash)
            found.append(Listed(name, template[1], "project", None, deprecated, template))
        else:
            newer = template if template and template[0].hash != installed.hash else None
            deprecated = trust.why_deprecated(advised, name, installed.hash)
            found.append(Listed(name, known.get(name), installed.tier, installed, deprecated, newer))
    return sorted(found, key=lambda one: one.title.lower())


async def deprecate(db: Database, deprecated: str, reason: str, *, actor: str) -> None:
    """Advise against a document, by its hash, or against a connector: a template, or one that is installed somewhere.

    Raises:
        InvalidSettingError: If there is no such connector document, or no reason.
    """
    known = {*templates.names(), *(one.connector for one in await documents.installed(db))}
    if not trust.is_hash(deprecated) and deprecated not in known:
        raise InvalidSettingError(
            f"there is no connector document {deprecated!r}: name a template or an installed connector, or give a "
            "document's hash, which `unified connectors show` has"
        )
    await trust.deprecate(db, deprecated, reason, actor=actor)


@cache
def _templates() -> Mapping[str, Connector]:
    """The templates of this release, read once."""
    return {name: read_document(templates.template(name)) for name in templates.names()}
