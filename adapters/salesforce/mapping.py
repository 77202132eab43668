"""Salesforce's accounts, contacts, invoices and other documents as unified records, and back. Pure: no I/O, no clock.

Fields: https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_account.htm
and ``…_contact.htm``. Which of them a record has depends on the org, its features and the user: any may be missing.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from adapters.salesforce.invoice_objects import Names
from unified.kit.errors import MappingError
from unified.kit.streams import Origin
from unified.kit.writing.changes import choose
from unified.schema.address import UnifiedAddress
from unified.schema.customer import CustomerKind, UnifiedCustomer
from unified.schema.invoice import InvoiceStatus, UnifiedInvoice, UnifiedLineItem
from unified.schema.money import parse_amount
from unified.schema.reading import address, currency, first_of, joined, number, text
from unified.schema.record import UnifiedRecord
from unified.schema.unusable import Unusable

# What is worth having beside the org's own fields, which end so.
_OWN = "__c"
_MORE_OF_ACCOUNTS = ("AccountNumber", "Industry", "OwnerId", "ParentId", "PersonContactId", "Type", "Website")
# A state or country as picklists name it.
_CODE = re.compile(r"[A-Z0-9]{1,3}")
_MORE_OF_CONTACTS = ("AccountId", "Department", "LeadSource", "OwnerId", "Title")


def account(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    """Map an account: a company, or a person in an org with person accounts."""
    is_person = raw.get("IsPersonAccount") is True
    phones = ("Phone", "PersonMobilePhone", "PersonHomePhone", "PersonOtherPhone")
    return _customer(
        raw,
        origin,
        kind=CustomerKind.PERSON if is_person else CustomerKind.COMPANY,
        mails=[raw.get("PersonEmail")],
        phones=phones,
        company=None if is_person else text(raw.get("Name")),
        addresses=("Billing", "Shipping"),
        more=_MORE_OF_ACCOUNTS,
    )


def contact(raw: dict[str, Any], origin: Origin) -> UnifiedCustomer:
    """Map a contact. Its company is the name of its account."""
    company = raw.get("Account")
    return _customer(
        raw,
        origin,
        kind=CustomerKind.PERSON,
        mails=[raw.get("Email")],
        phones=("Phone", "MobilePhone", "HomePhone", "OtherPhone"),
        company=text(company.get("Name")) if company else None,
        addresses=("Mailing", "Other"),
        more=_MORE_OF_CONTACTS,
    )


def _customer(
    raw: dict[str, Any],
    origin: Origin,
    *,
    kind: CustomerKind,
    mails: Sequence[Any],
    phones: Sequence[str],
    company: str | None,
    addresses: tuple[str, str],
    more: Sequence[str],
) -> UnifiedCustomer:
    unusable = Unusable()
    billing, shipping = (
        unusable.read(field, lambda prefix: _address(raw, prefix), prefix)
        for field, prefix in zip(("billing_address", "shipping_address"), addresses, strict=True)
    )
    return unusable.record(
        UnifiedCustomer,
        **origin.identify(raw["Id"]),
        **life(raw, unusable),
        custom_fields=custom_fields(raw, more),
        raw_data=raw,
        **unusable.reach(mails, [raw.get(name) for name in phones]),
        name=text(raw.get("Name")) or joined((raw.get("FirstName"), raw.get("LastName"))),
        company=company,
        kind=kind,
        currency=unusable.read("currency", currency, raw.get("CurrencyIsoCode")),
        description=text(raw.get("Description")),
        billing_address=billing,
        shipping_address=shipping,
    )


def account_body(record: UnifiedCustomer, fields: Collection[str] | None = None) -> dict[str, Any]:
    """The body that creates or updates an account of a company.

    An account of a company has no e-mail address; a person account is not made here.

    Raises:
        ConfigurationError: If one of the fields is not written.
    """
    return _body(record, fields, {"name": {"Name": record.name}}, "Phone", None, ("Billing", "Shipping"))


def contact_body(record: UnifiedCustomer, fields: Collection[str] | None = None) -> dict[str, Any]:
    """The body that creates or updates a contact. A name is split before its last word.

    Raises:
        ConfigurationError: If one of the fields is not written.
    """
    first, _, last = " ".join((record.name or "").split()).rpartition(" ")
    own: _Parts = {
        "name": {"FirstName": first or None, "LastName": last or None},
        "email": {"Email": record.email},
    }
    return _body(record, fields, own, "Phone", "MobilePhone", ("Mailing", "Other"))


_Parts = dict[str, dict[str, str | None]]

ACCOUNT_FIELDS = frozenset(
    ("name", "phone", "billing_address", "shipping_address", "description", "custom_fields")
)
CONTACT_FIELDS = ACCOUNT_FIELDS | {"email", "phones"}
"""What each of the objects keeps when it is written."""

# Of the custom fields, those that are the org's own and these are written.
_WRITABLE_CUSTOM = frozenset(
    ("AccountId", "AccountNumber", "Department", "Industry", "Title", "Type", "Website")
)


def _body(
    record: UnifiedCustomer,
    fields: Collection[str] | None,
    own: _Parts,
    phone: str,
    mobile: str | None,
    addresses: tuple[str, str],
) -> dict[str, Any]:
    numbers = dict.fromkeys(number for number in (record.phone, *record.phones) if number)
    main, second, *_ = (*numbers, None, None)
    parts: _Parts = {
        **own,
        "phone": {phone: main},
        **({"phones": {phone: main, mobile: second}} if mobile else {}),
        "billing_address": _parts(addresses[0], record.billing_address),
        "shipping_address": _parts(addresses[1], record.shipping_address),
        "description": {"Description": record.description},
    }
    custom = {
        name: value
        for name, value in record.custom_fields.items()
        if value not in (None, "") and (name.endswith(_OWN) or name in _WRITABLE_CUSTOM)
    }
    chosen, written = choose(parts, custom, fields)
    return {**chosen, **written}


def _parts(prefix: str, address: UnifiedAddress | None) -> dict[str, str | None]:
    """An address as its parts, never as a compound field. A code goes where an org picks it from a list."""
    place = address or UnifiedAddress()
    coded = {
        "Country": bool(place.country and _CODE.fullmatch(place.country)),
        "State": bool(place.state and _CODE.fullmatch(place.state)),
    }
    return {
        f"{prefix}Street": "\n".join(line for line in (place.line1, place.line2) if line) or None,
        f"{prefix}City": place.city,
        f"{prefix}PostalCode": place.postal_code,
        f"{prefix}State{'Code' if coded['State'] else ''}": place.state,
        f"{prefix}Country{'Code' if coded['Country'] else ''}": place.country,
    }


# Of credit memos, credit notes and payments, whichever object holds them.
_DOCUMENT: Names = {
    "account_id": ("BillingAccountId", "AccountId", "blng__Account__c"),
    "amount": ("Amount", "blng__Amount__c"),
    "balance": ("Balance", "blng__Balance__c"),
    "currency": ("CurrencyIsoCode",),
    "date": ("CreditDate", "Date", "blng__CreditNoteDate__c", "blng__PaymentDate__c"),
    "invoice_id": ("blng__RelatedInvoice__c", "blng__Invoice__c"),
    "status": ("Status", "blng__Status__c"),
    "total": ("TotalAmountWithTax", "blng__TotalAmount__c"),
    "type": ("Type", "blng__PaymentType__c"),
}
_NUMBERS = ("CreditMemoNumber", "DocumentNumber", "PaymentNumber", "Name")


def document(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    """Map a credit memo or a payment, called by its number; amounts are texts, with their digits."""
    unusable = Unusable()
    named = {ours: first_of(raw, *theirs) for ours, theirs in _DOCUMENT.items()}
    known = {one for theirs in _DOCUMENT.values() for one in theirs}
    own = {name: raw[name] for name in raw if name.endswith(_OWN) and name not in known}
    return unusable.record(
        UnifiedRecord,
        **origin.identify(raw["Id"]),
        **life(raw, unusable),
        custom_fields={name: value for name, value in {**named, **own}.items() if value not in (None, "")},
        raw_data=raw,
        name=text(first_of(raw, *_NUMBERS)),
    )


_STATUSES = {
    "draft": InvoiceStatus.DRAFT, "posted": InvoiceStatus.OPEN, "open": InvoiceStatus.OPEN, "sent": InvoiceStatus.OPEN,
    "issued": InvoiceStatus.OPEN, "overdue": InvoiceStatus.OPEN, "paid": InvoiceStatus.PAID,
    "partially paid": InvoiceStatus.PARTIALLY_PAID, "pending": InvoiceStatus.SUBMITTED,
    "pending approval": InvoiceStatus.SUBMITTED, "error posting": InvoiceStatus.SUBMITTED,
    "canceled": InvoiceStatus.VOID, "cancelled": InvoiceStatus.VOID, "void": InvoiceStatus.VOID,
    "voided": InvoiceStatus.VOID, "written off": InvoiceStatus.UNCOLLECTIBLE,
}  # fmt: skip

_AMOUNTS = ("subtotal", "tax", "discount", "total", "amount_due", "amount_paid", "amount_remaining")
_DATES = ("issue_date", "due_date", "paid_date")


def invoice(
    raw: dict[str, Any], origin: Origin, fields: Names, line_fields: Names, usual: str | None
) -> UnifiedInvoice:
    """Map an invoice of any object, with its lines; nothing is recomputed, and no date is shifted.

    Args:
        raw: The record, its lines in ``lines``.
        origin: Where it was read.
        fields: By field of ours, those of the record that may fill it.
        line_fields: The same of a line.
        usual: The currency of an org that has only one: its records do not say it.
    """
    unusable = Unusable()
    get = partial(_first, raw, fields)
    code = unusable.read("currency", currency, get("currency") or raw.get("CurrencyIsoCode") or usual)
    amounts = {name: _amount(get(name), code) for name in _AMOUNTS}
    if amounts["total"] is None:
        raise MappingError("the invoice has no total")
    status = text(get("status"))
    return unusable.record(
        UnifiedInvoice,
        **origin.identify(raw["Id"]),
        **life(raw, unusable),
        **amounts,
        **{name: unusable.time(name, get(name)) for name in _DATES},
        custom_fields={
            name: raw[name] for name in raw if name.endswith(_OWN) and raw[name] not in (None, "")
        },
        raw_data=raw,
        customer_id=text(get("customer_id")),
        invoice_number=text(get("invoice_number")),
        status=unusable.read("status", partial(_status, amounts), status),
        remote_status=status,
        currency=code,
        memo=text(get("memo")),
        line_items=unusable.each(
            "line_items", raw.get("lines") or [], lambda line, part: _line(line, line_fields, code, part)
        ),
    )


def _line(raw: dict[str, Any], fields: Names, code: str | None, unusable: Unusable) -> UnifiedLineItem:
    get = partial(_first, raw, fields)
    return unusable.model(
        UnifiedLineItem,
        {
            "source_id": text(raw.get("Id")),
            "description": text(get("description")),
            "quantity": unusable.read("quantity", number, get("quantity")),
            **{name: _amount(get(name), code) for name in ("unit_price", "amount", "tax", "discount")},
            "item_id": text(get("item_id")),
            "period_start": unusable.time("period_start", get("period_start")),
            "period_end": unusable.time("period_end", get("period_end")),
        },
    )


def _first(raw: dict[str, Any], fields: Names, name: str) -> Any:
    return first_of(raw, *fields.get(name, ()))


def _amount(value: Any, code: str | None) -> Decimal | None:
    """An amount, by its digits as text."""
    if isinstance(value, bool | dict | list):
        raise MappingError(f"an amount is {type(value).__name__}, not a number")
    read = None if value is None else str(value)
    return parse_amount(read, code) if code else number(read)


def _status(amounts: Mapping[str, Decimal | None], word: str | None) -> InvoiceStatus | None:
    """What a word means; an open invoice of which nothing, or not all, is left to pay is paid, or in part."""
    found = _STATUSES.get((word or "").strip().lower())
    left, total = amounts["amount_remaining"], amounts["total"]
    if found is not InvoiceStatus.OPEN or left is None or not total or total < 0:
        return found
    if left == 0:
        return InvoiceStatus.PAID
    return InvoiceStatus.PARTIALLY_PAID if 0 < left < total else found


def life(raw: dict[str, Any], unusable: Unusable) -> dict[str, Any]:
    """When a record was made and last touched."""
    return {
        "created_at": unusable.time("created_at", raw.get("CreatedDate")),
        "updated_at": unusable.time("updated_at", raw.get("SystemModstamp")),
    }


def custom_fields(raw: dict[str, Any], more: Sequence[str]) -> dict[str, Any]:
    """The org's own fields, and some standard ones by name."""
    wanted = (name for name in raw if name.endswith(_OWN) or name in more)
    return {name: raw[name] for name in wanted if raw[name] not in (None, "")}


def _address(raw: dict[str, Any], prefix: str) -> UnifiedAddress | None:
    """An address of its parts. Codes are there only where an org picks states and countries from lists."""

    def part(*names: str) -> str | None:
        return next((value for name in names if (value := raw.get(f"{prefix}{name}"))), None)

    first, _, rest = (part("Street") or "").replace("\r\n", "\n").partition("\n")
    parts = {
        "line1": first, "line2": ", ".join(rest.split("\n")), "city": part("City"), "postal_code": part("PostalCode"),
        "state": part("StateCode", "State"), "country": part("CountryCode", "Country"),
    }  # fmt: skip
    return address(parts)
