"""Jira's webhooks: what is signed, and how a dynamic one differs from one that an administrator made.

Source: https://developer.atlassian.com/cloud/jira/platform/webhooks. One that an administrator made signs the body with
its secret and never expires. One that an OAuth app registered proves its sender by a JWT that is signed with the app's
secret, says nothing of the body, and expires after thirty days.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from unified.sandbox.clock import DAY
from unified.sandbox.webhooks import Endpoint, Record, WebhookForm

if TYPE_CHECKING:
    from collections.abc import Sequence

LIFE = 30 * DAY


@dataclass(frozen=True)
class DynamicEndpoint(Endpoint):
    """A webhook that an OAuth app registered; its secret is the app's."""

    id: int = 0
    events: tuple[str, ...] = ()
    jql: str = ""
    expires_at: float = 0.0

    def wants(self, event: Record, now: float) -> bool:
        """Only its events, until it expires."""
        return event["webhookEvent"] in self.events and now < self.expires_at


class JiraWebhooks(WebhookForm):
    """One event a delivery; a repeated one has the same identifier."""

    batch = 1
    timeout = 20.0

    def pauses(self, key: str) -> Sequence[float]:
        """Five times again, each after 5 to 15 minutes."""
        del key
        return (300, 600, 900, 900, 900)

    def body(self, events: Sequence[Record], attempt: int) -> bytes:
        """The event."""
        del attempt
        return msgspec.json.encode(events[0])

    def headers(self, endpoint: Endpoint, body: bytes, now: float) -> dict[str, str]:
        """The signature or the token, and an identifier that stays."""
        said = {
            "content-type": "application/json; charset=UTF-8",
            "x-atlassian-webhook-identifier": str(uuid.uuid5(uuid.NAMESPACE_URL, body.hex()[:4000])),
            "x-atlassian-webhook-flow": "Primary",
        }
        if isinstance(endpoint, DynamicEndpoint):
            return {**said, "authorization": f"Bearer {_token(endpoint.secret, now)}"}
        digest = hmac.digest(endpoint.secret.encode(), body, hashlib.sha256)
        return {**said, "x-hub-signature": f"sha256={digest.hex()}"}


def _token(secret: str, now: float) -> str:
    """A JWT (RFC 7519), HS256."""
    claims = {"iss": "jira", "iat": int(now), "exp": int(now) + 180}
    signed = ".".join(_written(msgspec.json.encode(one)) for one in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{_written(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
