"""Against the providers' own libraries, both ways: they sign and we verify, we sign and they verify."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unified.kit.webhooks.senders import SENDERS, URL, b64, unix
from unified.kit.errors import SignatureError
from unified.kit.registry import get_verifier
from unified.kit.webhooks.deliveries import Delivery
from unified.kit.webhooks.signatures import SharedSecretVerifier


def ours(name: str, message: bytes) -> bytes:
    """The signature that our verifier expects."""
    verifier, sender = get_verifier(name), SENDERS[name]
    assert isinstance(verifier, SharedSecretVerifier)
    return verifier.sign(verifier.key(sender.secret()), message)


def accepted(name: str, headers: dict[str, str], body: bytes) -> None:
    """We let it in now, and not once it is changed."""
    raw = {key: value.encode() for key, value in headers.items()}
    delivery = Delivery("POST", URL, raw, body, datetime.now(UTC))
    assert SENDERS[name].receive(delivery)
    with pytest.raises(SignatureError):
        SENDERS[name].receive(replace(delivery, body=body + b" "))


def test_stripe() -> None:
    stripe: Any = pytest.importorskip("stripe")
    sender = SENDERS["stripe"]
    body, at = json.dumps({**json.loads(sender.body), "object": "event"}), unix(datetime.now(UTC))
    signed = stripe.WebhookSignature.generate_signature_header(body, sender.secret())
    accepted("stripe", {"stripe-signature": signed}, body.encode())
    header = b"t=%b,v1=%b" % (at, ours("stripe", at + b"." + body.encode()))
    event = stripe.Webhook.construct_event(body, header.decode(), sender.secret())
    assert event.id == "evt_1"


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_hubspot(version: str) -> None:
    hubspot: Any = pytest.importorskip("hubspot.utils.signature").Signature
    name = "hubspot" if version == "v3" else f"hubspot_{version}"
    sender, at = SENDERS[name], unix(datetime.now(UTC), 1000).decode()
    told = (sender.secret(), sender.body.decode())
    rest: dict[str, str] = {"http_uri": URL, "http_method": "POST", "timestamp": at}
    signature = hubspot.get_signature(*told, version, **rest)
    headers = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": at}
    if version != "v3":
        headers = {"x-hubspot-signature": signature, "x-hubspot-signature-version": version}
    accepted(name, headers, sender.body)
    messages = {
        "v1": sender.body,
        "v2": b"POST" + URL.encode() + sender.body,
        "v3": b"POST" + URL.encode() + sender.body + at.encode(),
    }
    assert hubspot.is_valid(ours(name, messages[version]).decode(), *told, signature_version=version, **rest)


def test_slack() -> None:
    slack: Any = pytest.importorskip("slack_sdk.signature")
    sender, at = SENDERS["slack"], str(int(time.time()))
    theirs = slack.SignatureVerifier(sender.secret())
    signed = theirs.generate_signature(timestamp=at, body=sender.body)
    accepted("slack", {"x-slack-signature": signed, "x-slack-request-timestamp": at}, sender.body)
    signature = ours("slack", b"v0:%b:%b" % (at.encode(), sender.body)).decode()
    assert theirs.is_valid(sender.body, at, signature)


@pytest.mark.parametrize(
    ("module", "prefix"),
    [("standardwebhooks", "webhook"), ("svix.webhooks", "svix"), ("svix.webhooks", "webhook")],
)
def test_standard_webhooks(module: str, prefix: str) -> None:
    library: Any = pytest.importorskip(module)
    sender, now = SENDERS["standard"], datetime.now(UTC)
    theirs = library.Webhook(sender.secret())
    at = unix(now).decode()
    head = {f"{prefix}-id": "msg_1", f"{prefix}-timestamp": at}
    signed = theirs.sign(msg_id="msg_1", timestamp=now, data=sender.body.decode())
    accepted("standard", {**head, f"{prefix}-signature": signed}, sender.body)
    signature = ours("standard", b"msg_1.%b.%b" % (at.encode(), sender.body)).decode()
    several = f"v1,{b64(b'x' * 32).decode()} {signature}"
    theirs.verify(sender.body, {**head, f"{prefix}-signature": several})
    with pytest.raises(library.WebhookVerificationError):
        theirs.verify(sender.body + b" ", {**head, f"{prefix}-signature": several})
