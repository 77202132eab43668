"""What the routes work with: one object, made at the start, found from each request."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.body import Bodies
from api.floods import FloodGate
from api.management.access import Access
from api.settings import Settings
from store.credentials import CredentialStore
from store.database import Database
from store.idempotency import Answers
from store.keys import KeyProvider
from store.registry import Registry
from store.tokens import TokenLookup


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


def services_of(request: Request) -> Services:
    """The application's services."""
    services: Services = request.app.state.services
    return services


async def _services_of(request: Request) -> Services:
    return services_of(request)


Use = Annotated[Services, Depends(_services_of)]
"""Annotation of a route's parameter: the services."""
