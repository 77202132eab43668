"""The OpenAPI document: what FastAPI reads off the routes, and what they all have in common.

It is kept in ``docs/openapi.json``; ``unified openapi`` prints it anew.
"""

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from unified.api.management import headers
from unified.api.management.access.callers import Rule
from unified.api.management.problems import MEDIA_TYPE

_API_VERSION = "1"  # the API's own: a release that breaks no caller leaves it
_PROBLEM = {
    "type": "object",
    "description": "A refusal, as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What went wrong and what to do, for people."},
        "request_id": {"type": "string", "description": "Find it again in the log."},
        "errors": {
            "type": "array",
            "description": "Which values are not usable.",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_REFUSED = {
    "description": "Refused.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_WORKSPACE = {
    "name": headers.WORKSPACE,
    "in": "header",
    "required": False,
    "description": "Slug or id of the workspace; a JWT needs it where its subject is a member of several.",
    "schema": {"type": "string"},
}
_IDEMPOTENCY_KEY = {
    "name": headers.IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "description": "Makes the request safe to repeat for 24 hours: carried out once, answered alike.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def common_to(rule: Rule, methods: Collection[str]) -> dict[str, Any]:
    """What an operation has beside its own: who may call it, the headers that all take, and refusals.

    Args:
        rule: What it asks of its callers.
        methods: Its methods.
    """
    parameters = [_WORKSPACE] if rule.in_workspace else []
    if "POST" in methods:
        parameters.append(_IDEMPOTENCY_KEY)
    return {
        "security": [{"bearer": []}],
        "x-permission": rule.permission,
        "parameters": parameters,
        "responses": {"default": _REFUSED},
    }


def describe(app: FastAPI) -> None:
    """Have an application describe itself so."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=_API_VERSION,
        description="Manages workspaces, connections, credentials and webhooks. docs/api.md says how to begin.",
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    # FastAPI's own form of a refusal, which is never sent.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API token (`uat_…`) or a JWT."}
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    return document
