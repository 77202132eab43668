"""`/api/connectors/configs/{id}/credentials`: a connection's secrets. They go in, and never come out again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import Depends, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, model_validator

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import json_answer, no_content
from unified.api.management.endpoints.connections.connections import Reader
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Use
from unified.kit.declarations import CredentialKind
from unified.kit.secrets import Secret
from unified.store.connections.rows import Connection
from unified.store.secrets.elsewhere.references import resolve
from unified.sync.connections.changing import Connections

FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", examples=["api_key"])]
CredentialWriter = Annotated[Caller, Depends(Rule("credentials:write", in_workspace=True))]

routes = router("/api/connectors/configs/{connection_id}/credentials", "Credentials")


class NewCredentials(BaseModel):
    """Secrets to store."""

    model_config = ConfigDict(extra="forbid")

    fields: Annotated[
        dict[str, Annotated[SecretStr, Field(min_length=1, max_length=10_000)]],
        Field(
            description="Secrets by field; `GET /api/connectors/{name}` says which the connector needs. "
            "Those that are not named stay as they are.",
            examples=[{"api_key": "sk_test_fake_..."}],
        ),
    ] = {}
    references: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=1_000)]],
        Field(
            description="Where secrets are kept instead, by field: `file:PATH` or `vault:MOUNT/PATH#FIELD`. They are "
            "looked up at each use, and only where the deployment lets this workspace's be.",
            examples=[{"api_key": "vault:secret/tenants/6f0c…/stripe#api_key"}],
        ),
    ] = {}
    expires_at: Annotated[
        AwareDatetime | None,
        Field(description="When they stop being used; `unified` warns a week before. Null never."),
    ] = None

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if not self.fields and not self.references:
            msg = "name at least one field, in fields or in references"
            raise ValueError(msg)
        if both := sorted(self.fields.keys() & self.references.keys()):
            msg = f"{', '.join(both)}: give the secret or where it is kept, not both"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialShape:
    """What may be shown of a secret."""

    field: FieldName
    kind: CredentialKind
    version: Annotated[int, Field(description="Counts up each time it is replaced.", examples=[1])]
    expires_at: datetime | None
    updated_at: datetime
    reference: Annotated[str | None, Field(description="Where it is kept; null where it is stored itself.")]


@routes.get("", response_model=list[CredentialShape])
async def list_credentials(caller: Reader, services: Use, connection_id: UUID) -> Response:
    """Which secrets are stored, since when and until when; never a value."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    return await _described(services, connection)


@routes.put("", response_model=list[CredentialShape])
async def put_credentials(
    caller: CredentialWriter,
    services: Use,
    connection_id: UUID,
    new: NewCredentials,
    *,
    test: Annotated[
        bool, Query(description="Ask the provider first, and store nothing that it refuses.")
    ] = False,
) -> Response:
    """Store all or some of a connection's secrets, each as the next version of its field."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    elsewhere = {
        name: await resolve(reference, caller.workspace_id, of_workspace=True)
        for name, reference in new.references.items()
    }
    await Connections(services.db, services.credentials, actor=caller.actor).change(
        connection,
        secrets={name: Secret(value.get_secret_value()) for name, value in new.fields.items()} | elsewhere,
        expires_at=new.expires_at,
        test=test,
    )
    return await _described(services, connection)


@routes.delete("/{field}", status_code=204)
async def delete_credential(
    caller: CredentialWriter, services: Use, connection_id: UUID, field: Annotated[FieldName, Path()]
) -> Response:
    """Delete one secret."""
    gone = await services.credentials.delete(
        caller.workspace_id, connection_id, field=field, actor=caller.actor
    )
    if not gone:
        raise Problem(404, "The connection has no such credential.")
    return no_content()


async def _described(services: Use, connection: Connection) -> Response:
    infos = await services.credentials.describe(connection.workspace_id, connection.id)
    return json_answer(
        [
            CredentialShape(
                field=info.field,
                kind=CredentialKind(info.kind),
                version=info.version,
                expires_at=info.expires_at,
                updated_at=info.updated_at,
                reference=info.reference,
            )
            for info in infos
        ]
    )
