"""The objects of an org: their fields as `describe` lists them, their ids, and generated records.

Source: https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/ (Account, Contact,
Invoice, InvoiceLine, Organization). Not here: SOQL (`soql`), changes (`org`), HTTP (`api`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from unified.sandbox.data import CURRENCY_BY_CODE, PRODUCTS, decimal_text, person, price
from unified.sandbox.draw import Draw, seed_of
from unified.sandbox.tables.table import New, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Record = dict[str, Any]

LINES = 3
"""Lines of each generated invoice."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_STEP = 37
_FIRST = 62**6
_PERSON_EVERY = 20
_SCALE = {"double": 18, "currency": 18}
_STATUSES = ("Posted",) * 6 + ("Draft", "Canceled", "Paid", "Paid")
_CURRENCIES = ("usd",) * 6 + ("eur",) * 3 + ("gbp", "jpy", "kwd")


@dataclass(frozen=True)
class FieldType:
    """A field as `describe` lists it.

    Attributes:
        name: its API name.
        kind: its type: `string`, `address`, `reference`, ….
        compound: the compound field that it is a part of; `Name` of a contact may name itself.
        refers: the objects that a reference leads to.
        relationship: the name by which SOQL follows a reference.
        writable: whether a create or update may hold it.
        external: whether records may be upserted by it.
    """

    name: str
    kind: str = "string"
    compound: str | None = None
    refers: tuple[str, ...] = ()
    relationship: str | None = None
    writable: bool = True
    external: bool = False

    def described(self) -> Record:
        """As an element of `fields`."""
        return {
            "name": self.name, "label": self.name.removesuffix("__c").replace("_", " "), "type": self.kind,
            "compoundFieldName": self.compound, "referenceTo": list(self.refers), "nillable": True,
            "relationshipName": self.relationship, "createable": self.writable, "updateable": self.writable,
            "externalId": self.external, "idLookup": self.external or self.name == "Id", "length": 255,
            "custom": self.name.endswith("__c"), "precision": _SCALE.get(self.kind, 0), "calculated": False,
        }  # fmt: skip


def _fields(*names: str, kind: str = "string", compound: str | None = None, **how: Any) -> list[FieldType]:
    return [FieldType(name, kind, compound, **how) for name in names]


def _address(name: str, *, coded: bool = True) -> list[FieldType]:
    parts = (
        "Street",
        "City",
        "State",
        "PostalCode",
        "Country",
        *(("CountryCode", "StateCode") if coded else ()),
    )
    return [
        FieldType(f"{name}Address", "address", writable=False),
        *_fields(*(f"{name}{part}" for part in parts), compound=f"{name}Address"),
    ]


_ALWAYS = (
    FieldType("Id", "id", writable=False),
    FieldType("IsDeleted", "boolean", writable=False),
    *_fields("CreatedDate", "LastModifiedDate", "SystemModstamp", kind="datetime", writable=False),
    FieldType("CurrencyIsoCode", "picklist"),
)
FIELDS: Mapping[str, Sequence[FieldType]] = {
    "Account": (
        *_ALWAYS,
        FieldType("MasterRecordId", "reference", refers=("Account",), writable=False),
        # With person accounts the name of an account is a compound field that names itself.
        FieldType("Name", compound="Name"),
        *_fields("FirstName", "LastName", compound="Name"),
        *_fields("Phone", "PersonMobilePhone", "Fax", kind="phone"),
        FieldType("PersonEmail", "email"),
        FieldType("IsPersonAccount", "boolean", writable=False),
        FieldType("PersonContactId", "reference", refers=("Contact",), writable=False),
        *_fields("Website", "AccountNumber", "Type", "Industry"),
        FieldType("Description", "textarea"),
        *_address("Billing"), *_address("Shipping"),
        FieldType("Unified_Key__c", external=True),
        FieldType("Tier__c", "picklist"),
    ),
    "Contact": (
        *_ALWAYS,
        FieldType("MasterRecordId", "reference", refers=("Contact",), writable=False),
        FieldType("AccountId", "reference", refers=("Account",), relationship="Account"),
        FieldType("Name", compound="Name", writable=False),
        *_fields("FirstName", "LastName", compound="Name"),
        *_fields("Phone", "MobilePhone", "HomePhone", kind="phone"),
        FieldType("Email", "email"),
        FieldType("IsPersonAccount", "boolean", writable=False),
        FieldType("Title"),
        FieldType("Description", "textarea"),
        *_address("Mailing"), *_address("Other"),
        FieldType("Unified_Key__c", external=True),
        FieldType("Tier__c", "picklist"),
    ),
    "Invoice": (
        *_ALWAYS,
        FieldType("BillingAccountId", "reference", refers=("Account",), relationship="BillingAccount", writable=False),
        *_fields("InvoiceNumber", "DocumentNumber", "Status", "Description", writable=False),
        *_fields("InvoiceDate", "DueDate", kind="date", writable=False),
        *_fields("TotalChargeAmount", "TotalAmount", "TotalTaxAmount", "Balance", kind="currency", writable=False),
    ),
    "InvoiceLine": (
        *_ALWAYS,
        FieldType("InvoiceId", "reference", refers=("Invoice",), relationship="Invoice", writable=False),
        *_fields("Name", "Description", "Type", writable=False),
        FieldType("Product2Id", "reference", refers=("Product2",), writable=False),
        FieldType("Quantity", "double", writable=False),
        *_fields("UnitPrice", "LineAmount", "TaxAmount", "ChargeAmount", kind="currency", writable=False),
        *_fields("InvoiceLineStartDate", "InvoiceLineEndDate", kind="date", writable=False),
    ),
    "Organization": (
        FieldType("Id", "id", writable=False),
        *_fields("Name", "InstanceName", "OrganizationType", writable=False),
        FieldType("IsSandbox", "boolean", writable=False),
    ),
}  # fmt: skip
"""By object. What field security hides from a user is missing from `describe`, as if it did not exist."""


