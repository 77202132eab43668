"""An XML answer as JSON, so that records are found in it as in any other.

An element is an object of its children by name: several of one name are a list, an attribute is ``@name``, and text
beside either is ``#text``. An element with text alone is that text, and an empty one null: the form of Python's
``xmltodict``, which Airbyte's connectors expect. Names keep their prefixes as they are written.
"""

from typing import Any
from xml.parsers import expat

import msgspec

MOST_ELEMENTS = 500_000
DEEPEST = 100


def as_json(body: bytes) -> bytes:
    """The JSON of an XML document.

    A document type, by which a small file grows or names others, is refused with all that it could declare.

    Raises:
        msgspec.ValidationError: If it is not XML, has a document type, or is too large or too deep.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)  # noqa: FBT003 - it takes no name
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise msgspec.ValidationError(f"line {error.lineno} is not XML ({reason})") from None
    return msgspec.json.encode(reader.whole)


class _Element:
    """An element that has begun and not ended."""

    __slots__ = ("children", "name", "texts")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.children: dict[str, Any] = {f"@{key}": value for key, value in attributes.items()}
        self.texts: list[str] = []

    def value(self) -> Any:
        text = "".join(self.texts).strip()
        if not self.children:
            return text or None
        return {**self.children, "#text": text} if text else self.children

    def add(self, name: str, value: Any) -> None:
        if name not in self.children:
            self.children[name] = value
            return
        former = self.children[name]
        if not isinstance(former, _Several):
            former = self.children[name] = _Several([former])
        former.append(value)


class _Several(list[Any]):
    """The values of children that have the same name."""


class _Reader:
    def __init__(self) -> None:
        self.whole: dict[str, Any] = {}
        self._open: list[_Element] = []
        self._count = 0

    def refuse(self, *_: object) -> None:
        raise msgspec.ValidationError("it has a document type, which is not read")

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MOST_ELEMENTS:
            raise msgspec.ValidationError(
                f"it has more than {MOST_ELEMENTS:,} elements; ask for less at once"
            )
        if len(self._open) == DEEPEST:
            raise msgspec.ValidationError(f"its elements are nested more than {DEEPEST} deep")
        self._open.append(_Element(name, attributes))

    def end(self, _: str) -> None:
        ended = self._open.pop()
        if self._open:
            self._open[-1].add(ended.name, ended.value())
        else:
            self.whole = {ended.name: ended.value()}

    def text(self, text: str) -> None:
        self._open[-1].texts.append(text)
