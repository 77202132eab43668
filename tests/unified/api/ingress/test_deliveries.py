"""What a provider delivers is committed before it is answered, once, and answered as that provider wants it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from typing import TYPE_CHECKING

from tests.unified.api.conftest import PROVIDER, SECRET, AddEndpoint, Ingress, Serve, signed, stripe_event
from unified.kit.secrets import Secret
from unified.sandbox.salesforce.fields import identifier
from unified.sandbox.salesforce.webhooks import envelope
from unified.store.inbox.endpoints import Endpoints
from unified.store.secrets.credentials.store import CredentialStore

if TYPE_CHECKING:
    import pytest


async def test_a_signed_delivery_is_stored_and_answered_with_nothing(ingress: Ingress) -> None:
    answer = await ingress.deliver("evt_1")
    assert (answer.status_code, answer.content) == (200, b"")
    assert set(answer.headers) == {"date", "content-length"}
    assert await ingress.stored() == ["evt_1"]


async def test_what_comes_again_is_acknowledged_and_stored_once(ingress: Ingress) -> None:
    answers = await asyncio.gather(*(ingress.deliver("evt_1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert await ingress.stored() == ["evt_1"]


async def test_many_at_once_are_all_stored(ingress: Ingress) -> None:
    ids = [f"evt_{number:03}" for number in range(300)]
    answers = await asyncio.gather(*map(ingress.deliver, ids))
    assert {answer.status_code for answer in answers} == {200}
    assert await ingress.stored() == ids


async def test_a_type_that_nobody_knows_is_an_event_like_any_other(ingress: Ingress) -> None:
    assert (await ingress.deliver("evt_1", type="unheard.of")).status_code == 200
    assert await ingress.stored() == ["evt_1"]


async def test_types_that_were_not_asked_for_are_acknowledged_and_dropped(
    ingress: Ingress, add_endpoint: AddEndpoint
) -> None:
    endpoint = await add_endpoint(event_types=["invoice.*"])
    for event_id, kind in (("evt_1", "customer.updated"), ("evt_2", "invoice.paid")):
        body = stripe_event(event_id, type=kind)
        answer = await ingress.client.post(
            f"/webhooks/stripe/{endpoint.path}", content=body, headers=signed(body)
        )
        assert answer.status_code == 200
    assert await ingress.stored() == ["evt_2"]


async def test_while_a_secret_is_rolled_both_sign(ingress: Ingress) -> None:
    endpoints = Endpoints(ingress.db, CredentialStore(ingress.db, PROVIDER))
    await endpoints.rotate(ingress.endpoint, Secret("whsec_fake_newer"))
    for event_id, secret, status in (
        ("evt_1", SECRET, 200),
        ("evt_2", "whsec_fake_newer", 200),
        ("evt_3", "whsec_fake_other", 401),
    ):
        body = stripe_event(event_id)
        answer = await ingress.client.post(ingress.path, content=body, headers=signed(body, secret))
        assert answer.status_code == status
    assert await ingress.stored() == ["evt_1", "evt_2"]


async def test_hubspot_signs_the_public_url_whatever_the_host_header_says(
    serve: Serve, add_endpoint: AddEndpoint
) -> None:
    endpoint = await add_endpoint("hubspot", "fake-client-secret")
    event = {"eventId": 1, "subscriptionId": 2, "portalId": 3, "occurredAt": 1_790_000_000_000, "objectId": 4}
    body = json.dumps([{**event, "subscriptionType": "contact.creation", "attemptNumber": 0}]).encode()
    moment = str(int(time.time() * 1000))

    def signature(base: str) -> dict[str, str]:
        text = f"POST{base}/webhooks/hubspot/{endpoint.path}?a=1&b=%2F{body.decode()}{moment}"
        text = text.replace("%2F", "/", 1)
        digest = base64.b64encode(hmac.digest(b"fake-client-secret", text.encode(), "sha256")).decode()
        return {"x-hubspot-signature-v3": digest, "x-hubspot-request-timestamp": moment}

    async with serve(public_url="https://hooks.example.com/unified") as ingress:
        path = f"/webhooks/hubspot/{endpoint.path}?a=1&b=%2F"
        forged = signature("https://evil.example.com")
        for headers, status in (
            (signature("https://hooks.example.com/unified"), 200),
            ({**forged, "host": "evil.example.com", "x-forwarded-host": "evil.example.com"}, 401),
        ):
            answer = await ingress.client.post(path, content=body, headers=headers)
            assert answer.status_code == status
        assert len(await ingress.stored()) == 1


def slack_headers(body: bytes) -> dict[str, str]:
    moment = str(int(time.time()))
    digest = hmac.new(b"fake-signing-secret", f"v0:{moment}:".encode() + body, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": moment, "x-slack-signature": f"v0={digest}"}


async def test_slack_hears_its_challenge_once_it_has_signed_it(
    ingress: Ingress, add_endpoint: AddEndpoint
) -> None:
    endpoint = await add_endpoint("stripe", "fake-signing-secret", verifier="slack")
    body = json.dumps({"type": "url_verification", "challenge": "fake-challenge"}).encode()
    headers = slack_headers(body)
    path = f"/webhooks/stripe/{endpoint.path}"
    answer = await ingress.client.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.text) == (200, "fake-challenge")
    refused = await ingress.client.post(path, content=body, headers={**headers, "x-slack-signature": "v0=00"})
    assert (refused.status_code, refused.text) == (401, "")
    assert await ingress.stored() == []


async def test_a_retry_of_slack_s_is_stored_unless_its_event_is_already(
    ingress: Ingress, add_endpoint: AddEndpoint
) -> None:
    """Its first attempt may never have arrived: https://docs.slack.dev/apis/events-api#retries."""
    endpoint = await add_endpoint("stripe", "fake-signing-secret", verifier="slack")
    for event_id, number in (("Ev1", 0), ("Ev1", 1), ("Ev1", 2), ("Ev2", 1), ("Ev2", 3)):
        event = {"type": "team_join", "user": {"id": "U1"}}
        body = json.dumps({"type": "event_callback", "event_id": event_id, "event": event}).encode()
        retry = {"x-slack-retry-num": str(number), "x-slack-retry-reason": "http_timeout"} if number else {}
        answer = await ingress.client.post(
            f"/webhooks/stripe/{endpoint.path}", content=body, headers={**slack_headers(body), **retry}
        )
        assert (answer.status_code, answer.content) == (200, b"")
    assert await ingress.stored() == ["Ev1", "Ev2"]


