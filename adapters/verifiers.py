"""Verifiers by name: those that connectors bring, and here those of providers without a connector, and generic ones.

| name | header | signed | time |
|---|---|---|---|
| ``slack`` | ``X-Slack-Signature`` | ``v0:{time}:{body}`` | ±300 s |
| ``intuit`` | ``intuit-signature`` | body | none |
| ``xero`` | ``x-xero-signature`` | body | none |
| ``jira`` | ``X-Hub-Signature`` | body | none |
| ``github`` | ``X-Hub-Signature-256`` | body | none |
| ``hmac`` | by option | body | none |
| ``standard`` | ``webhook-signature``, HMAC (``v1``) | ``{id}.{time}.{body}`` | ±300 s |
| ``standard_ed25519`` | ``webhook-signature``, ed25519 (``v1a``) | ``{id}.{time}.{body}`` | ±300 s |

Where no time is signed a delivery can be replayed for ever; its dedupe key is all that recognises it.
"""

import base64
from collections.abc import Mapping
from functools import cache
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters.errors import ConfigurationError, PayloadError
from adapters.registry import discover_adapters
from adapters.webhooks import (
    Answer,
    Claim,
    Delivery,
    ReceivedEvent,
    Text,
    Verifier,
    header,
    hmac_sha256,
    read_json,
    read_key,
    read_list,
    read_time,
    seconds,
)

# An event type where neither the body nor a header tells one.
_UNTYPED = "unknown"

_PUBLIC_KEY_BYTES = 32


def get_verifier(name: str, options: Mapping[str, str] | None = None) -> Verifier:
    """The verifier of an endpoint.

    Args:
        name: As in the table above, or one that a connector brings.
        options: Settings of ``hmac``: see :class:`HmacOptions`; no other verifier has any.

    Raises:
        ConfigurationError: If there is none of that name, or the options do not fit.
    """
    if name == "hmac":
        return HmacVerifier(name, _read_options(options or {}))
    if options:
        raise ConfigurationError(f"the verifier {name} takes no options; remove {', '.join(sorted(options))}")
    try:
        return _verifiers()[name]
    except KeyError:
        raise ConfigurationError(
            f"there is no webhook verifier {name!r}; there is {', '.join(list_verifiers())}"
        ) from None


def list_verifiers() -> list[str]:
    """Names of all verifiers, sorted."""
    return sorted(("hmac", *_verifiers()))


@cache
def _verifiers() -> dict[str, Verifier]:
    own: list[Verifier] = [
        SlackVerifier(),
        IntuitVerifier(),
        XeroVerifier(),
        JiraVerifier(),
        GitHubVerifier(),
        StandardVerifier(),
        StandardEd25519Verifier(),
    ]
    brought = [verifier for adapter in discover_adapters().values() for verifier in adapter.verifiers]
    return {verifier.name: verifier for verifier in (*brought, *own)}


class _SlackEvent(msgspec.Struct):
    type: Text


class _SlackBody(msgspec.Struct):
    """https://docs.slack.dev/apis/events-api: an event in its envelope, or a notice to the app."""

    type: Text
    challenge: str | None = None
    event: _SlackEvent | None = None
    event_id: Text | None = None
    event_time: int | None = None


class SlackVerifier(Verifier):
    """Slack's Events API (https://docs.slack.dev/authentication/verifying-requests-from-slack)."""

    name = "slack"

    def claim(self, delivery: Delivery) -> Claim:
        """``v0:{time}:{body}``."""
        sent_at = header(delivery, "x-slack-request-timestamp")
        message = b"v0:%b:%b" % (sent_at, delivery.body)
        return Claim([header(delivery, "x-slack-signature")], message, seconds(sent_at))

    def sign(self, key: bytes, message: bytes) -> bytes:
        """``v0=`` and hex."""
        return b"v0=" + hmac_sha256(key, message)

    def handshake(self, body: bytes) -> Answer | None:
        """Echo the challenge by which Slack checks a URL (https://docs.slack.dev/reference/events/url_verification)."""
        asked = read_json(body, _SlackBody)
        if asked.type != "url_verification" or asked.challenge is None:
            return None
        return Answer(200, asked.challenge.encode(), {"content-type": "text/plain; charset=utf-8"})

    def read_events(self, body: bytes, headers: Mapping[str, bytes]) -> list[ReceivedEvent]:
        """One event. A notice to the app, such as ``app_rate_limited``, has no id and is known by its body."""
        envelope = read_json(body, _SlackBody)
        key = envelope.event_id or read_key({}, "", body)
        kind = envelope.event.type if envelope.event else envelope.type
        occurred_at = None if envelope.event_time is None else read_time(envelope.event_time)
        return [ReceivedEvent(key, kind, occurred_at, body)]


class HmacOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a sender signs the body.

    Attributes:
        header: Header with the signature.
        prefix: What stands before the signature.
        encoding: Of the signature.
        id_header: Header with an id that stays the same when a delivery is repeated; without it the body is hashed.
    """

    header: str = "x-hub-signature-256"
    prefix: str = "sha256="
    encoding: Literal["hex", "base64"] = "hex"
    id_header: str = ""


def _read_options(options: Mapping[str, str]) -> HmacOptions:
    try:
        return msgspec.convert(dict(options), HmacOptions)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"the options of the verifier hmac do not fit: {error}") from None


class HmacVerifier(Verifier):
    """Whoever signs the body alone with HMAC-SHA256."""

    def __init__(self, name: str, options: HmacOptions) -> None:
        self.name = name
        self.options = options

    def claim(self, delivery: Delivery) -> Claim:
        """The body."""
        return Claim([header(delivery, self.options.header.lower())], delivery.body)

    def sign(self, key: bytes, message: bytes) -> bytes:
        """Prefix and digest."""
        return self.options.prefix.encode() + hmac_sha256(key, message, self.options.encoding)

    def read_events(self, body: bytes, headers: Mapping[str, bytes]) -> list[ReceivedEvent]:
        """The body as one event."""
        return [_plain_event(read_key(headers, self.options.id_header.lower(), body), body)]


class _IntuitEvent(msgspec.Struct):
    """An element of the CloudEvents form."""

    id: Text
    type: Text
    time: str


class _IntuitEntity(msgspec.Struct, rename="camel"):
    id: Text
    name: Text
    operation: Text
    last_updated: Text


class _IntuitChange(msgspec.Struct):
    entities: list[_IntuitEntity]


class _IntuitNotification(msgspec.Struct, rename="camel"):
    realm_id: Text
    data_change_event: _IntuitChange


class _IntuitNotifications(msgspec.Struct, rename="camel"):
    """The form before CloudEvents."""

    event_notifications: list[_IntuitNotification]


class IntuitVerifier(HmacVerifier):
    """QuickBooks Online (https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks)."""

    def __init__(self) -> None:
        super().__init__("intuit", HmacOptions("intuit-signature", "", "base64"))

    def read_events(self, body: bytes, headers: Mapping[str, bytes]) -> list[ReceivedEvent]:
        """CloudEvents with ids, or the older notifications, whose changed entities become an event each."""
        if body.lstrip().startswith(b"["):
            return [
                ReceivedEvent(event.id, event.type, read_time(event.time), raw)
                for event, raw in read_list(body, _IntuitEvent)
            ]
        return [
            ReceivedEvent(
                f"{notified.realm_id}:{entity.name}:{entity.id}:{entity.operation}:{entity.last_updated}",
                f"{entity.name}.{entity.operation}",
                read_time(entity.last_updated),
                msgspec.json.encode({"realmId": notified.realm_id, **msgspec.to_builtins(entity)}),
            )
            for notified in read_json(body, _IntuitNotifications).event_notifications
            for entity in notified.data_change_event.entities
        ]


class _XeroEvent(msgspec.Struct, rename="camel"):
    resource_id: Text
    tenant_id: Text
    event_category: Text
    event_type: Text
    event_date_utc: Text


class _XeroBody(msgspec.Struct):
    events: list[_XeroEvent]


class XeroVerifier(HmacVerifier):
    """Xero (https://developer.xero.com/documentation/guides/webhooks/overview)."""

    def __init__(self) -> None:
        super().__init__("xero", HmacOptions("x-xero-signature", "", "base64"))

    def handshake(self, body: bytes) -> Answer | None:
        """A delivery without events asks for our intent to receive: 200 with nothing else, 401 if wrongly signed."""
        return None if read_json(body, _XeroBody).events else Answer(200)

    def read_events(self, body: bytes, headers: Mapping[str, bytes]) -> list[ReceivedEvent]:
        """Events have no id: what happened to which resource at which millisecond names them."""
        read_json(body, _XeroBody)
        raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw])["events"]
        return [
            ReceivedEvent(
                f"{event.tenant_id}:{event.event_category}:{event.resource_id}:{event.event_type}:{event.event_date_utc}",
                f"{event.event_category}.{event.event_type}",
                read_time(event.event_date_utc),
                element,
            )
            for event, element in read_list(bytes(raw), _XeroEvent)
        ]


