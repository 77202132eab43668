"""`/api/connectors/documents`: connectors that are documents, installed for a workspace.

Those of the whole deployment, and keys whose signatures count, are the operator's: `unified connectors`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import json_answer, no_content
from unified.api.management.endpoints.connections.connections import ConnectorName, Reader
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.store.connectors import documents, trust
from unified.store.connectors.documents import State, StoredDocument, Tier
from unified.sync.connectors import installing, offers, templates
from unified.sync.connectors.files import Files
from unified.sync.connectors.offers import Offer

Installer = Annotated[Caller, Depends(Rule("connectors:write", in_workspace=True))]

routes = router("/api/connectors/documents", "Connectors")


class WantedDocument(BaseModel):
    """A document, or the name of a template."""

    model_config = ConfigDict(extra="forbid")

    template: Annotated[
        str | None,
        Field(max_length=100, description="Name of a template of this release.", examples=["github"]),
    ] = None
    document: Annotated[str | None, Field(description="The document instead, YAML or JSON.")] = None
    exchanges: Annotated[str | None, Field(description="Its recorded exchanges, JSON, to be tried on.")] = (
        None
    )
    signature: Annotated[str | None, Field(description="What stands in the file `.sig` beside it.")] = None
    agreed: Annotated[
        bool,
        Field(
            description="Whether a person agrees that it is installed although it is deprecated; of an upgrade, that "
            "it reaches further: hosts, scopes, secrets."
        ),
    ] = False

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "WantedDocument":
        if (self.template is None) == (self.document is None):
            raise ValueError("say either template or document")
        return self

    def files(self) -> Files:
        """What was handed in."""
        if self.document is None:
            return templates.template(self.template or "")
        exchanges, signature = (
            None if text is None else text.encode() for text in (self.exchanges, self.signature)
        )
        return Files("document", self.document.encode(), exchanges, signature)


@dataclass(frozen=True, slots=True)
class Document:
    """A document that is installed, or was; `is_shared` where it is the deployment's and every workspace sees it."""

    id: UUID
    connector: str
    version: str
    hash: str
    tier: Tier
    signer: str | None
    state: State
    is_shared: bool
    installed_by: str
    installed_at: datetime
    ended_by: str | None
    ended_at: datetime | None
    deprecated: Annotated[
        str | None, Field(description="Why it is deprecated, where it is; it stays in use.")
    ]


@dataclass(frozen=True, slots=True)
class CheckedDocument:
    """What a document says and who vouches for it; `tried` counts the records made of its recorded exchanges."""

    connector: str
    display_name: str
    version: str
    hash: str
    tier: Tier
    signer: str | None
    deprecated: Annotated[
        str | None,
        Field(description="Why it is deprecated, where it is: `agreed` is needed to install it."),
    ]
    hosts: list[str]
    secrets: list[str]
    streams: Annotated[dict[str, str], Field(description="The table that each stream's records land in.")]
    tried: int | None
    changes: Annotated[
        list[str] | None,
        Field(description="Against the version that is installed: hosts, scopes, secrets, streams, rules."),
    ]
    grows: Annotated[bool, Field(description="Whether it reaches further, so that `agreed` is needed.")]


@dataclass(frozen=True, slots=True)
class Upgraded:
    """An upgrade, and by connection how many stored records were changed by mapping them anew."""

    document: Document
    before: str
    changes: list[str]
    remapped: dict[str, int]
    not_remapped: Annotated[
        dict[str, str], Field(description="Connections whose stored records wait for a remap, and why.")
    ]


@routes.get("", response_model=list[Document])
async def list_documents(caller: Reader, services: Use) -> Response:
    """Documents that the workspace has, and those of the deployment, by connector."""
    return json_answer(await _shown(services, await documents.seen_by(services.db, caller.workspace_id)))


@routes.post("/check", response_model=CheckedDocument)
async def check_document(caller: Installer, services: Use, wanted: WantedDocument) -> Response:
    """Check a document, try it on its recorded exchanges, and say what it would change. Nothing is installed."""
    offer = await offers.examine(services.db, wanted.files())
    changed = None
    if await documents.seen_by(services.db, caller.workspace_id, offer.adapter.name):
        changed = await installing.compare(services.db, caller.workspace_id, offer)
    return json_answer(
        _checked(offer, changed.lines() if changed else None, grows=bool(changed and changed.grows))
    )


@routes.post("", response_model=Document, status_code=201)
async def install_document(caller: Installer, services: Use, wanted: WantedDocument) -> Response:
    """Install a document for the workspace. Its assets, schedule and sensor appear by themselves."""
    offer = await offers.examine(services.db, wanted.files())
    await installing.install(
        services.db, caller.workspace_id, offer, actor=caller.actor, agreed=wanted.agreed
    )
    name = offer.adapter.name
    (made,) = await _shown(services, await documents.seen_by(services.db, caller.workspace_id, name))
    return json_answer(made, 201, headers={"location": f"{routes.prefix}/{name}"})


@routes.get("/{connector}", response_model=list[Document])
async def get_document(caller: Reader, services: Use, connector: ConnectorName) -> Response:
    """The documents of a connector that are installed, and those that were, the newest first."""
    found = await documents.seen_by(services.db, caller.workspace_id, connector, history=True)
    if not found:
        raise documents.DocumentNotFoundError(connector)
    return json_answer(await _shown(services, found))


@routes.post("/{connector}/upgrade", response_model=Upgraded)
async def upgrade_document(
    caller: Installer, services: Use, connector: ConnectorName, wanted: WantedDocument
) -> Response:
    """Replace a document of the workspace by another version, and map stored raw records anew."""
    if not await documents.seen_by(services.db, caller.workspace_id, connector):
        raise documents.DocumentNotFoundError(connector)
    offer = await offers.examine(services.db, wanted.files())
    if offer.adapter.name != connector:
        raise Problem(422, f"That is a document of {offer.adapter.name}, not of {connector}.")
    done = await installing.upgrade(
        services.db, caller.workspace_id, offer, agreed=wanted.agreed, actor=caller.actor
    )
    (now,) = await _shown(services, await documents.seen_by(services.db, caller.workspace_id, connector))
    remapped = {key: sum(one.updated for one in results) for key, results in done.remapped.items()}
    return json_answer(Upgraded(now, done.before, done.difference.lines(), remapped, dict(done.not_remapped)))


@routes.delete("/{connector}", status_code=204)
async def remove_document(caller: Installer, services: Use, connector: ConnectorName) -> Response:
    """Remove a document of the workspace. It is refused while connections use it."""
    await installing.remove(services.db, caller.workspace_id, connector, actor=caller.actor)
    return no_content()


async def _shown(services: Services, found: Sequence[StoredDocument]) -> list[Document]:
    advised = await trust.deprecations(services.db)
    return [
        Document(
            id=one.id,
            is_shared=one.workspace_id is None,
            deprecated=trust.why_deprecated(advised, one.connector, one.hash),
            **{name: getattr(one, name) for name in documents.SHOWN},
        )
        for one in found
    ]


def _checked(offer: Offer, changes: list[str] | None, *, grows: bool) -> CheckedDocument:
    adapter = offer.adapter
    return CheckedDocument(
        adapter.name,
        adapter.display_name,
        offer.document.version,
        offer.document.hash,
        offer.tier,
        offer.signer,
        offer.deprecated,
        list(adapter.config_model.hosts),
        [field.name for field in adapter.credential_fields],
        {stream.name: stream.entity.table for stream in adapter.all_streams()},
        offer.records,
        changes,
        grows,
    )
