"""Providers that allow less than they declare, answer too much, or show a key again."""

import asyncio
import base64
import gzip
import json
import logging
import resource
import threading
import time
import traceback
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest

from tests.unified.api.management.rig import CONFIGS, Issuer, serving
from tests.unified.sync.stories.conftest import Told
from tests.unified.sync.stories.exchange import Answer, Request, said
from tests.waiting import LIMIT_SECONDS
from unified.sync.errors import PullError

Proceed = Callable[[], Answer]


@dataclass
class Strict:
    """Allows so many requests in any second, says how long to wait, and breaks each seventh answer."""

    allowed: int
    passed: list[float] = field(default_factory=list)
    refused: int = 0
    asked: int = 0

    def __call__(self, _: Request, answer: Proceed) -> Answer:
        now = time.monotonic()
        self.asked += 1
        if sum(1 for at in self.passed if at > now - 1) >= self.allowed:
            self.refused += 1
            error = {"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many"}}
            return said(error, 429, Retry_After="1", Stripe_Should_Retry="false")
        self.passed.append(now)
        if len(self.passed) % 7 == 0:
            return said({"error": {"type": "api_error", "message": "Sorry"}}, 500)
        return answer()


async def test_all_invoices_come_from_a_provider_that_allows_less_and_fails_often(told: Told) -> None:
    """Each with more lines than come with it, so that a page of them takes a hundred requests."""
    for _ in range(120):
        told.systems.stripe.invoice(12)
    told.systems.meddle = strict = Strict(40)
    await told.billing.configure(requests_per_second=160)
    for _ in range(5):
        with suppress(PullError):
            if (await told.billing.sync("invoices")).is_complete:
                break
    rows = await told.billing.query(
        "SELECT count(*), sum(total), sum(jsonb_array_length(line_items)) FROM {leaf}", "invoices"
    )
    assert rows == [(120, 1440, 1440)]
    assert strict.refused <= strict.asked / 5


def unpacking_to(megabytes: int) -> bytes:
    """A gzip body that is a thousandth of what it holds."""
    packing = zlib.compressobj(9, wbits=31)
    parts = [packing.compress(b" " * 1_000_000) for _ in range(megabytes)]
    return b"".join([packing.compress(b'{"object": "list", "data": ['), *parts, packing.flush()])


@pytest.mark.parametrize(
    ("coding", "why"), [("gzip", "larger than 1 MiB"), ("gzip, gzip", "which was not asked for")]
)
async def test_one_answer_of_one_provider_stops_no_other_tenant(told: Told, coding: str, why: str) -> None:
    """Four hundred kilobytes that hold four hundred megabytes, for four tenants' tries of their credentials at once."""
    body = unpacking_to(400)
    if coding != "gzip":
        body = gzip.compress(body)
    assert len(body) < 1_000_000
    sent = threading.Semaphore(0)

    def meddle(_: Request, __: Proceed) -> Answer:
        sent.release()
        return Answer(200, body, {"content-encoding": coding})

    told.systems.meddle = meddle
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with serving(told.db, Issuer(), told.systems.url) as api:
        acme = await api.tenant("acme")
        trials = []
        for number in range(4):
            added = await acme.add(f"c{number}")
            await acme.give_key(added)
            path = f"{CONFIGS}/{added['id']}/test"
            trials.append(asyncio.create_task(acme.ask("POST", path)))
        assert await asyncio.to_thread(sent.acquire, timeout=LIMIT_SECONDS)
        answered = 0
        while not all(one.done() for one in trials):
            assert (await api.client.get("/healthz")).status_code == 200
            answered += 1
        assert answered >= 2
        for trial in trials:
            outcome = await trial
            assert not outcome["ok"]
            assert why in outcome["reason"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 200_000, "kilobytes"


# A key with whatever may be written in several ways.
KEY = 'rk_test_fake/with+odd="signs"&=\\'
QUOTED = json.dumps(KEY)[1:-1]
FORMS = {
    "escaped slashes": QUOTED.replace("/", "\\/"),
    "all escaped": "".join(f"\\u{ord(one):04x}" for one in KEY),
    "capital escapes": "".join(f"\\u{ord(one):04X}" for one in KEY),
    "some escaped": QUOTED.replace("=", "\\u003d").replace("&", "\\u0026").replace("+", "\\u002B"),
    "twice": json.dumps(QUOTED)[1:-1],
    "percent": quote(KEY, safe=""),
    "base64": base64.b64encode(KEY.encode()).decode(),
}


@pytest.mark.parametrize("status", [401, 400, 500])
async def test_a_key_that_is_shown_again_is_nowhere(
    told: Told, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """In all the ways that JSON, URLs and base64 write it, one after the other."""
    await told.billing.use_key(KEY)
    for form in FORMS.values():
        body = b'{"error": {"message": "Invalid API Key provided: %b", "type": "x"}}' % form.encode()
        told.systems.meddle = lambda _, __, body=body: Answer(status, body)  # type: ignore[misc]
        caplog.clear()
        with caplog.at_level(logging.DEBUG), pytest.raises(PullError) as caught:
            await told.billing.sync()
        state = await told.billing.state()
        told_of = [*traceback.format_exception(caught.value), caplog.text, str(state.error_message)]
        for part in (KEY, *FORMS.values(), "with+odd", "signs"):
            assert not any(part in one for one in told_of)
