"""Which adapters there are, and which verifiers of webhooks.

Adapters of this project and of installed packages are found in the same way: through entry points of the group
``unified_assets.adapters``, each named as its adapter is. A verifier is an adapter's, or one of
`unified.kit.webhooks.verifiers`.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from unified.kit import moved
from unified.kit.adapter import BaseAdapter
from unified.kit.errors import ConfigurationError
from unified.kit.webhooks.signatures import Verifier
from unified.kit.webhooks.verifiers import SHARED, HmacVerifier, read_options

ENTRY_POINTS = "unified_assets.adapters"

_Adapter = TypeVar("_Adapter", bound=type[BaseAdapter[Any]])
_ADAPTERS: dict[str, type[BaseAdapter[Any]]] = {}


def register_adapter(adapter: _Adapter) -> _Adapter:
    """Class decorator that makes an adapter known under its ``name``.

    Raises:
        ConfigurationError: If another class has that name already.
    """
    known = _ADAPTERS.setdefault(adapter.name, adapter)
    if known is not adapter and (known.__module__, known.__qualname__) != (
        adapter.__module__,
        adapter.__qualname__,
    ):
        msg = f"two adapters are called {adapter.name!r}: {known.__module__} and {adapter.__module__}"
        raise ConfigurationError(msg)
    _ADAPTERS[adapter.name] = adapter
    return adapter


def discover_adapters() -> dict[str, type[BaseAdapter[Any]]]:
    """Import every adapter of this project and of installed packages.

    Returns:
        Adapter classes by name, sorted.

    Raises:
        ConfigurationError: If an installed adapter can't be imported, with its package and the reason.
    """
    for entry in entry_points(group=ENTRY_POINTS):
        _load(entry)
    return dict(sorted(_ADAPTERS.items()))


def get_adapter(name: str) -> type[BaseAdapter[Any]]:
    """The adapter class of a connector.

    Raises:
        ConfigurationError: If there is none, with the names that there are.
    """
    if name not in _ADAPTERS:
        for entry in entry_points(group=ENTRY_POINTS, name=name):  # this one, without all the others
            _load(entry)
    if name not in _ADAPTERS and name not in discover_adapters():
        msg = f"there is no connector {name!r}; there is {', '.join(list_adapters())}"
        raise ConfigurationError(msg)
    return _ADAPTERS[name]


def list_adapters() -> list[str]:
    """Names of all connectors, sorted."""
    return list(discover_adapters())


def _load(entry: EntryPoint) -> None:
    try:
        register_adapter(entry.load())
    except (ImportError, AttributeError) as error:
        msg = f"the adapter {entry.name!r} of {entry.value} can't be imported: {error}"
        if isinstance(error, ImportError) and (where := moved.explain(error)):
            msg = (
                f"the adapter {entry.name!r} of {entry.value} is written for an earlier release: {where}; "
                "change its import, or install its newer version"
            )
        raise ConfigurationError(msg) from error


def get_verifier(name: str, options: Mapping[str, str] | None = None) -> Verifier:
    """The verifier of an endpoint.

    Args:
        name: One of `unified.kit.webhooks.verifiers`, or one that a connector brings.
        options: Settings of ``hmac``: see :class:`unified.kit.webhooks.verifiers.HmacOptions`; no other verifier has
            any.

    Raises:
        ConfigurationError: If there is none of that name, or the options do not fit.
    """
    if name == "hmac":
        return HmacVerifier(name, read_options(options or {}))
    if options:
        raise ConfigurationError(f"the verifier {name} takes no options; remove {', '.join(sorted(options))}")
    try:
        return _verifiers()[name]
    except KeyError:
        raise ConfigurationError(
            f"there is no webhook verifier {name!r}; there is {', '.join(list_verifiers())}"
        ) from None


def list_verifiers() -> list[str]:
    """Names of all verifiers, sorted."""
    return sorted(("hmac", *_verifiers()))


@cache
def _verifiers() -> dict[str, Verifier]:
    brought = [verifier for adapter in discover_adapters().values() for verifier in adapter.verifiers]
    return {verifier.name: verifier for verifier in (*brought, *SHARED)}
