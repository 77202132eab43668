"""The lists there are, each declared by its model: fields, filters, order. Nothing else knows one list from another.

How a page is read is :mod:`unified.store.lists.pages`; who may read it and how it is asked for, the API's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_type_hints
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SkipValidation,
    StringConstraints,
    TypeAdapter,
    create_model,
)
from pydantic.fields import FieldInfo

from unified.schema.entities import CUSTOMERS, ENTITIES, EVENTS, INVOICES, RECORDS, Entity
from unified.store.identities.golden import GoldenCustomer
from unified.store.records.tables import column_type

MOST_VALUES = 50
"""Values that one filter takes."""

LINES = "lines"
"""What adds an invoice's line items to it."""

_Operator = Literal["=", ">=", "<", "<=", "contains"]


@dataclass(frozen=True)
class Filter:
    """A condition that a caller may set.

    Attributes:
        column: The column that it compares, or an expression of columns.
        operator: How; with ``=``, any of several values; ``contains`` a part of a text, in any case.
        kind: Type of a value, as pydantic takes it.
        text: What it does, for people.
        lookup: Whether the column has an index, which begins with the connection.
        folded: Whether the column holds its text in lower case.
    """

    column: str
    operator: _Operator
    kind: Any
    text: str
    lookup: bool = False
    folded: bool = False

    @property
    def takes_several(self) -> bool:
        """Whether several values may be given."""
        return self.operator == "="

    @cached_property
    def values(self) -> TypeAdapter[Any]:
        """What reads a value."""
        return TypeAdapter(self.kind)


@dataclass(frozen=True)
class RecordList:
    """A list.

    Attributes:
        name: As its path has it, e.g. ``customers``.
        entity: Whose rows it has; None for identities.
        table: Where they are.
        item: Model of an item, each field optional, as a caller may choose some.
        key: Columns of its order, which never change in a row, and their types.
        unique: The column that tells rows of one transaction apart.
        stamp: The column that a time in ``updated_since`` is compared with.
        filters: By name.
        expansions: By name, fields that come only when asked for.
        raw: Columns with what the source sent, which come for a single record only.
    """

    name: str
    entity: Entity | None
    table: str
    item: type[BaseModel]
    key: Mapping[str, type]
    unique: str
    stamp: str
    filters: Mapping[str, Filter]
    expansions: Mapping[str, tuple[str, ...]]
    raw: tuple[str, ...] = ()

    @property
    def usual(self) -> tuple[str, ...]:
        """Fields that come unless some are chosen."""
        expanded = {field for group in self.expansions.values() for field in group}
        return tuple(name for name in self.item.model_fields if name not in expanded)


# What a row has beside its model's fields.
_CONNECTION: dict[str, tuple[Any, FieldInfo]] = {
    "connection": (str, Field(description="Name of the connection that it came by.")),
    "connection_id": (UUID, Field(description="That connection.")),
    "stream": (str, Field(description="The connector's stream that it is of.")),
}

# What a golden customer has beside fields of the model of customers.
_OF_IDENTITY = {
    "identity_id": "Stable for as long as any of its records stays.",
    "records": "How many records it has.",
    "sources": "Connectors that they come from.",
    "provenance": "By field: which source and record won, and why.",
    "created_at": "When it came up.",
    "updated_at": "When any of this changed.",
}

_Text = Annotated[str, StringConstraints(max_length=200)]
_LARGEST_NUMBER = Decimal(10) ** 30
_Number = Annotated[Decimal, Field(ge=-_LARGEST_NUMBER, le=_LARGEST_NUMBER, allow_inf_nan=False)]
_OF_CONNECTION = Filter("connection_id", "=", _Text, "Name or id of the connection.")
# Columns with an index that begins with the connection, and the one that is compared in their place.
_LOOKUPS: dict[Entity | None, dict[str, str]] = {
    CUSTOMERS: {"email": "email_key", "tax_number": "tax_number", "source_id": "source_id"},
    INVOICES: {"customer_id": "customer_id", "source_id": "source_id"},
    EVENTS: {"resource_id": "resource_id", "source_id": "source_id"},
}
_KEY = {"connection_id": UUID, "source_id": str, "stream": str}
# A leaf of unified_records has many streams, and its key leads to one of them.
_KEY_OF_RECORDS = {"connection_id": UUID, "stream": str, "source_id": str}


