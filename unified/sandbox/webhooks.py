"""Webhooks as providers send them: signed, in the background, again and again until somebody answers 2xx.

Here: endpoints, delivery, retries, and what a bad network does on demand. Not here: what a provider puts into a
delivery and how it signs (`unified.sandbox.stripe.webhooks`, `unified.sandbox.hubspot.webhooks`).
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

import httpx

from unified.sandbox.draw import Draw

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from unified.sandbox.clock import Clock

Record = dict[str, Any]

MAX_CONCURRENT = 32
"""Requests under way at once, over all endpoints."""


@dataclass(frozen=True)
class Endpoint:
    """Where an account's events are delivered, and what happens to deliveries on the way."""

    key: str
    """The account's API key."""
    url: str
    secret: str = field(repr=False)
    """Deliveries are signed with it."""
    retry_scale: float = 1.0
    """Factor on the provider's pauses between attempts: 0.001 makes an hour 3.6 seconds."""
    duplicates: int = 0
    """How often each delivery comes once more than it should, accepted or not."""
    delay: float = 0.0
    """Seconds before each delivery's first attempt."""
    reorder: float = 0.0
    """Each delivery is late by up to so many seconds, drawn for it alone, so that later ones overtake it."""
    drop: float = 0.0
    """Chance of each delivery to be lost without an attempt."""

    def wants(self, event: Record, now: float) -> bool:  # noqa: ARG002 - most are sent all
        """Whether an event is sent there; `now` in Unix seconds."""
        return True


class WebhookForm(ABC):
    """How one provider writes, signs and repeats a delivery."""

    batch: ClassVar[int]
    """Events in one delivery at most."""
    timeout: ClassVar[float]
    """Seconds that an endpoint has to answer."""

    @abstractmethod
    def pauses(self, key: str) -> Sequence[float]:
        """Seconds between attempts for an account; after the last one the delivery is given up."""

    @abstractmethod
    def body(self, events: Sequence[Record], attempt: int) -> bytes:
        """The body of an attempt, counted from 0."""

    @abstractmethod
    def headers(self, endpoint: Endpoint, body: bytes, now: float) -> dict[str, str]:
        """The signature over a body, and whatever else the provider sends along; `now` in Unix seconds."""


class Webhooks:
    """All endpoints of one provider. Events are delivered by a thread that begins with the first of them.

    Args:
        form: the provider's way.
        clock: dates signatures.
    """

    def __init__(self, form: WebhookForm, clock: Clock) -> None:
        self._form = form
        self._clock = clock
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._counts: dict[tuple[str, str], Counter[str]] = {}
        self._draw = Draw(0)
        # Guards all of the above, and announces deliveries that end.
        self._changed = threading.Condition()
        self._courier: _Courier | None = None

    def add(self, endpoint: Endpoint) -> None:
        """Deliver from now on; in place of an endpoint of the same account and URL."""
        with self._changed:
            place = endpoint.key, endpoint.url
            self._endpoints[place] = endpoint
            self._counts.setdefault(place, Counter())

    def clear(self) -> None:
        """Remove all endpoints; what was on its way is not delivered any more."""
        self.close()
        with self._changed:
            self._endpoints.clear()
            self._counts.clear()

    def count(self, key: str) -> int:
        """How many endpoints an account has."""
        with self._changed:
            return sum(endpoint.key == key for endpoint in self._endpoints.values())

    def announce(self, key: str, events: Sequence[Record]) -> None:
        """Deliver events of an account; returns at once."""
        size, now = self._form.batch, self._clock.time()
        with self._changed:
            for place, endpoint in self._endpoints.items():
                wanted = [one for one in events if endpoint.key == key and endpoint.wants(one, now)]
                for at in range(0, len(wanted), size):
                    self._begin(place, endpoint, wanted[at : at + size])

    def wait(self, seconds: float) -> bool:
        """Wait until every delivery was accepted, dropped or given up; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not any(counts["waiting"] for counts in self._counts.values()), seconds
            )

    def report(self) -> list[dict[str, Any]]:
        """Endpoints without their secrets, each with its counts.

        `waiting` deliveries, those `accepted`, `dropped` and `given_up`, and `attempts`.
        """
        names = ("waiting", "attempts", "accepted", "dropped", "given_up")
        with self._changed:
            return [
                {"key": key, "url": url, **{name: counts[name] for name in names}}
                for (key, url), counts in self._counts.items()
            ]

    def close(self) -> None:
        """End the thread; what was on its way stays undelivered."""
        with self._changed:
            courier, self._courier = self._courier, None
        if courier:
            courier.stop()
        with self._changed:
            for counts in self._counts.values():
                del counts["waiting"]
            self._changed.notify_all()

    def _begin(self, place: tuple[str, str], endpoint: Endpoint, batch: Sequence[Record]) -> None:
        counts = self._counts[place]
        if self._chance() < endpoint.drop:
            counts["dropped"] += 1
            return
        self._courier = self._courier or _Courier()
        for _ in range(1 + endpoint.duplicates):
            counts["waiting"] += 1
            wait = endpoint.delay + endpoint.reorder * self._chance()
            self._courier.take(partial(self._deliver, endpoint, counts, batch, wait))

    def _chance(self) -> float:
        return self._draw.below(1_000_000) / 1_000_000

    async def _deliver(
        self,
        endpoint: Endpoint,
        counts: Counter[str],
        events: Sequence[Record],
        wait: float,
        http: httpx.AsyncClient,
    ) -> None:
        pauses = [wait, *(pause * endpoint.retry_scale for pause in self._form.pauses(endpoint.key))]
        outcome = "given_up"
        for attempt, pause in enumerate(pauses):
            await asyncio.sleep(pause)
            with self._changed:
                counts["attempts"] += 1
            if await self._is_accepted(http, endpoint, self._form.body(events, attempt)):
                outcome = "accepted"
                break
        with self._changed:
            counts[outcome] += 1
            counts["waiting"] -= 1
            self._changed.notify_all()

    async def _is_accepted(self, http: httpx.AsyncClient, endpoint: Endpoint, body: bytes) -> bool:
        headers = self._form.headers(endpoint, body, self._clock.time())
        try:
            answer = await http.post(endpoint.url, content=body, headers=headers, timeout=self._form.timeout)
        except httpx.TransportError:
            return False
        return answer.is_success


@cache
def _trusted() -> ssl.SSLContext:
    """One for all couriers: making it reads every certificate authority, for 30 ms."""
    return httpx.create_ssl_context(trust_env=False)


class _Courier:
    """A thread with an event loop and an HTTP client, until it is stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def take(self, deliver: Callable[[httpx.AsyncClient], Any]) -> None:
        """Begin a delivery; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._start, deliver)

    def stop(self) -> None:
        """End every delivery, and wait for it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        limits = httpx.Limits(max_connections=MAX_CONCURRENT)
        self._http = httpx.AsyncClient(limits=limits, verify=_trusted(), trust_env=False)
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    def _start(self, deliver: Callable[[httpx.AsyncClient], Any]) -> None:
        task = self._loop.create_task(deliver(self._http))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
