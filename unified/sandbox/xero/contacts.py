"""Contacts as they are written: which one an element is about, why it is refused, and what is kept of it.

Source: https://developer.xero.com/documentation/api/accounting/contacts. Not here: the request around the elements
(`unified.sandbox.xero.api`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified.sandbox.xero.records import BLANK

if TYPE_CHECKING:
    from unified.sandbox.tables.account import TableAccount
    from unified.sandbox.tables.table import Record, Row

# What an element may hold that was read before, and that nobody sets.
_READ_ONLY = frozenset(
    {
        "ContactID",
        "UpdatedDateUTC",
        "HasAttachments",
        "HasValidationErrors",
        "ValidationErrors",
        "StatusAttributeString",
    }
)


def refused(account: TableAccount, element: Record) -> Record | None:
    """The element with the reason why it can't be written; None of one that can."""
    row, same, name = _about(account, element), _named(account, element), element.get("Name", "")
    reason = None
    if row is None and "ContactID" in element:
        reason = "ContactID is not valid"
    elif row is None and not name:
        reason = "The contact name must be specified."
    elif row is not None and row.fields["ContactStatus"] != "ACTIVE":
        reason = "Archived contacts can not be edited"
    elif row is not None and same is not None and same is not row:
        reason = (
            f"The contact name {name} is already assigned to another contact. The contact name must be unique across "
            "all active contacts."
        )
    if reason is None:
        return None
    errors = [{"Message": reason}]
    return {
        **element, "HasValidationErrors": True, "StatusAttributeString": "ERROR", "ValidationErrors": errors,
    }  # fmt: skip


def saved(account: TableAccount, element: Record) -> Record:
    """The contact after the write of an element that is not refused."""
    row = _about(account, element)
    fields = {key: value for key, value in element.items() if key not in _READ_ONLY}
    before = row.fields if row is not None else BLANK
    for listed, kind in (("Addresses", "AddressType"), ("Phones", "PhoneType")):
        if listed in fields:
            given = {one[kind]: one for one in fields[listed]}
            fields[listed] = [{**one, **given.get(one[kind], {})} for one in before[listed]]
    if row is None:
        return without(account.create("Contacts", **{**BLANK, **fields}), None)
    return without(account.update("Contacts", row.id, **fields), None)


def without(record: Record, nothing: Any) -> Record:
    """A record without the fields that hold nothing."""
    return {name: value for name, value in record.items() if value is not nothing and value != nothing}


def _about(account: TableAccount, element: Record) -> Row | None:
    """By its id; without an id it is the one that has its name, if there is one."""
    if "ContactID" in element:
        return account.rows["Contacts"].find(element["ContactID"])
    return _named(account, element)


def _named(account: TableAccount, element: Record) -> Row | None:
    name = element.get("Name", "").casefold()
    for row in account.rows["Contacts"].live() if name else ():
        if row.fields["Name"].casefold() == name and row.fields["ContactStatus"] == "ACTIVE":
            return row
    return None
