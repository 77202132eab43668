"""Paths: where a value stands in a record, compiled to a function.

Keys and indexes become a plain walk. Wildcards, slices and filters are queries of RFC 9535
(https://www.rfc-editor.org/rfc/rfc9535), run by ``jsonpath-rfc9535``; they give a list of what they find. A path begins
at the record, or in the rules of a line at that line; one that begins with ``$`` begins at the record everywhere.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, NamedTuple

from unified.kit.mapping.refusals import Refused, RuleError

Read = Callable[[Any, Any], Any]
"""Takes the item and the whole record, which are the same outside the rules of a line; None where nothing stands."""

LONGEST_PATH = 500
"""Characters of one."""

MOST_FOUND = 10_000
"""Values that one query may find in one record."""

_MOST_SEGMENTS = 32
_QUOTED = re.compile(r"""'((?:[^'\\]|\\['\\])*)'|"((?:[^"\\]|\\["\\])*)\"""")
_INDEX = re.compile(r"-?(?:0|[1-9][0-9]{0,8})")
_NAME = re.compile(r"[^.\[\]]+")


class _Segment(NamedTuple):
    """One step of a path.

    Attributes:
        kind: ``name`` may be a key or, of digits, an index, as in ``lines.0.id``; a query is what needs RFC 9535.
        text: The name, the quoted key, or what stands in brackets.
    """

    kind: Literal["name", "key", "index", "query", "descend"]
    text: str


@lru_cache(maxsize=4096)
def compile_path(path: str) -> Read:
    """What reads a path's value.

    Args:
        path: As docs/rules.md describes it. Names may be of any characters but dots and brackets.

    Returns:
        A function that gives the value, or None where the path leads nowhere; of a query, the list of what it found. It
        raises :class:`Refused` where a query finds too much, or the record is too deep for it.

    Raises:
        RuleError: If it is not a path.
    """
    if len(path) > LONGEST_PATH:
        raise RuleError(f"the path is longer than {LONGEST_PATH} characters")
    if "{{" in _QUOTED.sub("", path):
        raise RuleError(
            f"{path!r} is not a path but an expression, which stands in a step: "
            '{do: template, text: "{{ … }}"}'
        )
    segments, is_absolute = _parsed(path)
    if len(segments) > _MOST_SEGMENTS:
        raise RuleError(f"path {path!r} has more than {_MOST_SEGMENTS} parts")
    if any(segment.kind in ("query", "descend") for segment in segments):
        return _query(path, segments, is_absolute=is_absolute)
    return _walk(segments, is_absolute=is_absolute)


def place_of(path: str) -> list[str | int] | None:
    """The keys and indexes that lead to a path's value; None of a query, which may find several.

    Raises:
        RuleError: If it is not a path.
    """
    segments, _ = _parsed(path)
    if any(segment.kind in ("query", "descend") for segment in segments):
        return None
    return [int(one.text) if one.kind == "index" else one.text for one in segments]


def _parsed(path: str) -> tuple[list[_Segment], bool]:
    """The steps of a path, and whether it begins at the record: ``$type`` is a key."""
    is_absolute = path == "$" or path.startswith(("$.", "$["))
    return list(_segments(path, 1 if is_absolute else 0)), is_absolute


def _segments(path: str, begin: int) -> Iterator[_Segment]:
    place, may_begin = begin, not begin
    while place < len(path):
        if path.startswith("..", place):
            yield _Segment("descend", "..")
            place, may_begin = place + 2, True
        elif path[place] == ".":
            place, may_begin = place + 1, True
        if path.startswith("[", place):
            end = _closing(path, place)
            yield _bracketed(path[place + 1 : end].strip())
            place = end + 1
        else:
            name = _NAME.match(path, place) if may_begin else None
            if name is None:
                raise _not_a_path(path, place)
            yield _Segment("query", "*") if name[0] == "*" else _Segment("name", name[0])
            place = name.end()
        may_begin = False


def _not_a_path(path: str, place: int) -> RuleError:
    return RuleError(
        f"{path!r} is not a path: look at character {place + 1}. Write keys and indexes as in lines[0].price, "
        "and a key with dots or brackets as ['a.b']"
    )


