"""The sandbox as another process drives it: the control API, the statistics, `python -m sandbox`."""

from __future__ import annotations

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx

from tests.waiting import LIMIT_SECONDS

if TYPE_CHECKING:
    from unified.sandbox.server import SandboxServer


def control(server: SandboxServer, method: str, path: str, body: Any = None) -> httpx.Response:
    return httpx.request(method, f"{server.url}/_sandbox/{path}", json=body, timeout=LIMIT_SECONDS)


def test_changes_over_http(server: SandboxServer, stripe: httpx.Client) -> None:
    made = control(
        server, "POST", "stripe/mutate", {"do": "create_customer", "fields": {"name": "Über"}}
    ).json()
    assert stripe.get(f"/v1/customers/{made['id']}").json()["name"] == "Über"
    gone = control(server, "POST", "stripe/mutate", {"do": "delete_customer", "args": [made["id"]]})
    assert gone.status_code == 200
    assert stripe.get(f"/v1/customers/{made['id']}").json()["deleted"] is True
    refused = control(server, "POST", "stripe/mutate", {"do": "__class__"})
    assert refused.status_code == 400
    assert "no change named" in refused.json()["error"]
    unknown = control(server, "POST", "stripe/mutate", {"do": "delete_customer", "args": ["cus_x"]})
    assert unknown.status_code == 400


def test_faults_latency_limits_clock_and_keys_over_http(server: SandboxServer, stripe: httpx.Client) -> None:
    control(server, "POST", "stripe/faults", {"kind": "status", "status": 503, "times": None})
    assert stripe.get("/v1/account").status_code == 503
    control(server, "DELETE", "stripe/faults")
    assert stripe.get("/v1/account").status_code == 200
    assert control(server, "POST", "stripe/faults", {"kind": "flood"}).status_code == 400
    control(server, "POST", "stripe/limits", {"endpoint": 0.001, "burst": 1})
    assert [stripe.get("/v1/account").status_code for _ in range(2)] == [200, 429]
    control(server, "POST", "stripe/limits", None)
    assert stripe.get("/v1/account").status_code == 200
    before = server.stripe.clock.time()
    control(server, "POST", "stripe/clock", {"days": 2})
    assert server.stripe.clock.time() == before + 2 * 86_400
    control(server, "POST", "stripe/latency", {"ms": 5})
    assert server.stripe.latency_ms == 5
    control(server, "POST", "stripe/revoke", {"key": "sk_test_fake_acme"})
    assert stripe.get("/v1/account").status_code == 401
    control(server, "POST", "stripe/restore", {"key": "sk_test_fake_acme"})
    assert stripe.get("/v1/account").status_code == 200
    assert control(server, "GET", "xero/stats").status_code == 404


def test_the_oracle_over_http(server: SandboxServer) -> None:
    stripe = control(server, "GET", "stripe/oracle").json()
    assert stripe["counts"] == server.stripe.account().source_counts()
    assert stripe["totals"] == server.stripe.account().source_totals()
    hubspot = control(server, "GET", "hubspot/oracle?key=pat-fake-globex").json()
    assert hubspot["counts"] == server.hubspot.account("pat-fake-globex").source_counts()


def test_statistics(server: SandboxServer, stripe: httpx.Client) -> None:
    server.stripe.latency_ms = 100
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: stripe.get("/v1/customers"), range(4)))
    server.stripe.latency_ms = 0
    stripe.get("/v1/customers/cus_unknown")
    report = control(server, "GET", "stripe/stats").json()
    assert report["requests"] == {"GET /v1/customers": 4, "GET /v1/customers/{id}": 1}
    assert report["statuses"] == {"200": 4, "404": 1}
    assert report["total"] == 5
    assert report["max_concurrent"] > 1
    assert report["requests_per_second"] > 0
    control(server, "POST", "stripe/stats/reset")
    assert control(server, "GET", "stripe/stats").json()["total"] == 0


def test_as_a_process_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "unified.sandbox",
        "--port",
        str(port),
        "--stripe-customers",
        "30",
        "--no-limits",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}/stripe" in process.stdout.readline()
        # The line comes before the port is open: try until it is.
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(
            transport=transport, auth=("sk_test_fake_acme", ""), timeout=LIMIT_SECONDS
        ) as client:
            page = client.get(f"http://127.0.0.1:{port}/stripe/v1/customers", params={"limit": 100}).json()
        assert 0 < len(page["data"]) <= 30
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT_SECONDS)