def _words(annotation: Any) -> Any:
    """The type of a text in a filter: a field's own words, where it has some; otherwise any text."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, Enum):
            return one
    return _Text


def _filters(entity: Entity | None, annotations: Mapping[str, Any]) -> dict[str, Filter]:
    """The filters that follow from fields' types: equal to a text or a truth, ranges of times and numbers."""
    found: dict[str, Filter] = {}
    lookups = _LOOKUPS.get(entity, {})
    for name, annotation in annotations.items():
        match column_type(annotation):
            case "text" | "boolean" as kind:
                found[name] = Filter(
                    lookups.get(name, name),
                    "=",
                    bool if kind == "boolean" else _words(annotation),
                    f"Only with this `{name}`; repeat it for any of several.",
                    lookup=name in lookups,
                    folded=lookups.get(name, name) != name,
                )
            case "timestamptz":
                found[f"{name}_from"] = Filter(name, ">=", AwareDatetime, f"`{name}` at this time or later.")
                found[f"{name}_before"] = Filter(name, "<", AwareDatetime, f"`{name}` before this time.")
            case "bigint" | "numeric":
                found[f"{name}_min"] = Filter(name, ">=", _Number, f"`{name}` of this or more.")
                found[f"{name}_max"] = Filter(name, "<=", _Number, f"`{name}` of this or less.")
    return found


def _item(name: str, declared: Mapping[str, tuple[Any, FieldInfo]]) -> type[BaseModel]:
    optional: dict[str, Any] = {
        field: (annotation, Field(default=None, description=info.description))
        for field, (annotation, info) in declared.items()
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), **optional)


def _of_entity(entity: Entity) -> RecordList:
    raw = {name for name, info in entity.model.model_fields.items() if SkipValidation in info.metadata}
    own = {
        name: (info.rebuild_annotation(), info)
        for name, info in entity.model.model_fields.items()
        if name not in raw
    }
    declared = {**_CONNECTION, **own}
    filterable = {name: annotation for name, (annotation, _) in own.items()} | {"stream": str}
    del filterable["unified_id"]
    name = entity.name.removesuffix("s").capitalize()
    return RecordList(
        entity.name,
        entity,
        entity.table,
        _item(f"Listed{name}", declared),
        MappingProxyType(_KEY_OF_RECORDS if entity is RECORDS else _KEY),
        "unified_id",
        "synced_at",
        MappingProxyType({"connection": _OF_CONNECTION, **_filters(entity, filterable)}),
        MappingProxyType({LINES: ("line_items",)} if entity is INVOICES else {}),
        tuple(sorted(raw)),
    )


def _of_identities() -> RecordList:
    hints = get_type_hints(GoldenCustomer)
    said = {name: info.description for name, info in CUSTOMERS.model.model_fields.items()} | _OF_IDENTITY
    declared = {
        one.name: (hints[one.name], FieldInfo(annotation=hints[one.name], description=said[one.name]))
        for one in fields(GoldenCustomer)
    }
    more = {
        "least_records": Filter("records", ">=", _Number, "Only with so many records or more."),
        "search": Filter(
            "concat_ws(' ', email, name, company)",
            "contains",
            _Text,
            "Part of an e-mail address, a name or a company.",
        ),
    }
    return RecordList(
        "identities",
        None,
        "golden_customers",
        _item("ListedIdentity", declared),
        MappingProxyType({"identity_id": UUID}),
        "identity_id",
        "updated_at",
        MappingProxyType({**_filters(None, hints), **more}),
        MappingProxyType({}),
    )


def _of_history(entity: Entity) -> RecordList:
    """Former states of an entity's records: a list to copy. No page of the API has it."""
    of = _of_entity(entity)
    declared: dict[str, tuple[Any, FieldInfo]] = {
        **{name: (info.annotation, info) for name, info in of.item.model_fields.items()},
        "valid_from": (AwareDatetime, Field(description="When the record came into this state.")),
        "valid_to": (AwareDatetime, Field(description="When the next one began, or it was deleted.")),
        "state_id": (UUID, Field(description="Of this state alone.")),
    }
    return replace(
        of,
        name=f"{entity.name}_history",
        entity=None,
        table=entity.history or "",
        item=_item(f"Former{entity.name.removesuffix('s').capitalize()}", declared),
        key=MappingProxyType({**_KEY, "valid_from": AwareDatetime, "state_id": UUID}),
        unique="state_id",
        stamp="valid_to",
    )


HISTORIES: Mapping[str, RecordList] = MappingProxyType(
    {one.history: _of_history(one) for one in ENTITIES if one.history}
)
"""The lists of former states, by name."""

LISTS: Mapping[str, RecordList] = MappingProxyType(
    {one.name: one for one in (*map(_of_entity, ENTITIES), _of_identities())}
)
"""All lists, by name."""
