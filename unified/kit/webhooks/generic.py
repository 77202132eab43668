"""Verifiers of senders that no table knows: options say what proves a delivery, and where its events stand.

| name | what proves a delivery |
|---|---|
| ``hmac`` | a signature of the body, or of a text that the body and a time are in |
| ``standard``, ``standard_ed25519`` | a signature of Standard Webhooks |
| ``token`` | a header with a secret of ours |
| ``basic`` | user and password |
| ``none`` | nothing but the URL, which is a secret |

What is not signed can be repeated and changed by anybody who has seen a delivery, or who knows its secret.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from unified.kit.errors import ConfigurationError, PayloadError
from unified.kit.mapping import readings
from unified.kit.mapping.paths import Read, compile_path, place_of
from unified.kit.mapping.refusals import UNREADABLE, RuleError
from unified.kit.webhooks.basic import BasicVerifier
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.kit.webhooks.payloads import Text, raw_at, read_each, read_json
from unified.kit.webhooks.signatures import (
    PROBE_TYPE,
    SIGNATURE,
    TOLERANCE,
    Claim,
    Probe,
    SharedSecretVerifier,
    Verifier,
    header,
    hmac_digest,
    seconds,
)
from unified.kit.webhooks.standard import UNTYPED, StandardEd25519Verifier, StandardVerifier, header_of

# As many events as a provider's own batches have.
_MOST_EVENTS = 100
# A header's number beyond this counts milliseconds: as seconds it would be the year 2603.
_LATEST_SECONDS = 20_000_000_000

# A list of a test's event is no longer.
_MOST_ITEMS = 10
_PART = re.compile(r"\{(body|time|url)\}")


class Reading(msgspec.Struct, frozen=True):
    """Where a body's events stand.

    Attributes:
        events_field: Path of the list whose items are the events, in plain keys; ``$`` where the body is that list.
            Empty where the body is one event.
        id_field: Path, within an event, of an id that a repeated delivery keeps; without one the event's hash is taken.
            It is not a header, which as a rule nobody has signed.
        type_field: Path of its type.
        time_field: Path of the time at which it happened.
    """

    events_field: str = ""
    id_field: str = ""
    type_field: str = "type"
    time_field: str = "timestamp"


class HmacOptions(msgspec.Struct, frozen=True):
    """How a sender signs.

    Attributes:
        header: Header with the signature.
        prefix: What stands before the signature.
        encoding: Of the signature.
        algorithm: The hash.
        signed: The text that is signed: ``{body}``, ``{time}`` and ``{url}`` stand for what was sent.
        time_header: Header with the time that is signed, in seconds or milliseconds since 1970.
        window: Seconds by which that time may be off.
    """

    header: str = "x-hub-signature-256"
    prefix: str = "sha256="
    encoding: Literal["hex", "base64"] = "hex"
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    signed: str = "{body}"
    time_header: str = ""
    window: int = TOLERANCE


class TokenOptions(msgspec.Struct, frozen=True):
    """Where a sender shows its token.

    Attributes:
        header: Header with the token.
        prefix: What stands before it, such as ``Bearer`` and a space.
    """

    header: str = "x-webhook-token"
    prefix: str = ""


class _NoOptions(msgspec.Struct, frozen=True):
    """Of a kind that has none."""


class _Reader(Verifier):
    """A verifier that reads events where its options say; without any, as Standard Webhooks advises."""

    def __init__(self, name: str, reading: Reading | None = None) -> None:
        self.name = name
        self.events = _Events(reading or Reading())
        self.most_events = _MOST_EVENTS if self.events.is_batch else 1

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """The events, each by itself."""
        return self.events.of(delivery, self.key_of)

    def probe_body(self, probe: Probe) -> bytes:
        """An event whose id, type and time stand where the options say."""
        return self.events.probe(probe)

    @property
    def is_known_by_bytes(self) -> bool:
        """Whether nothing but its bytes says which event it is."""
        return not self.events.has_id

    def key_of(self, delivery: Delivery, event: bytes) -> str:  # noqa: ARG002 - a header may name it elsewhere
        """The dedupe key of an event that names none: a hash of it."""
        return f"sha256:{hashlib.sha256(event).hexdigest()}"


class HmacVerifier(_Reader, SharedSecretVerifier):
    """Senders that sign with a shared secret."""

    def __init__(self, name: str, options: HmacOptions, reading: Reading | None = None) -> None:
        super().__init__(name, reading)
        self.options = options
        self.tolerance = options.window
        if ("{time}" in options.signed) != bool(options.time_header):
            raise ConfigurationError(
                "time_header names the header of the time that {time} stands for in signed: set both or none, "
                "because a time that is not signed proves nothing"
            )
        if "{body}" not in options.signed:
            raise ConfigurationError("signed holds no {body}, so anything could be sent with a signature")

    def claim(self, delivery: Delivery) -> Claim:
        """The signature, and what it signs."""
        sent_at = None
        parts = {"body": delivery.body, "url": delivery.url.encode()}
        if self.options.time_header:
            parts["time"] = header(delivery, self.options.time_header.lower())
            sent_at = seconds(parts["time"])
            sent_at = sent_at / 1000 if sent_at > _LATEST_SECONDS else sent_at
        found = _PART.split(self.options.signed)
        message = b"".join(parts[part] if place % 2 else part.encode() for place, part in enumerate(found))
        return Claim([header(delivery, self.options.header.lower())], message, sent_at)

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """The signature, and the time where it is signed."""
        times = {self.options.time_header.lower(): str(probe.seconds)} if self.options.time_header else {}
        return {**times, self.options.header.lower(): SIGNATURE}

    def sign(self, key: bytes, message: bytes) -> bytes:
        """Prefix and digest."""
        digest = hmac_digest(key, message, self.options.encoding, self.options.algorithm)
        return self.options.prefix.encode() + digest


class TokenVerifier(_Reader, SharedSecretVerifier):
    """Senders that show a secret, which signs nothing."""

    def __init__(self, name: str, options: TokenOptions, reading: Reading) -> None:
        super().__init__(name, reading)
        self.options = options

    def claim(self, delivery: Delivery) -> Claim:
        """The token; there is no message."""
        return Claim([header(delivery, self.options.header.lower())], b"")

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """The token."""
        del probe
        return {self.options.header.lower(): SIGNATURE}

    def sign(self, key: bytes, message: bytes) -> bytes:  # noqa: ARG002 - the same for all messages
        """Prefix and token."""
        return self.options.prefix.encode() + key


class PasswordVerifier(_Reader, BasicVerifier):
    """Senders that show a user and a password."""

    def __init__(self, name: str, _: _NoOptions, reading: Reading) -> None:
        super().__init__(name, reading)


class UnsignedVerifier(_Reader):
    """Senders that show nothing: whoever knows the URL can send."""

    needs_secret = False

    def __init__(self, name: str, _: _NoOptions, reading: Reading) -> None:
        super().__init__(name, reading)

    def verify(self, delivery: Delivery, secrets: object) -> None:
        """There is nothing to verify."""

    def claim(self, delivery: Delivery) -> Claim:  # noqa: ARG002
        """Nothing is claimed."""
        return Claim((), b"")

    def is_signed(self, claim: Claim, key: bytes) -> bool:  # noqa: ARG002
        """Nothing is."""
        return False


class _Named(_Reader):
    """Standard Webhooks sign an id, which names a delivery of one event."""

    def __init__(self, name: str, _: _NoOptions, reading: Reading) -> None:
        super().__init__(name, reading)

    @property
    def is_known_by_bytes(self) -> bool:
        """Only in a batch: else the signed id says it."""
        return self.events.is_batch and super().is_known_by_bytes

    def key_of(self, delivery: Delivery, event: bytes) -> str:
        """The signed id; in a batch, and where it was polled, a hash."""
        signed = b"" if self.events.is_batch else delivery.headers.get(header_of(delivery, "id"), b"")
        try:
            return msgspec.convert(signed.decode("latin-1"), Text)
        except msgspec.ValidationError:
            return super().key_of(delivery, event)


class ReadStandardVerifier(_Named, StandardVerifier):
    """Standard Webhooks with a shared secret."""


class ReadStandardEd25519Verifier(_Named, StandardEd25519Verifier):
    """Standard Webhooks signed with a private key."""


@dataclass(frozen=True, slots=True)
class _Kind:
    options: type[Any]
    verifier: Callable[[str, Any, Reading], Verifier]


_KINDS: Mapping[str, _Kind] = {
    "basic": _Kind(_NoOptions, PasswordVerifier),
    "hmac": _Kind(HmacOptions, HmacVerifier),
    "none": _Kind(_NoOptions, UnsignedVerifier),
    "standard": _Kind(_NoOptions, ReadStandardVerifier),
    "standard_ed25519": _Kind(_NoOptions, ReadStandardEd25519Verifier),
    "token": _Kind(TokenOptions, TokenVerifier),
}

GENERIC = frozenset(_KINDS)
"""Names of the verifiers that have options."""


def generic_verifier(name: str, options: Mapping[str, str]) -> Verifier:
    """The verifier of an endpoint.

    Args:
        name: One of :data:`GENERIC`.
        options: Those of its kind, and those of :class:`Reading`.

    Raises:
        ConfigurationError: If they do not fit.
    """
    kind = _KINDS[name]
    reads = set(Reading.__struct_fields__)
    known = {*kind.options.__struct_fields__, *reads}
    if unknown := sorted(set(options) - known):
        raise ConfigurationError(
            f"the verifier {name} has no option {' and no '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    for one, hint in get_type_hints(kind.options).items():
        words = get_args(hint) if get_origin(hint) is Literal else ()
        if words and options.get(one, words[0]) not in words:
            raise ConfigurationError(f"the option {one} of the verifier {name} is one of {', '.join(words)}")
    try:
        proof = {one: value for one, value in options.items() if one not in reads}
        read = {one: value for one, value in options.items() if one in reads}
        return kind.verifier(
            name, msgspec.convert(proof, kind.options, strict=False), msgspec.convert(read, Reading)
        )
    except (msgspec.ValidationError, ConfigurationError, RuleError) as error:
        raise ConfigurationError(f"the options of the verifier {name} do not fit: {error}") from None


class _Events:
    """Finds the events of a body."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._list = reading.events_field
        self._id, self._type, self._time = (
            compile_path(path) if path else None
            for path in (reading.id_field, reading.type_field, reading.time_field)
        )

    @property
    def is_batch(self) -> bool:
        """Whether a delivery has a list of events."""
        return bool(self._list)

    @property
    def has_id(self) -> bool:
        """Whether a path leads to an event's id."""
        return self._id is not None

    def of(self, delivery: Delivery, key_of: Callable[[Delivery, bytes], str]) -> list[ReceivedEvent]:
        """Each event with its key, type and time.

        Raises:
            PayloadError: If the body can't be read, or its list is not there.
        """

        def received(value: Any, raw: bytes) -> ReceivedEvent:
            key = self._text(self._id, value, int | Text) or key_of(delivery, raw)
            kind = self._text(self._type, value, Text) or UNTYPED
            return ReceivedEvent(key, kind, self._moment(value), raw)

        if not self._list:
            return [received(read_json(delivery.body, object), delivery.body)]
        listed = raw_at(delivery.body, () if self._list == "$" else self._list.split("."))
        if listed is None:
            read_json(delivery.body, object)  # says what is wrong with it
            raise PayloadError(f"the delivery has no list {self._list}, where its events should be")
        return read_each(listed, object, received)

    def probe(self, probe: Probe) -> bytes:
        """A body with one event."""
        return body_of(self._reading, probe.id, PROBE_TYPE, probe.at, {})

    @staticmethod
    def _text(path: Read | None, value: Any, shape: Any) -> str | None:
        try:
            return None if path is None else str(msgspec.convert(path(value, value), shape))
        except msgspec.ValidationError:
            return None

    def _moment(self, value: Any) -> datetime | None:
        try:
            return None if self._time is None else readings.moment(self._time(value, value))
        except UNREADABLE:
            return None


