"""The entities: which canonical tables there are, and what their rows are. The one list of them.

Not here: the columns that PostgreSQL keeps a model's fields in (:mod:`unified.store.records.tables`), and which
streams land in an entity, which each connector declares (:class:`unified.kit.declarations.Stream`).
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from unified.schema.base import UnifiedBase


@dataclass(frozen=True, slots=True)
class Entity:
    """A canonical table. Streams of any system land in it, and several streams of one system may.

    Attributes:
        name: Plural and lower-case, e.g. ``customers``.
        model_path: Where its model is below this package, as ``module:class``.
        is_log: Whether its records are things that happened. A source forgets old ones, which is not a deletion.
    """

    name: str
    model_path: str
    is_log: bool = False

    @property
    def model(self) -> "type[UnifiedBase]":
        """What its rows are. Imported when first asked for: what needs the names alone does without pydantic."""
        module, _, name = self.model_path.partition(":")
        return cast("type[UnifiedBase]", getattr(import_module(f"{__package__}.{module}"), name))

    @property
    def table(self) -> str:
        """The table with the rows of all sources, e.g. ``unified_customers``."""
        return f"unified_{self.name}"

    @property
    def history(self) -> str | None:
        """The table with former states of its rows, e.g. ``customers_history``; what happened has none."""
        return None if self.is_log else f"{self.name}_history"

    def leaf(self, connector: str) -> str:
        """The partition of that table with one connector's rows, e.g. ``unified_customers_stripe``."""
        return f"{self.table}_{connector}"


CUSTOMERS = Entity("customers", "customer:UnifiedCustomer")
INVOICES = Entity("invoices", "invoice:UnifiedInvoice")
EVENTS = Entity("events", "event:UnifiedEvent", is_log=True)
RECORDS = Entity("records", "record:UnifiedRecord")
"""Any other stream of any system. Each has a view of its own for reading, e.g. ``stripe_subscriptions``."""

ENTITIES = (CUSTOMERS, INVOICES, EVENTS, RECORDS)
"""All of them."""
