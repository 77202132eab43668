"""A manifest's partitions as a document's, or :class:`Unconvertible` with the reason."""

import re
from collections.abc import Mapping
from typing import Any

from unified.kit.importing.airbyte.expressions import Translator, Unconvertible
from unified.kit.importing.airbyte.requests import Asked
from unified.kit.importing.names import slug

Said = dict[str, Any]


def partition(
    found: Any, asked: Asked, translator: Translator, given: Mapping[str, Any]
) -> Said | list[Said] | None:
    """The partitions, of a product a list of them; how a request names one is put into ``asked``."""
    routers = [one for one in (found if isinstance(found, list) else [found]) if one]
    made = [_router(one, asked, translator, given) for one in routers]
    return made if len(made) > 1 else made[0] if made else None


def _router(found: Any, asked: Asked, translator: Translator, given: Mapping[str, Any]) -> Said:
    if not isinstance(found, dict):
        raise Unconvertible("its partition_router is not an object")
    if found.get("type") == "ListPartitionRouter":
        return _values(found, asked, translator, given)
    if found.get("type") != "SubstreamPartitionRouter":
        raise Unconvertible(f"{found.get('type')}: documents have no such partitions")
    parents = found.get("parent_stream_configs")
    if not isinstance(parents, list) or not parents:
        raise Unconvertible("SubstreamPartitionRouter: it has no parents")
    made = [_parent(one, asked) for one in parents]
    return made[0] if len(made) == 1 else {"any_of": made}


def _parent(parent: Any, asked: Asked) -> Said:
    if not isinstance(parent, dict):
        raise Unconvertible("SubstreamPartitionRouter: its parent is not a stream with a key")
    if parent.get("extra_fields") or parent.get("lazy_read_pointer"):
        raise Unconvertible("SubstreamPartitionRouter: extra fields of the parent are not carried over")
    stream = parent.get("stream")
    name, key = str(parent.get("partition_field", "")), parent.get("parent_key")
    if not isinstance(stream, dict) or not isinstance(key, str) or "*" in key:
        raise Unconvertible("SubstreamPartitionRouter: its parent is not a stream with a key")
    _asked_by(parent.get("request_option"), name, asked)
    return {
        "stream": slug(str(stream.get("name") or "")),
        "parent_key": [part for part in re.split(r"[/.]", key) if part],
        "partition_field": slug(name),
    }


def _values(found: Said, asked: Asked, translator: Translator, given: Mapping[str, Any]) -> Said:
    name = str(found.get("cursor_field", "value"))
    values = found.get("values")
    _asked_by(found.get("request_option"), name, asked)
    if isinstance(values, str):
        return {"values": translator.text(values, given, what="values"), "partition_field": slug(name)}
    if not isinstance(values, list) or not all(isinstance(one, str | int) for one in values):
        raise Unconvertible("ListPartitionRouter: its values are not texts")
    return {"values": [str(one) for one in values], "partition_field": slug(name)}


def _asked_by(option: Any, name: str, asked: Asked) -> None:
    if isinstance(option, dict):
        asked.hold(option, f"{{{{ partition.{slug(name)} }}}}", "a partition")
