"""`/api/tokens`: API tokens of the workspace, for machines."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from unified.api.management.access.callers import Caller, allowed
from unified.api.management.answers import json_answer, no_content
from unified.api.management.paging import AskedPage, Page
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.store.workspaces import tokens
from unified.store.workspaces.permissions import SCOPES
from unified.store.workspaces.tokens import ApiToken

routes = router("/api/tokens", "Tokens")


class NewToken(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, description="What it is for.")
    scopes: Annotated[list[str], Field(min_length=1, max_length=50)] = Field(
        description="Permissions that it has, of those that the caller has.",
        json_schema_extra={"items": {"type": "string", "enum": [*sorted(SCOPES)]}},
    )
    expires_at: AwareDatetime | None = Field(default=None, description="When it stops being good.")


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A token that was just made; ``token`` is shown this once."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    expires_at: datetime | None
    token: str


@routes.get("", response_model=Page[ApiToken])
async def list_tokens(
    caller: Annotated[Caller, allowed("tokens:read")], services: Use, page: AskedPage
) -> Response:
    """List the workspace's tokens, revoked ones too; none of them can be read back."""
    found = await tokens.listed(services.db, caller.workspace_id, after=page.after(UUID), limit=page.fetch)
    return page.answer(found, key=lambda token: token.id)


@routes.post("", status_code=201, response_model=CreatedToken)
async def create_token(
    caller: Annotated[Caller, allowed("tokens:write")], services: Use, wanted: NewToken
) -> Response:
    """Make a token, with scopes that the caller has. It is shown in this answer and never again."""
    return json_answer(await made_token(caller, services, wanted), 201)


async def made_token(caller: Caller, services: Services, wanted: NewToken) -> CreatedToken:
    """Make a token, with scopes that the caller has.

    Raises:
        Problem: 422 where there is no such scope, 403 where the caller lacks one.
    """
    if unknown := sorted(set(wanted.scopes) - SCOPES):
        count = len(unknown)
        raise Problem(
            422, f"{count} of the scopes do not exist; a token can have {', '.join(sorted(SCOPES))}."
        )
    if not set(wanted.scopes) <= caller.permissions:
        raise Problem(403, "A token can have no scope that you do not have yourself.")
    made, token = await tokens.create(
        services.db,
        caller.workspace_id,
        wanted.name,
        wanted.scopes,
        expires_at=wanted.expires_at,
        actor=caller.actor,
    )
    return CreatedToken(made.id, made.name, made.prefix, list(made.scopes), made.expires_at, token.reveal())


@routes.delete("/{token_id}", status_code=204)
async def revoke_token(
    caller: Annotated[Caller, allowed("tokens:write")], services: Use, token_id: UUID
) -> Response:
    """Revoke a token. Other processes honour that within two seconds."""
    await tokens.revoke(services.db, caller.workspace_id, token_id, actor=caller.actor)
    services.tokens.forget()
    return no_content()
