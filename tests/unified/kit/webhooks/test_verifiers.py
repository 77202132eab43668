"""What every verifier keeps: it lets in what was signed in time, and refuses all else without failing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.properties import given, settings
from tests.unified.kit.webhooks.senders import NOW, SENDERS, URL, Sender
from unified.kit.errors import ConfigurationError, PayloadError, SignatureError
from unified.kit.registry import get_verifier, list_verifiers
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Answer, Delivery
from unified.kit.webhooks.signatures import MOST_SIGNATURES, TOLERANCE, Verifier

VECTORS = Path(__file__).parents[5] / "shared" / "data" / "webhooks" / "signature_vectors.json"
# Which headers sign the request, by their part in it.
SIGNED = ("signature", "timestamp", "webhook-id")
# Headers in which providers number their deliveries. None of them is signed but Standard Webhooks' own.
DELIVERY_IDS = (
    "x-github-delivery", "x-github-event", "x-atlassian-webhook-identifier", "x-request-id", "x-acme-id",
    "webhook-id", "x-slack-retry-num", "intuit-notification-id",
)  # fmt: skip

every = pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)
every_timed = pytest.mark.parametrize(
    "sender", [s for s in SENDERS.values() if s.is_timed], ids=lambda s: s.name
)

every_signing = pytest.mark.parametrize(
    "sender", [s for s in SENDERS.values() if not s.is_bare], ids=lambda s: s.name
)


def refused(sender: Sender, delivery: Delivery, *numbers: int) -> bool:
    try:
        sender.receive(delivery, *numbers)
    except SignatureError as error:
        # One message whatever the cause.
        assert str(error) == str(SignatureError())  # noqa: PT017 - the point is that no other error comes
        return True
    return False


def test_there_is_a_sender_for_every_verifier() -> None:
    # Two prove nothing by a header: the one that lets in all that comes, and Salesforce's, tested by its adapter.
    assert sorted({*SENDERS, "none", "salesforce"}) == list_verifiers()


@every
def test_what_the_provider_signed_is_let_in(sender: Sender) -> None:
    (event,) = sender.events(sender.body)
    assert event.dedupe_key
    assert event.event_type != "unknown" or sender.name == "github"
    assert json.loads(event.body)


@every_signing
def test_no_byte_of_the_body_can_be_changed(sender: Sender) -> None:
    delivery = sender.delivery()
    for at in range(len(delivery.body)):
        changed = bytearray(delivery.body)
        changed[at] ^= 1
        assert refused(sender, replace(delivery, body=bytes(changed)))
    assert refused(sender, replace(delivery, body=delivery.body + b" "))
    assert refused(sender, replace(delivery, body=b""))


@every
@pytest.mark.parametrize("bit", [1, 2, 4, 8, 16, 32, 64, 128])
def test_no_byte_of_the_signed_headers_can_be_changed(sender: Sender, bit: int) -> None:
    delivery = sender.delivery()
    for name, value in delivery.headers.items():
        for at in range(len(value)):
            changed = bytearray(value)
            changed[at] ^= bit
            assert refused(sender, replace(delivery, headers={**delivery.headers, name: bytes(changed)}))


@every
def test_a_missing_or_empty_header_is_refused(sender: Sender) -> None:
    delivery = sender.delivery()
    for name in delivery.headers:
        left = {other: value for other, value in delivery.headers.items() if other != name}
        assert refused(sender, replace(delivery, headers=left))
        assert refused(sender, replace(delivery, headers={**left, name: b""}))


@every
def test_a_secret_that_is_being_rolled_goes_on_working(sender: Sender) -> None:
    for number in (1, 2, 3):
        assert sender.receive(sender.delivery(number=number), 1, 2, 3)
    assert refused(sender, sender.delivery(number=4), 1, 2, 3)


@every
def test_without_a_secret_nothing_is_let_in(sender: Sender) -> None:
    with pytest.raises(SignatureError):
        get_verifier(sender.name).receive(sender.delivery(), [])


@every
def test_a_secret_of_wrong_form_lets_nothing_in_and_shuts_out_no_other(sender: Sender) -> None:
    odd = Secret("é")
    with pytest.raises(SignatureError):
        get_verifier(sender.name).receive(sender.delivery(), [odd])
    assert get_verifier(sender.name).receive(sender.delivery(), [odd, sender.shared()])


@every_timed
@pytest.mark.parametrize("late", [TOLERANCE - 1, 1 - TOLERANCE, 0])
def test_clocks_may_differ_by_the_tolerance(sender: Sender, late: int) -> None:
    assert sender.receive(sender.delivery(late=late))


@every_timed
@pytest.mark.parametrize("late", [TOLERANCE + 1, -1 - TOLERANCE, 10**9])
def test_what_was_signed_too_long_ago_or_in_the_future_is_refused(sender: Sender, late: int) -> None:
    assert refused(sender, sender.delivery(late=late))


@every_timed
@pytest.mark.parametrize(
    "odd", [b"", b"-1", b"+1", b" 1", b"1e9", b"1_0", b"1.0", b"\xb2", "٣".encode(), b"9" * 5_000, b"nan"]
)
def test_a_time_is_ascii_digits(sender: Sender, odd: bytes) -> None:
    delivery = sender.delivery()
    headers = dict(delivery.headers)
    for name, value in headers.items():
        if "timestamp" in name:
            headers[name] = odd
        elif name == "stripe-signature":
            headers[name] = b"t=%b,%b" % (odd, value.partition(b",")[2])
    assert refused(sender, replace(delivery, headers=headers))


@every
@pytest.mark.parametrize(
    "odd", [b"\xff\xfe", "é".encode(), "é".encode("latin-1"), b"\x00", b",,==,", b"v1,%"]
)
def test_a_signature_that_is_no_ascii_is_refused(sender: Sender, odd: bytes) -> None:
    delivery = sender.delivery()
    assert refused(sender, replace(delivery, headers=dict.fromkeys(delivery.headers, odd)))


@every
def test_a_signature_of_another_provider_is_refused(sender: Sender) -> None:
    for other in SENDERS.values():
        if other.sign is not sender.sign and other.name != sender.name:
            foreign = replace(sender, sign=other.sign) if "standard" not in other.name else other
            assert refused(sender, foreign.delivery(sender.body))


@every
@pytest.mark.parametrize(
    "body",
    [
        b"", b"not json", b"{", b"nul", b"\xff\xfe\x00", b'{"id":"\xc3\x28"}', b'"\\ud800"',
        b"[" * 200 + b"]" * 200, b'{"a":' * 100_000,
        b'{"id":"evt","type":"t","created":1,"data":' + b"[" * 150 + b"]" * 150 + b"}",
    ],
    ids=range(10),
)  # fmt: skip
def test_a_signed_body_that_is_no_sound_json_is_a_payload_error(sender: Sender, body: bytes) -> None:
    with pytest.raises(PayloadError):
        sender.receive(sender.delivery(body))


@every
@pytest.mark.parametrize(
    ("odd", "read"),
    [
        (rb'"bis bald \ud83d"', "bis bald \ufffd"), (b"NaN", "NaN"), (b"[-Infinity]", ["-Infinity"]),
        (b'"two\nlines"', "two\nlines"),
    ],
)  # fmt: skip
def test_a_value_that_breaks_a_rule_of_json_is_mended(sender: Sender, odd: bytes, read: Any) -> None:
    body = sender.body.rstrip()
    assert body.endswith((b"}", b"]"))
    place = body.rindex(b"}")  # of the last object, or of what is around it
    delivery = sender.delivery(body[:place] + b',"odd":' + odd + body[place:])
    received = sender.receive(delivery)
    assert isinstance(received, list)
    assert received
    assert all(json.loads(one.body) for one in received)
    assert any(read in _values(json.loads(one.body)) for one in received) or sender.name in ("intuit", "xero")


def _values(value: Any) -> list[Any]:
    """A decoded body's own values, and those of what it is made of."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(one for part in parts for one in _values(part))]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def garbled(template: Any) -> st.SearchStrategy[Any]:
    """JSON of the provider's form, in which any value may be replaced by any other one."""
    if isinstance(template, dict):
        kept = st.fixed_dictionaries({}, optional={key: garbled(value) for key, value in template.items()})
        return kept | json_values
    if isinstance(template, list):
        return st.lists(garbled(template[0]), max_size=3) | json_values
    return st.just(template) | json_values


