"""Which adapters there are, and which verifiers of webhooks.

Adapters of this project and of installed packages are found in the same way: through entry points of the group
``unified_assets.adapters``, each named as its adapter is. Beside them are those of connector documents, which are
installed while the process runs: whatever keeps documents says which there are (:func:`set_installed`), and for whom. A
verifier is an adapter's, or one of `unified.kit.webhooks.verifiers`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any, TypeVar
from uuid import UUID

from unified.kit import moved
from unified.kit.adapter import BaseAdapter
from unified.kit.errors import ConfigurationError
from unified.kit.webhooks.generic import GENERIC, generic_verifier
from unified.kit.webhooks.signatures import Verifier
from unified.kit.webhooks.verifiers import SHARED

ENTRY_POINTS = "unified_assets.adapters"

_Adapter = TypeVar("_Adapter", bound=type[BaseAdapter[Any]])
_ADAPTERS: dict[str, type[BaseAdapter[Any]]] = {}


@dataclass(frozen=True, slots=True)
class Installed:
    """A connector that was installed while the process runs.

    Attributes:
        adapter: Its class; a text where it can't be used, which says why and what to do.
        workspaces: Who sees it; None for every workspace.
    """

    adapter: type[BaseAdapter[Any]] | str
    workspaces: frozenset[UUID] | None = None


_INSTALLED: dict[str, Installed] = {}


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


def set_installed(connectors: Mapping[str, Installed]) -> None:
    """Say which connectors are installed beside those of packages; those not named are no longer.

    Args:
        connectors: By name. One that a package has too is that package's.
    """
    _INSTALLED.clear()
    _INSTALLED.update(connectors)
    _verifiers.cache_clear()


def discover_adapters() -> dict[str, type[BaseAdapter[Any]]]:
    """Every adapter there is: of this project, of installed packages, of installed documents of any workspace.

    Returns:
        Adapter classes by name, sorted.

    Raises:
        ConfigurationError: If a package's adapter can't be imported, with its package and the reason.
    """
    of_documents = {name: one.adapter for name, one in _INSTALLED.items() if not isinstance(one.adapter, str)}
    return dict(sorted({**of_documents, **packaged_adapters()}.items()))


def packaged_adapters() -> dict[str, type[BaseAdapter[Any]]]:
    """The adapters of this project and of installed packages, by name; see :func:`discover_adapters`."""
    for entry in _entries(tuple(sys.path)):
        _load(entry)
    return dict(sorted(_ADAPTERS.items()))


def adapters_for(workspace_id: UUID) -> dict[str, type[BaseAdapter[Any]]]:
    """The adapters that a workspace can connect: all but those of other workspaces' documents."""
    return {name: adapter for name, adapter in discover_adapters().items() if _is_seen(name, workspace_id)}


def get_adapter(name: str, workspace_id: UUID | None = None) -> type[BaseAdapter[Any]]:
    """The adapter class of a connector.

    Args:
        name: The connector's.
        workspace_id: Who asks, where that may be anybody; None for a connection that is stored already.

    Raises:
        ConfigurationError: If there is none, with the names that there are; if its document can't be used.
    """
    if name not in _ADAPTERS:
        for entry in entry_points(group=ENTRY_POINTS, name=name):  # this one, without all the others
            _load(entry)
    if name not in _ADAPTERS and name not in _INSTALLED:
        packaged_adapters()  # an entry may have another name than its adapter
    if name in _ADAPTERS:
        return _ADAPTERS[name]
    installed = _INSTALLED.get(name)
    if installed is not None and (workspace_id is None or _is_seen(name, workspace_id)):
        if isinstance(installed.adapter, str):
            raise ConfigurationError(installed.adapter)
        return installed.adapter
    seen = list_adapters() if workspace_id is None else adapters_for(workspace_id)
    msg = f"there is no connector {name!r}; there is {', '.join(seen)}"
    raise ConfigurationError(msg)


def list_adapters() -> list[str]:
    """Names of the connectors that every workspace sees, sorted."""
    return [name for name in discover_adapters() if _is_seen(name, None)]


def _is_seen(name: str, workspace_id: UUID | None) -> bool:
    """Whether a workspace, or with None every workspace, sees a connector that there is."""
    installed = None if name in _ADAPTERS else _INSTALLED.get(name)
    return installed is None or installed.workspaces is None or workspace_id in installed.workspaces


@lru_cache(maxsize=1)
def _entries(path: tuple[str, ...]) -> EntryPoints:  # noqa: ARG001 - what the answer is remembered by
    """The entry points of packages in ``sys.path``: the metadata of each is read for it, which takes some 20 ms."""
    return entry_points(group=ENTRY_POINTS)


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
        name: One of `unified.kit.webhooks.generic` or `unified.kit.webhooks.verifiers`, or one that a connector brings.
        options: What those of `unified.kit.webhooks.generic` take; no other verifier has any.

    Raises:
        ConfigurationError: If there is none of that name, or the options do not fit.
    """
    if name in GENERIC:
        return generic_verifier(name, options or {})
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
    return sorted({*GENERIC, *_verifiers()})


@cache
def _verifiers() -> dict[str, Verifier]:
    brought = [verifier for adapter in discover_adapters().values() for verifier in adapter.verifiers]
    return {verifier.name: verifier for verifier in (*brought, *SHARED)}
