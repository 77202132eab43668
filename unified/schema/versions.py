"""Schema versions: reading an old row as today's model, and handing the models out as JSON Schema.

A model's ``__schema_version__`` is semantic. A new optional field raises the minor number; a change of meaning
raises the major one. Either way the step is registered here, and old rows are brought up as they are read.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from unified.schema.base import UnifiedModel
from unified.schema.customer import UnifiedCustomer
from unified.schema.entities import ENTITIES
from unified.schema.event import UnifiedEvent
from unified.schema.invoice import UnifiedInvoice

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
_Model = TypeVar("_Model", bound=UnifiedModel)

_UPGRADES: dict[tuple[type[UnifiedModel], str], tuple[str, Upgrade]] = {}


class UnknownSchemaVersionError(ValueError):
    """A row carries a schema version from which no upgrade leads to today's model."""


def upgrade(model: type[UnifiedModel], old: str, new: str) -> Callable[[Upgrade], Upgrade]:
    """Register the step from one version of a model to the next.

    Args:
        model: The model that changed.
        old: Version that the step starts from.
        new: Version that it leads to.

    Returns:
        A decorator for a function that takes a row's fields and returns them as ``new`` has them.

    Raises:
        ValueError: If a step from ``old`` is registered already; the way up must be one way.
    """

    def register(step: Upgrade) -> Upgrade:
        if (model, old) in _UPGRADES:
            msg = f"an upgrade of {model.__name__} from {old} is registered already"
            raise ValueError(msg)
        _UPGRADES[model, old] = (new, step)
        return step

    return register


def read(model: type[_Model], fields: dict[str, Any], version: str) -> _Model:
    """Read a stored row as today's model.

    Args:
        model: The model to read it as.
        fields: The row's fields, as the writer's version had them.
        version: The ``schema_version`` stored with the row.

    Returns:
        A validated instance.

    Raises:
        UnknownSchemaVersionError: If no upgrades lead from ``version`` to today's.
        pydantic.ValidationError: If the row does not fit the model.
    """
    while version != model.__schema_version__:
        if (model, version) not in _UPGRADES:
            msg = (
                f"a {model.__name__} row has schema version {version}, and no upgrade leads from it to "
                f"{model.__schema_version__}; was it written by a newer release?"
            )
            raise UnknownSchemaVersionError(msg)
        version, step = _UPGRADES[model, version]
        fields = step(fields)
    return model.model_validate(fields)


def json_schemas() -> dict[str, dict[str, Any]]:
    """The public contract of each model.

    Returns:
        JSON Schema (draft 2020-12) by model name, each with its version under ``x-schema-version``.
    """
    return {
        entity.model.__name__: {
            **entity.model.model_json_schema(mode="serialization"),
            "x-schema-version": entity.model.__schema_version__,
        }
        for entity in ENTITIES
    }


@upgrade(UnifiedCustomer, "1.0.0", "1.1.0")
def _customer_lists(fields: dict[str, Any]) -> dict[str, Any]:
    """1.0.0 knew one address and one number; they lead today's lists."""
    lead = {
        many: [fields[one]] for one, many in (("email", "emails"), ("phone", "phones")) if fields.get(one)
    }
    return {**_observed(fields), **lead}


@upgrade(UnifiedInvoice, "1.0.0", "1.1.0")
def _invoice_balance(fields: dict[str, Any]) -> dict[str, Any]:
    """1.0.0 had no balance; only of a fully paid invoice it is known what was paid."""
    known = (
        {"amount_paid": fields.get("total"), "amount_remaining": 0} if fields.get("status") == "paid" else {}
    )
    return {**_observed(fields), **known}


@upgrade(UnifiedEvent, "1.0.0", "1.1.0")
def _event(fields: dict[str, Any]) -> dict[str, Any]:
    return _observed(fields)


def _observed(fields: dict[str, Any]) -> dict[str, Any]:
    """1.0.0 did not say when a state was observed; it was so when it was read."""
    return {"observed_at": fields["synced_at"], **fields}
