"""Who sent a delivery: what all verifiers have in common.

A connector's own verifiers are in its folder, the others in ``verifiers``; ``unified.kit.registry`` finds each by name.
No I/O and no clock: a delivery carries the time of its arrival. Not here: what a body says (``payloads``).
"""

import base64
import hmac
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import msgspec

from unified.kit.errors import ConfigurationError, PayloadError, SignatureError
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Answer, Delivery, ReceivedEvent
from unified.kit.webhooks.payloads import mended

Encoding = Literal["hex", "base64"]

# Seconds by which the sender's clock and the network may be off, either way; all providers say 300.
TOLERANCE = 300

# While secrets are rolled a delivery carries one signature for each; checking thousands is work for nothing.
MOST_SIGNATURES = 16

PROBE_TYPE = "unified.test"
"""The type of an event that is nothing but a test of ours."""

SIGNATURE = "c2lnbmF0dXJl"
"""What stands in the headers or the body of a test delivery where its signature will; base64, as one of them reads it
before it is signed."""

# A longer number is not a time; a bound spares int() the digits of an attacker.
_MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Claim:
    """What the headers of a delivery claim.

    Attributes:
        signatures: As they were sent, prefixes included; one that matches is enough.
        message: The bytes that they are said to sign.
        sent_at: Unix seconds of the sender's clock; None where the provider signs no time.
    """

    signatures: Sequence[bytes]
    message: bytes = field(repr=False)
    sent_at: float | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What a test delivery holds (:mod:`unified.kit.webhooks.probes`).

    Attributes:
        id: Names its event: letters, digits and underscores, none that was used before.
        at: When it is made.
        account: Whose event it is; None where that is not known.
        livemode: False for an account in test mode; None where that is not known.
    """

    id: str
    at: datetime
    account: str | None = None
    livemode: bool | None = None

    @property
    def seconds(self) -> int:
        """When, in seconds since 1970."""
        return int(self.at.timestamp())

    @property
    def milliseconds(self) -> int:
        """When, in milliseconds since 1970."""
        return int(self.at.timestamp() * 1000)


class Verifier(ABC):
    """A provider's way to sign deliveries and to put events into them. Stateless.

    Attributes:
        name: What endpoints choose it by.
        most_events: How many events one delivery may bring, as far as the provider says.
        tolerance: Seconds by which the time that is signed may be off, either way.
        needs_secret: Whether a delivery is refused as long as no secret is stored.
        stored: What the sender is answered once all events of its delivery are stored.
    """

    name: str
    most_events: int = 1
    tolerance: int = TOLERANCE
    needs_secret: bool = True
    stored: Answer = Answer(200)

    def receive(self, delivery: Delivery, secrets: Sequence[Secret]) -> list[ReceivedEvent] | Answer:
        """Verify a delivery, then read its events: the one call that an ingress needs.

        Args:
            delivery: The request.
            secrets: All secrets of the endpoint that are active now.

        Returns:
            Its events, perhaps none, or the answer to a handshake.

        Raises:
            SignatureError: If no secret has signed it, or not in time.
            PayloadError: If it is signed, yet not what the provider documents.
        """
        self.verify(delivery, secrets)
        try:
            return self.handshake(delivery) or self.read_events(delivery)
        except PayloadError:
            again = replace(delivery, body=mended(delivery.body))
            if again.body == delivery.body:
                raise
            return self.handshake(again) or self.read_events(again)

    def verify(self, delivery: Delivery, secrets: Sequence[Secret]) -> None:
        """Make sure that the holder of one of the secrets sent this delivery, and when.

        All secrets are tried whatever the first one says, so that the time taken does not show which it was.

        Raises:
            SignatureError: If not, for whatever reason; also where there is no secret.
        """
        claim = self.claim(delivery)
        if len(claim.signatures) > MOST_SIGNATURES:
            raise SignatureError
        is_signed = False
        for secret in secrets:
            try:
                is_signed |= self.is_signed(claim, self.key(secret.reveal()))
            except ConfigurationError:
                continue  # it fits no delivery; check_secret says so when a secret is set
        received_at = delivery.received_at.timestamp()
        is_late = claim.sent_at is not None and abs(received_at - claim.sent_at) > self.tolerance
        if not is_signed or is_late:
            raise SignatureError

    def check_secret(self, secret: Secret) -> None:
        """Whether this can be a secret of this provider's at all; ask before storing one.

        Raises:
            ConfigurationError: If not, and what one looks like.
        """
        self.key(secret.reveal())

    @abstractmethod
    def claim(self, delivery: Delivery) -> Claim:
        """Read the headers.

        Raises:
            SignatureError: If they are unreadable.
        """

    def key(self, secret: str) -> bytes:
        """The key within a secret's text.

        Raises:
            ConfigurationError: If there is none.
        """
        return secret.encode()

    @abstractmethod
    def is_signed(self, claim: Claim, key: bytes) -> bool:
        """Whether a signature of the claim was made with this key."""

    def handshake(self, delivery: Delivery) -> Answer | None:  # noqa: ARG002 - most providers have none
        """The answer to a verified delivery that only asks whether we are there; None for any other.

        Raises:
            PayloadError: If the body is unreadable.
        """
        return None

    @abstractmethod
    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """Take apart what was verified, or polled. Unknown types of events are events like any other.

        Raises:
            PayloadError: If it is not what the provider documents.
        """

    def probe_headers(self, probe: Probe) -> dict[str, str]:  # noqa: ARG002 - most sign no time
        """Headers of a test delivery, by lower-case name, with :data:`SIGNATURE` where the signature will stand."""
        return {}

    @property
    def is_known_by_bytes(self) -> bool:
        """Whether an event is known by its bytes for want of an id: sent again in other bytes it is another event."""
        return False

    def probe_body(self, probe: Probe) -> bytes:
        """Body of a test delivery: one event of :data:`PROBE_TYPE`, as the provider would put it, about no record."""
        event = {"id": probe.id, "type": PROBE_TYPE, "timestamp": probe.at.isoformat()}
        return msgspec.json.encode(event)


class SharedSecretVerifier(Verifier):
    """A verifier whose sender knows the same secret, and makes one signature of a message."""

    @abstractmethod
    def sign(self, key: bytes, message: bytes) -> bytes:
        """The signature that the provider sends, its prefix included."""

    def is_signed(self, claim: Claim, key: bytes) -> bool:
        """Whether a signature is the one that this key makes; all are compared, none ends it early."""
        expected = self.sign(key, claim.message)
        return True in [hmac.compare_digest(expected, one) for one in claim.signatures]


def header(delivery: Delivery, name: str) -> bytes:
    """A header's raw value.

    Raises:
        SignatureError: If it is missing or empty.
    """
    value = delivery.headers.get(name)
    if not value:
        raise SignatureError
    return value


def seconds(digits: bytes, *, per_second: int = 1) -> float:
    """A timestamp header as Unix seconds; ``per_second`` is 1000 where it counts milliseconds.

    Raises:
        SignatureError: If it is anything but ASCII digits.
    """
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        raise SignatureError
    return int(digits) / per_second


def hmac_sha256(key: bytes, message: bytes, encoding: Encoding = "hex") -> bytes:
    """HMAC-SHA256 as text."""
    return hmac_digest(key, message, encoding, "sha256")


def hmac_digest(key: bytes, message: bytes, encoding: Encoding, algorithm: str) -> bytes:
    """HMAC as text; ``algorithm`` is a name of `hashlib`."""
    digest = hmac.digest(key, message, algorithm)
    return digest.hex().encode() if encoding == "hex" else base64.b64encode(digest)
