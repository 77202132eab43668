"""What a provider served, for benchmarks (achieved rate, 429s, concurrency) and tests (requests made)."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


@dataclass
class Stats:
    """Counters since the start or the last `reset`."""

    requests: Counter[str] = field(default_factory=Counter)
    """Requests by endpoint, such as `GET /v1/customers`."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Responses by HTTP status."""
    limited: Counter[str] = field(default_factory=Counter)
    """429 responses by endpoint, faults included."""
    bytes_sent: int = 0
    in_flight: int = 0
    max_concurrent: int = 0
    _first: float = 0.0
    _last: float = 0.0

    def begin(self, endpoint: str) -> None:
        """A request has arrived."""
        self._last = time.monotonic()
        if not self.requests:
            self._first = self._last
        self.requests[endpoint] += 1
        self.in_flight += 1
        self.max_concurrent = max(self.max_concurrent, self.in_flight)

    def end(self, endpoint: str, status: int, size: int) -> None:
        """Its response goes out."""
        self._last = time.monotonic()
        self.in_flight -= 1
        self.statuses[status] += 1
        self.bytes_sent += size
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self.limited[endpoint] += 1

    def reset(self) -> None:
        """Back to zero; requests in flight stay counted as such."""
        in_flight = self.in_flight
        self.__dict__.update(Stats().__dict__)
        self.in_flight = self.max_concurrent = in_flight

    def report(self) -> dict[str, Any]:
        """All counters, and the achieved rate: requests a second between the first and the last activity."""
        total, seconds = self.requests.total(), self._last - self._first
        return {
            "requests": dict(self.requests),
            "total": total,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "limited": dict(self.limited),
            "max_concurrent": self.max_concurrent,
            "bytes_sent": self.bytes_sent,
            "seconds": round(seconds, 3),
            "requests_per_second": round(total / seconds, 2) if seconds > 0 else None,
        }
