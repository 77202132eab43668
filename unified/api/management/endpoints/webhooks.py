"""`/api/webhooks`: endpoints that providers deliver to, and their secrets."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import json_answer, no_content
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.kit.secrets import Secret
from unified.store.inbox.endpoints import FORMER_SECRET_KEPT, Endpoint, Endpoints, made_secret

Reader = Annotated[Caller, Depends(Rule("webhooks:read", in_workspace=True))]
Writer = Annotated[Caller, Depends(Rule("webhooks:write", in_workspace=True))]

EventTypes = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=200)]],
    Field(
        max_length=100,
        description="Types of event to keep, with `*` at the end for a family; an empty list keeps all.",
        examples=[["customer.*", "invoice.paid"]],
    ),
]
SigningSecret = Annotated[SecretStr, Field(min_length=1, max_length=1_000)]

of_connection = router("/api/connectors/configs/{connection_id}/webhooks", "Webhooks")
routes = router("/api/webhooks", "Webhooks")


class NewWebhook(BaseModel):
    """An endpoint to make."""

    model_config = ConfigDict(extra="forbid")

    verifier: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z][a-z0-9_]{0,39}$",
            description="How deliveries are signed; null as the connector's own provider does.",
            examples=["github"],
        ),
    ] = None
    options: Annotated[
        dict[str, Annotated[str, Field(max_length=200)]],
        Field(
            max_length=20,
            description="Options of the verifier, if it has any: how deliveries are signed, where events stand.",
        ),
    ] = Field(default_factory=dict)
    event_types: EventTypes = Field(default_factory=list)
    secret: Annotated[
        SigningSecret | None,
        Field(
            description="The provider's signing secret, if it is known already; otherwise `roll` takes it."
        ),
    ] = None


class WebhookChange(BaseModel):
    """What to change of an endpoint; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    event_types: EventTypes | None = None
    is_active: Annotated[bool | None, Field(description="Whether deliveries are taken.")] = None


class NewSecret(BaseModel):
    """A secret to roll to."""

    model_config = ConfigDict(extra="forbid")

    secret: Annotated[
        SigningSecret | None,
        Field(description="As the provider shows it; null makes one, where the provider takes ours."),
    ] = None
    keep_former_minutes: Annotated[
        int,
        Field(ge=0, le=10_080, description="How long the former secret stays good; 0 where it has leaked."),
    ] = FORMER_SECRET_KEPT // timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An endpoint. Its URL is shown once, when it is made: it is a secret too."""

    id: UUID
    connection_id: UUID
    verifier: Annotated[str, Field(description="How its deliveries are signed.", examples=["stripe"])]
    event_types: EventTypes
    is_active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWebhook(Webhook):
    """An endpoint that was just made."""

    url: Annotated[str, Field(description="Enter it at the provider. It is not shown again.")]
    secret: Annotated[
        str | None,
        Field(description="Enter it there as well, where we made it. It is not shown again."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledSecret:
    """The outcome of rolling a secret."""

    secret: Annotated[str | None, Field(description="The new one, where we made it. It is not shown again.")]


@of_connection.get("", response_model=list[Webhook])
async def list_webhooks(caller: Reader, services: Use, connection_id: UUID) -> Response:
    """A connection's endpoints, the oldest first."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    found = await _endpoints(caller, services).list(connection)
    return json_answer([Webhook(**_fields(endpoint)) for endpoint in found])


@of_connection.post("", status_code=201, response_model=MadeWebhook)
async def add_webhook(caller: Writer, services: Use, connection_id: UUID, new: NewWebhook) -> Response:
    """Make an endpoint. It takes no delivery before it has a secret."""
    shown = await make_webhook(caller, services, connection_id, new)
    return json_answer(shown, 201, headers={"location": f"{routes.prefix}/{shown.id}"})


async def make_webhook(
    caller: Caller, services: Services, connection_id: UUID, new: NewWebhook
) -> MadeWebhook:
    """Make an endpoint of a connection, with the secret that was given or one of ours; its URL is shown only now."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    given = Secret(new.secret.get_secret_value()) if new.secret else None
    endpoint, made = await _endpoints(caller, services).add(
        connection, given, verifier=new.verifier, options=new.options, event_types=new.event_types
    )
    url = f"{services.settings.public_url}/webhooks/{connection.connector}/{endpoint.path}"
    return MadeWebhook(**_fields(endpoint), url=url, secret=made.reveal() if made else None)


@routes.get("/{webhook_id}", response_model=Webhook)
async def get_webhook(caller: Reader, services: Use, webhook_id: UUID) -> Response:
    """An endpoint, without its URL and its secret."""
    endpoint = await _endpoints(caller, services).get(caller.workspace_id, webhook_id)
    return json_answer(Webhook(**_fields(endpoint)))


@routes.patch("/{webhook_id}", response_model=Webhook)
async def change_webhook(caller: Writer, services: Use, webhook_id: UUID, wanted: WebhookChange) -> Response:
    """Pause an endpoint or take deliveries again, or keep other types of event. Each server knows within seconds."""
    endpoints = _endpoints(caller, services)
    endpoint = await endpoints.get(caller.workspace_id, webhook_id)
    if wanted.event_types is not None:
        await endpoints.set_event_types(endpoint, wanted.event_types)
    if wanted.is_active is not None:
        await endpoints.set_active(endpoint, is_active=wanted.is_active)
    return json_answer(Webhook(**_fields(await endpoints.get(caller.workspace_id, webhook_id))))


@routes.delete("/{webhook_id}", status_code=204)
async def remove_webhook(caller: Writer, services: Use, webhook_id: UUID) -> Response:
    """Remove an endpoint with its secrets. What it received stays."""
    endpoints = _endpoints(caller, services)
    await endpoints.remove(await endpoints.get(caller.workspace_id, webhook_id))
    return no_content()


@routes.post("/{webhook_id}/roll", response_model=RolledSecret)
async def roll_secret(caller: Writer, services: Use, webhook_id: UUID, new: NewSecret) -> Response:
    """Give an endpoint its secret, or the next one; the former one stays good for a while."""
    endpoints = _endpoints(caller, services)
    endpoint = await endpoints.get(caller.workspace_id, webhook_id)
    given = Secret(new.secret.get_secret_value()) if new.secret else None
    made = None if given else made_secret(endpoint.verifier)
    secret = given or made
    if secret is None:
        raise Problem(422, "This provider makes its own secret: send it as it is shown there.")
    await endpoints.rotate(endpoint, secret, keep_former=timedelta(minutes=new.keep_former_minutes))
    return json_answer(RolledSecret(secret=made.reveal() if made else None))


def _endpoints(caller: Caller, services: Services) -> Endpoints:
    return Endpoints(services.db, services.credentials, actor=caller.actor)


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "connection_id": endpoint.connection_id,
        "verifier": endpoint.verifier,
        "event_types": list(endpoint.event_types),
        "is_active": endpoint.is_active,
        "created_at": endpoint.created_at,
    }
