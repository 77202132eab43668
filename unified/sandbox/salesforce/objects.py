"""All objects of an org, by name: their fields as `describe` lists them, and the tables of those that hold records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unified.sandbox.salesforce import documents, invoices, people
from unified.sandbox.salesforce.fields import FieldType, many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIELDS: Mapping[str, Sequence[FieldType]] = {
    **people.FIELDS,
    **invoices.FIELDS,
    **documents.FIELDS,
    "Organization": (
        FieldType("Id", "id", writable=False),
        *many("Name", "InstanceName", "OrganizationType", writable=False),
        FieldType("IsSandbox", "boolean", writable=False),
    ),
}  # fmt: skip
"""By object. What field security hides from a user is missing from `describe`, as if it did not exist."""

TABLES = (*people.TABLES, *invoices.TABLES, *documents.TABLES)
