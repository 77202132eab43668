"""What each stream of a manifest needs, and what of it is code and so is refused. Nothing is run.

An expression is understood where ``unified.kit.mapping.expressions`` compiles it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unified.kit.importing.airbyte.manifest import PARAMETERS, Manifest
from unified.kit.importing.airbyte.needs.components import (
    BASIS,
    BODIES,
    BY_KEY,
    DROPPED,
    DROPPED_KEYS,
    DYNAMIC,
    LISTS,
    NEED_OF,
    WAITS,
)
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.expressions.times import CLOCK
from unified.kit.mapping.refusals import RuleError

_NAMES = frozenset(
    ("config", "parameters", "stream_partition", "stream_slice", "stream_interval", "stream_state", "record",
     "response", "headers", "last_record", "last_page_size", "last_page_token_value", "next_page_token",
     "creation_response", "polling_response", "download_target", "session_token", "components_values",
     "stream_template_config", "decoded_response", "refresh_token", "client_id", "client_secret", "access_token")
)  # fmt: skip
"""What expressions of a manifest may name."""

_BODY_KEYS = frozenset(("request_body", "request_body_json", "request_body_data"))
_DATA_KEYS = _BODY_KEYS | {"request_parameters", "request_headers", "refresh_request_body", "value", "values"}
"""Objects that are sent: a key ``type`` in them is the API's, not a component's."""

_GRANTS = frozenset(("refresh_token", "client_credentials", "password"))
_LONGEST_SHOWN = 80
_NOW = ("now_utc(", "today_utc(", "now()")


@dataclass(slots=True)
class ExaminedStream:
    """What a stream needs.

    Attributes:
        name: As the manifest calls it.
        needs: What an engine has to have: some of ``components.NEEDS``.
        refused: Why it can't run as data, each once; empty where it can.
    """

    name: str
    needs: set[str] = field(default_factory=lambda: {BASIS})
    refused: list[str] = field(default_factory=list)

    def refuse(self, reason: str) -> None:
        """Note a reason, once."""
        if reason not in self.refused:
            self.refused.append(reason)

    def runs_with(self, needs: frozenset[str]) -> bool:
        """Whether an engine that has these runs it."""
        return not self.refused and self.needs <= needs


def examine(manifest: Manifest) -> list[ExaminedStream]:
    """Examine each stream of a manifest, those that are made of a list of components last."""
    found = []
    for place, stream in enumerate(manifest.streams):
        one = ExaminedStream(_name(stream, f"stream {place + 1}"))
        if manifest.budget:
            one.needs.add(WAITS)
            _component(one, manifest.budget, "api_budget")
        _component(one, stream, "stream")
        found.append(one)
    for place, stream in enumerate(manifest.dynamic):
        one = ExaminedStream(_name(stream, f"dynamic stream {place + 1}"))
        one.needs.add(DYNAMIC)
        _component(one, {"type": "DynamicDeclarativeStream", **stream}, "dynamic_stream")
        found.append(one)
    return found


def _name(stream: Mapping[str, Any], otherwise: str) -> str:
    said = stream.get("name") or stream.get(PARAMETERS, {}).get("name")
    return said if isinstance(said, str) and said else otherwise


def _component(one: ExaminedStream, component: Mapping[str, Any], key: str) -> None:
    """Look at a component, and at all below it unless it is dropped or refused."""
    kind = component.get("type") or BY_KEY.get(key)
    if (isinstance(kind, str) and kind in DROPPED) or not _is_known(one, component, kind, key):
        return
    _options(one, component, kind)
    for name, value in component.items():
        if name in DROPPED_KEYS or (name == "end_datetime" and _is_now(value)):
            continue
        if name == "partition_router" and isinstance(value, list) and len(value) > 1:
            one.needs.add(LISTS)
        _value(one, value, name)


def _is_known(one: ExaminedStream, component: Mapping[str, Any], kind: Any, key: str) -> bool:
    """Whether a component is data that an engine may run; what it needs, or why it is refused, is noted."""
    named = kind if isinstance(kind, str) else ""
    if named.startswith("Custom"):
        one.refuse(f"{named[:_LONGEST_SHOWN]}: it is Python of the connector's own")
    elif "class_name" in component:
        one.refuse("class_name: it is Python of the connector's own")
    elif named in NEED_OF:
        one.needs.add(NEED_OF[named])
        return True
    elif named and (key in BY_KEY or _is_component_name(named)):
        one.refuse(f"{named[:_LONGEST_SHOWN]}: this component is not known")
    else:
        return True
    return False


def _options(one: ExaminedStream, component: Mapping[str, Any], kind: Any) -> None:
    """What a component needs by what it says."""
    if any(component.get(name) for name in _BODY_KEYS):
        one.needs.add(BODIES)
    into = component.get("inject_into")
    if isinstance(into, str) and into.startswith("body"):
        one.needs.add(BODIES)
    if kind == "OAuthAuthenticator":
        grant = component.get("grant_type", "refresh_token")
        if isinstance(grant, str) and "{{" not in grant and grant not in _GRANTS:
            one.refuse(f"OAuthAuthenticator: the grant {grant[:_LONGEST_SHOWN]!r} is not known")


def _value(one: ExaminedStream, value: Any, key: str) -> None:
    if isinstance(value, dict) and key in _DATA_KEYS:
        for inner in value.values():
            _value(one, inner, key)
    elif isinstance(value, dict):
        _component(one, value, key)
    elif isinstance(value, list):
        for inner in value:
            _value(one, inner, key)
    elif isinstance(value, str):
        _text(one, value, key)


def _text(one: ExaminedStream, text: str, key: str) -> None:
    if "{%" in text:
        one.refuse(f"{key}: statements ({{% %}}) are a program, not data")
    elif "{{" in text:
        try:
            compile_template(text, _NAMES, CLOCK)
        except RuleError as error:
            one.refuse(f"{key}: {error}")


def _is_now(value: Any) -> bool:
    """Whether the end of a time is now: that is where a pull ends anyway."""
    text = value.get("datetime") if isinstance(value, dict) else value
    return isinstance(text, str) and any(now in text.replace(" ", "") for now in _NOW)


def _is_component_name(kind: str) -> bool:
    """Whether a ``type`` names a component, not the type of a value in somebody's data, such as ``string``."""
    return kind[:1].isupper() and kind.isidentifier()
