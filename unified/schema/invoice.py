"""An invoice with its line items."""

from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime, Field

from unified.schema.base import UnifiedBase, UnifiedModel
from unified.schema.money import Currency, Money


class InvoiceStatus(StrEnum):
    """Where an invoice stands. "Overdue" is not a status: it follows from ``due_date``."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    OPEN = "open"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


class InvoiceKind(StrEnum):
    """Which way the money goes."""

    RECEIVABLE = "receivable"
    PAYABLE = "payable"


class UnifiedLineItem(UnifiedModel):
    """One line of an invoice. Lines need not add up to the total: discounts, credits and balances come between."""

    __schema_version__: ClassVar[str] = "1.1.0"

    description: str | None = None
    quantity: Decimal | None = None
    unit_price: Money | None = Field(
        default=None, description="May be finer than the currency's smallest coin."
    )
    amount: Money | None = Field(default=None, description="The line's amount as the source states it.")

    # Since 1.1.0
    source_id: str | None = Field(default=None, description="The line's id in its source.")
    tax: Money | None = None
    discount: Money | None = None
    item_id: str | None = Field(default=None, description="Product or price that the line refers to.")
    period_start: AwareDatetime | None = None
    period_end: AwareDatetime | None = None


class UnifiedInvoice(UnifiedBase):
    """An invoice. Amounts are what the source states; none is recomputed from the lines."""

    __schema_version__: ClassVar[str] = "1.1.0"

    customer_id: str | None = Field(default=None, description="Source id of the customer; some have none.")
    invoice_number: str | None = None
    status: InvoiceStatus | None = None
    subtotal: Money | None = None
    tax: Money | None = None
    total: Money | None = None
    currency: Currency | None = None
    issue_date: AwareDatetime | None = None
    due_date: AwareDatetime | None = None
    paid_date: AwareDatetime | None = None
    line_items: tuple[UnifiedLineItem, ...] = ()

    # Since 1.1.0
    kind: InvoiceKind = InvoiceKind.RECEIVABLE
    remote_status: str | None = Field(default=None, description="The status in the source's own word.")
    discount: Money | None = None
    amount_due: Money | None = None
    amount_paid: Money | None = None
    amount_remaining: Money | None = None
    memo: str | None = None
    hosted_url: str | None = None
    pdf_url: str | None = None
