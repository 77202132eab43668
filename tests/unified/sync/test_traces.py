"""Traces of a sync and of a webhook from end to end: how spans hang together, and that they hold no secret."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.unified.api.conftest import signed
from tests.unified.sync.deliveries import caused, drained
from tests.unified.sync.source import KEYS, Source
from tests.waiting import LIMIT_SECONDS
from unified import logs, tracing
from unified.api.server import listen, webhook_server
from unified.api.settings import Settings
from unified.kit.secrets import Secret
from unified.store.inbox.endpoints import Endpoints
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.sync.errors import PullError

SIGNING = "whsec_fake_planted_Tr4ce"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What this process exports, as each span ends."""
    exporter = InMemorySpanExporter()
    tracer = tracing.tracer_to(exporter, at_once=True)
    monkeypatch.setattr(tracing, "_tracer", lambda: tracer)
    return exporter


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [one for one in exporter.get_finished_spans() if one.name == name]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def is_below(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return bool(child.parent and parent.context and child.parent.span_id == parent.context.span_id)


async def test_a_sync_is_traced_down_to_requests_and_merges(
    stripe: Source, exported: InMemorySpanExporter
) -> None:
    with logs.about(run="r1"):
        result = await stripe.sync()
    (sync,) = named(exported, "sync stripe")
    said = attributes(sync)
    assert said["unified.connection"] == stripe.connection.key
    assert (said["unified.run"], said["unified.stream"], said["unified.mode"]) == ("r1", "customers", "full")
    assert said["unified.records.read"] == said["unified.records.inserted"] == result.read > 0
    requests, merges = named(exported, "GET"), named(exported, "merge unified_customers")
    assert {attributes(one)["http.response.status_code"] for one in requests} == {200}
    assert sum(attributes(one)["unified.records.changed"] for one in merges) == result.inserted
    traces = {one.context.trace_id for one in (sync, *requests, *merges) if one.context}
    assert len(traces) == 1, "one trace holds all of it"


async def test_a_failure_is_said_by_its_class_alone(stripe: Source, exported: InMemorySpanExporter) -> None:
    stripe.fault("status", "/v1/customers", status=401, times=None)
    with pytest.raises(PullError):
        await stripe.sync()
    (sync,) = named(exported, "sync stripe")
    assert not sync.status.is_ok
    assert (attributes(sync)["error.type"], sync.status.description, sync.events) == ("PullError", None, ())


async def test_a_webhook_is_traced_from_its_delivery_to_its_rows(
    stripe: Source, exported: InMemorySpanExporter
) -> None:
    await stripe.sync_all()
    provider = LocalKeyProvider([stripe.master_key])
    endpoints = Endpoints(stripe.db, CredentialStore(stripe.db, provider))
    endpoint = await endpoints.create(stripe.connection)
    await endpoints.rotate(endpoint, Secret(SIGNING))
    customer = next(iter(stripe.expected()))
    (event,) = caused(stripe, lambda: stripe.rename(customer, "Canary Renamed"))
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = webhook_server(stripe.db, provider, Settings(public_url=url))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    exported.clear()
    body = json.dumps(event).encode()
    async with httpx.AsyncClient(base_url=url, timeout=LIMIT_SECONDS) as client:
        headers = signed(body, SIGNING)
        answer = await client.post(f"/webhooks/stripe/{endpoint.path}", content=body, headers=headers)
    assert answer.status_code == 200
    server.should_exit = True
    await running
    with logs.about(run="r2"):
        assert await drained(stripe) is not None

    (served,) = named(exported, "POST /webhooks/{connector}/{endpoint_path}")
    (sent,), (processed,), (settled,) = (
        named(exported, f"{operation} webhook_inbox") for operation in ("send", "process", "settle")
    )
    assert attributes(served)["http.response.status_code"] == 200
    assert is_below(sent, served)
    for one in (processed, settled):
        assert [link.context.span_id for link in one.links] == [sent.context.span_id if sent.context else 0]
        assert attributes(one)["unified.run"] == "r2"
        assert attributes(one)["messaging.batch.message_count"] == 1
    assert any(is_below(one, processed) for one in named(exported, "GET"))
    assert any(
        is_below(one, settled) for one in exported.get_finished_spans() if one.name.startswith("merge ")
    )
    told = "".join(one.to_json() for one in exported.get_finished_spans())
    for secret in (KEYS["stripe"], SIGNING, endpoint.path, "Canary", customer, event["id"]):
        assert secret not in told


class _Collector(BaseHTTPRequestHandler):
    received: ClassVar[list[ExportTraceServiceRequest]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A receiver of OTLP on loopback: its URL, and what it got."""
    _Collector.received.clear()
    with HTTPServer(("127.0.0.1", 0), _Collector) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", _Collector.received
        server.shutdown()
        thread.join()


_TRACED = """
import sys
from unified import tracing
with tracing.span("work", {"unified.stream": "customers"}):
    print(tracing.traceparent())
print(*(name for name in sys.modules if name == "opentelemetry"), file=sys.stderr)
"""


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    root = Path(__file__).parents[3]
    return subprocess.run(
        [sys.executable, "-c", _TRACED],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        timeout=LIMIT_SECONDS,
    )


def test_the_standard_variables_say_where_spans_go(
    collector: tuple[str, list[ExportTraceServiceRequest]],
) -> None:
    url, received = collector
    done = run(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_SERVICE_NAME="ours")
    (resource,) = (one for request in received for one in request.resource_spans)
    assert "ours" in {one.value.string_value for one in resource.resource.attributes}
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.attributes[0].value.string_value) == ("work", "customers")
    assert done.stdout.startswith(f"00-{span.trace_id.hex()}-{span.span_id.hex()}-")


@pytest.mark.parametrize(
    "off", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}]
)
def test_where_traces_are_off_nothing_is_imported(off: dict[str, str]) -> None:
    done = run(**off)
    assert (done.stdout.strip(), done.stderr.strip()) == ("None", "")
