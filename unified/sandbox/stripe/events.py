"""The events feed: events of the last 30 days of the generated history, and one for each later change.

Source: https://docs.stripe.com/api/events (kept 30 days; the payload has the shape of the API version of
its day).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from unified.sandbox.clock import DAY, Clock
from unified.sandbox.collection import Collection
from unified.sandbox.draw import IdCodec
from unified.sandbox.stripe.invoices import Invoices, shown
from unified.sandbox.stripe.settlement import settle
from unified.sandbox.stripe.versions import LATEST, OLD, as_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.stripe.records import Customers

RETENTION = 30 * DAY


class _Past(NamedTuple):
    """An event of the generated history: enough to make its payload again."""

    created: int
    type: str
    record: int


class Events:
    """The feed of one account, in a `Collection` of its own."""

    def __init__(
        self,
        seed: int,
        customers: Customers,
        invoices: Invoices,
        until: int,
        clock: Clock,
        *,
        livemode: bool,
        announce: Callable[[dict[str, Any]], None],
    ) -> None:
        self._customers = customers
        self._invoices = invoices
        self._until = until
        self._clock = clock
        self._livemode = livemode
        self._announce = announce
        self._past = sorted(self._history())
        self._added_types: dict[int, str] = {}
        self.collection = Collection(
            len(self._past), lambda index: self._past[index].created, self._make, IdCodec("evt_", 24, seed)
        )
        self.version = LATEST
        """The API version at which new events are rendered."""

    def type_of(self, index: int) -> str:
        """The type of an event, without making its payload."""
        return self._past[index].type if index < len(self._past) else self._added_types[index]

    def first_kept(self) -> int:
        """Position of the first event that is not older than 30 days."""
        return self.collection.first_at_or_after(int(self._clock.time()) - RETENTION)

    def emit(self, kind: str, payload: dict[str, Any], previous: dict[str, Any] | None = None) -> None:
        """Append and announce an event with a snapshot of the object as the API shows it now.

        Args:
            kind: such as `customer.updated`.
            payload: the object, as shown.
            previous: `previous_attributes` of an update.
        """
        index = self.collection.next_index
        data: dict[str, Any] = {"object": as_of(self.version, payload)}
        if previous is not None:
            data["previous_attributes"] = previous
        # A round trip through JSON takes the snapshot: later changes must not reach into it.
        snapshot = msgspec.json.decode(msgspec.json.encode(data))
        self._added_types[index] = kind
        created = int(self._clock.time())
        event = self._event(index, created, kind, snapshot, self.version)
        self.collection.add(created, event)
        self._announce(event)

    def _history(self) -> list[_Past]:
        horizon = self._until - RETENTION
        past = []
        for index, created in _recent(self._customers.count, self._customers.created, horizon):
            past.append(_Past(created, "customer.created", index))
            if (self._customers.count - index) % 9 == 1:
                # In the same second as its creation: a cursor on `created` alone would skip it.
                past.append(_Past(created, "customer.updated", index))
            if self._customers.is_deleted(index):
                past.append(_Past(min(created + DAY, self._until), "customer.deleted", index))
        for index, created in _recent(self._invoices.count, self._invoices.created, horizon):
            past.append(_Past(created, "invoice.created", index))
            if (self._invoices.count - index) % 20 == 1:
                past.append(_Past(created, "invoice.upcoming", index))
                past.append(_Past(created, "product.updated", index))
            times = self._invoices.invoice(index)["status_transitions"]
            for field, kind in (
                ("finalized_at", "invoice.finalized"),
                ("paid_at", "invoice.paid"),
                ("voided_at", "invoice.voided"),
                ("marked_uncollectible_at", "invoice.marked_uncollectible"),
            ):
                if times[field] is not None:
                    past.append(_Past(times[field], kind, index))
        return past

    def _make(self, index: int) -> dict[str, Any]:
        created, kind, record = self._past[index]
        data: dict[str, Any]
        if kind == "product.updated":
            data = {
                "object": {
                    "id": f"prod_sandbox{record}",
                    "object": "product",
                    "name": "Pro plan",
                    "active": True,
                }
            }
        elif kind.startswith("customer."):
            data = {"object": self._customers.customer(record)}
        else:
            data = {"object": shown(self._as_it_was(kind, record))}
        if kind.endswith(".updated"):
            data["previous_attributes"] = {"description": "Before the change"}
        # The account moved to the current version 15 days ago.
        version = OLD if created < self._until - RETENTION // 2 else LATEST
        data["object"] = as_of(version, data["object"])
        return self._event(index, created, kind, data, version)

    def _as_it_was(self, kind: str, record: int) -> dict[str, Any]:
        invoice = self._invoices.invoice(record)
        if kind in ("invoice.created", "invoice.upcoming"):
            settle(invoice, "draft")
            invoice.update(number=None, attempted=False, attempt_count=0, effective_at=None)
            invoice.update(hosted_invoice_url=None, invoice_pdf=None)
            invoice["status_transitions"] = dict.fromkeys(invoice["status_transitions"])
        return invoice

    def _event(
        self, index: int, created: int, kind: str, data: dict[str, Any], version: str
    ) -> dict[str, Any]:
        if kind == "invoice.upcoming":
            # A preview of an invoice that does not exist yet, hence without an id.
            data["object"].pop("id", None)
        return {
            "id": self.collection.ids.encode(index),
            "object": "event",
            "api_version": version,
            "created": created,
            "data": data,
            "livemode": self._livemode,
            "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }


def _recent(count: int, created: Callable[[int], int], horizon: int) -> list[tuple[int, int]]:
    """(index, created) of the generated records that are newer than the horizon."""
    found = []
    for index in range(count - 1, -1, -1):
        at = created(index)
        if at < horizon:
            break
        found.append((index, at))
    return found
