"""A stand-in for Chargebee's API v2: customers, invoices with their lines, and events.

Source: https://apidocs.chargebee.com/docs/api (objects: /customers, /invoices, /events; `list-ops` for paging, order
and filters; `error-handling` for refusals and limits). Everything else is declared to `unified.sandbox.tables`.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

import msgspec

from unified.sandbox.clock import DAY
from unified.sandbox.data import CURRENCY_BY_CODE, PRODUCTS, person, price
from unified.sandbox.draw import Draw, IdCodec, seed_of
from unified.sandbox.provider import ApiError
from unified.sandbox.tables.account import Feed
from unified.sandbox.tables.api import TableSandbox
from unified.sandbox.tables.listing import BadParameterError, Token, number
from unified.sandbox.tables.table import New, Table
from unified.sandbox.webhooks import Endpoint, Record, WebhookForm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HOUR = 3600.0
_CURRENCIES = ("usd",) * 6 + ("eur",) * 3 + ("gbp", "jpy", "kwd")
_STATUSES = ("paid",) * 6 + ("payment_due", "not_paid", "posted", "voided", "pending")
_CODES = {
    400: "param_wrong_value", 401: "api_authentication_failed", 403: "api_authorization_failed",
    404: "resource_not_found", 429: "api_request_limit_exceeded",
}  # fmt: skip


def _customer(new: New) -> Record:
    """https://apidocs.chargebee.com/docs/api/customers; a field without a value is left out by Chargebee."""
    who, draw = person(new.draw), Draw(seed_of("customer", new.index))
    address = {
        "first_name": who.first, "last_name": who.last, "line1": who.street, "city": who.city.name,
        "country": who.city.country, "zip": who.postal_code, "validation_status": "not_validated",
        "object": "billing_address",
    }  # fmt: skip
    return {
        "first_name": who.first, "last_name": who.last, "email": who.email, "phone": who.phone,
        "company": who.company if draw.chance(500) else None, "vat_number": None, "locale": who.city.locale,
        "auto_collection": "on", "net_term_days": 0, "allow_direct_debit": False, "taxability": "taxable",
        "pii_cleared": "active", "preferred_currency_code": draw.pick(_CURRENCIES).upper(),
        "promotional_credits": 0, "refundable_credits": 0, "excess_payments": 0, "unbilled_charges": 0,
        "billing_address": address if draw.chance(800) else None,
        "cf_crm_id": str(100_000 + new.index) if draw.chance(300) else None,
        "meta_data": {"plan": "pro"} if draw.chance(300) else None, "object": "customer",
    }  # fmt: skip


def _invoice(new: New) -> Record:
    """https://apidocs.chargebee.com/docs/api/invoices: amounts in the currency's smallest unit."""
    draw, customers = new.draw, new.account.rows["customers"]
    currency = CURRENCY_BY_CODE[draw.pick(_CURRENCIES)]
    owner = draw.below(max(1, len(list(customers))))
    return {
        "customer_id": customers.id_of(owner), "recurring": True, "status": draw.pick(_STATUSES),
        "currency_code": currency.code.upper(), "price_type": "tax_exclusive",
        "due_date": new.created + 30 * DAY, "net_term_days": 30, "exchange_rate": 1, "write_off_amount": 0,
        "credits_applied": 0, "amount_adjusted": 0, "round_off_amount": 0, "first_invoice": False,
        "po_number": f"PO-{draw.below(9000)}" if draw.chance(200) else None,
        "line_items": [_line(new, draw, number, price(draw, currency)) for number in range(draw.between(1, 6))],
        "object": "invoice",
    }  # fmt: skip


def _line(new: New, draw: Draw, number: int, unit: int) -> Record:
    quantity = draw.pick((1, 1, 2, 12))
    is_taxed = draw.chance(500)
    return {
        "id": f"li_{new.index}_{number}", "date_from": new.created, "date_to": new.created + 30 * DAY,
        "unit_amount": unit, "quantity": quantity, "amount": unit * quantity, "is_taxed": is_taxed,
        "discount_amount": unit // 10 if draw.chance(150) else 0, "item_level_discount_amount": 0,
        "tax_amount": unit * quantity * 19 // 100 if is_taxed else 0, "pricing_model": "per_unit",
        "description": draw.pick(PRODUCTS), "entity_type": "plan_item_price",
        "entity_id": f"plan-{draw.below(5)}-USD-Monthly", "object": "line_item",
    }  # fmt: skip


def _settled(invoice: Record) -> Record:
    """The amounts that follow from lines and status."""
    lines, status = invoice["line_items"], invoice["status"]
    tax, subtotal = sum(line["tax_amount"] for line in lines), sum(line["amount"] for line in lines)
    total = subtotal + tax - sum(line["discount_amount"] for line in lines)
    paid = total if status == "paid" else 0
    due = 0 if status in ("paid", "voided") else total
    amounts = {"sub_total": subtotal, "tax": tax, "total": total, "amount_paid": paid, "amount_due": due}
    return {**invoice, **amounts, "amount_to_collect": due, "paid_at": invoice["due_date"] if paid else None}


def _event(new: New) -> Record:
    """An event of the generated history; https://apidocs.chargebee.com/docs/api/events."""
    customers = new.account.rows["customers"]
    row = customers.find(customers.id_of(new.index % 200))
    about = {"customer": _without_nothing(customers.shown(row))} if row else {}
    return _envelope("customer_changed", about)


