"""What every unified record has, whatever it describes and wherever it came from."""

from functools import lru_cache
from hashlib import sha1
from typing import Annotated, Any, ClassVar
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SkipValidation

# The namespace of all unified ids. It must never change: every stored unified_id is made from it.
UNIFIED_NAMESPACE = UUID("5d6e2f9c-3a41-5c0e-9c1b-7f6d2a8e4b10")


@lru_cache(maxsize=1024)
def connection_namespace(workspace_id: UUID, connection_id: UUID, stream: str) -> UUID:
    """The namespace under which one stream of one connection names its records.

    Args:
        workspace_id: The tenant.
        connection_id: The connection, a row of ``connector_configs``.
        stream: ``customers``, ``invoices`` or ``events``.

    Returns:
        A UUID to hand to :func:`unified_id`. Kept, because it is asked for with each record.
    """
    return uuid5(UNIFIED_NAMESPACE, f"{workspace_id}|{connection_id}|{stream}")


LONGEST_KEY = 1_000
"""Bytes of a text by which records are looked up: an index of PostgreSQL's refuses entries of more than 2,704."""


def unified_id(namespace: UUID, source_id: str) -> UUID:
    """The stable id of a record: the same on every sync, on every machine, after any rebuild.

    Args:
        namespace: From :func:`connection_namespace`.
        source_id: The record's id in its own system.

    Returns:
        A UUIDv5: what :func:`uuid.uuid5` makes of the same, in two thirds of its time, which each record takes.
    """
    digest = sha1(namespace.bytes + source_id.encode(), usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)


class UnifiedModel(BaseModel):
    """Settings shared by records and their parts: immutable, and a field that nobody declared is an error."""

    __schema_version__: ClassVar[str] = "1.0.0"

    model_config = ConfigDict(frozen=True, extra="forbid")


class UnifiedBase(UnifiedModel):
    """Base of all unified records.

    Subclasses carry ``__schema_version__``, a semantic version that is stored with each row, so that a row
    written years ago can be brought up to date when it is read (:mod:`unified.schema.versions`).
    """

    source_system: str = Field(min_length=1, description="Connector that the record came from, e.g. stripe.")
    source_id: str = Field(min_length=1, description="The record's id in its source system.")
    unified_id: UUID = Field(description="UUIDv5 of workspace, connection, stream and source id.")
    created_at: AwareDatetime | None = Field(default=None, description="When the source created it.")
    updated_at: AwareDatetime | None = Field(
        default=None, description="When the source last changed it; null where the source does not say."
    )
    observed_at: AwareDatetime = Field(
        description="When the source was known to be in this state; an older state never overwrites a newer one."
    )
    synced_at: AwareDatetime = Field(description="When this record was read from the source.")
    deleted_at: AwareDatetime | None = Field(
        default=None, description="Set on a tombstone: the source deleted or archived the record."
    )
    is_active: bool = Field(
        default=True, description="False for a tombstone or a record that is switched off."
    )
    livemode: bool | None = Field(default=None, description="False for test data; null where unknown.")
    tags: tuple[str, ...] = Field(default=(), description="Labels that people gave the record in the source.")
    custom_fields: dict[str, Any] = Field(default_factory=dict, description="The source's own extra fields.")
    # Kept as the source sent it: checking every key of it again would cost more than mapping it.
    raw_data: Annotated[dict[str, Any], SkipValidation] = Field(
        default_factory=dict, repr=False, description="The record as the source sent it."
    )
