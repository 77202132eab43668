"""Webhooks: what a delivery is, what a verifier does with it, and what all verifiers have in common.

A connector's own verifiers are in its folder, the others in ``verifiers``, which finds each by name. No I/O
and no clock: a delivery carries the time of its arrival. What an event means for the tables is said by
:meth:`unified.kit.adapter.BaseAdapter.changes`.
"""

import base64
import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from unified.kit.broken_json import repairs
from unified.kit.errors import ConfigurationError, PayloadError, SignatureError
from unified.kit.secrets import Secret

# Seconds by which the sender's clock and the network may be off, either way; all providers say 300.
TOLERANCE = 300

# While secrets are rolled a delivery carries one signature for each; checking thousands is work for nothing.
MOST_SIGNATURES = 16

# A longer number is not a time; a bound spares int() the digits of an attacker.
_MOST_DIGITS = 15

# Providers nest some ten levels deep. The bound keeps later readers of an event off the recursion limit.
_MOST_NESTED = 100

# What becomes part of a key: short enough for an index, without the character that PostgreSQL can't store.
# Nor with U+FFFD, which stands for half a surrogate pair: keys that differ there would be one.
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern="^[^\\x00\ufffd]+$")]

UNREADABLE = "unreadable"
"""The type of an event that is not as the provider documents, in a delivery with others that are."""

_Shape = TypeVar("_Shape")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that a provider sent.

    Attributes:
        method: HTTP method in upper case.
        url: The public URL as it is configured at the provider, query included; never the Host header.
        headers: Raw values by lower-case name; one that came twice joined by ``", "`` (RFC 9110, 5.3).
        body: The raw bytes.
        received_at: When it arrived.
    """

    method: str
    url: str
    headers: Mapping[str, bytes]
    body: bytes = field(repr=False)
    received_at: datetime

    @classmethod
    def polled(cls, body: bytes, received_at: datetime) -> "Delivery":
        """An event that a poll brought, to be read as if it had been delivered; nobody signed it."""
        return cls("", "", {}, body, received_at)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider's handshake wants to hear at once; there is nothing to store.

    Attributes:
        status: HTTP status.
        body: The whole body.
        headers: Headers to send; no others, cookies least of all.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """One event out of a delivery.

    Attributes:
        dedupe_key: The same on every delivery of this event and on no other one; at most 2,000 characters. Made of what
            is signed: otherwise a person who has seen a delivery could send it again under another key.
        event_type: In the provider's own words.
        occurred_at: When it happened, or None where the provider does not say.
        body: JSON text of this event alone, as the provider sent it.
    """

    dedupe_key: str
    event_type: str
    occurred_at: datetime | None
    body: bytes = field(repr=False)


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


class Verifier(ABC):
    """A provider's way to sign deliveries and to put events into them. Stateless.

    Attributes:
        name: What endpoints choose it by.
        most_events: How many events one delivery may bring, as far as the provider says.
    """

    name: str
    most_events: int = 1

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
            mended = replace(delivery, body=_mended(delivery.body))
            if mended.body == delivery.body:
                raise
            return self.handshake(mended) or self.read_events(mended)

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
        is_late = claim.sent_at is not None and abs(received_at - claim.sent_at) > TOLERANCE
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


def hmac_sha256(key: bytes, message: bytes, encoding: Literal["hex", "base64"] = "hex") -> bytes:
    """HMAC-SHA256 as text."""
    digest = hmac.digest(key, message, "sha256")
    return digest.hex().encode() if encoding == "hex" else base64.b64encode(digest)


def read_json(body: bytes, shape: type[_Shape]) -> _Shape:
    """Decode a body whole, so that nobody who reads it later can fail at its JSON.

    Args:
        body: JSON text.
        shape: What it has to be; a msgspec structure names the fields that are needed.

    Raises:
        PayloadError: If it is no JSON, nested too deeply, or of another shape; the reason names no values.
    """
    try:
        value = msgspec.json.decode(body)
        _check_nesting(value)
        return msgspec.convert(value, shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise PayloadError(f"the delivery is signed, but its body can't be read: {reason}") from None


def read_each(
    body: bytes, shape: type[_Shape], event: Callable[[_Shape, bytes], ReceivedEvent]
) -> list[ReceivedEvent]:
    """The events of a list, of which an odd one does not cost the others.

    Args:
        body: JSON text of the list.
        shape: What its elements have to be.
        event: Makes an event of an element: as ``shape``, and as the JSON text that was sent.

    Returns:
        An event for each element, in order; of the type :data:`UNREADABLE` for one that can't be read.

    Raises:
        PayloadError: If it is not a list, or none of its elements can be read.
    """
    events: list[ReceivedEvent] = []
    refused: PayloadError | None = None
    for raw in map(bytes, _elements(body)):
        try:
            events.append(event(read_json(raw, shape), raw))
        except PayloadError as error:
            refused = error
            events.append(ReceivedEvent(f"sha256:{hashlib.sha256(raw).hexdigest()}", UNREADABLE, None, raw))
    if refused is not None and all(one.event_type == UNREADABLE for one in events):
        raise refused
    return events


def _elements(body: bytes) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        read_json(body, list)  # says what is wrong with it
        raise


def _mended(body: bytes) -> bytes:
    """An object or a list whose JSON breaks a rule, such as half a surrogate pair, as JSON; any other body as it is."""
    for mended in repairs(body):
        try:
            value = msgspec.json.decode(mended)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue
        return mended if isinstance(value, dict | list) else body
    return body


def read_time(value: float | str, *, per_second: int = 1) -> datetime:
    """A time within a payload: ISO 8601, UTC where it names no zone, or Unix time.

    Args:
        value: What the payload holds.
        per_second: 1000 where numbers count milliseconds.

    Raises:
        PayloadError: If it is not a time between the years 1 and 9999.
    """
    try:
        if not isinstance(value, str):
            return datetime.fromtimestamp(value / per_second, UTC)
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise PayloadError("the delivery is signed, but the time of an event in it can't be read") from None


def header_text(delivery: Delivery, name: str) -> str | None:
    """A header's value as text, or None where it is missing or empty.

    Raises:
        PayloadError: If it is longer than a key, or holds what can't be stored.
    """
    value = delivery.headers.get(name)
    try:
        return msgspec.convert(value.decode("latin-1"), Text) if value else None
    except msgspec.ValidationError as error:
        raise PayloadError(f"the delivery is signed, but its header {name} can't be read: {error}") from None


def body_key(delivery: Delivery) -> str:
    """The dedupe key of an event whose body names none: a hash of the body, which is signed whole."""
    return f"sha256:{hashlib.sha256(delivery.body).hexdigest()}"


def _check_nesting(value: Any) -> None:
    level = [value]
    for _ in range(_MOST_NESTED):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise RecursionError
