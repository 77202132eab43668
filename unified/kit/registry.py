"""Which adapters there are.

Adapters of this project and of installed packages are found in the same way, through entry points of the group
``unified_assets.adapters``; a folder ``adapters/<name>/adapter.py`` in this checkout is found without one.
"""

import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import Any, TypeVar

import adapters
from unified.kit.adapter import BaseAdapter
from unified.kit.errors import ConfigurationError

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
    for folder in _folders():
        importlib.import_module(f"adapters.{folder}.adapter")
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            register_adapter(entry.load())
        except (ImportError, AttributeError) as error:
            msg = f"the adapter {entry.name!r} of {entry.value} can't be imported: {error}"
            raise ConfigurationError(msg) from error
    return dict(sorted(_ADAPTERS.items()))


def get_adapter(name: str) -> type[BaseAdapter[Any]]:
    """The adapter class of a connector.

    Raises:
        ConfigurationError: If there is none, with the names that there are.
    """
    if name not in _ADAPTERS and name in _folders():
        importlib.import_module(f"adapters.{name}.adapter")  # ours, without all the others
    if name not in _ADAPTERS and name not in discover_adapters():
        msg = f"there is no connector {name!r}; there is {', '.join(list_adapters())}"
        raise ConfigurationError(msg)
    return _ADAPTERS[name]


def list_adapters() -> list[str]:
    """Names of all connectors, sorted."""
    return list(discover_adapters())


def _folders() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(adapters.__path__) if module.ispkg]