def identifier(prefix: str, index: int) -> str:
    """An id of eighteen characters: ascending with the index, with gaps, and its check in the last three.

    https://help.salesforce.com/s/articleView?id=000385008: the check says which of the fifteen are capitals.
    """
    number, digits = _FIRST + index * _STEP, ""
    while number:
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    fifteen = f"{prefix}5g{digits.rjust(13 - len(prefix), '0')}"
    check = ""
    for at in range(0, 15, 5):
        bits = sum(1 << place for place, one in enumerate(fifteen[at : at + 5]) if one.isupper())
        check += _CHECKS[bits]
    return fifteen + check


def moment(seconds: float) -> str:
    """A time as Salesforce writes it: whole seconds, and an offset without a colon."""
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%S}.000+0000"


def _ids(prefix: str) -> Callable[[int, int], str]:
    return lambda index, _: identifier(prefix, index)


def is_person(account: int) -> bool:
    """Whether the generated account of this number is a person account."""
    return account % _PERSON_EVERY == 7  # noqa: PLR2004


def _account(new: New) -> Record:
    who, draw = person(new.draw), Draw(seed_of("account", new.index))
    alone = is_person(new.index)
    return {
        "MasterRecordId": None,
        "Name": f"{who.first} {who.last}" if alone else who.company,
        "FirstName": who.first if alone else None, "LastName": who.last if alone else None,
        "Phone": who.phone, "PersonMobilePhone": None, "Fax": None,
        "PersonEmail": who.email if alone else None, "IsPersonAccount": alone,
        "PersonContactId": identifier("003", new.index * 2 + 1) if alone else None,
        "Website": None if alone else f"https://{new.index}.example", "AccountNumber": f"A-{new.index}",
        "Type": draw.pick(("Customer", "Prospect", None)), "Industry": None,
        "Description": draw.pick((None, "Pays late", "«Größe»\nzwei Zeilen")),
        **_place("Billing", who), **_place("Shipping", None), "Unified_Key__c": None,
        "Tier__c": draw.pick((None, "Gold")), "CurrencyIsoCode": draw.pick(_CURRENCIES).upper(),
    }  # fmt: skip


