"""A record of any other kind: a subscription, a deal, a ticket. What has no entity of its own is one of these."""

from typing import ClassVar

from pydantic import Field

from unified.schema.base import UnifiedBase


class UnifiedRecord(UnifiedBase):
    """A record that no other entity describes. Its content is its raw record; the stream says what kind it is.

    Source ids are unique within a stream only: a deal and a ticket of one system may have the same.
    """

    __schema_version__: ClassVar[str] = "1.0.0"

    name: str | None = Field(
        default=None, description="What people call it, where the source has such a field."
    )
