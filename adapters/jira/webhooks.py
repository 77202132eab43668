"""Jira's deliveries: who proves them, and the event in one. What an event means is said by ``events``.

https://developer.atlassian.com/cloud/jira/platform/webhooks. A webhook that an administrator made with a secret signs
the body. One that an OAuth app registered proves its sender by a JWT signed with the app's secret, which says nothing
of the body: so nothing that it says is believed but which record to read again.
"""

from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Any

import jwt
import msgspec

from adapters.jira.events import Event, key_of
from unified.kit.decoding import decode_exactly
from unified.kit.errors import SignatureError
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.kit.webhooks.generic import HmacOptions, HmacVerifier
from unified.kit.webhooks.payloads import read_json, read_time
from unified.kit.webhooks.signatures import (
    PROBE_TYPE,
    SIGNATURE,
    Claim,
    Probe,
    SharedSecretVerifier,
    header,
    hmac_sha256,
)


class JiraVerifier(HmacVerifier):
    """A webhook that an administrator made: ``X-Hub-Signature``."""

    def __init__(self) -> None:
        super().__init__("jira", HmacOptions("x-hub-signature"))

    def probe_body(self, probe: Probe) -> bytes:
        """An event about no issue."""
        return _probe(probe)

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """One event."""
        return _events(delivery)


class JiraAppVerifier(SharedSecretVerifier):
    """A webhook that an OAuth app registered: a bearer token, signed with the app's client secret (HS256)."""

    name = "jira_app"

    def claim(self, delivery: Delivery) -> Claim:
        """The token's signature and what it signs, and when it says that it was made.

        Raises:
            SignatureError: If it is not one, or has run out.
        """
        scheme, _, token = header(delivery, "authorization").partition(b" ")
        signed, _, signature = token.strip().rpartition(b".")
        if scheme != b"Bearer" or not signature:
            raise SignatureError
        try:
            said: dict[str, Any] = jwt.decode(token.strip(), options={"verify_signature": False})
        except jwt.PyJWTError:
            raise SignatureError from None
        if not _is_current(said.get("exp"), delivery.received_at):
            raise SignatureError
        made = said.get("iat")
        return Claim([signature], signed, float(made) if isinstance(made, int | float) else None)

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """A token that says when it was made."""
        parts = {"alg": "HS256", "typ": "JWT"}, {"iat": probe.seconds}
        signed = ".".join(
            urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode() for part in parts
        )
        return {"authorization": f"Bearer {signed}.{SIGNATURE}"}

    def probe_body(self, probe: Probe) -> bytes:
        """An event about no issue."""
        return _probe(probe)

    def sign(self, key: bytes, message: bytes) -> bytes:
        """RFC 7515 section 3.1: HMAC-SHA256 in base64 for URLs, without padding."""
        digest = hmac_sha256(key, message, "base64")
        return digest.rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_")

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """One event."""
        return _events(delivery)


def _probe(probe: Probe) -> bytes:
    said = {"webhookEvent": PROBE_TYPE, "timestamp": probe.milliseconds, "unified_test": probe.id}
    return msgspec.json.encode(said)


def _is_current(expires: Any, now: datetime) -> bool:
    return expires is None or (isinstance(expires, int | float) and expires > now.timestamp())


def _events(delivery: Delivery) -> list[ReceivedEvent]:
    event = read_json(delivery.body, Event)
    occurred_at = read_time(event.timestamp, per_second=1000)
    key = key_of(event, decode_exactly(delivery.body))
    return [ReceivedEvent(key, event.webhook_event, occurred_at, delivery.body)]
