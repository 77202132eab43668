"""What the records of a person are recognised by, in whatever else names them. Pure.

An invoice names its customer, an event the record that it is about, a reject whatever it has. An id is looked for as a
whole JSON string, if it is long enough to be nobody else's; a short one counts only where the connector says what an
event is about.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

_SHORTEST = 8
_STRINGS = re.compile(rb'"([^"\\]{%d,255})"' % _SHORTEST)

About = Callable[[bytes], Iterable[tuple[str, str]]]
"""Stream and id of each record that an event is about, by its body."""


def is_distinct(source_id: str) -> bool:
    """Whether an id is long enough to be nobody else's."""
    return len(source_id.encode()) >= _SHORTEST


def _nothing(_: bytes) -> Iterable[tuple[str, str]]:
    return ()


@dataclass(frozen=True)
class Traces:
    """What to look for among one connection's data.

    Attributes:
        ids: Source ids by stream.
        addresses: E-mail addresses, in lower case.
        about: What an event is about.
    """

    ids: Mapping[str, frozenset[str]]
    addresses: frozenset[str] = frozenset()
    about: About = field(default=_nothing)

    def names(self, stream: str, source_id: str | None) -> bool:
        """Whether it is one of these records."""
        return source_id is not None and source_id in self.ids.get(stream, ())

    def are_in(self, body: bytes | memoryview) -> bool:
        """Whether a JSON text names one of these records, or holds an address."""
        text = bytes(body)
        return (
            not self._long_ids.isdisjoint(_STRINGS.findall(text))
            or (self._address is not None and self._address.search(text) is not None)
            or any(self.names(*one) for one in self.about(text))
        )

    @cached_property
    def pattern(self) -> str | None:
        """A regular expression of PostgreSQL's that finds at least what :meth:`are_in` finds, and is quicker.

        It is for text as ``encode(…, 'escape')`` makes it of bytes, whatever the case. None finds nothing.
        """
        texts = {one for ids in self.ids.values() for one in ids} | _spellings(self.addresses)
        if not texts:
            return None
        parts = "|".join(_quoted(one) for one in sorted(texts))
        return rf"(?<![[:alnum:]_])({parts})(?![[:alnum:]_])"

    @cached_property
    def _long_ids(self) -> frozenset[bytes]:
        return frozenset(one.encode() for ids in self.ids.values() for one in ids if is_distinct(one))

    @cached_property
    def _address(self) -> re.Pattern[bytes] | None:
        if not self.addresses:
            return None
        parts = b"|".join(re.escape(one.encode()) for one in sorted(_spellings(self.addresses)))
        return re.compile(rb"(?<![\w.+-])(?:%b)(?![\w-]|\.\w)" % parts, re.IGNORECASE)


def _spellings(texts: Iterable[str]) -> set[str]:
    """Texts as they are, and as JSON writes them that is ASCII only."""
    return {form for text in texts for form in (text, json.dumps(text)[1:-1])}


def _quoted(text: str) -> str:
    """A text as it stands in what ``encode(…, 'escape')`` made, for a regular expression."""
    escaped = "".join(
        chr(byte) if byte < 128 else f"\\{byte:03o}"  # noqa: PLR2004 - the ASCII ones
        for byte in text.replace("\\", "\\\\").encode()
    )
    return re.sub(r"([^0-9A-Za-z])", r"\\\1", escaped)
