"""What lists give: the canonical models, each with the connection that a record came by; and which list has which.

A field that a newer server has and this release does not is passed over.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field, TypeAdapter

from unified.schema import UnifiedCustomer, UnifiedEvent, UnifiedInvoice, UnifiedRecord
from unified.schema.base import UnifiedBase
from unified.store.identities.golden import GoldenCustomer


class _OfConnection(UnifiedBase):
    """A record, and where it came by."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    connection: str = Field(description="Name of the connection that it came by.")
    connection_id: UUID = Field(description="That connection.")
    stream: str = Field(description="The connector's stream that it is of.")
    history: tuple[dict[str, Any], ...] = Field(
        default=(), description="The last syncs of its stream, where asked for."
    )


class Customer(_OfConnection, UnifiedCustomer):
    """A customer of a connection."""


class Invoice(_OfConnection, UnifiedInvoice):
    """An invoice of a connection; its line items where asked for."""


class Event(_OfConnection, UnifiedEvent):
    """An event of a connection."""


class Record(_OfConnection, UnifiedRecord):
    """Any other record of a connection."""


Identity = GoldenCustomer
"""One customer across sources, with the best of what its records say."""

READERS: Mapping[str, TypeAdapter[Any]] = {
    "customers": TypeAdapter(Customer),
    "invoices": TypeAdapter(Invoice),
    "events": TypeAdapter(Event),
    "records": TypeAdapter(Record),
    "identities": TypeAdapter(Identity),
}
"""What makes an item of what a list sends."""
