"""A customer: a person or a company that is, or may become, a payer."""

import re
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from unified.schema.address import UnifiedAddress
from unified.schema.base import UnifiedBase
from unified.schema.money import Currency

# The shape of nearly every address in a CRM. Whatever matches is valid by the library's rules too, which takes
# fifty times as long to say so; everything else is left to the library, with the domains that it knows as reserved.
_PLAIN_EMAIL = re.compile(
    r"[a-z0-9_+-]+(\.[a-z0-9_+-]+)*@([a-z0-9]+(-[a-z0-9]+)*\.)+(?!(arpa|invalid|local|localhost|onion)$)[a-z]{2,}"
)
_LONGEST_PLAIN_EMAIL = 64


# A record has its main address two or three times.
@lru_cache(maxsize=1024)
def check_email(text: str) -> str:
    """Validate an e-mail address by its form; no network is asked.

    Args:
        text: The address as the source wrote it.

    Returns:
        The address, its domain in lower case.

    Raises:
        ValueError: If it can't be an address, with the reason.
    """
    if len(text) <= _LONGEST_PLAIN_EMAIL and _PLAIN_EMAIL.fullmatch(text):
        return text
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - it takes 90 ms

    try:
        return validate_email(text, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError(str(error)) from error


Email = Annotated[str, AfterValidator(check_email)]


class CustomerKind(StrEnum):
    """What stands behind a customer record."""

    PERSON = "person"
    COMPANY = "company"


class UnifiedCustomer(UnifiedBase):
    """A customer. Only its identity in the source is certain: name, e-mail and the rest may all be missing."""

    __schema_version__: ClassVar[str] = "1.1.0"

    email: Email | None = Field(default=None, description="Main address. Often null, never unique.")
    name: str | None = Field(default=None, description="Name of the person or company.")
    phone: str | None = Field(default=None, description="Main number, as the source writes it.")
    company: str | None = Field(
        default=None, description="Name of the company that the customer is or works for."
    )
    billing_address: UnifiedAddress | None = Field(default=None, description="Where invoices go.")
    shipping_address: UnifiedAddress | None = Field(default=None, description="Where goods go.")

    # Since 1.1.0
    kind: CustomerKind | None = Field(
        default=None, description="person or company; null where the source does not say."
    )
    emails: tuple[Email, ...] = Field(default=(), description="All known addresses, the main one first.")
    phones: tuple[str, ...] = Field(default=(), description="All known numbers, the main one first.")
    tax_number: str | None = Field(
        default=None, description="VAT or other tax number, as the source writes it."
    )
    currency: Currency | None = Field(default=None, description="Currency that the customer is billed in.")
    description: str | None = Field(
        default=None, description="What people noted about the customer in the source."
    )
