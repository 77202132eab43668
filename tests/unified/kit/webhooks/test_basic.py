"""Webhooks with basic authentication: who is let in, and what a secret has to look like."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from unified.kit.errors import ConfigurationError, SignatureError
from unified.kit.secrets import Secret
from unified.kit.webhooks.basic import BasicVerifier
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent

SECRET = "acme:päss:word"


class Verifier(BasicVerifier):
    name = "demo"

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        return [ReceivedEvent("1", "demo", None, delivery.body)]


def delivery(authorization: str | None) -> Delivery:
    headers = {} if authorization is None else {"authorization": authorization.encode()}
    return Delivery("POST", "https://assets.example/hook", headers, b"{}", datetime.now(UTC))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_the_right_user_and_password_are_let_in() -> None:
    sent = delivery(f"Basic {encoded(SECRET)}")
    received = Verifier().receive(sent, [Secret("old:one"), Secret(SECRET)])
    assert isinstance(received, list)
    assert [event.body for event in received] == [b"{}"]


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Basic", "Basic ", f"Bearer {encoded(SECRET)}", encoded(SECRET), f"Basic {SECRET}",
        f"Basic {encoded('acme:other')}", f"Basic {encoded('acme:')}", f"Basic {encoded(SECRET)}=",
    ],
)  # fmt: skip
def test_whatever_else_is_sent_is_refused(authorization: str | None) -> None:
    with pytest.raises(SignatureError):
        Verifier().receive(delivery(authorization), [Secret(SECRET)])


@pytest.mark.parametrize("secret", ["password", ":password", "user:"])
def test_a_secret_is_a_user_and_a_password(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="user:password"):
        Verifier().check_secret(Secret(secret))