def body_of(reading: Reading, key: str, kind: str, at: datetime, further: Mapping[str, Any]) -> bytes:
    """A body with one event, as far as paths of keys and indexes lead to what it says.

    Args:
        reading: Where its id, type and time stand.
        key: Its id.
        kind: Its type.
        at: Its time.
        further: What else it says, by paths.
    """
    event: dict[str, Any] = {}
    said = ((reading.id_field, key), (reading.type_field, kind), (reading.time_field, at.isoformat()))
    for path, value in (*said, *further.items()):
        if path and (place := place_of(path)):
            _put(event, place, value)
    if not reading.events_field:
        return msgspec.json.encode(event)
    if reading.events_field == "$":
        return msgspec.json.encode([event])
    return msgspec.json.encode(_put({}, reading.events_field.split("."), [event]))


def _put(into: dict[str, Any], place: Sequence[str | int], value: Any) -> dict[str, Any]:
    """Have keys and indexes lead to a value; where another value is in the way, they do not."""
    at: Any = into
    for key, following in zip_longest(place, place[1:]):
        made = value if following is None else [] if isinstance(following, int) else {}
        if isinstance(at, dict) and isinstance(key, str):
            at = at.setdefault(key, made)
        elif isinstance(at, list) and isinstance(key, int) and 0 <= key < _MOST_ITEMS:
            at += [None] * (key + 1 - len(at))
            at[key] = made if at[key] is None else at[key]
            at = at[key]
        else:
            break
    return into
