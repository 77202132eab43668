"""Which routers there are: where they stand, and where their paths begin. They are imported when they are asked for.

An agent's process, or a client's, asks for few of them; all together take a second to import.
"""

from importlib import import_module

from fastapi import APIRouter

_ENDPOINTS = f"{__package__}.endpoints"

# In the order of the reference; a path with a name in it comes before the same path with a variable.
_ROUTERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("connections.connections:routes", ("/api/connectors",)),
    ("connections.syncs:routes", ("/api/connectors",)),
    ("connections.oauth:routes", ("/api/connectors",)),
    ("connections.oauth:callback", ("/oauth",)),
    ("connections.credentials:routes", ("/api/connectors",)),
    ("connections.mappings:routes", ("/api/connectors",)),
    ("connections.mapping_proposals:routes", ("/api/connectors",)),
    ("connections.mapping_trials:routes", ("/api/connectors",)),
    ("customer_routes:routes", ("/api/routes",)),
    (
        "records.records:routes",
        ("/api/customers", "/api/invoices", "/api/events", "/api/records", "/api/identities"),
    ),
    ("identities:routes", ("/api/identities",)),
    ("privacy:routes", ("/api/privacy",)),
    ("webhooks:of_connection", ("/api/connectors",)),
    ("received:routes", ("/api/connectors", "/api/webhooks")),
    ("webhooks:routes", ("/api/webhooks",)),
    ("subscriptions:routes", ("/api/subscriptions",)),
    ("connections.statistics:routes", ("/api/connectors", "/api/statistics")),
    ("connections.deprecations:routes", ("/api/connectors",)),
    ("connections.documents:routes", ("/api/connectors",)),
    ("connections.connectors:routes", ("/api/connectors",)),
    ("workspaces.workspaces:routes", ("/api/workspaces",)),
    ("workspaces.members:routes", ("/api/members",)),
    ("workspaces.tokens:routes", ("/api/tokens",)),
    ("workspaces.audit:routes", ("/api/audit",)),
    ("operation:probes", ("/healthz", "/readyz")),
    ("operation:routes", ("/metrics",)),
)


def routers(names: tuple[str, ...] | None = None) -> list[APIRouter]:
    """The routers of these names, or all."""
    return [_loaded(name) for name, _ in _ROUTERS if names is None or name in names]


def names_at(path: str) -> tuple[str, ...]:
    """The names of the routers that a path may belong to."""
    return tuple(name for name, starts in _ROUTERS if path.startswith(starts))


def _loaded(name: str) -> APIRouter:
    module, _, attribute = name.partition(":")
    found: APIRouter = getattr(import_module(f"{_ENDPOINTS}.{module}"), attribute)
    return found
