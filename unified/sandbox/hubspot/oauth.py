"""HubSpot's OAuth: where its endpoints are, introspection, and its own words for refusals.

Source: https://developers.hubspot.com/docs/api-reference/latest/authentication/manage-oauth-tokens. HubSpot's refresh
tokens last; this stand-in rotates them by default, because others do (Xero, Intuit) and a client must cope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.oauth.server import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, OAuthServer
from unified.sandbox.provider import ApiError, Reply

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from unified.sandbox.provider import Provider

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI", "VERSION", "HubSpotOAuth"]

VERSION = "2026-03"


class HubSpotOAuth(OAuthServer):
    """Apps, grants and tokens of HubSpot."""

    def all_routes(self, provider: Provider[Any]) -> list[Route]:
        """The endpoints, introspection among them."""
        token = f"/oauth/{VERSION}/token"
        return [
            *self.routes(provider, authorize="/oauth/authorize", token=token, revoke=f"{token}/revoke"),
            provider.public(f"{token}/introspect", self._introspect, "POST"),
        ]

    def error(self, error: str, description: str, *, status: str | None = None, code: int = 400) -> ApiError:
        """RFC 6749's form with HubSpot's own fields beside it."""
        body = {"error": error, "error_description": description, "status": status or error.upper()}
        return ApiError(code, {**body, "message": description})

    def _introspect(self, request: Request, body: bytes) -> Reply:
        form = self.form(request, body)
        self.check_client(form)
        issued = self.find(form.get("token", ""), None)
        answer = {"active": issued is not None} | ({"scopes": issued.grant.scopes} if issued else {})
        return Reply(msgspec.json.encode(answer))
