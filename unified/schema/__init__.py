"""The canonical models: what a customer, an invoice, an event and any other record are, whatever system they came from.

No I/O of any kind happens here.
"""

from unified.schema.address import UnifiedAddress
from unified.schema.base import UnifiedBase, UnifiedModel, connection_namespace, unified_id
from unified.schema.customer import CustomerKind, UnifiedCustomer
from unified.schema.event import UnifiedEvent
from unified.schema.invoice import InvoiceKind, InvoiceStatus, UnifiedInvoice, UnifiedLineItem
from unified.schema.record import UnifiedRecord

__all__ = [
    "CustomerKind",
    "InvoiceKind",
    "InvoiceStatus",
    "UnifiedAddress",
    "UnifiedBase",
    "UnifiedCustomer",
    "UnifiedEvent",
    "UnifiedInvoice",
    "UnifiedLineItem",
    "UnifiedModel",
    "UnifiedRecord",
    "connection_namespace",
    "unified_id",
]