def _closing(path: str, opening: int) -> int:
    """Where a bracket is closed; brackets inside it, and quoted ones, are its content."""
    depth, place = 0, opening
    while place < len(path):
        character = path[place]
        if character in "'\"":
            text = _QUOTED.match(path, place)
            if text is None:
                raise _not_a_path(path, place)
            place = text.end()
            continue
        depth += (character == "[") - (character == "]")
        if not depth:
            return place
        place += 1
    raise _not_a_path(path, opening)


def _bracketed(inside: str) -> _Segment:
    if key := _QUOTED.fullmatch(inside):
        return _Segment("key", re.sub(r"\\(.)", r"\1", key[1] if key[1] is not None else key[2]))
    return _Segment("index" if _INDEX.fullmatch(inside) else "query", inside)


def _walk(segments: list[_Segment], *, is_absolute: bool) -> Read:
    steps: list[str | int | tuple[str, int]] = []
    for kind, text in segments:
        is_either = kind == "name" and text.isascii() and text.isdecimal() and len(text) < 10  # noqa: PLR2004 - no list has more
        steps.append(int(text) if kind == "index" else (text, int(text)) if is_either else text)
    if not all(isinstance(step, str) for step in steps):
        return _keys(steps, is_absolute=is_absolute)
    names = [str(step) for step in steps]
    return (
        _one_key(names[0]) if len(names) == 1 and not is_absolute else _names(names, is_absolute=is_absolute)
    )


def _one_key(key: str) -> Read:
    def read(item: Any, _record: Any) -> Any:
        return item.get(key) if type(item) is dict else None

    return read


def _names(names: list[str], *, is_absolute: bool) -> Read:
    if len(names) == 2:  # noqa: PLR2004 - most paths are this long, and a loop takes half of their time
        first, second = names

        def read_second(item: Any, record: Any) -> Any:
            whole = record if is_absolute else item
            found = whole.get(first) if type(whole) is dict else None
            return found.get(second) if type(found) is dict else None

        return read_second

    def read(item: Any, record: Any) -> Any:
        found = record if is_absolute else item
        for name in names:
            if type(found) is not dict:
                return None
            found = found.get(name)
        return found

    return read


def _keys(steps: list[str | int | tuple[str, int]], *, is_absolute: bool) -> Read:
    def read(item: Any, record: Any) -> Any:
        found = record if is_absolute else item
        for step in steps:
            key, index = step if isinstance(step, tuple) else (step, step)
            if isinstance(found, dict):
                found = found.get(key)
            elif isinstance(found, list) and isinstance(index, int) and -len(found) <= index < len(found):
                found = found[index]
            else:
                return None
        return found

    return read


def _query(path: str, segments: list[_Segment], *, is_absolute: bool) -> Read:
    # Imported here: most rules are walks, and the package takes a while.
    from unified.kit.mapping.queries import FAILURES, compile_query  # noqa: PLC0415

    if sum(kind == "descend" for kind, _ in segments) > 1:
        raise RuleError(f"path {path!r} descends (..) twice, which may take very long; once is allowed")
    query = compile_query(path, "$" + "".join(map(_as_rfc, segments)))

    def read(item: Any, record: Any) -> Any:
        try:
            nodes = query.finditer(record if is_absolute else item)
            found = [node.value for node in islice(nodes, MOST_FOUND + 1)]
        except FAILURES:
            raise Refused(f"{path!r} can't be followed in this record, which is too deep") from None
        if len(found) > MOST_FOUND:
            raise Refused(f"{path!r} finds more than {MOST_FOUND} values")
        return found

    return read


def _as_rfc(segment: _Segment) -> str:
    kind, text = segment
    if kind == "descend":
        return ".."
    if kind in ("query", "index"):
        return f"[{text}]"
    key = f"'{_escaped(text)}'"
    return f"[{key},{int(text)}]" if kind == "name" and _INDEX.fullmatch(text) else f"[{key}]"


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace("'", "\\'")