# There are seventeen senders, each with examples of its own; most of what reads them is the same code.
@every
@settings(max_examples=30)
@given(data=st.data())
def test_any_signed_json_is_events_or_a_payload_error(sender: Sender, data: st.DataObject) -> None:
    body = json.dumps(data.draw(garbled(json.loads(sender.body)))).encode()
    try:
        received = sender.receive(sender.delivery(body))
    except PayloadError:
        return
    for event in received if isinstance(received, list) else ():
        assert 0 < len(event.dedupe_key) <= 2_000
        assert event.event_type
        assert "\0" not in event.dedupe_key + event.event_type
        json.loads(event.body)


@every
@settings(max_examples=30)
@given(data=st.data())
def test_garbage_is_refused_and_nothing_else_happens(sender: Sender, data: st.DataObject) -> None:
    delivery = sender.delivery()
    names = st.sampled_from([*delivery.headers, "host"])
    # With and without the characters that headers are made of.
    values = st.binary(max_size=80) | st.from_regex(rb"[tv01a=, .:0-9A-Fa-f+/]*", fullmatch=True)
    headers = data.draw(st.dictionaries(names, values))
    body = data.draw(st.binary(max_size=50) | st.just(delivery.body))
    assert refused(sender, Delivery("POST", URL, headers, body, NOW))


