"""Senders that options describe: what proves a delivery, and where its events stand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from unified.kit.errors import ConfigurationError, PayloadError, SignatureError
from unified.kit.registry import get_verifier
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import UNREADABLE, Delivery, ReceivedEvent

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
URL = "https://hooks.example.com/webhooks/webhook/path?a=1"
SECRET = "fake of the tests"


def received(verifier: str, options: dict[str, str], body: Any, **headers: str) -> list[ReceivedEvent]:
    sent = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = get_verifier(verifier, options).receive(
        Delivery("POST", URL, sent, encoded, NOW), [Secret(SECRET)]
    )
    assert isinstance(found, list)
    return found


def signature(text: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(SECRET.encode(), text, algorithm).digest()


@pytest.mark.parametrize("unit", [1, 1000])
def test_a_time_is_signed_with_the_body_in_the_order_that_a_template_says(unit: int) -> None:
    options = {
        "signed": "v2:{time}:{url}:{body}", "time_header": "X-Sent-At", "header": "X-Sign", "prefix": "v2 ",
        "encoding": "base64", "algorithm": "sha512", "window": "60",
    }  # fmt: skip
    for late, is_accepted in ((0, True), (59, True), (61, False), (-61, False)):
        sent_at = str(int((NOW - timedelta(seconds=late)).timestamp()) * unit)
        digest = signature(f"v2:{sent_at}:{URL}:".encode() + b'{"a":1}', "sha512")
        headers = {"x_sign": "v2 " + base64.b64encode(digest).decode(), "x_sent_at": sent_at}
        if is_accepted:
            assert len(received("hmac", options, b'{"a":1}', **headers)) == 1
        else:
            with pytest.raises(SignatureError):
                received("hmac", options, b'{"a":1}', **headers)
        with pytest.raises(SignatureError):
            received("hmac", options, b'{"a":2}', **headers)


@pytest.mark.parametrize(
    ("verifier", "options", "reason"),
    [
        ("hmac", {"signed": "{time}.{body}"}, "time_header"),
        ("hmac", {"time_header": "x-time"}, "time_header"),
        ("hmac", {"signed": "fixed"}, "no {body}"),
        ("hmac", {"algorithm": "md5"}, "algorithm of the verifier hmac is one of sha1, sha256"),
        ("hmac", {"window": "soon"}, "window"),
        ("hmac", {"id_field": "a[?"}, "a\\[\\?"),
        ("token", {"algorithm": "sha256"}, "no option algorithm"),
        ("none", {"header": "x"}, "no option header"),
    ],
)
def test_options_that_prove_nothing_or_do_not_fit_are_refused(
    verifier: str, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        get_verifier(verifier, options)


def test_a_token_stands_in_the_header_that_is_named() -> None:
    options = {"header": "Authorization", "prefix": "Bearer "}
    assert received("token", options, {}, authorization=f"Bearer {SECRET}")
    for wrong in (SECRET, f"Bearer {SECRET}x", "Bearer "):
        with pytest.raises(SignatureError):
            received("token", options, {}, authorization=wrong)


def test_where_nothing_proves_who_sends_the_url_is_the_secret() -> None:
    verifier = get_verifier("none")
    assert not verifier.needs_secret
    (event,) = verifier.receive(Delivery("POST", URL, {}, b'{"type":"made"}', NOW), [])  # type: ignore[misc]
    assert event.event_type == "made"


def test_id_type_and_time_are_read_by_their_paths() -> None:
    options = {"id_field": "meta.id", "type_field": "meta.kinds[0]", "time_field": "meta.at"}
    for at in ("2026-11-20T11:00:00Z", 1_795_172_400, 1_795_172_400_000):
        (event,) = received("none", options, {"meta": {"id": 7, "kinds": ["order.paid"], "at": at}})
        assert (event.dedupe_key, event.event_type) == ("7", "order.paid")
        assert event.occurred_at == datetime(2026, 11, 20, 11, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "options", "is_so"),
    [
        ("hmac", {}, True),
        ("hmac", {"id_field": "id"}, False),
        ("none", {"events_field": "$"}, True),
        ("standard", {}, False),
        ("standard", {"events_field": "$"}, True),
        ("standard", {"events_field": "$", "id_field": "id"}, False),
        ("stripe", {}, False),
    ],
)
def test_what_events_are_known_by(name: str, options: dict[str, str], is_so: bool) -> None:
    assert get_verifier(name, options).is_known_by_bytes is is_so


def test_of_a_key_that_comes_twice_the_last_one_counts_everywhere() -> None:
    twice = b'{"d": [{"id": "a"}], "d": [{"id": "b", "type": "x", "id": "c"}]}'
    (event,) = get_verifier("none", {"events_field": "d", "id_field": "id"}).receive(
        Delivery("POST", URL, {}, twice, NOW), []
    )  # type: ignore[misc]
    assert (event.dedupe_key, event.event_type) == ("c", "x")


@pytest.mark.parametrize("odd", [{}, {"meta": None}, {"meta": {"id": [], "kinds": [1], "at": "soon"}}, [], 7])
def test_what_does_not_stand_there_is_done_without(odd: Any) -> None:
    options = {"id_field": "meta.id", "type_field": "meta.kinds[0]", "time_field": "meta.at"}
    (event,) = received("none", options, odd)
    assert event.dedupe_key == f"sha256:{hashlib.sha256(event.body).hexdigest()}"
    assert (event.event_type, event.occurred_at) == ("unknown", None)


@pytest.mark.parametrize(
    ("path", "around"), [("$", "%s"), ("data.events", '{"more": 1.50, "data": {"events": %s}}')]
)
def test_a_batch_is_taken_apart_and_an_odd_event_costs_no_other(path: str, around: str) -> None:
    deep = b"[" * 200 + b"]" * 200
    items = b'[{"id": "a", "sum": 10.50}, %b, {"id":"b"}]' % deep
    body = around.encode() % items
    first, odd, last = received("none", {"events_field": path, "id_field": "id"}, body)
    assert (first.dedupe_key, last.dedupe_key) == ("a", "b")
    assert first.body == b'{"id": "a", "sum": 10.50}'  # as it was sent: amounts keep their digits
    assert odd.event_type == UNREADABLE


@pytest.mark.parametrize("body", [b"{}", b'{"data": []}', b'{"data": {"events": 7}}', b"[]", b"7", b"{"])
def test_a_body_without_the_list_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError):
        received("none", {"events_field": "data.events"}, body)


def test_a_batch_of_standard_webhooks_is_known_by_its_events_not_by_the_delivery() -> None:
    # Two events of one delivery have one webhook-id.
    secret = "whsec_" + base64.b64encode(b"fake").decode()
    body = b'[{"type": "a"}, {"type": "b"}]'
    message = b"msg_1.%d.%b" % (NOW.timestamp(), body)
    signed = b"v1," + base64.b64encode(hmac.digest(b"fake", message, "sha256"))
    headers = {
        "webhook-id": b"msg_1",
        "webhook-timestamp": b"%d" % NOW.timestamp(),
        "webhook-signature": signed,
    }
    verifier = get_verifier("standard", {"events_field": "$"})
    found = verifier.receive(Delivery("POST", URL, headers, body, NOW), [Secret(secret)])
    assert isinstance(found, list)
    assert len({event.dedupe_key for event in found}) == 2
