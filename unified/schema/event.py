"""An event: something that happened in a source system."""

from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, Field, SkipValidation

from unified.schema.base import UnifiedBase


class UnifiedEvent(UnifiedBase):
    """An event. ``source_id`` is the provider's event id, by which a second delivery is recognised."""

    __schema_version__: ClassVar[str] = "1.1.0"

    event_type: str = Field(min_length=1, description="In the source's own words, e.g. invoice.paid.")
    event_category: str | None = Field(
        default=None, description="customer, invoice, payment, …: the type's family."
    )
    payload: Annotated[dict[str, Any], SkipValidation] = Field(
        default_factory=dict, repr=False, description="What the event says, as the source sent it."
    )
    user_id: str | None = Field(default=None, description="Who caused it, where the source says.")
    resource_type: str | None = Field(
        default=None, description="Kind of record that it is about, in the source's word."
    )
    resource_id: str | None = Field(
        default=None, description="Source id of what it is about; null for a preview."
    )
    occurred_at: AwareDatetime = Field(description="When it happened.")

    # Since 1.1.0
    api_version: str | None = Field(default=None, description="Version in which the payload was rendered.")
    received_at: AwareDatetime | None = Field(
        default=None, description="When it was delivered here; null where it was polled."
    )
    sequence: int | None = Field(default=None, description="The source's own order, where it has one.")
