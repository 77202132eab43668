"""An OpenAPI file as plain data, and what its references lead to: within the file alone, and never in a circle."""

import json
from collections.abc import Mapping
from typing import Any

from unified.kit.document.source import DocumentError, read_source

MOST_JSON_BYTES = 20_000_000
"""Of a file in JSON, which is read far faster than YAML."""

MOST_YAML_BYTES = 2_000_000
_MOST_NODES = 200_000

_MOST_HOPS = 20


class Spec:
    """A description that was read.

    Attributes:
        name: The file's, for errors.
        whole: What it says.
    """

    def __init__(self, name: str, whole: Mapping[str, Any]) -> None:
        """Take what was read."""
        self.name = name
        self.whole = whole

    def resolve(self, found: Any) -> Any:
        """What a reference leads to, or what is no reference itself.

        Raises:
            DocumentError: If it leads out of the file, nowhere, or back to itself.
        """
        met: list[str] = []
        while isinstance(found, Mapping) and isinstance(reference := found.get("$ref"), str):
            if reference in met or len(met) >= _MOST_HOPS:
                raise DocumentError(f"{self.name}: the reference {reference[:100]!r} leads back to itself")
            met.append(reference)
            found = self._at(reference)
        return found

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise DocumentError(
                f"{self.name}: the reference {reference[:100]!r} leads out of the file; other files are not read"
            )
        found: Any = self.whole
        for part in reference[2:].split("/"):
            key = part.replace("%7B", "{").replace("%7D", "}").replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise DocumentError(f"{self.name}: the reference {reference[:100]!r} leads nowhere")
        return found

    def object(self, found: Any) -> Mapping[str, Any]:
        """An object, followed; an empty one where there is none."""
        resolved = self.resolve(found)
        return resolved if isinstance(resolved, Mapping) else {}

    def items(self, found: Any) -> list[Mapping[str, Any]]:
        """The objects of a list, each followed."""
        return [self.object(one) for one in found] if isinstance(found, list) else []


def read_spec(text: bytes, name: str) -> Spec:
    """Read a description.

    Args:
        text: YAML of at most 2 MB, or JSON of at most 20 MB, in UTF-8.
        name: The file's, for errors.

    Raises:
        DocumentError: If it is neither, is too large, has a key twice, or is of another version than 3.0 and 3.1.
    """
    if text.lstrip()[:1] == b"{":
        whole = _json(text, name)
    else:
        whole = read_source(text, name, most_bytes=MOST_YAML_BYTES, most_nodes=_MOST_NODES).value
    if not isinstance(whole, dict):
        raise DocumentError(f"{name}: an OpenAPI file is an object, not a list or a text")
    version = str(whole.get("openapi", ""))
    if not version.startswith(("3.0", "3.1")):
        said = f"version {version[:20]!r}" if version else "no version `openapi`"
        older = "; convert Swagger 2.0 to OpenAPI 3 first" if "swagger" in whole else ""
        raise DocumentError(f"{name}: it says {said}, and 3.0 and 3.1 are read{older}")
    if not isinstance(whole.get("paths"), dict) or not whole["paths"]:
        raise DocumentError(f"{name}: it has no paths, so there is nothing to read")
    return Spec(name, whole)


def _json(text: bytes, name: str) -> Any:
    if len(text) > MOST_JSON_BYTES:
        raise DocumentError(f"{name} is larger than {MOST_JSON_BYTES:,} bytes (YAML: {MOST_YAML_BYTES:,})")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DocumentError(f"{name}: the key {twice[:100]!r} comes a second time; keep one of them")
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DocumentError):
            raise
        place = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DocumentError(f"{name}{place}: it is not JSON that can be read") from None
