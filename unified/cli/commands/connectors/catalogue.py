"""`unified connectors list`, `show` and `unified schemas`: what can be connected, and what its records become."""

from typing import Any

from pydantic.fields import FieldInfo

from unified.cli.arguments import AsJson
from unified.cli.output import out, print_json, table
from unified.cli.secrets import variable_of
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import AdapterConfig
from unified.kit.registry import discover_adapters
from unified.schema.versions import json_schemas
from unified.store.connectors import installed


def list_connectors(*, as_json: AsJson = False) -> None:
    """List the systems that can be connected: their streams, and the secrets and settings that they take."""
    installed.load()
    adapters = discover_adapters().values()
    if as_json:
        print_json([entry(adapter) for adapter in adapters])
        return
    table(
        ("CONNECTOR", "SYSTEM", "STREAMS", "CAN", "ACCESS"),
        (
            (
                adapter.name,
                adapter.display_name,
                ", ".join(stream.name for stream in adapter.streams),
                ", ".join(sorted(adapter.capabilities)),
                _access(adapter) or None,
            )
            for adapter in adapters
        ),
        empty="No adapter is installed.",
    )
    for adapter in adapters:
        _show_settings(adapter)


def show_packaged(adapter: type[BaseAdapter[Any]], *, as_json: bool) -> None:
    """Show a connector that comes with a package: what it reads, where that lands, what it needs."""
    if as_json:
        print_json([entry(adapter)])
        return
    for line in (
        f"{adapter.display_name} ({adapter.name}), which comes with an installed package",
        f"Can: {', '.join(sorted(adapter.capabilities))}",
        f"Hosts: {', '.join(adapter.config_model.hosts) or 'the one of base_url'}",
        f"Secrets: {_secrets(adapter) or 'none'}",
        f"OAuth: {', '.join(adapter.oauth.grants) if adapter.oauth else 'no'}",
        f"Webhooks by: {', '.join(verifier.name for verifier in adapter.verifiers) or 'none'}",
    ):
        out.print(line, markup=False, highlight=False)
    table(
        ("STREAM", "LANDS IN", "USUAL"),
        (
            (stream.name, stream.entity.table, "yes" if stream.is_usual else "where it is chosen")
            for stream in adapter.all_streams()
        ),
        empty="",
    )
    _show_settings(adapter)


def entry(adapter: type[BaseAdapter[Any]]) -> dict[str, Any]:
    """A connector in JSON."""
    return {
        "name": adapter.name,
        "title": adapter.display_name,
        "streams": [stream.name for stream in adapter.streams],
        "capabilities": sorted(adapter.capabilities),
        "secrets": [
            {"field": field.name, "hint": field.hint, "variable": variable_of(field)}
            for field in adapter.credential_fields
        ],
        "settings": [
            {"name": name, "default": default, "description": description}
            for name, default, description in _settings(adapter.config_model)
        ],
    }


def schemas() -> None:
    """Print the JSON Schema (draft 2020-12) of each unified model, with its version."""
    print_json(json_schemas())


def _secrets(adapter: type[BaseAdapter[Any]]) -> str:
    return "; ".join(f"{field.name}: {field.hint}" for field in adapter.credential_fields)


def _access(adapter: type[BaseAdapter[Any]]) -> str:
    """By what a connection is let in: its secrets, OAuth, or one of the two; nothing where nobody is asked."""
    by_oauth = "by OAuth (`unified connections authorize`)" if adapter.oauth else ""
    return "; or ".join(filter(None, (_secrets(adapter), by_oauth)))


def _show_settings(adapter: type[BaseAdapter[Any]]) -> None:
    settings = _settings(adapter.config_model)
    table(("SETTING", "DEFAULT", "MEANING"), settings, title=f"{adapter.display_name}: --set", empty="")


def _settings(model: type[AdapterConfig]) -> list[tuple[str, str | None, str | None]]:
    """Name, default and meaning of each; without a default where it has to be given, or may be left out."""
    return [
        (name, _default(info), f"Needed. {info.description}" if info.is_required() else info.description)
        for name, info in model.model_fields.items()
    ]


def _default(info: FieldInfo) -> str | None:
    return None if info.is_required() or info.default in (None, ()) else str(info.default)