async def test_salesforce_hears_the_ack_once_all_is_stored(
    ingress: Ingress, add_endpoint: AddEndpoint
) -> None:
    """Without it the same message comes again for a day."""
    organization = identifier("00D", 1)
    endpoint = await add_endpoint("stripe", organization, verifier="salesforce")
    events = [{"serial": 1, "object": "Contact", "record": {"Id": identifier("003", 1)}}]
    for sender, status, is_acknowledged in ((organization, 200, True), (identifier("00D", 2), 401, False)):
        answer = await ingress.client.post(
            f"/webhooks/stripe/{endpoint.path}",
            content=envelope(events, sender),
            headers={"soapaction": '""'},
        )
        assert (answer.status_code, b"<Ack>true</Ack>" in answer.content) == (status, is_acknowledged)


async def test_xero_hears_nothing_but_a_status(ingress: Ingress, add_endpoint: AddEndpoint) -> None:
    endpoint = await add_endpoint("stripe", "fake-webhooks-key", verifier="xero")
    body = json.dumps(
        {"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "fake"}
    ).encode()
    right = base64.b64encode(hmac.digest(b"fake-webhooks-key", body, "sha256")).decode()
    for signature, status in ((right, 200), ("AAAA", 401)):
        answer = await ingress.client.post(
            f"/webhooks/stripe/{endpoint.path}", content=body, headers={"x-xero-signature": signature}
        )
        assert (answer.status_code, answer.content) == (status, b"")
        assert set(answer.headers) == {"date", "content-length"}


async def test_a_flood_on_one_endpoint_is_held_back_and_the_others_are_not_hurt(
    serve: Serve, add_endpoint: AddEndpoint
) -> None:
    quiet = await add_endpoint()
    async with serve(endpoint_rate=1, endpoint_burst=5) as ingress:
        flood = await asyncio.gather(*(ingress.deliver(f"evt_{number}") for number in range(50)))
        accepted = [answer for answer in flood if answer.status_code == 200]
        held_back = [answer for answer in flood if answer.status_code == 429]
        assert len(accepted) + len(held_back) == 50
        assert 5 <= len(accepted) < 50
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in held_back)
        body = stripe_event("evt_of_another")
        answer = await ingress.client.post(
            f"/webhooks/stripe/{quiet.path}", content=body, headers=signed(body)
        )
        assert answer.status_code == 200
        # A sender that can't sign does not learn that there is an endpoint, flooded or not.
        answer = await ingress.client.post(
            ingress.path, content=body, headers=signed(body, "whsec_fake_other")
        )
        assert answer.status_code == 401
        assert len(await ingress.stored()) == len(accepted) + 1


async def test_the_access_log_shows_no_path(ingress: Ingress, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "unified.access"):
        await ingress.deliver("evt_1")
        await ingress.client.post(f"/webhooks/stripe/{'x' * 32}", content=b"{}")
        await ingress.client.get("/webhooks/%0aforged")
    lines = [
        line
        for record in caplog.records
        if record.name == "unified.access"
        for line in record.message.split("\n")
    ]
    assert [line.rsplit(" ", 2)[0] for line in lines] == [
        f"POST stripe/{hashlib.sha256(ingress.endpoint.path.encode()).hexdigest()[:8]} 200",
        f"POST stripe/{hashlib.sha256(b'x' * 32).hexdigest()[:8]} 401",
        "GET elsewhere 405",
    ]
    assert ingress.endpoint.path not in caplog.text


async def test_the_probes(ingress: Ingress) -> None:
    assert (await ingress.client.get("/healthz")).status_code == 200
    assert (await ingress.client.get("/readyz")).status_code == 200
    assert (await ingress.client.get("/elsewhere")).status_code == 404
