"""Atlassian's OAuth 2.0 (3LO): refresh tokens that rotate, ten minutes of grace, and the sites that a grant opens.

Source: https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps. An access token lasts an hour. A refresh
token that was used works ten minutes more; after that its use ends the grant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unified.sandbox.oauth.server import Grant, OAuthServer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from unified.sandbox.provider import Provider


@dataclass
class JiraOAuth(OAuthServer):
    """Apps, grants and tokens."""

    access_seconds: float = 3600
    grace_seconds: float = 600
    reuse_revokes: bool = True

    def all_routes(self, provider: Provider[Any]) -> list[Route]:
        """The endpoints; nothing revokes a token but the person."""
        return self.routes(provider, authorize="/authorize", token="/oauth/token", revoke="/oauth/revoke")  # noqa: S106

    def answer(self, request: Request, grant: Grant) -> dict[str, Any]:
        """How long it lasts, and for what."""
        del request
        return {"expires_in": self.access_seconds, "scope": " ".join(grant.scopes)}
