"""Webhooks by the real command: endpoints, their secrets, deliveries through `unified serve`, drains, replay."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.conftest import execute
from tests.waiting import LIMIT_SECONDS
from unified.sandbox.faults import Fault
from unified.sandbox.hubspot.webhooks import HubSpotWebhooks
from unified.sandbox.webhooks import Endpoint
from unified.store.server import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unified.cli.conftest import Unified
    from unified.sandbox.server import SandboxServer

KEY = "sk_test_fake_acme"
SECRET = "whsec_test_fake_cli"
NAME = "default/stripe"


@pytest.fixture(scope="module", autouse=True)
def connection(unified: Unified, sandbox: SandboxServer) -> None:
    """A Stripe connection, loaded once."""
    place = ("--base-url", f"{sandbox.url}/stripe", "--allow-private-hosts")
    unified.ok("connections", "add", "stripe", "stripe", *place, UNIFIED_SECRET_API_KEY=KEY)
    unified.ok("sync", "stripe")


@pytest.fixture
def none_left(unified: Unified) -> Iterator[None]:
    """Without endpoints again at the end."""
    yield
    for endpoint in unified.json("webhooks", "list"):
        unified.ok("webhooks", "remove", "stripe", "--id", endpoint["id"], "--yes")


@pytest.fixture(scope="module")
def address(unified: Unified) -> Iterator[str]:
    """Where a running `unified serve` listens."""
    with unified.serving() as url:
        yield url


def state(unified: Unified) -> Any:
    (connection,) = unified.json("status")
    return connection["webhooks"]


@pytest.mark.usefixtures("none_left")
def test_an_endpoint_from_add_to_remove(unified: Unified) -> None:
    done = unified.run("webhooks", "add", "stripe", "--public-url", "https://hooks.example.com/x/", stdin="")
    assert done.returncode == 0, done.stderr
    url = done.stdout.strip()
    assert re.fullmatch(r"https://hooks\.example\.com/x/webhooks/stripe/[A-Za-z0-9_-]{32}", url)
    assert f"`unified webhooks rotate {NAME}` takes the secret" in done.stderr

    unified.ok("webhooks", "rotate", "stripe", "--secret-stdin", stdin=f"{SECRET}\n")
    unified.ok("webhooks", "rotate", "stripe", UNIFIED_SECRET_WEBHOOK="whsec_test_fake_next")
    (endpoint,) = unified.json("webhooks", "list")
    assert (endpoint["connection"], endpoint["verifier"], endpoint["is_active"]) == (NAME, "stripe", True)
    path = url.rpartition("/")[2]
    assert path not in unified.ok("webhooks", "list"), "it is a secret"
    assert path in unified.ok("webhooks", "list", "--urls")

    unified.ok("webhooks", "pause", "stripe")
    assert "paused" in unified.ok("webhooks", "list", "stripe")
    unified.ok("webhooks", "resume", "stripe")
    assert "deliveries" in unified.ok("webhooks", "list", "stripe")
    assert "say --yes" in unified.refused("webhooks", "remove", "stripe", code=2)
    unified.ok("webhooks", "remove", "stripe", "--yes")
    assert "has no webhook" in unified.refused("webhooks", "rotate", "stripe")


@pytest.mark.usefixtures("none_left")
def test_the_secret_is_ours_to_choose_for_some(unified: Unified) -> None:
    done = unified.run("webhooks", "add", "stripe", "--verifier", "hmac", "--set", "header=x-signature")
    assert done.returncode == 0, done.stderr
    url, secret = done.stdout.split()
    assert url.startswith("http://127.0.0.1:8000/webhooks/stripe/")
    assert len(secret) >= 40
    assert "Providers need an https:// URL" in done.stderr
    next_secret = unified.ok("webhooks", "rotate", "stripe", "--leaked").strip()
    assert len(next_secret) >= 40
    assert next_secret != secret


@pytest.mark.usefixtures("none_left")
def test_what_is_wrong_is_said_and_leaves_nothing_behind(unified: Unified) -> None:
    add = ("webhooks", "add", "stripe")
    assert "starts with whsec_" in unified.refused(*add, UNIFIED_SECRET_WEBHOOK="sk_test_fake")
    assert "no webhook verifier" in unified.refused(*add, "--verifier", "morse")
    assert "KEY=VALUE" in unified.refused(*add, "--verifier", "hmac", "--set", "header", code=2)
    assert "UNIFIED_PUBLIC_URL must be" in unified.refused(*add, "--public-url", "hooks.example.com")
    assert unified.json("webhooks", "list") == []
    for _ in range(2):
        unified.ok(*add, UNIFIED_SECRET_WEBHOOK=SECRET)
    line = unified.refused("webhooks", "pause", "stripe", code=2)
    assert "has 2 webhooks: say which with --id" in line
    unified.ok("webhooks", "pause", "stripe", "--id", line.rpartition(" ")[2])
    assert sorted(each["is_active"] for each in unified.json("webhooks", "list")) == [False, True]
    assert "UNIFIED_SECRET_WEBHOOK" in unified.refused(
        "webhooks", "rotate", "stripe", "--id", line.rpartition(" ")[2], code=2
    )
    by_hand = unified.refused("webhooks", "register", "stripe", "--id", line.rpartition(" ")[2])
    assert "stripe has no webhooks that are registered by its API" in by_hand
    assert "no connector 'telex'" in unified.refused("drain", "telex")


@pytest.mark.usefixtures("none_left")
def test_a_change_is_delivered_drained_and_replayed(
    unified: Unified, sandbox: SandboxServer, address: str
) -> None:
    url = unified.ok("webhooks", "add", "stripe", "--public-url", address, UNIFIED_SECRET_WEBHOOK=SECRET)
    sandbox.stripe.webhooks.add(Endpoint(KEY, url.strip(), SECRET))
    try:
        since = datetime.now(UTC) - timedelta(minutes=1)
        good = sandbox.stripe.mutate("create_customer", KEY)["id"]
        bad = sandbox.stripe.mutate("create_customer", KEY)["id"]
        assert sandbox.stripe.webhooks.wait(30)
        assert sandbox.stripe.webhooks.report()[0]["accepted"] == 2
        assert state(unified)["waiting"] == 2

        sandbox.stripe.faults.add(Fault("status", f"/v1/customers/{bad}", times=None, status=400))
        shown = unified.ok("drain", "stripe")
        assert re.search(rf"{NAME} *\| +2 *\| +0 *\| +1 *\|", shown), shown
        assert state(unified)["dead_letters"] == {"waiting": 1, "dead": 0, "replayed": 0}
        (letter,) = unified.json("webhooks", "dead-letters", "stripe")
        assert (letter["type"], letter["state"], letter["attempts"]) == ("customer.created", "waiting", 1)
        assert "400" in letter["error"]
        assert "has no dead letters" in unified.ok("webhooks", "dead-letters", "stripe", "--state", "dead")

        sandbox.stripe.faults.clear()
        assert "Nothing waits for stripe" in unified.ok("drain", "stripe"), "its next attempt has not come"
        unified.ok("webhooks", "replay", "stripe", "--event", letter["event"])
        unified.ok("drain", "stripe")
        assert state(unified)["dead_letters"] == {"waiting": 0, "dead": 0, "replayed": 1}
        assert good != bad

        done = unified.run("webhooks", "replay", "stripe", "--since", f"{since:%Y-%m-%dT%H:%M:%S}")
        assert f"2 received event(s) of {NAME} wait" in done.stderr
        assert re.search(r"\| +2 *\| +0 *\| +0 *\| +0 *\| +0 *\| +0 *\|", unified.ok("drain", "stripe")), (
            "nothing changed"
        )
        assert "say either" in unified.refused(
            "webhooks", "replay", "stripe", "--until", "2026-01-01", code=2
        )
        assert "0 of these 1" in unified.refused("webhooks", "replay", "stripe", "--event", "evt_unknown")

        sandbox.stripe.revoke(KEY)
        sandbox.stripe.mutate("create_customer", KEY)
        assert sandbox.stripe.webhooks.wait(30)
        done = unified.run("drain", "stripe")
        assert done.returncode == 1
        assert "revoked" in done.stderr
        assert KEY not in done.stderr + done.stdout
        assert "revoked" in state(unified)["error"]
        assert state(unified)["waiting"] == 1
    finally:
        sandbox.stripe.restore(KEY)
        sandbox.stripe.webhooks.clear()


@pytest.fixture
def tried(unified: Unified, sandbox: SandboxServer) -> Iterator[None]:
    """A connection to try things at, of another account."""
    place = ("--base-url", f"{sandbox.url}/stripe", "--allow-private-hosts")
    unified.ok("connections", "add", "stripe", "tried", *place, UNIFIED_SECRET_API_KEY="sk_test_fake_globex")
    yield
    unified.ok("connections", "remove", "tried", "--yes")


@pytest.mark.usefixtures("tried")
def test_a_test_delivery_is_followed_to_its_row_or_to_where_it_stops(unified: Unified, address: str) -> None:
    at = ("--public-url", address)
    test = ("webhooks", "test", "tried", *at)
    unified.ok("webhooks", "add", "tried", *at)
    assert "it has no secret yet" in unified.refused(*test)
    unified.ok("webhooks", "rotate", "tried", UNIFIED_SECRET_WEBHOOK=SECRET)
    assert "nobody answers at http://127.0.0.1:9 (ConnectError)" in unified.refused(
        "webhooks", "test", "tried", "--public-url", "http://127.0.0.1:9"
    )
    done = unified.run(*test)
    assert done.returncode == 0, done.stderr
    assert "Signed as stripe, and answered with 200." in done.stderr
    (key,) = re.findall(
        r"came through: a row of unified_events, source_id (evt_unified_[0-9a-f]+)\.", done.stdout
    )
    sql = "SELECT source_id FROM unified_events WHERE event_type = 'unified.test'"
    assert unified.json("query", sql) == [{"source_id": key}]
    unified.ok("webhooks", "pause", "tried")
    assert "is paused; `unified webhooks resume default/tried`" in unified.refused(*test)
    unified.ok("webhooks", "remove", "tried", "--yes")

    unified.ok("webhooks", "add", "tried", *at, "--event", "customer.*", UNIFIED_SECRET_WEBHOOK=SECRET)
    assert "not kept, as the endpoint keeps customer.* alone" in unified.ok(*test)
    unified.ok("webhooks", "remove", "tried", "--yes")

    unified.ok("webhooks", "add", "tried", *at, UNIFIED_SECRET_WEBHOOK=SECRET)
    # Where the connection can't be used, its events wait.
    url = embedded.start(unified.home)
    execute(url, "UPDATE connector_configs SET approval = 'pending' WHERE name = 'tried'")
    done = unified.run(*test)
    assert done.returncode == 1
    assert "went no further than this: in the inbox, and waits until " in done.stderr
    assert "waits for approval" in done.stderr


@pytest.mark.usefixtures("none_left")
def test_a_test_delivery_is_not_made_where_the_sender_alone_can_sign(unified: Unified, address: str) -> None:
    key = "whpk_" + base64.b64encode(bytes(32)).decode()
    add = ("webhooks", "add", "stripe", "--verifier", "standard_ed25519", "--public-url", address)
    unified.ok(*add, UNIFIED_SECRET_WEBHOOK=key)
    assert "have it send a test" in unified.refused("webhooks", "test", "stripe", "--public-url", address)


def test_what_only_webhooks_bring_is_among_the_rejects(
    unified: Unified, sandbox: SandboxServer, address: str
) -> None:
    place = ("--base-url", f"{sandbox.url}/hubspot", "--allow-private-hosts")
    token = "pat-fake-acme"
    unified.ok("connections", "add", "hubspot", "crm", *place, UNIFIED_SECRET_ACCESS_TOKEN=token)
    try:
        url = unified.ok("webhooks", "add", "crm", "--public-url", address, UNIFIED_SECRET_WEBHOOK=SECRET)
        endpoint = Endpoint(token, url.strip(), SECRET)
        portal = sandbox.hubspot.account(token).portal_id
        good = {"eventId": 1, "portalId": portal, "objectId": 1, "occurredAt": 1795800000000}
        good["subscriptionType"] = "contact.creation"
        body = json.dumps([good, {"portalId": portal, "occurredAt": "soon"}, None]).encode()
        headers = HubSpotWebhooks().headers(endpoint, body, time.time())
        answer = httpx.post(endpoint.url, content=body, headers=headers, timeout=LIMIT_SECONDS)
        assert answer.status_code == 200
        unified.ok("drain", "hubspot")
        rejects = unified.json("rejects", "crm")
        assert {one["stream"] for one in rejects} == {"events"}
        (status,) = [one for one in unified.json("status") if one["connector"] == "hubspot"]
        assert status["rejects"]["events"] == len(rejects) > 0
    finally:
        unified.ok("connections", "remove", "crm", "--yes")
