"""A postal address."""

from typing import Annotated, ClassVar

from pydantic import Field

from unified.schema.base import UnifiedModel


class UnifiedAddress(UnifiedModel):
    """A postal address as its source gives it; every part may be missing."""

    __schema_version__: ClassVar[str] = "1.1.0"

    line1: Annotated[str | None, Field(description="Street and number.")] = None
    line2: Annotated[str | None, Field(description="What follows the first line.")] = None
    city: Annotated[str | None, Field(description="City or town.")] = None
    state: Annotated[str | None, Field(description="Subdivision, as the source writes it.")] = None
    postal_code: Annotated[str | None, Field(description="As the source writes it.")] = None
    country: Annotated[
        str | None, Field(description="ISO 3166-1 alpha-2 where the source knows it, else its own text.")
    ] = None
    name: Annotated[str | None, Field(description="Addressee, since 1.1.0.")] = None
    phone: Annotated[str | None, Field(description="Phone of the addressee, since 1.1.0.")] = None
