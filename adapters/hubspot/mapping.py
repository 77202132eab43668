"""HubSpot's contacts and invoices as unified records, and back. Pure: no I/O, no clock.

Property names and values: https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide,
https://developers.hubspot.com/docs/api-reference/latest/crm/objects/invoices/guide,
https://developers.hubspot.com/docs/api-reference/latest/crm/objects/line-items/guide.
Every property is text or null.
"""

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from unified.kit.streams import Origin
from unified.kit.writing.changes import choose
from unified.schema import InvoiceStatus, UnifiedAddress, UnifiedCustomer, UnifiedInvoice, UnifiedLineItem
from unified.schema.customer import CustomerKind
from unified.schema.money import parse_amount
from unified.schema.reading import address, currency, emails, first_of, joined, number
from unified.schema.record import UnifiedRecord
from unified.schema.unusable import Unusable

Properties = dict[str, str | None]

_CONTACT_FIELDS = (
    "address", "city", "company", "country", "email", "firstname", "hs_additional_emails", "lastname",
    "mobilephone", "phone", "state", "zip",
)  # fmt: skip
_INVOICE_FIELDS = (
    "hs_amount_billed", "hs_amount_paid", "hs_balance_due", "hs_comments", "hs_currency",
    "hs_discounts_total", "hs_due_date", "hs_invoice_date", "hs_invoice_link", "hs_invoice_status",
    "hs_number", "hs_payment_date", "hs_pdf_download_link", "hs_subtotal", "hs_taxes_total",
)  # fmt: skip
# What is read of each object: the fields above, and what is worth having among the custom fields.
CONTACT_PROPERTIES = (
    *_CONTACT_FIELDS,
    "hs_language",
    "hs_merged_object_ids",
    "jobtitle",
    "lifecyclestage",
    "website",
)
INVOICE_PROPERTIES = (*_INVOICE_FIELDS, "hs_fees_total", "hs_purchase_order_number", "hs_title")
COMPANY_PROPERTIES = ("name", "domain")
# What is read of further objects: https://developers.hubspot.com/docs/api-reference/latest/crm/objects
_COMPANY_FIELDS = ("address", "city", "country", "description", "name", "phone", "state", "zip")
LINE_PROPERTIES = (
    "amount", "description", "hs_position_on_quote", "hs_product_id", "hs_sku", "hs_tax_amount",
    "hs_total_discount", "name", "price", "quantity",
)  # fmt: skip

FURTHER_PROPERTIES = {
    "companies": (
        *_COMPANY_FIELDS, "annualrevenue", "domain", "hs_merged_object_ids", "industry", "lifecyclestage",
        "numberofemployees", "website",
    ),
    "deals": (
        "amount", "closedate", "deal_currency_code", "dealname", "dealstage", "dealtype", "description",
        "hubspot_owner_id", "pipeline",
    ),
    "tickets": (
        "closed_date", "content", "hs_pipeline", "hs_pipeline_stage", "hs_ticket_category", "hs_ticket_priority",
        "hubspot_owner_id", "source_type", "subject",
    ),
    "products": (
        "description", "hs_cost_of_goods_sold", "hs_sku", "hs_url", "name", "price", "recurringbillingfrequency",
    ),
    "line_items": (*LINE_PROPERTIES, "hs_line_item_currency_code"),
    "quotes": (
        "hs_currency", "hs_expiration_date", "hs_quote_amount", "hs_quote_number", "hs_status", "hs_title",
        "hubspot_owner_id",
    ),
}  # fmt: skip
# Beside the properties that the account has defined for a custom object.
CUSTOM_PROPERTIES = ("hs_merged_object_ids", "hubspot_owner_id")
# The custom fields that name associated records.
_LINKED = {
    "companies": "company_ids",
    "contacts": "contact_ids",
    "deals": "deal_ids",
    "tickets": "ticket_ids",
}
# Of an owner, which has no properties: https://developers.hubspot.com/docs/api-reference/latest/crm/owners/guide
_OWNER_FIELDS = ("email", "teams", "type", "userId")
# What people call a record, whichever object it is of.
_NAMES = ("dealname", "subject", "name", "hs_title")

# What a contact keeps when it is written, and which further properties are: those that every portal has and
# that people fill in. A connection's settings name more.
WRITABLE_FIELDS = frozenset(
    ("email", "emails", "name", "phone", "phones", "company", "billing_address", "custom_fields")
)
WRITABLE_CUSTOM = ("jobtitle", "website")

# HubSpot adds these to every record; they repeat what stands at its top.
_BOOKKEEPING = ("createdate", "hs_createdate", "hs_lastmodifieddate", "hs_object_id", "lastmodifieddate")
NOT_CUSTOM_OF_CONTACTS = frozenset((*_CONTACT_FIELDS, *_BOOKKEEPING))
_NOT_CUSTOM_OF_COMPANIES = frozenset((*_COMPANY_FIELDS, *_BOOKKEEPING))
_NOT_CUSTOM_OF_INVOICES = frozenset((*_INVOICE_FIELDS, *_BOOKKEEPING))