def _envelope(kind: str, content: Record) -> Record:
    return {
        "source": "admin_console", "api_version": "v2", "event_type": kind, "content": content,
        "webhook_status": "scheduled", "object": "event",
    }  # fmt: skip


def _announced(change: str, table: Table, record: Record) -> Record:
    words = {"create": "created", "update": "changed", "delete": "deleted"}
    if table.noun == "invoice":
        words |= {"create": "generated", "update": "updated"}
    return _envelope(f"{table.noun}_{words[change]}", {table.noun: _without_nothing(record)})


def _without_nothing(record: Record) -> Record:
    return {name: value for name, value in record.items() if value is not None}


class ChargebeeWebhooks(WebhookForm):
    """One event a delivery, with the user and password that the webhook is protected by, `user:password`.

    https://www.chargebee.com/docs/webhook_settings.html; seven retries, each later than the one before.
    """

    batch = 1
    timeout = 20.0

    def pauses(self, key: str) -> Sequence[float]:  # noqa: ARG002 - the same for every site
        """https://support.chargebee.com/support/solutions/articles/257941."""
        return (120, 360, 1800, _HOUR, 5 * _HOUR, 24 * _HOUR, 48 * _HOUR)

    def body(self, events: Sequence[Record], attempt: int) -> bytes:  # noqa: ARG002 - it stays the same
        """The event."""
        return msgspec.json.encode(_without_nothing(events[0]))

    def headers(self, endpoint: Endpoint, body: bytes, now: float) -> dict[str, str]:  # noqa: ARG002 - nothing is signed
        """Basic authentication."""
        credentials = base64.b64encode(endpoint.secret.encode()).decode()
        return {"content-type": "application/json;charset=utf-8", "authorization": f"Basic {credentials}"}


class ChargebeeSandbox(TableSandbox):
    """Stand-in for `https://{site}.chargebee.com`; the API lies below `/api/v2`."""

    name = "chargebee"
    base = "/api/v2"
    default_keys = ("test_fake_acme", "test_fake_globex")
    webhook_form = ChargebeeWebhooks()
    paging = Token("offset")
    feed = Feed("events", _announced)
    tables: ClassVar[tuple[Table, ...]] = (
        Table(
            "customers", "customer", _customer, lambda index, seed: IdCodec("", 16, seed).encode(index), 200,
            created="created_at", updated="updated_at", deleted="deleted",
            writable=frozenset({"create", "update", "delete"}),
        ),
        Table(
            "invoices", "invoice", _invoice, lambda index, _: str(1001 + index), 300, updated="updated_at",
            created="date", deleted="deleted", settle=_settled, writable=frozenset({"delete"}),
        ),
        Table(
            "events", "event", _event, lambda index, seed: IdCodec("ev_", 16, seed).encode(index), 250,
            created="occurred_at",
        ),
    )  # fmt: skip

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """https://apidocs.chargebee.com/docs/api/error-handling."""
        kind = "invalid_request" if status < 429 else "operation_failed"  # noqa: PLR2004 - limits and failures
        code = code or _CODES.get(status, "internal_error")
        body = {"message": message, "type": kind, "api_error_code": code, "http_status_code": status}
        headers = {"retry-after": "1"} if status == 429 and code == _CODES[429] else {}  # noqa: PLR2004
        return ApiError(
            status,
            {**body, "http_status_code": status, **({"param": parameter} if parameter else {})},
            headers,
        )

    def one(self, table: Table, record: Record, parameters: Mapping[str, str]) -> Any:
        """The record in an object of its noun; an invoice with the lines that are asked for, a hundred at first.

        https://apidocs.chargebee.com/docs/api/invoices/retrieve-an-invoice.
        """
        shown = _without_nothing(record)
        if table.noun == "invoice":
            begin = number("line_items_offset", parameters.get("line_items_offset", "0"))
            end = begin + number("line_items_limit", parameters.get("line_items_limit", "100"))
            rest = {"line_items_next_offset": str(end)} if end < len(shown["line_items"]) else {}
            shown = {**shown, "line_items": shown["line_items"][begin:end], **rest}
        return {table.noun: shown}

    def page(self, table: Table, records: Sequence[Record], after: str | None) -> Any:
        """https://apidocs.chargebee.com/docs/api/list-ops: `next_offset` is absent from the last page."""
        return _without_nothing(
            {"list": [self.one(table, record, {}) for record in records], "next_offset": after}
        )

    def order(self, table: Table, parameters: dict[str, str]) -> tuple[str, bool]:
        """`sort_by[asc]` or `sort_by[desc]`; without it by creation, upwards."""
        for direction in ("asc", "desc"):
            field = parameters.pop(f"sort_by[{direction}]", None)
            if field is not None:
                if field not in (table.created, table.updated):
                    raise BadParameterError("sort_by", f"sort_by : {field[:80]} cannot be sorted by")
                return field, direction == "desc"
        return super().order(table, parameters)

    def written(self, table: Table, body: bytes) -> Record:
        """A form, its nested fields in brackets: `billing_address[city]`."""
        fields: Record = {}
        for name, value in parse_qsl(body.decode(), keep_blank_values=True):
            outer, _, inner = name.removesuffix("]").partition("[")
            if inner:
                fields.setdefault(outer, {"object": outer})[inner] = value
            else:
                fields[name] = value or None
        if unknown := fields.keys() - {table.id, *_customer(New(self.account(), Draw(0), 0, 0))}:
            raise self.error(400, f"{min(unknown)} : unknown parameter", parameter=min(unknown))
        return fields
