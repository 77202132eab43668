"""The management API, put together. What it answers is in `endpoints`; what all of them go through, in `route`.

`/docs` is a page of our own, drawn from the OpenAPI document: FastAPI's loads scripts from another host.
"""

from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from unified.api.ingress.body import Bodies
from unified.api.ingress.floods import FloodGate
from unified.api.management import headers, openapi, reference
from unified.api.management.access.callers import Access
from unified.api.management.access.jwks import Jwks
from unified.api.management.access.jwts import JwtVerifier
from unified.api.management.edge import Edge
from unified.api.management.problems import answer_problems
from unified.api.management.routers import names_at, routers
from unified.api.management.services import Services
from unified.api.settings import JwtSettings, Settings
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.idempotency import Answers
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import KeyProvider
from unified.store.workspaces.tokens import TokenLookup
from unified.sync.progress.following import Following

if TYPE_CHECKING:
    from unified.api.metrics import Metrics


def management_api(services: Services, metrics: "Metrics") -> ASGIApp:
    """The application.

    Args:
        services: From :func:`open_services`.
        metrics: Where requests are counted.
    """
    settings = services.settings
    app = described_api()
    app.state.services = services
    app.state.metrics = metrics
    inner: ASGIApp = app
    if settings.management.origins:
        inner = CORSMiddleware(
            app,
            allow_origins=settings.management.origins,
            allow_methods=["GET", "POST", "PATCH", "PUT", "DELETE"],
            allow_headers=[
                "authorization",
                "content-type",
                "if-match",
                headers.IDEMPOTENCY_KEY,
                headers.WORKSPACE,
            ],
            expose_headers=["etag", "link", "location", "ratelimit", "retry-after", headers.REQUEST_ID],
        )
    return Edge(inner, metrics.request, is_https=settings.is_https)


def described_api() -> FastAPI:
    """The routes by themselves, without what they work with: enough to describe them."""
    app = FastAPI(title="Unified Assets", docs_url=None, redoc_url=None, openapi_url=None)
    for routes in routers():
        app.include_router(routes)
    answer_problems(app)
    openapi.describe(app)
    reference.add(app)
    return app


class ApiByNeed:
    """The API inside this process, for one caller who asks for little: of its routes, those that are asked for."""

    def __init__(self, services: Services) -> None:
        """Answer with these services."""
        self._services = services
        self._apps: dict[tuple[str, ...], FastAPI] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, by an application of the routers that its path may belong to."""
        names = names_at(scope["path"])
        app = self._apps.get(names)
        if app is None:
            app = self._apps[names] = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
            for routes in routers(names):
                app.include_router(routes)
            answer_problems(app)
            app.state.services = self._services
        await app(scope, receive, send)


def open_services(db: Database, provider: KeyProvider, settings: Settings) -> Services:
    """What the API's routes and the pages work with.

    Args:
        db: The open database.
        provider: Master keys.
        settings: Whose JWTs are taken, and limits.
    """
    management = settings.management
    tokens_shown = TokenLookup(db)
    return Services(
        db=db,
        provider=provider,
        settings=settings,
        registry=Registry(db),
        credentials=CredentialStore(db, provider),
        access=Access(db, tokens_shown, _jwts(management.jwt), management.admin_subjects),
        tokens=tokens_shown,
        answers=Answers(db, provider),
        floods=FloodGate(management.rate, management.burst),
        bodies=Bodies(bytes_each=management.body_bytes, bytes_together=management.bytes_in_flight),
        following=Following(db),
    )


def _jwts(settings: JwtSettings | None) -> JwtVerifier | None:
    if settings is None:
        return None
    return JwtVerifier(settings, Jwks(settings.jwks_url))