class _JiraBody(msgspec.Struct, rename="camel"):
    webhook_event: Text
    timestamp: int | None = None


class JiraVerifier(HmacVerifier):
    """Jira's admin webhooks (https://developer.atlassian.com/cloud/jira/platform/webhooks)."""

    def __init__(self) -> None:
        super().__init__("jira", HmacOptions("x-hub-signature", id_header="x-atlassian-webhook-identifier"))

    def read_events(self, body: bytes, headers: Mapping[str, bytes]) -> list[ReceivedEvent]:
        """One event, its time in milliseconds."""
        event = read_json(body, _JiraBody)
        occurred_at = None if event.timestamp is None else read_time(event.timestamp, per_second=1000)
        key = read_key(headers, self.options.id_header, body)
        return [ReceivedEvent(key, event.webhook_event, occurred_at, body)]


class _GitHubBody(msgspec.Struct):
    action: Text | None = None


class GitHubVerifier(HmacVerifier):
    """GitHub (https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries), content type JSON."""

    def __init__(self) -> None:
        super().__init__("github", HmacOptions(id_header="x-github-delivery"))

    def read_events(self, body: bytes, headers: Mapping[str, bytes]) -> list[ReceivedEvent]:
        """One event; its type is a header, and its action, where it has one, a field."""
        action = read_json(body, _GitHubBody).action
        kind = headers.get("x-github-event", b"").decode("latin-1") or _UNTYPED
        key = read_key(headers, self.options.id_header, body)
        return [ReceivedEvent(key, f"{kind}.{action}" if action else kind, None, body)]


class StandardVerifier(Verifier):
    """Standard Webhooks with a shared secret (https://www.standardwebhooks.com, its specification)."""

    name = "standard"
    version = b"v1"

    def claim(self, delivery: Delivery) -> Claim:
        """``{id}.{time}.{body}``; signatures of other versions are not for us."""
        sent_at = header(delivery, "webhook-timestamp")
        message = b"%b.%b.%b" % (header(delivery, "webhook-id"), sent_at, delivery.body)
        signatures = header(delivery, "webhook-signature").split(b" ")
        offered = [one for one in signatures if one.startswith(self.version + b",")]
        return Claim(offered, message, seconds(sent_at))

    def key(self, secret: str) -> bytes:
        """``whsec_`` and base64."""
        return _decode_key(secret, "whsec_")

    def sign(self, key: bytes, message: bytes) -> bytes:
        """``v1,`` and base64."""
        return b"v1," + hmac_sha256(key, message, "base64")

    def read_events(self, body: bytes, headers: Mapping[str, bytes]) -> list[ReceivedEvent]:
        """One event by the name of ``webhook-id``."""
        return [_plain_event(read_key(headers, "webhook-id", body), body)]


class StandardEd25519Verifier(StandardVerifier):
    """Standard Webhooks signed with a private key; the endpoint's secret is the public one."""

    name = "standard_ed25519"
    version = b"v1a"

    def key(self, secret: str) -> bytes:
        """``whpk_`` and base64 of 32 bytes."""
        key = _decode_key(secret, "whpk_")
        if len(key) != _PUBLIC_KEY_BYTES:
            raise ConfigurationError("a public key of Standard Webhooks has 32 bytes; paste it whole")
        return key

    def sign(self, key: bytes, message: bytes) -> bytes:
        """Impossible: the private key is the sender's alone.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError("a public key verifies; it can't sign")

    def is_signed(self, claim: Claim, key: bytes) -> bool:
        """Whether one of the signatures belongs to this public key."""
        public = Ed25519PublicKey.from_public_bytes(key)
        return any([_is_signed(public, one, claim.message) for one in claim.signatures])


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


def _plain_event(key: str, body: bytes) -> ReceivedEvent:
    """Any JSON as an event; an object may say ``type`` and ``timestamp``, as Standard Webhooks advises."""
    value = read_json(body, object)
    told = value if isinstance(value, dict) else {}
    try:
        kind = msgspec.convert(told.get("type"), Text)
    except msgspec.ValidationError:
        kind = _UNTYPED
    try:
        occurred_at = read_time(msgspec.convert(told.get("timestamp"), str))
    except (msgspec.ValidationError, PayloadError):
        occurred_at = None
    return ReceivedEvent(key, kind, occurred_at, body)