@pytest.mark.parametrize("name", ["stripe", "standard", "standard_ed25519"])
def test_one_of_several_signatures_is_enough_but_not_of_thousands(name: str) -> None:
    sender = SENDERS[name]
    header = "stripe-signature" if name == "stripe" else "webhook-signature"
    between = b"," if name == "stripe" else b" "
    good = sender.delivery()
    mark, _, signature = good.headers[header].rpartition(b"," if name != "stripe" else b"=")
    bad = mark + (b"," if name != "stripe" else b"=") + signature[:-4][::-1] + signature[-4:]
    bad = bad.rpartition(b",")[2] if name == "stripe" else bad

    def signed(*parts: bytes) -> Delivery:
        return replace(good, headers={**good.headers, header: between.join(parts)})

    value = good.headers[header]
    one = value.rpartition(b",")[2] if name == "stripe" else value
    assert sender.receive(signed(value, bad))
    assert sender.receive(signed(value, one))
    assert refused(sender, signed(*([value.partition(b",")[0], bad] if name == "stripe" else [bad, bad])))
    assert refused(sender, signed(value, *[one] * MOST_SIGNATURES))


def test_an_unknown_verifier_or_option_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="hubspot_v1, hubspot_v2, intuit"):
        get_verifier("strype")
    with pytest.raises(ConfigurationError, match="no options"):
        get_verifier("stripe", {"header": "x"})
    for options in ({"header": 1}, {"encoding": "rot13"}, {"hedaer": "x"}):
        with pytest.raises(ConfigurationError, match="hmac"):
            get_verifier("hmac", options)  # type: ignore[arg-type]


def keys(verifier: Verifier, delivery: Delivery, secret: Secret) -> list[str]:
    events = verifier.receive(delivery, [secret])
    assert isinstance(events, list)
    return [event.dedupe_key for event in events]


@every
def test_headers_that_nobody_signed_make_no_second_event_of_a_delivery(sender: Sender) -> None:
    verifier, secret, delivery = get_verifier(sender.name), sender.shared(), sender.delivery()
    first = keys(verifier, delivery, secret)
    for name in DELIVERY_IDS:
        for value in (b"1", b"2"):
            forged = replace(delivery, headers={name: value, **delivery.headers})
            assert keys(verifier, forged, secret) == first
    assert keys(verifier, sender.delivery(late=60), secret) == first


