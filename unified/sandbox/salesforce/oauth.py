"""Salesforce's OAuth: what its token endpoint answers besides tokens, and what becomes of a used refresh token.

Source: https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_endpoints.htm. No answer says how long a
token lasts. With rotation a used refresh token that comes back ends the whole grant, the newest tokens included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unified.sandbox.oauth.server import Grant, OAuthServer
from unified.sandbox.salesforce.fields import identifier

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from unified.sandbox.provider import Provider

ROOT = "/services/oauth2"


@dataclass
class SalesforceOAuth(OAuthServer):
    """External Client Apps, grants and tokens.

    Attributes:
        instance_url: What grants say of where the API is; None for where the endpoint itself was asked.
    """

    access_seconds: float = 7200
    reuse_revokes: bool = True
    instance_url: str | None = None

    def all_routes(self, provider: Provider[Any]) -> list[Route]:
        """The endpoints, at My Domain."""
        return self.routes(
            provider, authorize=f"{ROOT}/authorize", token=f"{ROOT}/token", revoke=f"{ROOT}/revoke"
        )

    def answer(self, request: Request, grant: Grant) -> dict[str, Any]:
        """Where the API is and who the user is, and no ``expires_in``."""
        del grant
        here = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"
        return {
            "instance_url": self.instance_url or here,
            "id": f"https://login.salesforce.com/id/{identifier('00D', 1)}/{identifier('005', 1)}",
            "scope": "api refresh_token", "signature": "fake", "issued_at": str(int(self.clock.time() * 1000)),
        }  # fmt: skip
