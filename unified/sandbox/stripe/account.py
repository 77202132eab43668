"""One Stripe account: its records as they stand, the changes that tests make to them, and the oracles.

Each change does what Stripe would do to the object and appends the events that Stripe would send. Not here:
HTTP.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from unified.sandbox.collection import Collection
from unified.sandbox.data import CURRENCY_BY_CODE, snap
from unified.sandbox.draw import seed_of
from unified.sandbox.stripe.events import Events
from unified.sandbox.stripe.invoices import MAX_LINES, Invoices, shown
from unified.sandbox.stripe.objects import KINDS, Objects
from unified.sandbox.stripe.records import Customers
from unified.sandbox.stripe.settlement import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unified.sandbox.clock import Clock

Record = dict[str, Any]

_OPTIONAL = ("business_name", "individual_name")
"""Fields of a customer that only some have."""


class StripeAccount:
    """The data behind one API key.

    Args:
        key: chooses the data, together with `seed`; keys that start with `sk_live` are in live mode.
        seed: same seed and key, same records.
        customers: number of generated customers, about 1 % of them deleted.
        invoices: number of generated invoices.
        objects: number of generated objects of each further kind.
        until: Unix seconds of the newest generated record.
        clock: dates every change.
        announce: called with each new event.
    """

    def __init__(
        self,
        key: str,
        *,
        seed: int,
        customers: int,
        invoices: int,
        objects: int,
        until: int,
        clock: Clock,
        announce: Callable[[Record], None],
    ) -> None:
        base = seed_of(seed, key)
        self.livemode = key.startswith(("sk_live", "rk_live"))
        self._clock = clock
        self._customers = Customers(base, customers, until, livemode=self.livemode)
        self._invoices = Invoices(base, invoices, until, self._customers, livemode=self.livemode)
        self.customers = Collection(
            customers, self._customers.created, self._customers.customer, self._customers.ids
        )
        for index in range(customers):
            if self._customers.is_deleted(index):
                self.customers.remove(index)
        self.invoices = Collection(
            invoices, self._invoices.created, self._invoices.invoice, self._invoices.ids, render=shown
        )
        self.events = Events(
            base, self._customers, self._invoices, until, clock, livemode=self.livemode, announce=announce
        )
        self.objects = {
            name: Objects(
                kind,
                base,
                objects,
                until,
                lambda index: self._customers.ids.encode(index % max(customers, 1)),
                livemode=self.livemode,
            )
            for name, kind in KINDS.items()
        }
        self.profile: Record = {
            "id": f"acct_sandbox{base % 10**12:012d}",
            "object": "account",
            "business_profile": None,
            "business_type": "company",
            "charges_enabled": True,
            "country": "US",
            "created": until,
            "default_currency": "usd",
            "details_submitted": True,
            "email": "owner@sandbox.example",
            "metadata": {},
            "payouts_enabled": True,
            "type": "standard",
        }

    # Changes -------------------------------------------------------------------------------------------

    def create_customer(self, **fields: Any) -> Record:
        """Create a customer; fields override the generated ones. Emits `customer.created`."""
        customer = {**self._customers.customer(self.customers.next_index, created=self._now()), **fields}
        self.customers.add(self._now(), customer)
        self.events.emit("customer.created", customer)
        return customer

    def update_customer(self, customer_id: str, **fields: Any) -> Record:
        """Change fields of a customer. Emits `customer.updated`."""
        return self._change(self.customers, customer_id, fields, "customer.updated")

    def delete_customer(self, customer_id: str) -> None:
        """Delete a customer for good; its invoices remain. Emits `customer.deleted` with the last state."""
        index = _found(self.customers, customer_id)
        self.customers.remove(index)
        self.events.emit("customer.deleted", self.customers.shown(index))

    def create_invoice(self, *, lines: int | Sequence[Record] = 1, **fields: Any) -> Record:
        """Create a draft. Emits `invoice.created`.

        Args:
            lines: how many to generate, or for each line the fields that override the
                generated ones; a line with an `amount` of its own has no discount and no tax unless it says
                so.
            fields: override the invoice's fields; amounts are computed and cannot be given.
        """
        index, now = self.invoices.next_index, self._now()
        count = lines if isinstance(lines, int) else len(lines)
        if count > MAX_LINES:
            raise ValueError(f"cannot create an invoice of {count} lines: {MAX_LINES} is the most")
        invoice = self._invoices.invoice(index, created=now, line_count=count)
        invoice.update(pre_payment_credit_notes_amount=0, post_payment_credit_notes_amount=0, **fields)
        for line, wanted in zip(invoice["lines"], () if isinstance(lines, int) else lines, strict=False):
            if "amount" in wanted:
                line.update(discount_amounts=[], taxes=[], subtotal=wanted["amount"])
            line.update(wanted)
        for line in invoice["lines"]:
            line["currency"] = invoice["currency"]
        settle(invoice, "draft")
        self._reset_dates(invoice)
        self.invoices.add(now, invoice)
        self.events.emit("invoice.created", shown(invoice))
        return shown(invoice)

    def update_invoice(self, invoice_id: str, **fields: Any) -> Record:
        """Change fields that decide no amount, such as `description`. Emits `invoice.updated`."""
        return self._change(self.invoices, invoice_id, fields, "invoice.updated")

    def finalize_invoice(self, invoice_id: str) -> Record:
        """Open a draft (paid at once where nothing is due). Emits `invoice.finalized`, `invoice.updated`."""
        return self._move(invoice_id, ("draft",), "open", "finalized_at", ("invoice.finalized",))

    def pay_invoice(self, invoice_id: str) -> Record:
        """Pay an open or written-off invoice. Emits `invoice.paid`, `….payment_succeeded`, `….updated`."""
        events = ("invoice.paid", "invoice.payment_succeeded")
        return self._move(invoice_id, ("open", "uncollectible"), "paid", "paid_at", events)

    def void_invoice(self, invoice_id: str) -> Record:
        """Void an open or written-off invoice. Emits `invoice.voided`, `invoice.updated`."""
        return self._move(invoice_id, ("open", "uncollectible"), "void", "voided_at", ("invoice.voided",))

    def write_off_invoice(self, invoice_id: str) -> Record:
        """Mark an open invoice uncollectible. Emits `invoice.marked_uncollectible`, `invoice.updated`."""
        events = ("invoice.marked_uncollectible",)
        return self._move(invoice_id, ("open",), "uncollectible", "marked_uncollectible_at", events)

    def delete_invoice(self, invoice_id: str) -> None:
        """Delete a draft; its id is then unknown. Emits `invoice.deleted` with the last state."""
        index = _found(self.invoices, invoice_id)
        if self.invoices.get(index)["status"] != "draft":
            raise ValueError(
                f"cannot delete invoice {invoice_id}: only drafts can be deleted; void it instead"
            )
        self.invoices.remove(index)
        self.events.emit("invoice.deleted", self.invoices.shown(index))

    def create_object(self, kind: str, **fields: Any) -> Record:
        """Create an object of a further kind; fields override the generated ones. Emits `….created`."""
        objects = self.objects[kind]
        record = {**objects.make(objects.collection.next_index, created=self._now()), **fields}
        objects.collection.add(self._now(), record)
        self._tell(objects, "created", record)
        return objects.kind.shown(record)

    def update_object(self, kind: str, object_id: str, **fields: Any) -> Record:
        """Change fields of such an object. Emits `….updated`."""
        objects = self.objects[kind]
        index = _found(objects.collection, object_id)
        before = objects.collection.get(index)
        objects.collection.put(index, {**before, **fields})
        self._tell(objects, "updated", objects.collection.get(index))
        return objects.collection.shown(index)

    def delete_object(self, kind: str, object_id: str) -> None:
        """Delete such an object, where that can be. Emits `….deleted`."""
        objects = self.objects[kind]
        if not objects.kind.is_deletable:
            raise ValueError(f"cannot delete {object_id}: Stripe deletes no {kind}")
        index = _found(objects.collection, object_id)
        objects.collection.remove(index)
        self._tell(objects, "deleted", objects.collection.get(index))

    # Oracles -------------------------------------------------------------------------------------------

    def all_customers(self) -> Iterator[Record]:
        """Every customer that is not deleted, newest first."""
        return (self.customers.shown(index) for index in self.customers.live())

    def all_invoices(self) -> Iterator[Record]:
        """Every invoice with all its lines, newest first."""
        for index in self.invoices.live():
            invoice = self.invoices.get(index)
            yield shown(invoice, invoice["lines"])

    def all_objects(self, kind: str) -> Iterator[Record]:
        """Every object of a further kind with all that is nested in it, newest first."""
        return self.objects[kind].all()

    def all_events(self) -> Iterator[Record]:
        """Every event that is still kept, newest first."""
        first = self.events.first_kept()
        for position in range(len(self.events.collection) - 1, first - 1, -1):
            yield self.events.collection.shown(self.events.collection.index_at(position))

    def source_counts(self) -> dict[str, int]:
        """How many records a complete copy holds: customers, invoices, invoice_lines, events."""
        lines = [len(self.invoices.get(index)["lines"]) for index in self.invoices.live()]
        return {
            "customers": sum(1 for _ in self.customers.live()),
            "invoices": len(lines),
            "invoice_lines": sum(lines),
            "events": len(self.events.collection) - self.events.first_kept(),
        }

    def source_totals(self) -> dict[str, dict[str, int]]:
        """Per currency, in the API's integer units: sums of total, amount_due, amount_paid and tax."""
        totals: dict[str, dict[str, int]] = defaultdict(
            lambda: dict.fromkeys(("total", "amount_due", "amount_paid", "tax"), 0)
        )
        for index in self.invoices.live():
            invoice = self.invoices.get(index)
            sums = totals[invoice["currency"]]
            for name in ("total", "amount_due", "amount_paid"):
                sums[name] += invoice[name]
            sums["tax"] += sum(tax["amount"] for tax in invoice["total_taxes"])
        return dict(totals)

    # ---------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._clock.time())

    def _tell(self, objects: Objects, change: str, record: Record) -> None:
        if objects.kind.events:
            self.events.emit(f"{objects.kind.events}.{change}", objects.kind.shown(record))

    def _change(self, records: Collection, record_id: str, fields: Record, event: str) -> Record:
        index = _found(records, record_id)
        before = records.get(index)
        if unknown := [name for name in fields if name not in before and name not in _OPTIONAL]:
            raise ValueError(f"cannot update {record_id}: it has no field {', '.join(unknown)}")
        records.put(index, {**before, **fields})
        self.events.emit(event, records.shown(index), previous={name: before.get(name) for name in fields})
        return records.shown(index)

    def _move(
        self, invoice_id: str, allowed: tuple[str, ...], status: str, date_field: str, events: tuple[str, ...]
    ) -> Record:
        index = _found(self.invoices, invoice_id)
        before = self.invoices.get(index)
        if before["status"] not in allowed:
            raise ValueError(f"cannot make invoice {invoice_id} {status}: it is {before['status']}")
        invoice = {**before, "status_transitions": {**before["status_transitions"], date_field: self._now()}}
        settle(invoice, status)
        if status == "open":
            invoice.update(
                effective_at=self._now(),
                number=f"{invoice_id[3:11].upper()}-{index % 9999:04d}",
                attempted=True,
            )
            if invoice["status"] == "paid":
                invoice["status_transitions"]["paid_at"] = self._now()
                events = (*events, "invoice.paid")
        self.invoices.put(index, invoice)
        now_shown = self.invoices.shown(index)
        previous = {
            name: before[name] for name in invoice if invoice[name] != before[name] and name != "lines"
        }
        self.events.emit("invoice.updated", now_shown, previous=previous)
        for event in events:
            self.events.emit(event, now_shown)
        return now_shown

    def _reset_dates(self, invoice: Record) -> None:
        invoice["status_transitions"] = dict.fromkeys(invoice["status_transitions"])
        invoice.update(effective_at=None, number=None, attempted=False, attempt_count=0)
        currency = CURRENCY_BY_CODE[invoice["currency"]]
        if any(line["amount"] != snap(line["amount"], currency) for line in invoice["lines"]):
            raise ValueError(f"Stripe takes {currency.code} amounts in steps of {currency.step} only")


def _found(records: Collection, record_id: str) -> int:
    index = records.index_of(record_id)
    if index is None or records.is_gone(index):
        raise KeyError(f"the sandbox has no record {record_id}, or it was deleted")
    return index
