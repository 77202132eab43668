"""Webhooks that are protected by basic authentication alone: a user and a password that the sender was given.

Nothing signs the body or the time. What such a delivery says is a reason to look, no more.
"""

import base64

from unified.kit.errors import ConfigurationError, SignatureError
from unified.kit.webhooks.deliveries import Delivery
from unified.kit.webhooks.signatures import SIGNATURE, Claim, Probe, SharedSecretVerifier, header


class BasicVerifier(SharedSecretVerifier):
    """``Authorization: Basic`` (RFC 7617); the secret is ``user:password``. A subclass reads the events."""

    def claim(self, delivery: Delivery) -> Claim:
        """User and password as they were sent; there is no message."""
        scheme, _, credentials = header(delivery, "authorization").partition(b" ")
        if scheme != b"Basic":
            raise SignatureError
        return Claim([credentials], b"")

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """User and password."""
        del probe
        return {"authorization": f"Basic {SIGNATURE}"}

    def key(self, secret: str) -> bytes:
        """User and password."""
        user, _, password = secret.partition(":")
        if not user or not password:
            raise ConfigurationError("the secret of a webhook with basic authentication is user:password")
        return secret.encode()

    def sign(self, key: bytes, message: bytes) -> bytes:  # noqa: ARG002 - the same for all messages
        """User and password as they are sent."""
        return base64.b64encode(key)
