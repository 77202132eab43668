"""Slack's OAuth v2: its own words for refusals, and tokens that last unless rotation is on.

Source: https://docs.slack.dev/authentication/installing-with-oauth, .../authentication/using-token-rotation,
https://docs.slack.dev/reference/methods/oauth.v2.access.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unified.sandbox.oauth.server import Grant, OAuthServer
from unified.sandbox.provider import ApiError
from unified.sandbox.slack.account import workspace_of
from unified.sandbox.slack.records import BOT, domain

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from unified.sandbox.provider import Provider

ROTATED_SECONDS = 43_200.0
"""How long an access token lasts where it is rotated: twelve hours."""

_WORDS = {
    "BAD_AUTH_CODE": "invalid_code", "BAD_REFRESH_TOKEN": "invalid_refresh_token",
    "invalid_client": "bad_client_secret", "unsupported_grant_type": "invalid_grant_type",
}  # fmt: skip


@dataclass
class SlackOAuth(OAuthServer):
    """Apps that are no public clients, without token rotation."""

    pkce: bool = False
    scope_separator: str | None = ","
    rotates: bool = False
    access_seconds: float = float("inf")

    def rotate(self) -> None:
        """Switch token rotation on, which can't be undone; it counts for tokens that are issued from now on."""
        self.rotates, self.access_seconds = True, ROTATED_SECONDS

    def all_routes(self, provider: Provider[Any]) -> list[Route]:
        """The page and the method."""
        return [
            provider.public("/oauth/v2/authorize", self._authorize),
            provider.public("/api/oauth.v2.access", self._token, "POST"),
        ]

    def answer(self, request: Request, grant: Grant) -> dict[str, Any]:
        """Which workspace and which bot; an end only where tokens are rotated."""
        del request
        return {
            "ok": True, "token_type": "bot", "scope": ",".join(grant.scopes), "bot_user_id": BOT, "app_id": "A0FAKE",
            "team": {"id": workspace_of(grant.account), "name": domain(grant.account)}, "enterprise": None,
            "is_enterprise_install": False, "authed_user": {"id": "U0INSTALLER"},
            **({"expires_in": int(self.access_seconds)} if self.rotates else {}),
        }  # fmt: skip

    def form(self, request: Request, body: bytes) -> dict[str, str]:
        """The parameters; a code needs no word for what it is."""
        return {"grant_type": "authorization_code", **super().form(request, body)}

    def error(self, error: str, description: str, *, status: str | None = None, code: int = 400) -> ApiError:
        """A refusal, with 200 as all of Slack's are, and a word alone."""
        del description, code
        return ApiError(200, {"ok": False, "error": _WORDS.get(status or error, error)})

    def _by_code(self, form: dict[str, str]) -> tuple[Grant, str | None]:
        grant, refresh_token = super()._by_code(form)
        return grant, refresh_token if self.rotates else None
