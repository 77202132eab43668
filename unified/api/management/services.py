"""What the routes work with: one object, made at the start, found from each request."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from unified.api.ingress.body import Bodies
from unified.api.ingress.floods import FloodGate
from unified.api.management.access.callers import Access
from unified.api.settings import Settings
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.idempotency import Answers
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import KeyProvider
from unified.store.workspaces.tokens import TokenLookup
from unified.sync.progress.following import Following


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes work with.

    Attributes:
        db: The database.
        provider: Master keys.
        settings: Limits, and the public URL.
        registry: Workspaces and connections.
        credentials: Connections' secrets.
        access: Who asks.
        tokens: Tokens that were shown.
        answers: Answers kept for repetition.
        floods: How many requests each caller may send.
        bodies: The bodies under way.
        following: Pages that follow a sync.
    """

    db: Database
    provider: KeyProvider
    settings: Settings
    registry: Registry
    credentials: CredentialStore
    access: Access
    tokens: TokenLookup
    answers: Answers
    floods: FloodGate
    bodies: Bodies
    following: Following


def services_of(request: Request) -> Services:
    """The application's services."""
    services: Services = request.app.state.services
    return services


async def _services_of(request: Request) -> Services:
    return services_of(request)


Use = Annotated[Services, Depends(_services_of)]
"""Annotation of a route's parameter: the services."""
