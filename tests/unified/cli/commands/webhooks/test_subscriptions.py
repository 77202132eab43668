"""Subscriptions by the real command: an acknowledged or repeated delivery, never a lost one, whatever is killed."""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.waiting import LIMIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unified.cli.conftest import Unified
    from unified.sandbox.server import SandboxServer

KEY = "sk_test_fake_acme"


class Receiver:
    """Takes deliveries; once so many are taken, it answers no more until it is let go on."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.most = 10**9
        self.is_full = threading.Event()
        self.goes_on = threading.Event()
        self.url = ""

    def answer(self, body: bytes) -> bool:
        if len(self.taken) >= self.most:
            self.is_full.set()
            return self.goes_on.wait(LIMIT_SECONDS) and False
        event = json.loads(body)
        if event["type"] != "subscription.test":
            self.taken.append(event["data"]["source_id"])
        return True


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if receiver.answer(body):
                self.send_response(204)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield receiver
    receiver.goes_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module", autouse=True)
def loaded(unified: Unified, sandbox: SandboxServer) -> None:
    place = ("--base-url", f"{sandbox.url}/stripe", "--allow-private-hosts")
    unified.ok("connections", "add", "stripe", "stripe", *place, UNIFIED_SECRET_API_KEY=KEY)
    unified.ok("sync", "stripe", "--stream", "customers")


def subscribe(unified: Unified, name: str, receiver: Receiver) -> None:
    done = unified.run(
        "subscriptions", "add", name, "customers", receiver.url, "--everything", "--allow-private-hosts"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("whsec_")


def test_what_a_killed_process_has_not_committed_is_sent_again(unified: Unified) -> None:
    with receiving() as receiver:
        subscribe(unified, "killed", receiver)
        receiver.most = 3
        process = subprocess.Popen(unified.command("subscriptions", "deliver"), env=unified.environment())
        assert receiver.is_full.wait(LIMIT_SECONDS)
        process.kill()
        process.wait(LIMIT_SECONDS)
        before, receiver.most = list(receiver.taken), 10**9
        (told,) = [one for one in unified.json("subscriptions", "deliver") if one["name"] == "killed"]
    stored = {one["source_id"] for one in unified.json("query", "SELECT source_id FROM unified_customers")}
    assert set(receiver.taken[len(before) :]) == stored >= set(before)
    assert told["taken"] == len(stored)


def test_a_subscription_from_add_to_remove(unified: Unified) -> None:
    with receiving() as receiver:
        subscribe(unified, "crm", receiver)
        unified.ok("subscriptions", "pause", "crm")
        unified.ok("subscriptions", "deliver")
        assert receiver.taken == []
        assert "took the test message" in unified.run("subscriptions", "test", "crm").stderr
        unified.ok("subscriptions", "change", "crm", "--where", "name=Nobody of that name")
        unified.ok("subscriptions", "resume", "default/crm")
        unified.ok("subscriptions", "deliver")
        assert receiver.taken == []
        unified.ok("subscriptions", "change", "crm", "--no-filters")
        unified.ok("subscriptions", "remove", "crm", "--yes")
        subscribe(unified, "crm", receiver)
        unified.ok("subscriptions", "pause", "crm")
        unified.ok("subscriptions", "resume", "default/crm")
        unified.ok("subscriptions", "deliver")
        assert receiver.taken
        rotated = unified.run("subscriptions", "rotate", "crm")
        assert rotated.stdout.startswith("whsec_")
        assert "the former one signs them too" in rotated.stderr
        leaked = unified.run("subscriptions", "rotate", "crm", "--leaked")
        assert leaked.stdout.startswith("whsec_")
        assert "former" not in leaked.stderr
    (shown,) = [one for one in unified.json("subscriptions", "list") if one["subscription"] == "default/crm"]
    assert (shown["state"], shown["delivered"], shown["undelivered"]) == ("follows", len(receiver.taken), [])
    assert "0 record(s)" in unified.run("subscriptions", "replay", "crm").stderr
    assert "say --yes" in unified.refused("subscriptions", "remove", "crm", code=2)
    unified.ok("subscriptions", "remove", "crm", "--yes")
    assert "there is no subscription crm" in unified.refused("subscriptions", "pause", "crm")


def test_one_that_waits_for_its_receiver_is_said_to_wait(unified: Unified) -> None:
    with receiving() as receiver:
        pass  # its port answers no more
    subscribe(unified, "down", receiver)
    unified.ok("subscriptions", "deliver")
    done = unified.run("subscriptions", "deliver")
    assert "Nothing changed" not in done.stdout
    assert "default/down waits until" in done.stderr
    assert "`unified subscriptions resume default/down`" in done.stderr
    unified.ok("subscriptions", "remove", "down", "--yes")


def test_what_can_not_be_is_refused_in_one_line(unified: Unified) -> None:
    add = ("subscriptions", "add", "x", "customers")
    assert "https" in unified.refused(*add, "http://hooks.example.com")
    assert "FILTER=VALUE" in unified.refused(*add, "https://hooks.example.com", "--where", "status", code=2)
    assert "no filter 'colour'" in unified.refused(*add, "https://hooks.example.com", "--where", "colour=red")
