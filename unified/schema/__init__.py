"""The canonical models: what a customer, an invoice, an event and any other record are, whatever system they came from.

No I/O of any kind happens here. A model is imported when it is first asked for: pydantic takes a third of a second, and
what only needs the entities' names (`unified.schema.entities`) does without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = ("address", "base", "customer", "event", "invoice", "record")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = getattr(import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
