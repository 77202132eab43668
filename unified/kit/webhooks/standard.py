"""Standard Webhooks (https://www.standardwebhooks.com), which many providers follow, in both ways of signing.

Time, id and body are signed together, so neither a replay nor a changed id passes.
"""

import base64
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from unified.kit.errors import ConfigurationError, PayloadError
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.kit.webhooks.payloads import Text, body_key, header_text, read_json, read_time
from unified.kit.webhooks.signatures import (
    SIGNATURE,
    Claim,
    Probe,
    SharedSecretVerifier,
    Verifier,
    header,
    hmac_sha256,
    seconds,
)

# The type of an event whose payload has none.
UNTYPED = "unknown"

_PUBLIC_KEY_BYTES = 32


def header_of(delivery: Delivery, part: Literal["id", "timestamp", "signature"]) -> str:
    """The name of a header: providers that send by Svix sign alike, under its own names unless it left them out.

    All three are of one kind, so that the id which is read is the id that was signed.
    https://docs.svix.com/receiving/verifying-payloads/how-manual
    """
    return f"svix-{part}" if "svix-signature" in delivery.headers else f"webhook-{part}"


class _Standard(Verifier):
    """What both ways have in common.

    Attributes:
        version: What stands before the signatures made in this way.
    """

    version: bytes

    def claim(self, delivery: Delivery) -> Claim:
        """``{id}.{time}.{body}``; signatures of other versions are not for us."""
        sent_at = header(delivery, header_of(delivery, "timestamp"))
        message = b"%b.%b.%b" % (header(delivery, header_of(delivery, "id")), sent_at, delivery.body)
        signatures = header(delivery, header_of(delivery, "signature")).split(b" ")
        offered = [one for one in signatures if one.startswith(self.version + b",")]
        return Claim(offered, message, seconds(sent_at))

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """Id, time, signature."""
        return {
            "webhook-id": probe.id,
            "webhook-timestamp": str(probe.seconds),
            "webhook-signature": SIGNATURE,
        }

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """One event by the name of its id, which is signed; a polled one, which has no headers, by its body."""
        named = header_text(delivery, header_of(delivery, "id"))
        return [plain_event(named or body_key(delivery), delivery.body)]


class StandardVerifier(_Standard, SharedSecretVerifier):
    """Standard Webhooks with a shared secret."""

    name = "standard"
    version = b"v1"

    def key(self, secret: str) -> bytes:
        """``whsec_`` and base64."""
        return _decode_key(secret, "whsec_")

    def sign(self, key: bytes, message: bytes) -> bytes:
        """``v1,`` and base64."""
        return b"v1," + hmac_sha256(key, message, "base64")


class StandardEd25519Verifier(_Standard):
    """Standard Webhooks signed with a private key; the endpoint's secret is the public one."""

    name = "standard_ed25519"
    version = b"v1a"

    def key(self, secret: str) -> bytes:
        """``whpk_`` and base64 of 32 bytes."""
        key = _decode_key(secret, "whpk_")
        if len(key) != _PUBLIC_KEY_BYTES:
            raise ConfigurationError("a public key of Standard Webhooks has 32 bytes; paste it whole")
        return key

    def is_signed(self, claim: Claim, key: bytes) -> bool:
        """Whether one of the signatures belongs to this public key."""
        public = Ed25519PublicKey.from_public_bytes(key)
        return any(_is_signed(public, one, claim.message) for one in claim.signatures)


def _is_signed(public: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    encoded = signature.partition(b",")[2]
    try:
        decoded = base64.b64decode(encoded, validate=True)
        public.verify(decoded, message)
    except (ValueError, InvalidSignature):
        return False
    # Base64 has several spellings of the same bytes; one signature must have one.
    return base64.b64encode(decoded) == encoded


def _decode_key(secret: str, prefix: str) -> bytes:
    text = secret.removeprefix(prefix).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ConfigurationError(f"a secret of Standard Webhooks is {prefix} and base64; paste it whole")
    return key


def plain_event(key: str, body: bytes) -> ReceivedEvent:
    """Any JSON as an event; an object may say ``type`` and ``timestamp``, as Standard Webhooks advises."""
    value = read_json(body, object)
    payload = value if isinstance(value, dict) else {}
    try:
        kind = msgspec.convert(payload.get("type"), Text)
    except msgspec.ValidationError:
        kind = UNTYPED
    try:
        occurred_at = read_time(msgspec.convert(payload.get("timestamp"), str))
    except (msgspec.ValidationError, PayloadError):
        occurred_at = None
    return ReceivedEvent(key, kind, occurred_at, body)
