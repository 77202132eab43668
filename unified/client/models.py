"""What lists give: the canonical models, each with the connection that a record came by; and which list has which.

A field that a newer server has and this release does not is passed over.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from unified.client.errors import ClientError
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


class Connector(BaseModel):
    """A system that can be connected."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    display_name: str
    capabilities: tuple[str, ...]
    streams: tuple[str, ...]


Identity = GoldenCustomer
"""One customer across sources, with the best of what its records say."""

_READERS: Mapping[str, TypeAdapter[Any]] = {
    "customers": TypeAdapter(Customer),
    "invoices": TypeAdapter(Invoice),
    "events": TypeAdapter(Event),
    "records": TypeAdapter(Record),
    "identities": TypeAdapter(Identity),
}


def read(name: str, item: Mapping[str, Any]) -> Any:
    """An item of a list, made of what the server sends.

    Raises:
        ClientError: If it does not fit the model, as one that an earlier release stored may not.
    """
    try:
        return _READERS[name].validate_python(item)
    except ValidationError as error:
        faults = ", ".join(sorted({str(one["loc"][0]) for one in error.errors()}))
        which = item.get("source_id", item.get("identity_id", "an item"))
        raise ClientError(
            f"{which} of {name} does not fit this release's model in {faults}; read it as a frame"
        ) from None
