"""The entities: which canonical tables there are, and what their rows are. The one list of them.

Not here: the columns that PostgreSQL keeps a model's fields in (:mod:`unified.store.records.tables`), and which
streams land in an entity, which each connector declares (:class:`unified.kit.declarations.Stream`).
"""

from dataclasses import dataclass

from unified.schema.base import UnifiedBase
from unified.schema.customer import UnifiedCustomer
from unified.schema.event import UnifiedEvent
from unified.schema.invoice import UnifiedInvoice
from unified.schema.record import UnifiedRecord


@dataclass(frozen=True, slots=True)
class Entity:
    """A canonical table. Streams of any system land in it, and several streams of one system may.

    Attributes:
        name: Plural and lower-case, e.g. ``customers``.
        model: What its rows are.
        is_log: Whether its records are things that happened. A source forgets old ones, which is no deletion.
    """

    name: str
    model: type[UnifiedBase]
    is_log: bool = False

    @property
    def table(self) -> str:
        """The table with the rows of all sources, e.g. ``unified_customers``."""
        return f"unified_{self.name}"

    def leaf(self, connector: str) -> str:
        """The partition of that table with one connector's rows, e.g. ``unified_customers_stripe``."""
        return f"{self.table}_{connector}"


CUSTOMERS = Entity("customers", UnifiedCustomer)
INVOICES = Entity("invoices", UnifiedInvoice)
EVENTS = Entity("events", UnifiedEvent, is_log=True)
RECORDS = Entity("records", UnifiedRecord)
"""Any other stream of any system. Each has a view of its own for reading, e.g. ``stripe_subscriptions``."""

ENTITIES = (CUSTOMERS, INVOICES, EVENTS, RECORDS)
"""All of them."""
