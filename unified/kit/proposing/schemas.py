"""The fields of an object as a JSON Schema describes it, of OpenAPI 3.0 and 3.1 as well.

Not here: where a schema stands, and what its references lead to.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from unified.kit.proposing.fields import DEEPEST, MOST_FIELDS, ForeignField, joined

Resolve = Callable[[Any], Any]
"""Gives what a schema's reference leads to, or the schema itself; an empty object where it leads nowhere."""

_MOST_WORDS = 30


def of_schema(schema: Any, resolve: Resolve = lambda found: found) -> list[ForeignField]:
    """The fields of an object, as far down as fields are looked at.

    Args:
        schema: Of the object; parts that are not a schema say nothing.
        resolve: Follows references.
    """
    return list(_Fields(resolve).of(schema, "", 0))


def properties_of(schema: Any, resolve: Resolve, depth: int = 0) -> dict[str, Any]:
    """The properties of an object, of all parts that it is made of (``allOf``) and of the first that it may be."""
    schema = resolve(schema)
    if not isinstance(schema, Mapping) or depth > DEEPEST:
        return {}
    found: dict[str, Any] = {}
    for part in _listed(schema.get("allOf")):
        found |= properties_of(part, resolve, depth + 1)
    own = schema.get("properties")
    found |= own if isinstance(own, Mapping) else {}
    if not found:
        for part in (*_listed(schema.get("oneOf")), *_listed(schema.get("anyOf"))):
            if found := properties_of(part, resolve, depth + 1):
                break
    return {str(name): value for name, value in found.items()}


def type_of_schema(schema: Any, resolve: Resolve) -> str:
    """The one JSON type that a schema allows beside null; "" where it says none, or several."""
    schema = resolve(schema)
    if not isinstance(schema, Mapping):
        return ""
    said = schema.get("type")
    kinds = [
        one for one in (said if isinstance(said, list) else [said]) if isinstance(one, str) and one != "null"
    ]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        return ""
    if "properties" in schema or "allOf" in schema:
        return "object"
    parts = [*_listed(schema.get("oneOf")), *_listed(schema.get("anyOf"))]
    found = {kind for part in parts[:5] if part is not schema and (kind := _plain_type(resolve(part)))}
    return found.pop() if len(found) == 1 else ""


def _plain_type(schema: Any) -> str:
    said = schema.get("type") if isinstance(schema, Mapping) else None
    return said if isinstance(said, str) and said != "null" else ""


class _Fields:
    """Fields that are being gathered. They are counted: a schema that contains itself has no end."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._left = MOST_FIELDS

    def of(self, schema: Any, before: str, depth: int) -> Iterator[ForeignField]:
        for name, value in properties_of(schema, self._resolve).items():
            inner = self._resolve(value)
            if not isinstance(inner, Mapping):
                continue
            self._left -= 1
            if self._left < 0:
                return
            path = joined(before, name)
            kind = type_of_schema(inner, self._resolve)
            one = ForeignField(path, kind, _text(inner, "format"), _text(inner, "description"), _words(inner))
            yield one
            if depth >= DEEPEST:
                continue
            if kind == "object":
                yield from self.of(inner, path, depth + 1)
            elif kind == "array" and type_of_schema(items := inner.get("items"), self._resolve) == "object":
                one.items = list(self.of(items, "", depth + 1))
                yield from self.of(items, f"{path}[0]", depth + 1)


def _text(schema: Mapping[str, Any], key: str) -> str:
    said = schema.get(key)
    return said if isinstance(said, str) else ""


def _words(schema: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(one for one in _listed(schema.get("enum"))[:_MOST_WORDS] if isinstance(one, str))


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
