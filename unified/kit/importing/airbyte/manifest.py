"""A manifest as plain data: references resolved, parameters passed down to the components below them.

How both work: https://docs.airbyte.com/platform/connector-development/config-based/advanced-topics/references and
…/parameters. What a stream needs is said by ``examination``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unified.kit.document.source import DocumentError, read_source

MOST_VALUES = 200_000
"""Values of a manifest once its references are written out: few lines may stand for many."""

DEEPEST = 100

_REFERENCE = "$ref"
PARAMETERS = "$parameters"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read.

    Attributes:
        name: The file's, for errors.
        streams: Its streams, each an object whose references are written out and whose components have parameters.
        dynamic: The same of streams that are made of what an API or a setting lists.
        budget: Its limits on calls; empty where it has none.
        settings: What a connection to it says of itself: the properties of its ``spec``, by name.
    """

    name: str
    streams: tuple[dict[str, Any], ...]
    dynamic: tuple[dict[str, Any], ...]
    budget: dict[str, Any]
    settings: dict[str, Any]


def read_manifest(text: bytes, name: str) -> Manifest:
    """Read a manifest.

    Args:
        text: Its YAML or JSON.
        name: The file's, for errors.

    Raises:
        DocumentError: If it is not plain data, has no list of streams, or its references lead nowhere, in a circle, or
            to more than a machine should hold.
    """
    whole = read_source(text, name).value
    if not isinstance(whole, dict):
        raise DocumentError(f"{name}: a manifest is an object with the key 'streams', not a list or a text")
    resolver = _Resolver(name, whole)
    found = {
        key: resolver.resolved(whole.get(key), (), 0) for key in ("streams", "dynamic_streams", "api_budget")
    }
    if found["streams"] is None and found["dynamic_streams"] is None:
        raise DocumentError(
            f"{name}: a manifest has the key 'streams' or 'dynamic_streams'; this file has neither"
        )
    shared = whole.get(PARAMETERS)
    passed = shared if isinstance(shared, dict) else {}
    return Manifest(
        name,
        tuple(_with_parameters(one, passed) for one in _objects(name, "streams", found["streams"])),
        tuple(
            _with_parameters(one, passed)
            for one in _objects(name, "dynamic_streams", found["dynamic_streams"])
        ),
        found["api_budget"] if isinstance(found["api_budget"], dict) else {},
        _settings(resolver.resolved(whole.get("spec"), (), 0)),
    )


def _settings(spec: Any) -> dict[str, Any]:
    for key in ("connection_specification", "properties"):
        spec = spec.get(key) if isinstance(spec, dict) else None
    return spec if isinstance(spec, dict) else {}


def _objects(name: str, key: str, found: Any) -> Iterator[dict[str, Any]]:
    if found is None:
        return
    if not isinstance(found, list):
        raise DocumentError(f"{name}: '{key}' is a list of streams")
    for place, one in enumerate(found):
        if not isinstance(one, dict):
            raise DocumentError(f"{name}: {key}.{place} is not an object that describes a stream")
        yield one


class _Resolver:
    """Writes references out. It counts what it makes, because references to references grow."""

    def __init__(self, name: str, whole: Mapping[str, Any]) -> None:
        self._name = name
        self._whole = whole
        self._made = 0

    def resolved(self, value: Any, within: tuple[str, ...], depth: int) -> Any:
        self._made += 1
        if self._made > MOST_VALUES:
            raise DocumentError(f"{self._name}: written out it has more than {MOST_VALUES:,} values")
        if depth > DEEPEST:
            raise DocumentError(f"{self._name}: written out it is nested more than {DEEPEST} levels deep")
        if isinstance(value, str) and value.startswith("#/"):
            return self._target(value, within, depth)
        if isinstance(value, list):
            return [self.resolved(one, within, depth + 1) for one in value]
        if not isinstance(value, dict):
            return value
        own = {key: self.resolved(one, within, depth + 1) for key, one in value.items() if key != _REFERENCE}
        reference = value.get(_REFERENCE)
        if reference is None:
            return own
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise DocumentError(f"{self._name}: a {_REFERENCE} begins with '#/'; other files are not read")
        target = self._target(reference, within, depth)
        if not isinstance(target, dict):
            return own or target
        return {**target, **own, **_both(target.get(PARAMETERS), own.get(PARAMETERS))}

    def _target(self, reference: str, within: tuple[str, ...], depth: int) -> Any:
        if reference in within:
            raise DocumentError(f"{self._name}: the reference {reference!r} leads back to itself")
        return self.resolved(self._at(reference), (*within, reference), depth + 1)

    def _at(self, reference: str) -> Any:
        found: Any = self._whole
        parts = reference[2:].split("/")
        while parts:
            # A key may have slashes in it: the longest that is there is meant.
            for length in range(len(parts), 0, -1):
                key = "/".join(parts[:length])
                if isinstance(found, dict) and key in found:
                    found = found[key]
                    break
                if length == 1 and isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                    found = found[int(key)]
                    break
            else:
                raise DocumentError(f"{self._name}: the reference {reference!r} leads nowhere")
            parts = parts[length:]
        return found


def _both(there: Any, here: Any) -> dict[str, Any]:
    """The parameters of what a reference leads to, and those beside it, which go first."""
    found = {**(there if isinstance(there, dict) else {}), **(here if isinstance(here, dict) else {})}
    return {PARAMETERS: found} if found else {}


def _with_parameters(component: dict[str, Any], passed: Mapping[str, Any]) -> dict[str, Any]:
    """A component whose fields are filled from parameters where it does not say them, and all components below it."""
    own = component.get(PARAMETERS)
    parameters = {**passed, **(own if isinstance(own, dict) else {})}
    found: dict[str, Any] = {}
    for key, value in component.items():
        if key == PARAMETERS:
            continue
        found[key] = _passed_down(value, parameters)
    for key, value in parameters.items():
        found[key] = found.get(key) or value
    found[PARAMETERS] = parameters
    return found


def _passed_down(value: Any, parameters: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_passed_down(one, parameters) for one in value]
    if not isinstance(value, dict):
        return value
    if "type" in value or PARAMETERS in value:
        return _with_parameters(value, parameters)
    return {key: _passed_down(one, parameters) for key, one in value.items()}
