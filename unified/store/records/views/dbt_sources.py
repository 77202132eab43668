"""The views of the schema ``data`` as sources of dbt: `dbt/models/sources.yml`, made from the models."""

import json
from collections.abc import Iterator
from enum import StrEnum
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import SkipValidation

from unified.schema.entities import ENTITIES
from unified.store.records.views import data
from unified.store.records.views.streams import DATA_SCHEMA

_HEAD = f"""\
# Made from the models by `unified db dbt-sources`; a test holds it to them.
sources:
  - name: unified
    schema: {DATA_SCHEMA}
    description: Customers, invoices, events and other records of every system, one workspace's. Without deleted ones.
    config:
      # When the connection that is furthest behind was due. A busy one does not hide one that is silent.
      loaded_at_query: >-
        select least(now(), min(coalesce(last_sync_at, created_at) + make_interval(mins => sync_interval_minutes)))
        from {DATA_SCHEMA}.connections where is_active
      freshness:
        warn_after: {{count: 1, period: hour}}
        error_after: {{count: 24, period: hour}}
    tables:
"""  # noqa: S608 - a constant
_KEYS = ("connection_id", "source_system", "stream", "source_id")
# What is never null in tables that are made of no entity's model.
_NOT_NULL = {
    "invoice_lines": ("connection_id", "invoice_id", "line_number"),
    "identities": ("identity_id", "connection_id", "source_id", "confidence"),
    "golden_customers": ("records", "sources"),
    "connections": ("connector", "name", "is_active", "sync_interval_minutes"),
}
_UNIQUE = {
    "identities": "unified_id",
    "golden_customers": "identity_id",
    "connections": "connection_id",
}


def document() -> str:
    """The file: a table for each view, each column with its description and what is tested of it."""
    models = {entity.name: entity.model for entity in ENTITIES}
    wanted = {*models, *_NOT_NULL}
    views = [view for view in data.of_models() if view.name in wanted]
    return _HEAD + "".join(
        line for view in views for line in _table(view, dict(_of_model(models.get(view.name), view.name)))
    )


def _table(view: data.DataView, tests: dict[str, list[Any]]) -> Iterator[str]:
    yield f"      - name: {view.name}\n"
    yield f"        description: {json.dumps(view.about)}\n"
    yield "        columns:\n"
    for name, text in view.columns.items():
        yield f"          - name: {name}\n            description: {json.dumps(text)}\n"
        if name in tests:
            yield f"            data_tests: {json.dumps(tests[name])}\n"


def _of_model(model: Any, name: str) -> Iterator[tuple[str, list[Any]]]:
    """What is tested of each column: by the type of its field, or by the lists above."""
    unique = "unified_id" if model else _UNIQUE.get(name)
    if unique:
        yield unique, ["unique", "not_null"]
    if model is None:
        yield from ((column, ["not_null"]) for column in _NOT_NULL[name])
        return
    yield from ((column, ["not_null"]) for column in _KEYS)
    for column, info in model.model_fields.items():
        if column in (*_KEYS, "unified_id") or SkipValidation in info.metadata:
            continue
        kinds = _kinds(info.annotation)
        tests: list[Any] = [] if type(None) in kinds else ["not_null"]
        tests += [
            {"accepted_values": {"arguments": {"values": [*kind]}}}
            for kind in kinds
            if isinstance(kind, type) and issubclass(kind, StrEnum)
        ]
        if tests:
            yield column, tests


def _kinds(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
