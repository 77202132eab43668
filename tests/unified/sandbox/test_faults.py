"""Every fault reaches the client over real HTTP, strikes where and as often as asked, and then goes away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.waiting import LIMIT_SECONDS
from unified.sandbox.faults import Fault, Faults

if TYPE_CHECKING:
    from unified.sandbox.server import SandboxServer

CUSTOMERS = "/v1/customers"


@pytest.mark.parametrize("status", [409, 423, 429, 500, 502, 503])
def test_errors_of_a_status(server: SandboxServer, stripe: httpx.Client, status: int) -> None:
    server.stripe.faults.add(Fault("status", CUSTOMERS, status=status))
    response = stripe.get(CUSTOMERS)
    assert response.status_code == status
    assert "message" in response.json()["error"]
    assert "retry-after" not in response.headers
    assert stripe.get(CUSTOMERS).status_code == 200


def test_retry_after_only_where_asked(server: SandboxServer, hubspot: httpx.Client) -> None:
    server.hubspot.faults.add(Fault("status", "/crm", status=429, code="DAILY", retry_after="7"))
    response = hubspot.get("/crm/objects/2026-09/contacts")
    assert response.headers["retry-after"] == "7"
    assert response.json()["policyName"] == "DAILY"


def test_a_locked_record_is_423_at_hubspot(server: SandboxServer, hubspot: httpx.Client) -> None:
    server.hubspot.faults.add(Fault("status", "/crm", status=423))
    response = hubspot.get("/crm/objects/2026-09/contacts")
    assert (response.status_code, response.json()["category"]) == (423, "LOCKED")


def test_a_cut_connection(server: SandboxServer, stripe: httpx.Client) -> None:
    server.stripe.faults.add(Fault("cut", CUSTOMERS))
    with pytest.raises(httpx.RemoteProtocolError):
        stripe.get(CUSTOMERS)
    assert stripe.get(CUSTOMERS).status_code == 200


def test_malformed_json(server: SandboxServer, stripe: httpx.Client) -> None:
    server.stripe.faults.add(Fault("malformed", CUSTOMERS))
    response = stripe.get(CUSTOMERS)
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        response.json()


@pytest.mark.parametrize("status", [200, 502])
def test_html_instead_of_json(server: SandboxServer, stripe: httpx.Client, status: int) -> None:
    server.stripe.faults.add(Fault("html", CUSTOMERS, status=status))
    response = stripe.get(CUSTOMERS)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")


def test_a_repeated_page(server: SandboxServer, stripe: httpx.Client, hubspot: httpx.Client) -> None:
    first = stripe.get(CUSTOMERS).json()
    server.stripe.faults.add(Fault("repeat", CUSTOMERS))
    cursor = {"starting_after": first["data"][-1]["id"]}
    assert stripe.get(CUSTOMERS, params=cursor).json() == first
    assert stripe.get(CUSTOMERS, params=cursor).json() != first
    page = hubspot.get("/crm/objects/2026-09/contacts").json()
    server.hubspot.faults.add(Fault("repeat"))
    after = {"after": page["paging"]["next"]["after"]}
    assert hubspot.get("/crm/objects/2026-09/contacts", params=after).json()["paging"] == page["paging"]


def test_a_record_that_breaks_the_model(server: SandboxServer, stripe: httpx.Client) -> None:
    server.stripe.faults.add(
        Fault(
            "bad_record", "/v1/invoices", record=2, drop="id", replace={"total": "12.50", "lines.data": None}
        )
    )
    records = stripe.get("/v1/invoices").json()["data"]
    assert "id" not in records[2]
    assert records[2]["total"] == "12.50"
    assert records[2]["lines"]["data"] is None
    assert all("id" in record for position, record in enumerate(records) if position != 2)
    assert "id" in stripe.get("/v1/invoices").json()["data"][2]


def test_a_bad_property_at_hubspot(server: SandboxServer, hubspot: httpx.Client) -> None:
    server.hubspot.faults.add(Fault("bad_record", replace={"properties.email": 7}))
    assert hubspot.get("/crm/objects/2026-09/contacts").json()["results"][0]["properties"]["email"] == 7


def test_a_revoked_key(server: SandboxServer, stripe: httpx.Client) -> None:
    server.stripe.faults.add(Fault("revoked"))
    assert stripe.get(CUSTOMERS).json()["error"]["code"] == "api_key_expired"


def test_a_clock_that_jumps_in_the_date_header(server: SandboxServer, stripe: httpx.Client) -> None:
    assert stripe.get(CUSTOMERS).headers["date"] == "Mon, 21 Sep 2026 14:13:20 GMT"
    server.stripe.faults.add(Fault("clock", seconds=86_400))
    assert stripe.get(CUSTOMERS).headers["date"] == "Tue, 22 Sep 2026 14:13:20 GMT"


def test_slow_answers_come_after_the_wait(server: SandboxServer, stripe: httpx.Client) -> None:
    server.stripe.faults.add(Fault("slow", CUSTOMERS, seconds=30))
    with pytest.raises(httpx.ReadTimeout):
        stripe.get(CUSTOMERS, timeout=httpx.Timeout(LIMIT_SECONDS, read=0.2))
    assert stripe.get(CUSTOMERS).status_code == 200


def test_faults_skip_count_and_aim() -> None:
    faults = Faults()
    faults.add(Fault("cut", "/v1/invoices", skip=2, times=2, key="sk_test_fake_acme"))
    struck = [faults.take("/v1/invoices", "sk_test_fake_acme") is not None for _ in range(6)]
    assert struck == [False, False, True, True, False, False]
    faults.add(Fault("cut", "/v1/invoices", key="sk_test_fake_acme", times=None))
    assert faults.take("/v1/invoices", "sk_test_fake_globex") is None
    assert faults.take("/v1/customers", "sk_test_fake_acme") is None
    assert all(faults.take("/v1/invoices/in_1", "sk_test_fake_acme") for _ in range(50))
    faults.clear()
    assert faults.take("/v1/invoices", "sk_test_fake_acme") is None


def test_chance_is_drawn_the_same_each_time() -> None:
    def struck() -> list[bool]:
        faults = Faults()
        faults.add(Fault("cut", times=None, probability=0.3))
        return [faults.take("/", None) is not None for _ in range(1000)]

    assert struck() == struck()
    assert 200 < sum(struck()) < 400


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="no fault of kind"):
        Fault("earthquake")  # type: ignore[arg-type]
