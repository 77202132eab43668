"""Faults on demand, shared by all providers: which request is hit, and what is done to the response's body.

Not here: the providers' own error bodies (each provider renders a `status` fault in its own words).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import msgspec

from unified.sandbox.draw import Draw

Kind = Literal["status", "slow", "cut", "malformed", "html", "repeat", "bad_record", "revoked", "clock"]

HTML_PAGE = b"<!DOCTYPE html>\n<html><head><title>Notice</title></head><body>Be right back</body></html>\n"


@dataclass
class Fault:
    """One kind of trouble and the requests that get it.

    Kinds: `status` answers with an error of that status; `slow` waits `seconds` first; `cut` closes the
    connection in the middle of the body; `malformed` sends half the JSON as if it were whole; `html` sends
    a web page with `status` (200 is a fine one); `repeat` sends the last good page of that path again, so
    paging does not advance; `bad_record` breaks one record of the page; `revoked` answers as for a revoked
    key; `clock` shifts the `Date` header by `seconds`.
    """

    kind: Kind
    path: str = ""
    """Prefix of the path below the provider's mount, such as `/v1/customers`; empty hits every path."""
    times: int | None = 1
    """How often to strike; None never stops."""
    skip: int = 0
    """How many matching requests pass first: `skip=2` hits the third page."""
    every: int = 1
    """Strike one in so many matching requests: `every=7` the seventh, the fourteenth and so on."""
    probability: float = 1.0
    """Chance of each matching request, drawn deterministically."""
    key: str | None = None
    """Only requests with this API key or token."""
    status: int = 500
    code: str | None = None
    """The provider's own reason: Stripe's `lock_timeout`, HubSpot's policy `DAILY`."""
    retry_after: str | None = None
    """`Retry-After` header: seconds, or an HTTP date. None sends none."""
    seconds: float = 0.0
    record: int = 0
    """`bad_record`: position in the page."""
    drop: str | None = None
    """`bad_record`: dotted field to remove, such as `id`."""
    replace: dict[str, Any] = field(default_factory=dict)
    """`bad_record`: dotted field to new value, such as `{"total": "12.50"}`."""

    matched: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no fault of kind {self.kind!r}; there are {', '.join(get_args(Kind))}")


class Faults:
    """The armed faults of one provider. The first that matches a request strikes it."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._draw = Draw(0)

    def add(self, fault: Fault) -> None:
        """Arm one more."""
        self._armed.append(fault)

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()

    def take(self, path: str, key: str | None) -> Fault | None:
        """The fault that strikes this request, its count already reduced; None where it goes through."""
        for fault in self._armed:
            if not path.startswith(fault.path) or fault.key not in (None, key):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.matched += 1
            if fault.matched % fault.every:
                continue
            if fault.probability < 1 and self._draw.below(1_000_000) >= fault.probability * 1_000_000:
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._armed.remove(fault)
            return fault
        return None


_LISTS = ("data", "results", "list", "records", "Contacts", "Invoices", "CreditNotes", "Payments",
          "members", "channels", "messages")  # fmt: skip
"""What providers call the records of a page."""


def break_record(body: bytes, fault: Fault) -> bytes:
    """Make one record of a page invalid, as `bad_record` asks; without a list the body is the record."""
    document = msgspec.json.decode(body)
    records = next((document[name] for name in _LISTS if name in document), None)
    target = records[fault.record % len(records)] if isinstance(records, list) and records else document
    if fault.drop is not None:
        parent, name = _parent(target, fault.drop)
        parent.pop(name, None)
    for dotted, value in fault.replace.items():
        parent, name = _parent(target, dotted)
        parent[name] = value
    return msgspec.json.encode(document)


def _parent(target: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    *path, name = dotted.split(".")
    for part in path:
        target = target[part]
    return target, name
