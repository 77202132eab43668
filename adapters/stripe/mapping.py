"""Stripe's objects as unified records, and unified customers as Stripe's parameters. Pure functions only.

Objects may come in the shape of any API version since 2020: those of the pinned version from the API, older
ones from raw records that were stored long ago. https://docs.stripe.com/changelog/basil lists what moved in
2025.
"""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any

from adapters.stripe.money import UNITS
from unified.kit.errors import MappingError
from unified.kit.streams import Origin
from unified.kit.writing.changes import choose
from unified.schema.address import UnifiedAddress
from unified.schema.customer import CustomerKind, UnifiedCustomer
from unified.schema.event import UnifiedEvent
from unified.schema.invoice import InvoiceStatus, UnifiedInvoice, UnifiedLineItem
from unified.schema.reading import address, currency, first_of, moment, number, text
from unified.schema.record import UnifiedRecord
from unified.schema.unusable import PREFIX, Unusable

# What the type of a thin event begins with.
_VERSION = re.compile(r"^v\d+\.")

# Stripe's statuses are words of the unified enumeration as well; a new one of Stripe's becomes null.
_STATUSES = {status.value: status for status in InvoiceStatus}

# Keys of custom_fields that this mapping sets itself; all others are the object's metadata.
_OWN_FIELDS = frozenset(
    ("customer_account", "subscription", "account", "tax_number_type"),
)

# https://docs.stripe.com/metadata: limits of metadata.
_MOST_METADATA, _LONGEST_KEY, _LONGEST_VALUE = 50, 40, 500

# What a customer keeps when it is written; the README says what becomes of the rest.
WRITABLE_FIELDS = frozenset(
    (
        "email", "name", "phone", "company", "kind", "description", "billing_address", "shipping_address",
        "custom_fields",
    )
)  # fmt: skip

_ADDRESS_PARTS = ("line1", "line2", "city", "state", "postal_code", "country")


