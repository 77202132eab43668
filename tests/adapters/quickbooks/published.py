"""Intuit's published schema (XSDs of the accounting API) as what JSON of it may hold.

In JSON an element is a member; one that may come many times is an array, and an XML attribute is a member like the
others. A text with attributes (``ReferenceType``) is an object whose text is its ``value``. Numbers and booleans are
JSON's own, all else is text.

Not here: what is compared with it, and the order of elements, which JSON does not have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "quickbooks"
_XS = "{http://www.w3.org/2001/XMLSchema}"
_ANYTHING = "IntuitAnyType"
_DATE = r"\d{4}-\d\d-\d\d"
_FORMS = {
    "xs:date": re.compile(_DATE),
    "xs:dateTime": re.compile(rf"{_DATE}T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"),
}
# A value of each type, for a record that holds all there is.
_VALUES = {
    "xs:string": "text", "xs:anyURI": "https://example.com", "xs:boolean": True, "xs:decimal": 12.5, "xs:int": 3,
    "xs:integer": 3, "xs:positiveInteger": 3, "xs:date": "2026-03-31", "xs:dateTime": "2026-03-31T23:30:00-07:00",
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """What an object may hold under one name.

    Attributes:
        type: Name of its type, such as ``ReferenceType`` or ``xs:decimal``.
        is_many: Whether it is an array.
        is_required: Whether each object has it.
        choice: Which choice it belongs to; an object has one member of a choice at most.
    """

    type: str
    is_many: bool = False
    is_required: bool = False
    choice: int | None = None


class Published:
    """The types of all XSDs of a folder, by name."""

    def __init__(self, folder: Path = FOLDER) -> None:
        roots = [ET.parse(path).getroot() for path in sorted(folder.glob("*.xsd"))]  # noqa: S314 - known files
        self._types = {one.get("name", ""): one for root in roots for one in root if one.tag.endswith("Type")}
        self._groups = {one.get("name", ""): one for root in roots for one in root.findall(f"{_XS}group")}
        self.members = cache(self._members)

    def faults(self, value: Any, kind: str, at: str = "") -> Iterator[str]:
        """What of a JSON value does not fit a type, as ``Invoice.Line[0].Amount: 'x' is not an xs:decimal``."""
        at = at or kind
        if kind == _ANYTHING:
            return
        if self._is_simple(kind):
            if not self._fits(value, kind):
                yield f"{at}: {value!r} is not {kind}"
            return
        if not isinstance(value, dict):
            yield f"{at}: {value!r} is not an object ({kind})"
            return
        members = self.members(kind)
        yield from (f"{at}: {name} is missing" for name, one in members.items()
                    if one.is_required and name not in value)  # fmt: skip
        chosen: dict[int, str] = {}
        for name, held in value.items():
            one = members.get(name)
            if one is None:
                yield f"{at}: {kind} has no {name}"
                continue
            if one.choice is not None and chosen.setdefault(one.choice, name) != name:
                yield f"{at}: {name} beside {chosen[one.choice]}"
            yield from self._of_member(held, one, f"{at}.{name}")

    def whole(self, kind: str, depth: int = 4) -> Any:
        """A value that holds every member of a type; of a choice the first. Deeper than ``depth`` all is left out."""
        base, allowed = self._base(kind)
        if base is not None:
            return allowed[0] if allowed else _VALUES[base]
        made: dict[str, Any] = {}
        met: set[int | None] = set()
        for name, one in self.members(kind).items() if depth else ():
            if one.type == _ANYTHING or (one.choice is not None and one.choice in met):
                continue
            met.add(one.choice)
            value = self.whole(one.type, depth - 1)
            made[name] = [value] if one.is_many else value
        return made

    def _of_member(self, value: Any, one: Member, at: str) -> Iterator[str]:
        if not one.is_many:
            yield from self.faults(value, one.type, at)
        elif isinstance(value, list):
            for number, part in enumerate(value):
                yield from self.faults(part, one.type, f"{at}[{number}]")
        else:
            yield f"{at}: {value!r} is not an array"

    def _members(self, kind: str) -> dict[str, Member]:
        """The members of a type, those of the types that it extends included.

        Raises:
            KeyError: If the schema has no such type.
        """
        found = self._types[kind]
        members: dict[str, Member] = {}
        extension = found.find(f"*/{_XS}extension")
        if extension is not None:
            base = extension.get("base", "")
            members |= {"value": Member(base)} if self._is_simple(base) else self.members(base)
            found = extension
        members |= dict(self._elements(found, None))
        return members | {
            one.get("name", ""): Member(
                one.get("type", "xs:string"), is_required=one.get("use") == "required"
            )
            for one in found.findall(f"{_XS}attribute")
        }

    def _elements(self, node: ET.Element, choice: int | None) -> Iterator[tuple[str, Member]]:
        for one in node:
            kind = one.tag.removeprefix(_XS)
            if kind == "element":
                is_required = choice is None and one.get("minOccurs", "1") != "0"
                is_many = one.get("maxOccurs", "1") not in ("0", "1")
                yield one.get("name", ""), Member(one.get("type", "xs:string"), is_many, is_required, choice)
            elif kind == "choice":
                yield from self._elements(one, id(one))
            elif kind == "sequence":
                yield from self._elements(one, choice)
            elif kind == "group":
                inner = self._elements(self._groups[one.get("ref", "")], choice)
                is_optional = one.get("minOccurs") == "0"
                yield from (
                    (name, replace(at, is_required=at.is_required and not is_optional)) for name, at in inner
                )

    def _is_simple(self, kind: str) -> bool:
        return self._base(kind)[0] is not None

    def _base(self, kind: str) -> tuple[str | None, list[str]]:
        """The built-in type below a simple one, and the values that it is restricted to."""
        if kind.startswith("xs:"):
            return kind, []
        restriction = self._types[kind].find(f"{_XS}restriction")
        if restriction is None:
            return None, []
        allowed = [one.get("value", "") for one in restriction.findall(f"{_XS}enumeration")]
        return self._base(restriction.get("base", ""))[0], allowed

    def _fits(self, value: Any, kind: str) -> bool:
        base, allowed = self._base(kind)
        if base == "xs:boolean":
            return isinstance(value, bool)
        if base == "xs:decimal":
            return isinstance(value, int | float) and not isinstance(value, bool)
        if base in ("xs:int", "xs:integer", "xs:positiveInteger"):
            return type(value) is int and (base != "xs:positiveInteger" or value > 0)
        form = _FORMS.get(base or "")
        return (
            isinstance(value, str)
            and (not allowed or value in allowed)
            and (not form or bool(form.fullmatch(value)))
        )
