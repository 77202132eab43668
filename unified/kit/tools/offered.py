"""The tools that a server offers (`tools/list`): one found by its names, and arguments fitted to its schema.

Names and schemas are the server's, and change with its releases: so a call is checked against what it says today.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unified.kit.errors import AdapterError


class UnfitToolError(AdapterError):
    """A server has no tool for something, or one that takes other arguments."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call to make, by the agent's own client.

    Attributes:
        tool: As the server calls it.
        arguments: As its schema wants them.
        left_out: What would have been said as well, and the tool does not take.
    """

    tool: str
    arguments: Mapping[str, Any]
    left_out: tuple[str, ...] = ()


class OfferedTools:
    """What one server offers."""

    def __init__(self, listed: Iterable[Any]) -> None:
        """Know the tools of an answer to ``tools/list``: the SDK's objects, or JSON objects."""
        self._schemas: dict[str, Mapping[str, Any]] = {
            attribute(tool, "name"): attribute(tool, "inputSchema", "input_schema") or {} for tool in listed
        }

    def call(
        self, names: Sequence[str], arguments: Mapping[str, Any], *, optional: Collection[str] = ()
    ) -> ToolCall:
        """A call of the first of some tools that there is.

        Args:
            names: Which tools will do, the best first. A client may have put something before a name.
            arguments: By name; case, hyphens and underscores make no difference. ``a|b`` is called either.
            optional: Names of arguments without which the call means the same, or less.

        Raises:
            UnfitToolError: If there is no such tool, or it does not take these arguments.
        """
        tool = self._found(names)
        schema = self._schemas[tool]
        known = {_plain(name): name for name in schema.get("properties", {})}
        fitted: dict[str, Any] = {}
        left_out = []
        for name, value in arguments.items():
            theirs = next((known[one] for one in map(_plain, name.split("|")) if one in known), None)
            if theirs is not None:
                fitted[theirs] = value
            elif name in optional:
                left_out.append(name)
            else:
                takes = ", ".join(known.values()) or "nothing"
                raise UnfitToolError(f"{tool} takes no {name.replace('|', ' or ')}; it takes {takes}")
        _check(tool, schema, fitted)
        return ToolCall(tool, fitted, tuple(left_out))

    def _found(self, names: Sequence[str]) -> str:
        for wanted in names:
            for name in self._schemas:
                if _plain(name).endswith(_plain(wanted)):
                    return name
        there = ", ".join(sorted(self._schemas)) or "none"
        raise UnfitToolError(f"the server has no tool {' or '.join(names)}; it has {there}")


def attribute(thing: Any, *names: str) -> Any:
    """What a JSON object or one of the SDK's has by the first of these names; None where it has none."""
    for name in names:
        value = thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
        if value is not None:
            return value
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _check(tool: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """See that arguments fit a schema. It is the server's text: no reference in it is fetched."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - for those who ask by tools alone
    from jsonschema.exceptions import SchemaError, ValidationError  # noqa: PLC0415 - as above
    from referencing import Registry  # noqa: PLC0415 - as above
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - as above

    try:
        Draft202012Validator(schema, registry=Registry()).validate(arguments)
    except ValidationError as error:
        place = "/".join(map(str, error.absolute_path)) or "its arguments"
        rule = error.validator_value if error.validator in ("required", "type", "enum", "maxItems") else ""
        raise UnfitToolError(f"{tool} wants {place} otherwise: {error.validator} {rule}".rstrip()) from None
    except (SchemaError, Unresolvable, RecursionError, TypeError):
        raise UnfitToolError(f"the schema that the server gives for {tool} can't be read") from None
