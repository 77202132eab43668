"""A form from an adapter's settings model, and the values that somebody typed into it, by its JSON Schema."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.settings import typed_number

PREFIX = "setting."
"""Before a setting's name, so that none can be taken for another field of the form."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting as a form asks for it.

    Attributes:
        name: Of the setting.
        label: For people.
        text: What it means.
        kind: ``text``, ``number``, ``boolean`` or ``choice``.
        choices: Values to choose from.
        default: What holds where nothing is typed; empty where something has to be.
        is_required: Whether something has to be typed.
        least: The smallest number, if there is one.
        most: The largest.
    """

    name: str
    label: str
    text: str
    kind: str
    choices: tuple[str, ...]
    default: str
    is_required: bool
    least: str
    most: str


def fields_of(adapter: type[BaseAdapter[Any]]) -> list[Field]:
    """The settings of an adapter, those that have to be typed first."""
    schema = adapter.config_model.model_json_schema()
    required = schema.get("required", ())
    found = [
        _field(name, property_, is_required=name in required)
        for name, property_ in schema["properties"].items()
    ]
    return sorted(found, key=lambda field: not field.is_required)


def streams(adapter: type[BaseAdapter[Any]], form: Mapping[str, str]) -> list[str]:
    """Names of the adapter's streams whose boxes were ticked."""
    return [stream.name for stream in adapter.streams if f"stream.{stream.name}" in form]


def columns(form: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Rules for columns that were typed, a line each: ``customers.email hash``.

    Raises:
        ValueError: If a line is nothing of the kind; it names the line by its number.
    """
    found: dict[str, dict[str, str]] = {}
    for number, line in enumerate(form.get("columns", "").splitlines(), start=1):
        column, *treatment = line.split()[:3] or [""]
        stream, dot, field = column.partition(".")
        if line.strip() and not (dot and field and len(treatment) == 1):
            msg = (
                f"Line {number} is not a rule: write stream, field and treatment, as in customers.email hash."
            )
            raise ValueError(msg)
        if line.strip():
            found.setdefault(stream, {})[field] = treatment[0]
    return found


def typed(adapter: type[BaseAdapter[Any]], form: Mapping[str, str]) -> dict[str, Any]:
    """Settings that were typed, as JSON values; what was left empty is left out, and keeps its default.

    A number that can't be read stays text, for the adapter's model to refuse.
    """
    found: dict[str, Any] = {}
    for field in fields_of(adapter):
        text = form.get(f"{PREFIX}{field.name}", "").strip()
        if field.kind == "boolean":
            if (text == "on") != (field.default == "true"):
                found[field.name] = text == "on"
        elif text:
            found[field.name] = typed_number(text) if field.kind == "number" else text
    return found


def _field(name: str, schema: Mapping[str, Any], *, is_required: bool) -> Field:
    # An optional one is a choice between its kind and null.
    inner = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    kind = {"number": "number", "integer": "number", "boolean": "boolean"}.get(inner.get("type", ""), "text")
    default = schema.get("default")
    choices = tuple(map(str, inner.get("enum", ())))
    return Field(
        name,
        name.replace("_", " ").capitalize().replace("url", "URL"),
        schema.get("description", ""),
        "choice" if choices else kind,
        choices,
        str(default).lower() if isinstance(default, bool) else "" if default is None else str(default),
        is_required,
        str(inner.get("minimum", inner.get("exclusiveMinimum", ""))),
        str(inner.get("maximum", inner.get("exclusiveMaximum", ""))),
    )
