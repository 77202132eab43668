"""A YAML or JSON file as plain values, with the line of each, so that an error says where to look.

Only plain data is read: text, whole numbers, true, false, null, lists and objects with text as keys. Tags, which could
build objects, and aliases, by which a small file becomes a large one, are refused, and so are keys that come twice.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from unified.kit.decoding import reason
from unified.kit.document.keys import no_such_key
from unified.kit.errors import ConfigurationError

# libyaml reads five times as fast. PyYAML's wheels bring it; one that was built without it has its own reader alone.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_BYTES = 1_000_000
MOST_NODES = 50_000
DEEPEST = 50

_PLAIN_TAGS = {"tag:yaml.org,2002:null": None, "tag:yaml.org,2002:bool": bool, "tag:yaml.org,2002:int": int}
_TEXT_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "float", "timestamp", "value", "merge")
)
_MOST_FAULTS = 10
# What pydantic calls a member of a union by which a function checks the value.
_BY_FUNCTION = re.compile(r"function-\w+\[.*\]")

Place = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""


class DocumentError(ConfigurationError):
    """A file that can't be used. Each fault is one line: file, line, place, and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read.

    Attributes:
        name: The file's, for errors.
        value: What it says.
        lines: The line of each value, from 1 on, by its place.
    """

    name: str
    value: Any
    lines: dict[Place, int] = field(repr=False)

    def line(self, place: Sequence[str | int]) -> int:
        """The line of a value, or of the nearest one around it that the file has.

        Args:
            place: As pydantic names it: the word of a step is in it, and in no file.
        """
        known: Place = ()
        for part in place:
            if (*known, part) in self.lines:
                known = (*known, part)
        return self.lines[known]

    def explain(self, error: ValidationError, kind: Any) -> DocumentError:
        """What a model refuses of this file, fault by fault with its line, without the values.

        Args:
            error: The refusal.
            kind: The type that the file was read as.
        """
        all_faults = error.errors(include_url=False, include_context=False)
        # A list is called too short where an item of it is at fault, which is said already.
        around = {one["loc"][:depth] for one in all_faults for depth in range(len(one["loc"]))}
        faults = [one for one in all_faults if one["type"] != "too_short" or one["loc"] not in around]
        said = [
            f"{self.name}:{self.line(fault['loc'])}: {_shown(fault['loc'])}: {_why(fault, kind)}"
            for fault in faults[:_MOST_FAULTS]
        ]
        more = [f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
        return DocumentError("; ".join(said + more))


def _shown(place: Place) -> str:
    return ".".join(part for part in map(str, place) if not _BY_FUNCTION.fullmatch(part)) or "the whole"


def _why(fault: ErrorDetails, kind: Any) -> str:
    """Why a model refuses a value, which is looked at and not shown."""
    if fault["type"] == "extra_forbidden":
        return no_such_key(kind, fault["loc"])
    if fault["type"] == "string_type" and isinstance(fault["input"], bool):
        return (
            "it should be text; put it in quotes, as YAML takes a bare yes, no, on or off for true or false"
        )
    return reason(fault)


def read_source(
    text: bytes, name: str, *, most_bytes: int = MOST_BYTES, most_nodes: int = MOST_NODES
) -> Source:
    """Read a file.

    Args:
        text: Its content, in UTF-8.
        name: The file's, for errors.
        most_bytes: How large it may be.
        most_nodes: How many values it may have.

    Raises:
        DocumentError: If it is neither YAML nor JSON, is too large, or has more than plain data in it.
    """
    if len(text) > most_bytes:
        raise DocumentError(f"{name} is larger than {most_bytes:,} bytes")
    try:
        decoded = text.decode()
        _refuse_all_but_data(decoded, name, most_nodes)
        node = yaml.compose(decoded, Loader=_Loader)
    except UnicodeDecodeError:
        raise DocumentError(f"{name} is not UTF-8") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        last = text.rstrip().count(b"\n")  # what is missing at the end is marked on a line after the last
        place = f":{min(mark.line, last) + 1}" if mark else ""
        raise DocumentError(
            f"{name}{place}: it is not YAML: {getattr(error, 'problem', None) or 'unreadable'}"
        ) from None
    if node is None:
        raise DocumentError(f"{name} is empty")
    lines: dict[Place, int] = {}
    return Source(name, _value(node, (), lines, name), lines)


def _refuse_all_but_data(text: str, name: str, most_nodes: int) -> None:
    """Walk over the file's events, which are made one by one, before anything is built of them."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise DocumentError(f"{name}:{line}: aliases (*) are not read; write the value out")
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) is not None:
            raise DocumentError(
                f"{name}:{line}: tags (!) are not read; write plain text, numbers, lists and keys"
            )
        if isinstance(event, yaml.DocumentStartEvent) and count > 1:
            raise DocumentError(f"{name}:{line}: a second document (---) begins here; a file holds one")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise DocumentError(f"{name}:{line}: it is nested more than {DEEPEST} levels deep")
        if count > most_nodes:
            raise DocumentError(f"{name}:{line}: it has more than {most_nodes:,} values")


def _value(node: yaml.Node, place: Place, lines: dict[Place, int], name: str) -> Any:
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, (*place, index), lines, name) for index, one in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, line, value in _pairs(node, name):
            if key in found:
                raise DocumentError(f"{name}:{line}: the key {key!r} comes a second time; keep one of them")
            found[key] = _value(value, (*place, key), lines, name)
            lines[*place, key] = line
        return found
    return _scalar(node, name)


def _pairs(node: yaml.MappingNode, name: str) -> Iterator[tuple[str, int, yaml.Node]]:
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise DocumentError(f"{name}:{line}: a key is text, not a list or an object")
        yield key.value, line, value


def _scalar(node: yaml.Node, name: str) -> Any:
    if node.tag in _TEXT_TAGS:
        return node.value  # a fraction keeps its digits, a date its text
    kind = _PLAIN_TAGS.get(node.tag)
    if kind is None:
        return None
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError):
        raise DocumentError(f"{name}:{node.start_mark.line + 1}: the number can't be read") from None
