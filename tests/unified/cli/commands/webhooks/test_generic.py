"""A system that nobody wrote a connector for: its webhooks become customers, by the real command and a real sender."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

if TYPE_CHECKING:
    from tests.unified.cli.conftest import Unified

CUSTOMERS = json.dumps({"types": ["user.*"], "records": "data", "id": "id"})
SECRET = "whsec_" + "ZmFrZSBvZiB0aGUgdGVzdHMgMTIzNA=="


def signed(body: dict[str, Any], number: int, prefix: str = "webhook") -> dict[str, Any]:
    """What the library of Standard Webhooks sends, and Svix's own under names of its own."""
    from svix.webhooks import Webhook as SvixWebhook  # noqa: PLC0415 - it takes a second

    text, now = json.dumps(body), datetime.now(UTC)
    library = {"webhook": Webhook, "svix": SvixWebhook}[prefix](SECRET)
    headers = {
        f"{prefix}-id": f"msg_{number}",
        f"{prefix}-timestamp": str(int(now.timestamp())),
        f"{prefix}-signature": library.sign(f"msg_{number}", now, text),
    }
    return {"content": text, "headers": headers}


@pytest.fixture(scope="module", autouse=True)
def connection(unified: Unified) -> None:
    """A connection that takes what is delivered, and how its customers are read."""
    added = unified.run("connections", "add", "webhook", "crm", "--set", f"customers={CUSTOMERS}")
    assert "`unified webhooks add default/crm`" in added.stderr
    unified.ok("mappings", "set", "crm", "customers", "mail", "email")
    unified.ok("mappings", "set", "crm", "customers", "name.full", "name")


def test_nothing_is_said_of_a_credential_that_it_does_not_have(unified: Unified) -> None:
    assert unified.ok("connections", "test", "crm") == (
        "Generic webhook takes no credential, so it opens no account.\n"
    )


def test_a_delivery_of_another_program_becomes_a_customer(unified: Unified) -> None:
    url = unified.ok(
        "webhooks", "add", "crm", "--verifier", "standard", UNIFIED_SECRET_WEBHOOK=SECRET
    ).strip()
    path = url.split("/", 3)[3]
    ada = {"id": 7, "mail": "ada@example.com", "name": {"full": "Ada"}}
    grace = {"id": 8, "mail": "grace@example.com", "name": {"full": "Grace"}}
    with unified.serving() as server:
        for number, kind, prefix, data in (
            (1, "user.created", "webhook", ada),
            (1, "user.created", "svix", ada),
            (2, "invoice.paid", "svix", ada),
            (3, "user.created", "svix", grace),
        ):
            sent = signed({"type": kind, "data": data}, number, prefix)
            assert httpx.post(f"{server}/{path}", **sent).status_code == 200
        forged = signed({"type": "user.created", "data": ada}, 4)
        assert httpx.post(f"{server}/{path}", **{**forged, "content": "{}"}).is_client_error
    unified.ok("drain", "webhook")
    found = unified.json("query", "SELECT source_id, email, name FROM unified_customers ORDER BY source_id")
    assert found == [
        {"source_id": "7", "email": "ada@example.com", "name": "Ada"},
        {"source_id": "8", "email": "grace@example.com", "name": "Grace"},
    ]
    events = unified.json("query", "SELECT event_type FROM unified_events ORDER BY source_id")
    assert [one["event_type"] for one in events] == ["user.created", "invoice.paid", "user.created"]


def test_where_nothing_proves_who_sends_that_is_said(unified: Unified) -> None:
    done = unified.run("webhooks", "add", "crm", "--verifier", "none", "--set", "id_field=id")
    assert done.returncode == 0
    assert "anybody who knows this URL can" in done.stderr
    assert "known by their bytes" not in done.stderr
    done = unified.run("webhooks", "add", "crm", "--verifier", "token")
    assert "known by their bytes" in done.stderr
    assert "--set id_field=PATH" in done.stderr


def test_there_is_nothing_to_pull_and_that_is_said(unified: Unified) -> None:
    assert "by webhook alone" in unified.refused("sync", "crm")
    assert "by webhook alone" in unified.run("sync", "--all").stderr
    (state,) = unified.json("status")
    assert state["state"] == "idle"
