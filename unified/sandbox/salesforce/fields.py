"""What all objects of an org have in common: how `describe` shows their fields, ids, times, tables.

Not here: the objects (`people`, `invoices`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unified.sandbox.tables.table import New, Table

if TYPE_CHECKING:
    from collections.abc import Callable

Record = dict[str, Any]

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_STEP = 37
_FIRST = 62**6
_SCALE = {"double": 18, "currency": 18}


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


def many(*names: str, kind: str = "string", compound: str | None = None, **how: Any) -> list[FieldType]:
    """Fields that are alike."""
    return [FieldType(name, kind, compound, **how) for name in names]


def address_parts(name: str, *, coded: bool = True) -> list[FieldType]:
    """A compound address and its parts."""
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
        *many(*(f"{name}{part}" for part in parts), compound=f"{name}Address"),
    ]


ALWAYS = (
    FieldType("Id", "id", writable=False),
    FieldType("IsDeleted", "boolean", writable=False),
    *many("CreatedDate", "LastModifiedDate", "SystemModstamp", kind="datetime", writable=False),
    FieldType("CurrencyIsoCode", "picklist"),
)


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


def table(name: str, prefix: str, make: Callable[[New], Record], count: int, **more: Any) -> Table:
    """A kind of record, with what every object of Salesforce's has."""
    return Table(
        name, name, make, _ids(prefix), count, id="Id", created="CreatedDate", updated="SystemModstamp",
        deleted="IsDeleted", moment=moment, **more,
    )  # fmt: skip
