"""The reference of the format in Markdown, made of its JSON Schema: the lower part of docs/documents.md.

``python -m unified.kit.document.published.reference`` prints it; a test holds the page equal to it.
"""

import json
from collections.abc import Iterator
from typing import Any

from unified.kit.document.published.schema import schema

_WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
_RULES = "StreamRules"
_JSON = "JsonValue"


def reference() -> str:
    """The whole reference."""
    said = schema()
    sections = [_section("A document", said)]
    waiting, met = list(_named(said["properties"])), {_RULES, _JSON}
    while waiting:
        name = waiting.pop(0)
        if name not in met:
            met.add(name)
            part = said["$defs"][name]
            sections.append(_section(name, part))
            waiting = [*_named(part.get("properties", {})), *waiting]
    return "\n\n".join(sections) + "\n"


def _section(title: str, said: dict[str, Any]) -> str:
    lines = [f"### {title}", "", said["description"]]
    rows = [_row(name, one, said.get("required", ())) for name, one in said["properties"].items()]
    return "\n".join([*lines, "", "| key | holds | | |", "|---|---|---|---|", *rows])


def _row(name: str, said: dict[str, Any], required: Any) -> str:
    default = said.get("default")
    is_said = default not in (None, [], {}, "") and not isinstance(default, dict)
    usual = "needed" if name in required else f"`{json.dumps(default)}`" if is_said else ""
    words = said.get("description") or next(
        (one["description"] for one in said.get("anyOf", ()) if "description" in one), ""
    )
    return f"| `{name}` | {_holds(said)} | {usual} | {words} |"


def _holds(said: dict[str, Any]) -> str:
    if "$ref" in said:
        name = said["$ref"].rpartition("/")[2]
        known = {_RULES: "[rules](rules.md)", _JSON: "any JSON"}
        return known.get(name, f"[{name}](#{name.lower()})")
    if "const" in said:
        return f"`{json.dumps(said['const'])}`"
    if "enum" in said:
        return ", ".join(f"`{one}`" for one in said["enum"])
    for form in ("anyOf", "oneOf"):
        if form in said:
            return " or ".join(_holds(one) for one in said[form] if one.get("type") != "null")
    if said["type"] == "array":
        return f"list of {_holds(said['items'])}"
    if said["type"] == "object":
        of = said.get("additionalProperties") or next(iter(said["patternProperties"].values()))
        return f"{_holds(of)}, by name"
    low, high = said.get("minimum", said.get("exclusiveMinimum")), said.get("maximum")
    return _WORDS[said["type"]] + (f", {low} to {high}" if high is not None else "")


def _named(said: Any) -> Iterator[str]:
    """The parts that a piece of the schema refers to, in order."""
    if isinstance(said, dict):
        if isinstance(said.get("$ref"), str):
            yield said["$ref"].rpartition("/")[2]
        for key, value in said.items():
            if key != "discriminator":
                yield from _named(value)
    elif isinstance(said, list):
        for one in said:
            yield from _named(one)


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - its output is what it is for
