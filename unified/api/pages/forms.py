"""Forms of a connection: its settings by the JSON Schema of its adapter's model, secrets, streams, columns.

What a form says as values, and the form that says what a connection has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import ValidationError

from unified.api.management.problems import explained, unusable_value
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import CredentialField, CredentialKind
from unified.kit.secrets import Secret
from unified.kit.settings import UnusableSettingsError, typed_number
from unified.store.connections.rows import Connection

PREFIX = "setting."
"""Before a setting's name, so that none can be taken for another field of the form."""

SECRET_PREFIX = "secret."  # noqa: S105 - a prefix
"""Before a secret's name."""

_SETTINGS = "/body/settings/"
_HINTS = {
    "name": "Lower-case letters, digits and hyphens; a letter or digit at both ends.",
    "columns": "A column is left out by the word omit, or hashed by the word hash.",
    "sync_interval_minutes": "A whole number of minutes, from 1 to 44640, which is a month.",
}


@dataclass
class Faults:
    """What is wrong with a form: by field, and all in all."""

    general: str | None = None
    by_field: dict[str, str] = field(default_factory=dict)

    def note_settings(self, error: UnusableSettingsError) -> None:
        """Say beside each setting why it can't be used."""
        for one in explained(error).errors:
            name = one["pointer"].removeprefix(_SETTINGS).partition("/")[0]
            self.by_field[f"{PREFIX}{name}"] = _sentence(one["detail"])

    def note(self, error: ValidationError) -> None:
        """Say beside each other field why it can't be used."""
        for one in error.errors(include_input=False, include_url=False, include_context=False):
            name = str(one["loc"][0])
            place = f"{name}.{one['loc'][1]}" if name == "since" else name
            self.by_field[place] = _HINTS.get(name) or _sentence(unusable_value(one)["detail"])


@dataclass(frozen=True, slots=True)
class Field:
    """One setting as a form asks for it.

    Attributes:
        name: Of the setting.
        label: For people.
        text: What it means.
        kind: ``text``, ``number``, ``boolean``, ``choice``, ``list`` (commas between) or ``json``.
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
    return sorted(found, key=lambda one: not one.is_required)


def asked(adapter: type[BaseAdapter[Any]], form: Mapping[str, str], faults: Faults) -> dict[str, Any]:
    """What ``connection_fields.html`` shows. Secrets are typed anew each time: none is ever part of a page."""
    return {
        "adapter": adapter,
        "fields": fields_of(adapter),
        "secrets": () if adapter.credential_kind is CredentialKind.OAUTH_TOKEN else adapter.credential_fields,
        "form": {name: value for name, value in form.items() if not name.startswith(SECRET_PREFIX)},
        "faults": faults,
    }


def streams(adapter: type[BaseAdapter[Any]], form: Mapping[str, str]) -> list[str]:
    """Names of the adapter's streams whose boxes were ticked."""
    return [stream.name for stream in adapter.streams if f"stream.{stream.name}" in form]


def secrets(fields: Iterable[CredentialField], form: Mapping[str, str]) -> dict[str, Secret]:
    """Secrets that were typed, by field."""
    return {
        one.name: Secret(value)
        for one in fields
        if (value := form.get(f"{SECRET_PREFIX}{one.name}", "").strip())
    }


def filled(adapter: type[BaseAdapter[Any]], connection: Connection) -> dict[str, str]:
    """The form that says what a connection has, as a browser would send it unchanged."""
    form = {
        "columns": "\n".join(
            f"{stream}.{name} {treatment}"
            for stream, rules in connection.columns.items()
            for name, treatment in rules.items()
        ),
        "sync_interval_minutes": f"{connection.sync_interval.total_seconds() / 60:g}",
        "version": str(connection.version),
    }
    form |= {f"stream.{one.name}": "on" for one in adapter.chosen(connection.streams)}
    form |= {f"since.{stream}": day for stream, day in connection.since.items()}
    form |= {f"history.{stream}": "on" for stream in connection.history}
    for one in fields_of(adapter):
        value = connection.settings.get(one.name)
        if one.kind == "boolean":
            if value if one.name in connection.settings else one.default == "true":
                form[f"{PREFIX}{one.name}"] = "on"
        elif value is not None:
            form[f"{PREFIX}{one.name}"] = _text(one, value)
    return form


def reading(adapter: type[BaseAdapter[Any]], form: Mapping[str, str]) -> dict[str, Any]:
    """What a form says on how a connection reads, by the names that the API has for it.

    Raises:
        ValueError: If a line of its columns is not a rule; it names the line by its number.
    """
    names = [stream.name for stream in adapter.all_streams()]
    return {
        "streams": streams(adapter, form),
        "columns": columns(form),
        "since": {name: day for name in names if (day := form.get(f"since.{name}", "").strip())},
        "history": [name for name in names if f"history.{name}" in form],
        "sync_interval_minutes": form.get("sync_interval_minutes", "").strip() or "60",
    }


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
    for one in fields_of(adapter):
        text = form.get(f"{PREFIX}{one.name}", "").strip()
        if one.kind == "boolean":
            if (text == "on") != (one.default == "true"):
                found[one.name] = text == "on"
        elif text:
            found[one.name] = _value(one, text)
    return found


def _value(one: Field, text: str) -> Any:
    match one.kind:
        case "number":
            return typed_number(text)
        case "list":
            return [part for one in text.split(",") if (part := one.strip())]
        case "json":
            try:
                return msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError):
                return text
    return text


def _text(one: Field, value: Any) -> str:
    """A value as somebody types it."""
    match one.kind:
        case "list":
            return ", ".join(map(str, value))
        case "json":
            return msgspec.json.encode(value).decode()
    return str(value)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


_KINDS = {
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "list",
    "object": "json",
}


def _field(name: str, schema: Mapping[str, Any], *, is_required: bool) -> Field:
    # An optional one is a choice between its kind and null.
    inner = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    kind = _KINDS.get(inner.get("type", "object"), "text")
    default = None if kind in ("list", "json") else schema.get("default")
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