def _contact(new: New) -> Record:
    """Every contact of an odd number belongs to the account of half of it; a person account's is its own."""
    who, draw = person(new.draw), Draw(seed_of("contact", new.index))
    accounts = new.account.rows["Account"]
    owner = accounts.find(accounts.id_of(new.index // 2)) if new.index % 2 else None
    alone = owner is not None and is_person(new.index // 2)
    return {
        "MasterRecordId": None, "AccountId": owner.id if owner else None,
        "FirstName": owner.fields["FirstName"] if owner and alone else who.first,
        "LastName": owner.fields["LastName"] if owner and alone else who.last, "Email": who.email,
        "Phone": who.phone, "MobilePhone": None, "HomePhone": None, "IsPersonAccount": alone,
        "Title": draw.pick((None, "CFO", "Buyer")), "Description": None, **_place("Mailing", who),
        **_place("Other", None), "Unified_Key__c": None, "Tier__c": None,
        "CurrencyIsoCode": draw.pick(_CURRENCIES).upper(),
    }  # fmt: skip


def _place(name: str, who: Any) -> Record:
    parts = {"Street": None, "City": None, "State": None, "PostalCode": None, "Country": None} | (
        {
            "Street": who.street, "City": who.city.name, "State": who.city.state,
            "PostalCode": who.postal_code, "Country": who.city.country,
        } if who else {}
    )  # fmt: skip
    parts |= {"CountryCode": parts["Country"], "StateCode": parts["State"]}
    return {
        **{f"{name}{part}": value for part, value in parts.items()},
        # A compound field that nobody should ask for.
        f"{name}Address": None if who is None else {"city": who.city.name, "country": who.city.country},
    }


def _line_amounts(invoice: int, number: int, currency: str) -> tuple[int, int, int]:
    """Quantity, unit price and tax of a line, in the currency's smallest unit."""
    draw = Draw(seed_of("line", invoice), number)
    quantity, unit = draw.pick((1, 1, 2, 12)), price(draw, CURRENCY_BY_CODE[currency])
    return quantity, unit, quantity * unit * 19 // 100 if draw.chance(500) else 0


def _invoice(new: New) -> Record:
    draw = Draw(seed_of("invoice", new.index))
    currency, status = draw.pick(_CURRENCIES), draw.pick(_STATUSES)
    lines = [_line_amounts(new.index, number, currency) for number in range(LINES)]
    charge, tax = sum(quantity * unit for quantity, unit, _ in lines), sum(tax for *_, tax in lines)
    issued = datetime.fromtimestamp(new.created, UTC).date()
    accounts = new.account.rows["Account"]

    def amount(units: int) -> float:
        return float(decimal_text(units, CURRENCY_BY_CODE[currency].decimals))

    return {
        "BillingAccountId": accounts.id_of(draw.below(40)), "InvoiceNumber": f"INV-{new.index:06}",
        "DocumentNumber": f"{new.index:08}", "Status": status, "Description": None,
        "InvoiceDate": issued.isoformat(), "DueDate": (issued + timedelta(days=30)).isoformat(),
        "TotalChargeAmount": amount(charge), "TotalTaxAmount": amount(tax), "TotalAmount": amount(charge + tax),
        "Balance": 0.0 if status in ("Paid", "Canceled") else amount(charge + tax),
        "CurrencyIsoCode": currency.upper(),
    }  # fmt: skip


def _line(new: New) -> Record:
    invoice, number = divmod(new.index, LINES)
    rows = new.account.rows["Invoice"]
    row = rows.find(rows.id_of(invoice))
    code = row.fields["CurrencyIsoCode"] if row else "USD"
    quantity, unit, tax = _line_amounts(invoice, number, code.lower())
    decimals = CURRENCY_BY_CODE[code.lower()].decimals

    def amount(units: int) -> float:
        return float(decimal_text(units, decimals))

    return {
        "InvoiceId": rows.id_of(invoice), "Name": Draw(invoice, number).pick(PRODUCTS), "Description": None,
        "Type": "Charge", "Product2Id": identifier("01t", number), "Quantity": float(quantity),
        "UnitPrice": amount(unit), "LineAmount": amount(quantity * unit), "ChargeAmount": amount(quantity * unit),
        "TaxAmount": amount(tax), "InvoiceLineStartDate": None, "InvoiceLineEndDate": None,
        "CurrencyIsoCode": code,
    }  # fmt: skip


def _named(record: Record) -> Record:
    """A person's name follows from its parts."""
    if record.get("LastName"):
        return {**record, "Name": " ".join(filter(None, (record.get("FirstName"), record["LastName"])))}
    return record


def _table(name: str, prefix: str, make: Callable[[New], Record], count: int, **more: Any) -> Table:
    return Table(
        name, name, make, _ids(prefix), count, id="Id", created="CreatedDate", updated="SystemModstamp",
        deleted="IsDeleted", moment=moment, **more,
    )  # fmt: skip


TABLES = (
    _table(
        "Account", "001", _account, 200, settle=_named, writable=frozenset(("create", "update", "delete"))
    ),
    _table(
        "Contact", "003", _contact, 200, settle=_named, writable=frozenset(("create", "update", "delete"))
    ),
    _table("Invoice", "3tt", _invoice, 120),
    _table("InvoiceLine", "5TV", _line, 360),
)
