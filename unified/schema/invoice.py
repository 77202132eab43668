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

    description: str | None = Field(default=None, description="What the line is for.")
    quantity: Decimal | None = Field(default=None, description="How many units.")
    unit_price: Money | None = Field(
        default=None, description="Price of one unit. May be finer than the currency's smallest coin."
    )
    amount: Money | None = Field(default=None, description="The line's amount as the source states it.")

    # Since 1.1.0
    source_id: str | None = Field(default=None, description="The line's id in its source.")
    tax: Money | None = Field(default=None, description="Tax on the line.")
    discount: Money | None = Field(default=None, description="What was taken off the line.")
    item_id: str | None = Field(default=None, description="Product or price that the line refers to.")
    period_start: AwareDatetime | None = Field(
        default=None, description="Begin of the time that the line is for."
    )
    period_end: AwareDatetime | None = Field(
        default=None, description="End of the time that the line is for."
    )


class UnifiedInvoice(UnifiedBase):
    """An invoice. Amounts are what the source states; none is recomputed from the lines."""

    __schema_version__: ClassVar[str] = "1.1.0"

    customer_id: str | None = Field(default=None, description="Source id of the customer; some have none.")
    invoice_number: str | None = Field(default=None, description="Number that the customer sees.")
    status: InvoiceStatus | None = Field(
        default=None, description="draft, submitted, open, partially_paid, paid, uncollectible or void."
    )
    subtotal: Money | None = Field(default=None, description="Amount before discount and tax.")
    tax: Money | None = Field(default=None, description="Tax on the invoice.")
    total: Money | None = Field(default=None, description="Amount after discount and tax.")
    currency: Currency | None = Field(
        default=None, description="ISO 4217 code of the currency of all its amounts."
    )
    issue_date: AwareDatetime | None = Field(default=None, description="When it was issued.")
    due_date: AwareDatetime | None = Field(default=None, description="When it has to be paid.")
    paid_date: AwareDatetime | None = Field(default=None, description="When it was paid in full.")
    line_items: tuple[UnifiedLineItem, ...] = Field(
        default=(), description="Its lines, in the source's order."
    )

    # Since 1.1.0
    kind: InvoiceKind = Field(
        default=InvoiceKind.RECEIVABLE, description="receivable (customers owe it) or payable (we owe it)."
    )
    remote_status: str | None = Field(default=None, description="The status in the source's own word.")
    discount: Money | None = Field(default=None, description="What was taken off the subtotal.")
    amount_due: Money | None = Field(default=None, description="What the customer has to pay, after credits.")
    amount_paid: Money | None = Field(default=None, description="What has been paid.")
    amount_remaining: Money | None = Field(default=None, description="What is still to be paid.")
    memo: str | None = Field(default=None, description="Text on the invoice for the customer.")
    hosted_url: str | None = Field(default=None, description="Page where the customer sees and pays it.")
    pdf_url: str | None = Field(default=None, description="Where the source keeps it as a PDF.")