def test_any_header_prefix_and_encoding_of_a_body_hmac() -> None:
    secret, body = Secret("test_fake"), b'{"type":"made","id":42}'
    verifier = get_verifier("hmac", {"header": "X-Acme-Sign", "prefix": "", "encoding": "base64"})
    signature = SENDERS["xero"].sign("test_fake", body, NOW)["x-xero-signature"]
    events = verifier.receive(Delivery("POST", URL, {"x-acme-sign": signature}, body, NOW), [secret])
    assert isinstance(events, list)
    assert [event.event_type for event in events] == ["made"]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"id": "evt_1", "attempt": 2}, "evt_1"),
        ({"id": 42}, "42"),
        ({"attempt": 2}, "sha256:"),
        ({"id": None}, "sha256:"),
        ({"id": ["evt_1"]}, "sha256:"),
        ({"id": "x" * 3_000}, "sha256:"),
        (["evt_1"], "sha256:"),
    ],
)
def test_a_field_of_the_signed_body_may_name_the_event(body: Any, key: str) -> None:
    sender = SENDERS["github"]
    verifier = get_verifier("hmac", {"id_field": "id"})
    (found,) = keys(verifier, sender.delivery(json.dumps(body).encode()), sender.shared())
    assert found.startswith(key)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("stripe", "sk_test_fake"), ("standard", "whsec_"), ("standard", "whsec_%%%"),
        ("standard", "whsec_é"), ("standard_ed25519", "whpk_dGVzdA=="), ("standard_ed25519", "whsec_"),
    ],
)  # fmt: skip
def test_a_secret_of_another_form_is_not_stored(name: str, secret: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        get_verifier(name).check_secret(Secret(secret))
    assert secret not in str(refusal.value) or secret == "whsec_"


@every
def test_a_secret_of_the_right_form_may_be_stored(sender: Sender) -> None:
    get_verifier(sender.name).check_secret(sender.shared())


def vectors(provider: str) -> list[dict[str, Any]]:
    if not VECTORS.exists():
        pytest.skip(f"the published vectors are not at {VECTORS.name} beside the repository")
    found: list[dict[str, Any]] = json.loads(VECTORS.read_text())[provider]
    return found


def seen(delivery: Delivery, name: str, secret: str) -> None:
    get_verifier(name).verify(delivery, [Secret(secret)])
    with pytest.raises(SignatureError):
        get_verifier(name).verify(replace(delivery, body=delivery.body + b" "), [Secret(secret)])


def test_published_vectors_of_hubspot() -> None:
    names = {"v1": "hubspot_v1", "v2": "hubspot_v2", "v3": "hubspot"}
    for vector in vectors("hubspot"):
        version, signature = vector["version"], vector["signature"].encode()
        at = datetime.fromtimestamp(int(vector.get("timestamp", 0)) / 1000, UTC)
        headers = {"x-hubspot-signature": signature, "x-hubspot-signature-version": version.encode()}
        if version == "v3":
            headers = {
                "x-hubspot-signature-v3": signature,
                "x-hubspot-request-timestamp": vector["timestamp"].encode(),
            }
        body = vector["request_body"].encode()
        delivery = Delivery(vector.get("method", "POST"), vector.get("url", ""), headers, body, at)
        seen(delivery, names[version], vector["client_secret"])


def test_published_vectors_of_slack() -> None:
    for vector in vectors("slack"):
        headers = {
            "x-slack-signature": vector["signature"].encode(),
            "x-slack-request-timestamp": vector["timestamp"].encode(),
        }
        at = datetime.fromtimestamp(int(vector["timestamp"]), UTC)
        seen(Delivery("POST", URL, headers, vector["body"].encode(), at), "slack", vector["signing_secret"])


def test_published_vectors_of_standard_webhooks() -> None:
    for vector in vectors("standardwebhooks"):
        headers = {f"webhook-{part}": vector[part].encode() for part in ("id", "timestamp", "signature")}
        at = datetime.fromtimestamp(int(vector["timestamp"]), UTC)
        seen(Delivery("POST", URL, headers, vector["payload"].encode(), at), "standard", vector["secret"])


def test_published_vectors_of_jira() -> None:
    for vector in vectors("jira"):
        headers = {vector["header"].lower(): vector["signature"].encode()}
        seen(Delivery("POST", URL, headers, vector["body"].encode(), NOW), "jira", vector["secret"])


def test_the_vector_in_the_documentation_of_github() -> None:
    signature = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    delivery = Delivery("POST", URL, {"x-hub-signature-256": signature}, b"Hello, World!", NOW)
    seen(delivery, "github", "It's a Secret to Everybody")


def test_the_id_that_is_read_is_the_one_that_was_signed() -> None:
    """Headers of Svix's names beside those of a delivery that somebody has seen do not rename it."""
    sender = SENDERS["standard"]
    seen = sender.delivery()
    renamed = replace(seen, headers={**seen.headers, "svix-id": b"msg_2"})
    (event,) = sender.receive(renamed)
    assert event.dedupe_key == "msg_1"
    assert refused(sender, replace(renamed, headers={**renamed.headers, "svix-signature": b"v1,x"}), 1)


# What is in a delivery


def test_slack_gets_its_challenge_back_once_it_has_proven_itself() -> None:
    sender = SENDERS["slack"]
    delivery = sender.delivery(b'{"token":"x","challenge":"3eZbrw1a","type":"url_verification"}')
    answer = sender.receive(delivery)
    assert answer == Answer(200, b"3eZbrw1a", {"content-type": "text/plain; charset=utf-8"})
    assert refused(sender, delivery, 2)


def test_slack_events_are_known_by_event_id_and_notices_by_what_they_say() -> None:
    (event,) = SENDERS["slack"].events(SENDERS["slack"].body, x_slack_retry_num=b"2")
    assert (event.dedupe_key, event.event_type) == ("Ev1", "team_join")
    assert event.occurred_at == datetime.fromtimestamp(1_700_000_000, UTC)
    notice = {"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1_700_000_000}
    (event,) = SENDERS["slack"].events(notice)
    assert (event.event_type, event.occurred_at) == ("app_rate_limited", None)
    assert event.dedupe_key == "app_rate_limited:T1:1700000000"
    (event,) = SENDERS["slack"].events({"type": "something_else"})
    assert event.dedupe_key.startswith("sha256:")


def test_xero_is_told_our_intent_to_receive() -> None:
    sender = SENDERS["xero"]
    asked = b'{"events":[],"firstEventSequence": 0,"lastEventSequence": 0, "entropy": "S0m3r4Nd0mt3xt"}'
    assert sender.receive(sender.delivery(asked)) == Answer(200)
    assert refused(sender, sender.delivery(asked), 2)


def test_xero_events_are_named_by_what_happened() -> None:
    body = json.loads(SENDERS["xero"].body)
    body["events"].append({**body["events"][0], "eventDateUtc": "2024-06-21T01:15:40"})
    first, second = SENDERS["xero"].events(body)
    assert first.dedupe_key == "717f:c2cc:CONTACT:UPDATE:2024-06-21T01:15:39.902"
    assert (first.event_type, first.occurred_at) == (
        "CONTACT.UPDATE", datetime(2024, 6, 21, 1, 15, 39, 902_000, tzinfo=UTC)
    )  # fmt: skip
    assert json.loads(first.body) == body["events"][0]
    assert second.dedupe_key != first.dedupe_key


def test_intuit_events_in_both_forms() -> None:
    (event,) = SENDERS["intuit"].events(SENDERS["intuit"].body)
    key = "88cd52aa:qbo.customer.created.v1:2025-09-10T21:31:25.179851517Z"
    assert (event.dedupe_key, event.event_type) == (key, "qbo.customer.created.v1")
    assert event.occurred_at == datetime(2025, 9, 10, 21, 31, 25, 179_851, tzinfo=UTC)
    entity = {
        "id": "1234", "operation": "Create", "name": "Customer", "lastUpdated": "2025-09-08T20:52:31.657Z"
    }  # fmt: skip
    former = {"eventNotifications": [{"realmId": "310687", "dataChangeEvent": {"entities": [entity]}}]}
    (event,) = SENDERS["intuit"].events(former)
    assert event.dedupe_key == "310687:Customer:1234:Create:2025-09-08T20:52:31.657Z"
    assert event.event_type == "Customer.Create"
    assert json.loads(event.body) == {"realmId": "310687", **entity}


def test_deliveries_of_github_are_known_by_their_bodies() -> None:
    github = SENDERS["github"]
    (event,) = github.events(github.body, x_github_delivery=b"72d3162e", x_github_event=b"issues")
    assert (event.dedupe_key, event.event_type) == (key_of(github.body), "issues.opened")
    with pytest.raises(PayloadError):
        github.events(github.body, x_github_event=b"x" * 300)


def key_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def test_standard_webhooks_are_known_by_their_id() -> None:
    (event,) = SENDERS["standard"].events(SENDERS["standard"].body)
    assert (event.dedupe_key, event.event_type, event.occurred_at) == ("msg_1", "user.created", NOW)
    (event,) = SENDERS["standard"].events({"type": 7, "timestamp": "soon"})
    assert (event.event_type, event.occurred_at) == ("unknown", None)
