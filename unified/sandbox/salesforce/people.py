"""Accounts and contacts: their fields, and generated records. A person account is both.

Source: https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_account.htm,
`…_contact.htm`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified.sandbox.data import person
from unified.sandbox.draw import Draw, seed_of
from unified.sandbox.salesforce.fields import (
    ALWAYS,
    FieldType,
    Record,
    address_parts,
    identifier,
    many,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unified.sandbox.tables.table import New

_PERSON_EVERY = 20
_CURRENCIES = ("usd",) * 6 + ("eur",) * 3 + ("gbp", "jpy", "kwd")
_ALL = frozenset(("create", "update", "delete"))

FIELDS: Mapping[str, Sequence[FieldType]] = {
    "Account": (
        *ALWAYS,
        FieldType("MasterRecordId", "reference", refers=("Account",), writable=False),
        # With person accounts the name of an account is a compound field that names itself.
        FieldType("Name", compound="Name"),
        *many("FirstName", "LastName", compound="Name"),
        *many("Phone", "PersonMobilePhone", "Fax", kind="phone"),
        FieldType("PersonEmail", "email"),
        FieldType("IsPersonAccount", "boolean", writable=False),
        FieldType("PersonContactId", "reference", refers=("Contact",), writable=False),
        *many("Website", "AccountNumber", "Type", "Industry"),
        FieldType("Description", "textarea"),
        *address_parts("Billing"), *address_parts("Shipping"),
        FieldType("Unified_Key__c", external=True),
        FieldType("Tier__c", "picklist"),
    ),
    "Contact": (
        *ALWAYS,
        FieldType("MasterRecordId", "reference", refers=("Contact",), writable=False),
        FieldType("AccountId", "reference", refers=("Account",), relationship="Account"),
        FieldType("Name", compound="Name", writable=False),
        *many("FirstName", "LastName", compound="Name"),
        *many("Phone", "MobilePhone", "HomePhone", kind="phone"),
        FieldType("Email", "email"),
        FieldType("IsPersonAccount", "boolean", writable=False),
        FieldType("Title"),
        FieldType("Description", "textarea"),
        *address_parts("Mailing"), *address_parts("Other"),
        FieldType("Unified_Key__c", external=True),
        FieldType("Tier__c", "picklist"),
    ),
}  # fmt: skip


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


def _named(record: Record) -> Record:
    """A person's name follows from its parts."""
    if record.get("LastName"):
        return {**record, "Name": " ".join(filter(None, (record.get("FirstName"), record["LastName"])))}
    return record


TABLES = (
    table("Account", "001", _account, 200, settle=_named, writable=_ALL),
    table("Contact", "003", _contact, 200, settle=_named, writable=_ALL),
)
