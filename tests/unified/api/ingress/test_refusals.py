"""What a refusal says to somebody who tries: nothing, not even by the time that it takes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.unified.api.conftest import signed, stripe_event
from unified.api.ingress import endpoint
from unified.store.inbox.lookup import EndpointLookup

if TYPE_CHECKING:
    import httpx

    from tests.unified.api.conftest import Ingress

GRID_SECONDS = 0.5
UNKNOWN_PATH = "x" * 32
# An event loop's timers may be a millisecond early.
SLACK = 0.01


@pytest.fixture
def coarse_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "REFUSAL_SECONDS", GRID_SECONDS)


async def timed(request: httpx.AsyncClient, path: str, headers: dict[str, str], body: bytes) -> float:
    """Seconds that a refusal took."""
    started = time.perf_counter()
    answer = await request.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.content) == (401, b"")
    return time.perf_counter() - started


@pytest.mark.usefixtures("coarse_grid")
@pytest.mark.parametrize(
    "case",
    [
        "wrong signature",
        "no signature",
        "out of date",
        "unknown path",
        "unknown path, again",
        "unknown connector",
        "another connector's path",
        "no path of an endpoint",
    ],
)
async def test_no_refusal_is_quicker_than_another(case: str, ingress: Ingress) -> None:
    body = stripe_event("evt_1")
    path = {
        "unknown path": f"/webhooks/stripe/{UNKNOWN_PATH}",
        "unknown path, again": f"/webhooks/stripe/{UNKNOWN_PATH}",
        "unknown connector": f"/webhooks/nobody/{UNKNOWN_PATH}",
        "another connector's path": f"/webhooks/hubspot/{ingress.endpoint.path}",
        "no path of an endpoint": "/webhooks/stripe/short",
    }.get(case, ingress.path)
    headers = {
        "no signature": {},
        "out of date": signed(body, at=time.time() - 3_600),
    }.get(case, signed(body, "whsec_fake_other"))
    # In memory from the first time on, where it is to be had there at all.
    first, second = [await timed(ingress.client, path, headers, body) for _ in range(2)]
    assert min(first, second) >= GRID_SECONDS - SLACK


@pytest.mark.usefixtures("coarse_grid")
async def test_a_look_up_that_takes_long_shows_no_more_than_a_step(
    ingress: Ingress, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = EndpointLookup._look_up

    async def slow(self: EndpointLookup, connector: str, path: str) -> object:
        await asyncio.sleep(1.2 * GRID_SECONDS)
        return await look_up(self, connector, path)

    monkeypatch.setattr(EndpointLookup, "_look_up", slow)
    body = stripe_event("evt_1")
    path = f"/webhooks/stripe/{UNKNOWN_PATH}"
    assert await timed(ingress.client, path, signed(body), body) >= 2 * GRID_SECONDS - SLACK


async def test_what_is_accepted_waits_for_no_refusal(
    ingress: Ingress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "REFUSAL_SECONDS", 3_600.0)
    refused = asyncio.create_task(ingress.client.post(ingress.path, content=b"{}"))
    assert (await ingress.deliver("evt_1")).status_code == 200
    assert not refused.done()
    refused.cancel()
