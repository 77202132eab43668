"""Senders of webhooks, written from the providers' documentation with the standard library alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from unified.kit.registry import get_verifier
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.kit.webhooks.deliveries import Answer, ReceivedEvent

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
URL = "https://hooks.example.com/webhooks/acme/5fa1?tenant=7"

Headers = dict[str, bytes]


def digest(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()


def b64(value: bytes) -> bytes:
    return base64.b64encode(value)


def hexed(value: bytes) -> bytes:
    return value.hex().encode()


def unix(at: datetime, per_second: int = 1) -> bytes:
    return str(int(at.timestamp() * per_second)).encode()


def private_key(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())


def stripe(secret: str, body: bytes, at: datetime) -> Headers:
    signature = hexed(digest(secret.encode(), unix(at) + b"." + body))
    return {"stripe-signature": b"t=%b,v1=%b" % (unix(at), signature)}


def hubspot(secret: str, body: bytes, at: datetime) -> Headers:
    sent_at = unix(at, 1000)
    signature = b64(digest(secret.encode(), b"POST" + URL.encode() + body + sent_at))
    return {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": sent_at}


def hubspot_v1(secret: str, body: bytes, at: datetime) -> Headers:
    signature = hashlib.sha256(secret.encode() + body).hexdigest().encode()
    return {"x-hubspot-signature": signature, "x-hubspot-signature-version": b"v1"}


def hubspot_v2(secret: str, body: bytes, at: datetime) -> Headers:
    signature = hashlib.sha256(secret.encode() + b"POST" + URL.encode() + body).hexdigest().encode()
    return {"x-hubspot-signature": signature, "x-hubspot-signature-version": b"v2"}


def basic(secret: str, body: bytes, at: datetime) -> Headers:
    return {"authorization": b"Basic " + b64(secret.encode())}


def token(secret: str, body: bytes, at: datetime) -> Headers:
    return {"x-webhook-token": secret.encode()}


def slack(secret: str, body: bytes, at: datetime) -> Headers:
    signature = hexed(digest(secret.encode(), b"v0:" + unix(at) + b":" + body))
    return {"x-slack-signature": b"v0=" + signature, "x-slack-request-timestamp": unix(at)}


def intuit(secret: str, body: bytes, at: datetime) -> Headers:
    return {"intuit-signature": b64(digest(secret.encode(), body))}


def xero(secret: str, body: bytes, at: datetime) -> Headers:
    return {"x-xero-signature": b64(digest(secret.encode(), body))}


def jira(secret: str, body: bytes, at: datetime) -> Headers:
    return {"x-hub-signature": b"sha256=" + hexed(digest(secret.encode(), body))}


def jira_app(secret: str, body: bytes, at: datetime) -> Headers:
    claims = {"iss": "jira", "iat": int(at.timestamp()), "exp": int(at.timestamp()) + 3600}
    parts = [
        base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in ({"alg": "HS256"}, claims)
    ]
    signature = base64.urlsafe_b64encode(digest(secret.encode(), b".".join(parts))).rstrip(b"=")
    return {"authorization": b"Bearer " + b".".join((*parts, signature))}


def github(secret: str, body: bytes, at: datetime) -> Headers:
    return {"x-hub-signature-256": b"sha256=" + hexed(digest(secret.encode(), body))}


def standard(secret: str, body: bytes, at: datetime) -> Headers:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = b"v1," + b64(digest(key, b"msg_1." + unix(at) + b"." + body))
    return {"webhook-id": b"msg_1", "webhook-timestamp": unix(at), "webhook-signature": signature}


def standard_ed25519(secret: str, body: bytes, at: datetime) -> Headers:
    signature = b"v1a," + b64(private_key(secret).sign(b"msg_1." + unix(at) + b"." + body))
    return {"webhook-id": b"msg_1", "webhook-timestamp": unix(at), "webhook-signature": signature}


@dataclass(frozen=True)
class Sender:
    """A provider that signs in one verifier's way.

    Attributes:
        name: The verifier's.
        sign: Makes the headers from a secret's text, a body and a time.
        body: An ordinary body.
        is_timed: Whether it signs the time.
        is_bare: Whether it signs nothing of what it sends, and only proves that it knows the secret.
    """

    name: str
    sign: Callable[[str, bytes, datetime], Headers]
    body: bytes
    is_timed: bool = False
    is_bare: bool = False

    def secret(self, number: int = 1) -> str:
        """What the sender signs with."""
        text = f"test_fake_{self.name}_{number}"
        if self.name == "standard":
            return "whsec_" + b64(text.encode()).decode()
        if self.is_bare:
            return f"acme:{text}"
        return f"whsec_{text}" if self.name == "stripe" else text

    def shared(self, number: int = 1) -> Secret:
        """What the endpoint verifies with."""
        secret = self.secret(number)
        if self.name == "standard_ed25519":
            public = private_key(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            secret = "whpk_" + b64(public).decode()
        return Secret(secret)

    def delivery(self, body: bytes | None = None, *, number: int = 1, late: float = 0.0) -> Delivery:
        """A delivery that was signed ``late`` seconds before it arrives."""
        body = self.body if body is None else body
        headers = self.sign(self.secret(number), body, NOW - timedelta(seconds=late))
        return Delivery("POST", URL, headers, body, NOW)

    def receive(self, delivery: Delivery, *numbers: int) -> list[ReceivedEvent] | Answer:
        """What comes of it at an endpoint with these secrets, the first one by default."""
        return get_verifier(self.name).receive(delivery, [self.shared(number) for number in numbers or (1,)])

    def events(self, body: Any, **headers: bytes) -> list[ReceivedEvent]:
        """The events in a body that is signed; header names with underscores."""
        delivery = self.delivery(body if isinstance(body, bytes) else json.dumps(body).encode())
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        received = self.receive(replace(delivery, headers={**delivery.headers, **more}))
        assert isinstance(received, list)
        return received


_HUBSPOT = (
    b'[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,'
    b'"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM",'
    b'"changeFlag":"NEW","appId":54321}]'
)
SENDERS = {
    sender.name: sender
    for sender in (
        Sender(
            "stripe", stripe,
            b'{"id":"evt_1","type":"invoice.paid","created":1700000000,"data":{"object":{}}}', is_timed=True,
        ),
        Sender(
            "chargebee", basic, b'{"id":"ev_1","event_type":"card_added","occurred_at":1700000000,"content":{}}',
            is_bare=True,
        ),
        Sender(
            "salesforce_flow", basic,
            b'{"organization":"00D5g00010000AsAAI","object":"Contact","id":"0035g00010000AsAAI",'
            b'"at":"2026-11-20T12:00:00Z"}',
            is_bare=True,
        ),
        Sender("hubspot", hubspot, _HUBSPOT, is_timed=True),
        Sender("hubspot_v1", hubspot_v1, _HUBSPOT),
        Sender("hubspot_v2", hubspot_v2, _HUBSPOT),
        Sender(
            "slack", slack,
            b'{"type":"event_callback","event_id":"Ev1","event_time":1700000000,"event":{"type":"team_join"}}',
            is_timed=True,
        ),
        Sender(
            "intuit", intuit,
            b'[{"specversion":"1.0","id":"88cd52aa","source":"intuit.x","type":"qbo.customer.created.v1",'
            b'"time":"2025-09-10T21:31:25.179851517Z","intuitentityid":"1234","intuitaccountid":"310687"}]',
        ),
        Sender(
            "xero", xero,
            b'{"events":[{"resourceUrl":"https://api.example.com/Contacts/717f","resourceId":"717f",'
            b'"eventDateUtc":"2024-06-21T01:15:39.902","eventType":"UPDATE","eventCategory":"CONTACT",'
            b'"tenantId":"c2cc","tenantType":"ORGANISATION"}],"lastEventSequence":1,"firstEventSequence":1,'
            b'"entropy":"S0m3r4Nd0mt3xt"}',
        ),
        Sender("jira", jira, b'{"timestamp":1700000000123,"webhookEvent":"jira:issue_created","issue":{}}'),
        Sender(
            "jira_app", jira_app, b'{"timestamp":1700000000123,"webhookEvent":"jira:issue_created","issue":{"id":1}}',
            is_bare=True,
        ),
        Sender("github", github, b'{"action":"opened","issue":{"number":1}}'),
        Sender("hmac", github, b'{"type":"thing.made","timestamp":"2026-11-20T12:00:00Z"}'),
        Sender("token", token, b'{"type":"thing.made","timestamp":"2026-11-20T12:00:00Z"}', is_bare=True),
        Sender("basic", basic, b'{"type":"thing.made","timestamp":"2026-11-20T12:00:00Z"}', is_bare=True),
        Sender(
            "standard", standard, b'{"type":"user.created","timestamp":"2026-11-20T12:00:00Z"}',
            is_timed=True,
        ),
        Sender("standard_ed25519", standard_ed25519, b'{"type":"user.created"}', is_timed=True),
    )
}  # fmt: skip
