"""Test deliveries of verifiers that no connector of ours has: let in by the same secret, and not by another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from unified.kit.errors import SignatureError
from unified.kit.registry import get_verifier
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Answer
from unified.kit.webhooks.probes import probe_delivery
from unified.kit.webhooks.signatures import PROBE_TYPE, Probe
from unified.kit.webhooks.standard import UNTYPED

if TYPE_CHECKING:
    from collections.abc import Mapping

URL = "https://hooks.example.com/webhooks/x/y"
PROBE = Probe("probe_1", datetime(2026, 3, 1, 12, tzinfo=UTC))
TIMED = {"signed": "{time}.{url}.{body}", "time_header": "X-Time", "encoding": "base64", "prefix": "v1="}
DEEP = {"events_field": "data.items", "id_field": "meta.id", "type_field": "meta.kind", "time_field": "at"}
ODD = {"id_field": "$.refs[1].id", "type_field": "meta.kinds[0]", "time_field": "meta['sent.at']"}


@pytest.mark.parametrize(
    ("name", "options", "secret"),
    [
        ("github", {}, "fake"),
        ("hmac", {}, "fake"),
        ("hmac", TIMED, "fake"),
        ("hmac", {"events_field": "$"}, "fake"),
        ("hmac", {"id_field": "$.items[0].id", "type_field": "type"}, "fake"),
        ("hmac", ODD, "fake"),
        ("none", {"events_field": "$", **ODD}, ""),
        ("none", {"type_field": "$type"}, ""),
        ("none", {"id_field": "ids[*]", "type_field": "meta[99]", "time_field": "$"}, ""),
        ("token", {"prefix": "Bearer ", **DEEP}, "fake"),
        ("basic", {"time_field": "type", "type_field": "type.name"}, "user:fake"),
        ("standard", {}, "whsec_ZmFrZSBzZWNyZXQ="),
        ("none", DEEP, ""),
    ],
)
def test_it_is_let_in_by_its_secret_alone(name: str, options: Mapping[str, str], secret: str) -> None:
    verifier = get_verifier(name, options)
    delivery = probe_delivery(verifier, URL, Secret(secret) if secret else None, PROBE)
    received = verifier.receive(delivery, [Secret(secret)] if secret else [])
    assert not isinstance(received, Answer)
    (event,) = received
    paths = set(options.values())
    assert event.event_type == (UNTYPED if "meta[99]" in paths else PROBE_TYPE)
    if {"meta.id", ODD["id_field"]} & paths:
        assert event.dedupe_key == "probe_1"
        assert event.occurred_at == PROBE.at
    if secret:
        with pytest.raises(SignatureError):
            verifier.receive(delivery, [Secret(f"{secret[:-3]}QUI=")])