_PER_SECOND = 1000  # Unix milliseconds, where a time is not ISO 8601 or a date

_STATUSES = {
    "draft": InvoiceStatus.DRAFT,
    "open": InvoiceStatus.OPEN,
    "paid": InvoiceStatus.PAID,
    "voided": InvoiceStatus.VOID,
}


def customer(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    """Map a contact.

    Its company is the associated one's name, else the free text in its own ``company`` property. What can't be
    read goes into the custom fields (``invalid_email``, …).
    """
    properties: Properties = raw["properties"]
    get, unusable = properties.get, Unusable(per_second=_PER_SECOND)
    companies = raw.get("associations", {}).get("companies", ())
    custom: dict[str, Any] = _custom(properties, NOT_CUSTOM_OF_CONTACTS)
    if companies:
        custom["company_ids"] = [company["id"] for company in companies]

    more, more_invalid = unusable.read("additional_emails", _further_emails, get("hs_additional_emails")) or (
        [],
        [],
    )
    if more_invalid:
        custom["invalid_additional_emails"] = more_invalid
    reached = unusable.reach([get("email")], [get("phone"), get("mobilephone")])
    return unusable.record(
        UnifiedCustomer,
        **origin.identify(raw["id"]),
        **_life(raw, unusable),
        custom_fields=custom,
        raw_data=raw,
        **{**reached, "emails": tuple(dict.fromkeys((*reached["emails"], *more)))},
        name=unusable.read("name", joined, (get("firstname"), get("lastname"))),
        company=next((company["name"] for company in companies if company.get("name")), None)
        or get("company")
        or None,
        billing_address=unusable.read("billing_address", _address, properties),
    )


def company(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    """Map a company."""
    properties: Properties = raw["properties"]
    get, unusable = properties.get, Unusable(per_second=_PER_SECOND)
    return unusable.record(
        UnifiedCustomer,
        **origin.identify(raw["id"]),
        **_life(raw, unusable),
        custom_fields=_custom(properties, _NOT_CUSTOM_OF_COMPANIES),
        raw_data=raw,
        **unusable.reach([], [get("phone")]),
        name=get("name") or None,
        company=get("name") or None,
        kind=CustomerKind.COMPANY,
        billing_address=unusable.read("billing_address", _address, properties),
        description=get("description") or None,
    )


def record(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    """Map a record of any other object: a deal, a ticket."""
    properties: Properties = raw["properties"]
    unusable = Unusable(per_second=_PER_SECOND)
    return unusable.record(
        UnifiedRecord,
        **origin.identify(raw["id"]),
        **_life(raw, unusable),
        custom_fields={**_custom(properties, frozenset((*_NAMES, *_BOOKKEEPING))), **_linked(raw)},
        raw_data=raw,
        name=first_of(properties, *_NAMES),
    )


def custom_object(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    """Map a record of a custom object: its id and its custom fields say of which one."""
    properties: Properties = raw["properties"]
    unusable = Unusable(per_second=_PER_SECOND)
    display = raw["displayProperty"]
    custom = _custom(properties, frozenset((display, *_BOOKKEEPING)))
    custom |= {"object_type": raw["objectType"], "object_type_id": raw["objectTypeId"], **_linked(raw)}
    return unusable.record(
        UnifiedRecord,
        **origin.identify(f"{raw['objectTypeId']}:{raw['id']}"),
        **_life(raw, unusable),
        custom_fields=custom,
        raw_data=raw,
        name=properties.get(display) if display else None,
    )


def owner(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    """Map an owner: a person's name, else the address; of a queue its name."""
    unusable = Unusable(per_second=_PER_SECOND)
    called = unusable.read("name", joined, (raw.get("firstName"), raw.get("lastName")))
    return unusable.record(
        UnifiedRecord,
        **origin.identify(raw["id"]),
        **_life(raw, unusable),
        custom_fields={key: raw[key] for key in _OWNER_FIELDS if raw.get(key)},
        raw_data=raw,
        name=called or unusable.read("email", joined, (raw.get("email"),)),
    )


def invoice(raw: dict[str, Any], origin: Origin) -> UnifiedInvoice:
    """Map an invoice. All amounts are HubSpot's own; ``hs_amount_billed`` includes tax and is the total."""
    properties: Properties = raw["properties"]
    get, unusable = properties.get, Unusable(per_second=_PER_SECOND)
    associations = raw.get("associations", {})
    code = unusable.read("currency", currency, get("hs_currency"))
    contacts = [contact["id"] for contact in associations.get("contacts", ())]
    custom: dict[str, Any] = _custom(properties, _NOT_CUSTOM_OF_INVOICES)
    if len(contacts) > 1:
        custom["contact_ids"] = contacts
    if companies := associations.get("companies"):
        custom["company_ids"] = [company["id"] for company in companies]
    status = get("hs_invoice_status") or None

    def amount(name: str) -> Decimal | None:
        return parse_amount(get(name), code or "")

    return unusable.record(
        UnifiedInvoice,
        **origin.identify(raw["id"]),
        **_life(raw, unusable),
        custom_fields=custom,
        raw_data=raw,
        customer_id=contacts[0] if contacts else None,
        invoice_number=get("hs_number") or None,
        status=unusable.read("status", _STATUSES.get, status or ""),
        remote_status=status,
        subtotal=amount("hs_subtotal"),
        tax=amount("hs_taxes_total"),
        discount=amount("hs_discounts_total"),
        total=amount("hs_amount_billed"),
        amount_paid=amount("hs_amount_paid"),
        amount_remaining=amount("hs_balance_due"),
        currency=code,
        issue_date=unusable.time("issue_date", get("hs_invoice_date")),
        due_date=unusable.time("due_date", get("hs_due_date")),
        paid_date=unusable.time("paid_date", get("hs_payment_date")),
        memo=get("hs_comments") or None,
        hosted_url=get("hs_invoice_link") or None,
        pdf_url=get("hs_pdf_download_link") or None,
        line_items=unusable.each(
            "line_items",
            sorted(associations.get("line_items", ()), key=_position),
            lambda line, part: _line(line, code or "", part),
        ),
    )


def contact_body(
    record: UnifiedCustomer, fields: Collection[str] | None = None, custom: Collection[str] = ()
) -> dict[str, Any]:
    """The body that creates or updates a contact.

    A name is split before its last word. HubSpot has one address line: both follow each other there. It keeps
    e-mail addresses in lower case.

    Args:
        record: As it shall be.
        fields: See :meth:`unified.kit.adapter.BaseAdapter.from_unified`.
        custom: Names of the custom fields that may be written: a portal refuses those that it does not have.

    Raises:
        ConfigurationError: If one of the fields is not written.
    """
    first, _, last = " ".join((record.name or "").split()).rpartition(" ")
    numbers = dict.fromkeys(number for number in (record.phone, *record.phones) if number)
    phone, mobile, *_ = (*numbers, None, None)
    email = record.email and record.email.lower()
    more = dict.fromkeys(one.lower() for one in record.emails)
    billed = record.billing_address or UnifiedAddress()
    parts: dict[str, dict[str, str | None]] = {
        "email": {"email": email},
        "emails": {"email": email, "hs_additional_emails": ";".join(one for one in more if one != email)},
        "name": {"firstname": first or last, "lastname": last if first else None},
        "phone": {"phone": phone},
        "phones": {"phone": phone, "mobilephone": mobile},
        "company": {"company": record.company},
        "billing_address": {
            "address": ", ".join(line for line in (billed.line1, billed.line2) if line),
            "city": billed.city,
            "state": billed.state,
            "zip": billed.postal_code,
            "country": billed.country,
        },
    }
    known = {
        field: {name: value or None for name, value in properties.items()}
        for field, properties in parts.items()
    }
    own = {
        key: value
        for key, value in record.custom_fields.items()
        if key in custom and isinstance(value, str) and value
    }
    properties, written = choose(known, own, fields)
    return {"properties": {**properties, **written}}


def _life(raw: dict[str, Any], unusable: Unusable) -> dict[str, Any]:
    """When a record was made, changed and archived."""
    times = {"created_at": "createdAt", "updated_at": "updatedAt", "deleted_at": "archivedAt"}
    return {
        **{field: unusable.time(field, raw.get(name)) for field, name in times.items()},
        "is_active": not raw.get("archived", False),
    }


def _linked(raw: dict[str, Any]) -> dict[str, list[str]]:
    """Ids of what a record is associated with, by the field that has them."""
    associations = raw.get("associations", {})
    return {
        field: [one["id"] for one in associations[name]]
        for name, field in _LINKED.items()
        if associations.get(name)
    }


def _custom(properties: Properties, known: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value and name not in known}


def _address(properties: Properties) -> UnifiedAddress | None:
    get = properties.get
    parts = {
        "line1": get("address"), "city": get("city"), "state": get("state"), "postal_code": get("zip"),
        "country": get("country"),
    }  # fmt: skip
    return address(parts)


def _further_emails(value: str | None) -> tuple[list[str], list[Any]]:
    return emails((value or "").split(";"))


def _position(line: dict[str, Any]) -> tuple[Decimal, int]:
    """Lines stand as on the invoice; those without a usable position follow in the order of their ids."""
    try:
        place = number(line["properties"].get("hs_position_on_quote"))
    except ValueError:
        place = None
    return Decimal("Infinity") if place is None else place, int(line["id"])


def _line(line: dict[str, Any], currency: str, unusable: Unusable) -> UnifiedLineItem:
    get = line["properties"].get
    return unusable.model(
        UnifiedLineItem,
        {
            "source_id": line["id"],
            "description": get("name") or get("description") or None,
            "quantity": unusable.read("quantity", number, get("quantity")),
            "unit_price": parse_amount(get("price"), currency),
            "amount": parse_amount(get("amount"), currency),
            "tax": parse_amount(get("hs_tax_amount"), currency),
            "discount": parse_amount(get("hs_total_discount"), currency),
            "item_id": get("hs_product_id") or get("hs_sku") or None,
        },
    )