def to_customer(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    """Map a customer (https://docs.stripe.com/api/customers/object), a deleted one included."""
    _check_kind(raw, "customer")
    unusable = Unusable()
    custom = unusable.read("metadata", _metadata_of, raw) or {}
    if raw.get("customer_account"):
        custom["customer_account"] = raw["customer_account"]
    tax_kind, tax_number = unusable.read("tax_number", _first_tax_id, raw.get("tax_ids")) or (None, None)
    if tax_kind:
        custom["tax_number_type"] = tax_kind
    person, company = text(raw.get("individual_name")), text(raw.get("business_name"))
    gone = bool(raw.get("deleted"))
    return unusable.record(
        UnifiedCustomer,
        **origin.identify(raw["id"]),
        created_at=unusable.time("created_at", raw.get("created")),
        deleted_at=origin.observed_at if gone else None,
        is_active=not gone,
        livemode=raw.get("livemode"),
        custom_fields=custom,
        raw_data=raw,
        **unusable.reach([raw.get("email")], [raw.get("phone")]),
        name=text(raw.get("name")) or person or company,
        company=company,
        billing_address=unusable.read("billing_address", _billing, raw.get("address")),
        shipping_address=unusable.read("shipping_address", _shipping, raw.get("shipping")),
        kind=CustomerKind.PERSON if person else CustomerKind.COMPANY if company else None,
        tax_number=tax_number,
        currency=unusable.read("currency", currency, raw.get("currency")),
        description=text(raw.get("description")),
    )


def from_customer(customer: UnifiedCustomer, fields: Collection[str] | None = None) -> dict[str, Any]:
    """The parameters that create or update a customer (https://docs.stripe.com/api/customers/create).

    Args:
        customer: As it shall be.
        fields: See :meth:`unified.kit.adapter.BaseAdapter.from_unified`.

    Returns:
        Nested parameters, not form-encoded yet; None empties one. Addresses are whole, all parts named where
        the address is to be replaced.

    Raises:
        ConfigurationError: If one of the fields is not written.
    """
    business = text(customer.company or (customer.name if customer.kind is CustomerKind.COMPANY else None))
    # It is read so as well: a customer that is known by its company's name only is called by it.
    name = customer.name or business
    parts: dict[str, dict[str, Any]] = {
        "email": {"email": customer.email},
        "name": {"name": text(name)},
        "phone": {"phone": text(customer.phone)},
        "description": {"description": text(customer.description)},
        "company": {"business_name": business},
        "kind": {
            "business_name": business,
            "individual_name": name if customer.kind is CustomerKind.PERSON else None,
        },
        "billing_address": {"address": _from_address(customer.billing_address)},
        "shipping_address": {"shipping": _from_shipping(customer.shipping_address, name)},
    }
    chosen, metadata = choose(parts, _metadata(customer.custom_fields), fields)
    if fields is None:
        chosen = {key: _known(part) if isinstance(part, dict) else part for key, part in chosen.items()}
    return {**chosen, "metadata": metadata} if metadata else chosen


def to_invoice(raw: dict[str, Any], origin: Origin) -> UnifiedInvoice:
    """Map an invoice with all its lines; nothing is recomputed.

    See https://docs.stripe.com/api/invoices/object. Amounts in a currency that is not a code have two digits, as those
    of every currency that Stripe does not list otherwise.
    """
    _check_kind(raw, "invoice")
    unusable = Unusable()
    written: str = raw["currency"].upper()
    code = unusable.read("currency", currency, written)
    transitions = raw.get("status_transitions") or {}
    custom = unusable.read("metadata", _metadata_of, raw) or {}
    if raw.get("customer_account"):
        custom["customer_account"] = raw["customer_account"]
    if subscription := unusable.read("subscription", _subscription, raw):
        custom["subscription"] = subscription
    taxes = first_of(raw, "total_taxes", "total_tax_amounts")
    status = raw.get("status")

    def amount(name: str) -> Decimal | None:
        return UNITS.amount(raw.get(name), written)

    return unusable.record(
        UnifiedInvoice,
        **origin.identify(raw["id"]),
        created_at=unusable.time("created_at", raw.get("created")),
        livemode=raw.get("livemode"),
        custom_fields=custom,
        raw_data=raw,
        customer_id=_id(raw.get("customer")),
        invoice_number=text(raw.get("number")),
        status=unusable.read("status", _STATUSES.get, status or ""),
        remote_status=status,
        currency=code,
        subtotal=amount("subtotal"),
        tax=amount("tax") if taxes is None else UNITS.total(taxes, written),
        discount=UNITS.total(raw.get("total_discount_amounts"), written),
        total=UNITS.amount(raw["total"], written),
        amount_due=amount("amount_due"),
        amount_paid=amount("amount_paid"),
        amount_remaining=amount("amount_remaining"),
        issue_date=unusable.time(
            "issue_date", raw.get("effective_at") or _transition(transitions, "finalized_at")
        ),
        due_date=unusable.time("due_date", raw.get("due_date")),
        paid_date=unusable.time("paid_date", _transition(transitions, "paid_at")),
        line_items=unusable.each(
            "line_items", raw["lines"]["data"], lambda line, part: _line(line, written, part)
        ),
        memo=text(raw.get("description")),
        hosted_url=text(raw.get("hosted_invoice_url")),
        pdf_url=text(raw.get("invoice_pdf")),
    )


def to_record(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    """Map an object of any other kind: a subscription, a charge. Its content is the raw record."""
    unusable = Unusable()
    return unusable.record(
        UnifiedRecord,
        **origin.identify(raw["id"]),
        created_at=unusable.time("created_at", raw.get("created")),
        livemode=raw.get("livemode"),
        custom_fields=unusable.read("metadata", _metadata_of, raw) or {},
        raw_data=raw,
        name=first_of(raw, "name", "nickname", "number", "description"),
    )


def to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    """Map an event, a snapshot or a thin one. Stripe does not say who caused one.

    A snapshot (https://docs.stripe.com/api/events/object) holds the object as it was; a thin event
    (https://docs.stripe.com/api/v2/core/events/object) names it, and its type begins with the API's version.
    """
    kind = raw["type"]
    subject = (raw.get("data") or {}).get("object")
    related = raw.get("related_object") or {}
    about = (related.get("type"), related.get("id"))
    if isinstance(subject, dict):
        about = (subject.get("object"), subject.get("id"))
    happened = moment(raw["created"])
    if happened is None:
        raise MappingError("the event does not say when it happened")
    account = raw.get("account") or raw.get("context")
    return UnifiedEvent(
        **origin.identify(raw["id"]),
        created_at=happened,
        livemode=raw.get("livemode"),
        custom_fields={"account": account} if account else {},
        raw_data=raw,
        event_type=kind,
        event_category=_VERSION.sub("", kind).partition(".")[0],
        payload=subject if isinstance(subject, dict) else raw.get("data") or related,
        resource_type=text(about[0]),
        resource_id=text(about[1]),
        occurred_at=happened,
        api_version=text(raw.get("api_version")),
    )


def _line(raw: dict[str, Any], currency: str, unusable: Unusable) -> UnifiedLineItem:
    pricing = raw.get("pricing") or {}
    price = pricing.get("price_details") or raw.get("price") or {}
    period = unusable.read("period", dict, raw.get("period") or {}) or {}
    unit = first_of(pricing, "unit_amount_decimal")
    if unit is None:
        unit = first_of(price, "unit_amount_decimal", "unit_amount")
    return unusable.model(
        UnifiedLineItem,
        {
            "source_id": text(raw.get("id")),
            "description": text(raw.get("description")),
            "quantity": unusable.read("quantity", number, first_of(raw, "quantity_decimal", "quantity")),
            "unit_price": UNITS.price(unit, currency),
            "amount": UNITS.amount(raw.get("amount"), currency),
            "tax": UNITS.total(first_of(raw, "taxes", "tax_amounts"), currency),
            "discount": UNITS.total(raw.get("discount_amounts"), currency),
            "item_id": _id(price.get("product")) or _id(price.get("price")) or _id(price.get("id")),
            "period_start": unusable.time("period_start", period.get("start")),
            "period_end": unusable.time("period_end", period.get("end")),
        },
    )


def _check_kind(raw: dict[str, Any], kind: str) -> None:
    """Refuse an object of another kind: all but its id is optional, so it would pass for an empty one of this kind."""
    if (found := raw.get("object", kind)) != kind:
        raise MappingError(f"the record is not a {kind}: its object is {found!r:.40}")


def _metadata_of(raw: dict[str, Any]) -> dict[str, Any]:
    return dict(raw.get("metadata") or {})


def _transition(transitions: Any, name: str) -> Any:
    """When an invoice came into a state; what is not an object names no time."""
    return transitions.get(name) if isinstance(transitions, dict) else None


def _subscription(raw: dict[str, Any]) -> str | None:
    """Its place since 2025 first: pinning an old version does not bring the old field back."""
    details = (raw.get("parent") or {}).get("subscription_details") or {}
    return _id(details.get("subscription")) or _id(raw.get("subscription"))


def _first_tax_id(listed: dict[str, Any] | None) -> tuple[str | None, str | None]:
    """Type and value of the first tax id, where the object came with them; the API says them only when asked."""
    ids = (listed or {}).get("data") or []
    return (text(ids[0].get("type")), text(ids[0].get("value"))) if ids else (None, None)


def _parts(raw: dict[str, Any] | None) -> dict[str, str | None]:
    """An address's parts, which have the same names here and there."""
    return {part: raw.get(part) for part in _ADDRESS_PARTS} if raw else {}


def _billing(raw: dict[str, Any] | None) -> UnifiedAddress | None:
    return address(_parts(raw))


def _shipping(raw: dict[str, Any] | None) -> UnifiedAddress | None:
    if not raw:
        return None
    return address({**_parts(raw.get("address")), "name": raw.get("name"), "phone": raw.get("phone")})


def _from_address(address: UnifiedAddress | None) -> dict[str, Any] | None:
    """All parts, so that nothing of a former address stays; None for an address without parts."""
    parts = {part: getattr(address, part, None) or None for part in _ADDRESS_PARTS}
    return parts if any(parts.values()) else None


def _from_shipping(shipping: UnifiedAddress | None, name: str | None) -> dict[str, Any] | None:
    """Stripe asks for an address and a name: a shipping address without either can't be kept there."""
    address = _from_address(shipping)
    addressee = (shipping and shipping.name) or name
    if shipping is None or address is None or addressee is None:
        return None
    return {"address": address, "name": addressee, "phone": shipping.phone or None}


def _metadata(custom: Mapping[str, Any]) -> dict[str, str]:
    """The custom fields that metadata can hold."""
    fitting = (
        (key, value)
        for key, value in custom.items()
        if key not in _OWN_FIELDS
        and not key.startswith(PREFIX)
        and isinstance(value, str)
        and 0 < len(value) <= _LONGEST_VALUE
        and 0 < len(key) <= _LONGEST_KEY
        and not {"[", "]"} & set(key)
    )
    return dict(islice(fitting, _MOST_METADATA))


def _known(parts: dict[str, Any]) -> dict[str, Any]:
    """Nested parameters without what is empty."""
    return {
        name: _known(value) if isinstance(value, dict) else value
        for name, value in parts.items()
        if value is not None
    }


def _id(reference: Any) -> str | None:
    """The id behind a reference, which is an id, an expanded object, or null."""
    return reference.get("id") if isinstance(reference, dict) else reference or None
