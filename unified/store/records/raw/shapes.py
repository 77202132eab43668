"""What a stream's records have in common and is no one person's: names of fields, the marks between them, usual words.

A dictionary made of records themselves would hold pieces of them, for as long as it is needed: longer than any of the
records. So every text and number is taken out first, but for beginnings and endings that many persons have: `"cus_`,
`https://pay.`. A name of a field stays where half of the records have it, and it reads like one: one person's name or
id, as a key of a map, does not. Pure.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backports import zstd

FEWEST = 100
"""Records that a dictionary is made of, at least: what half of fewer have may be one person's."""

MOST = 200
"""Records that it is made of, at most: 500 take 0.3 s, and compress no better."""

PERSONS = 50
"""Persons that have a beginning or an ending, at least, for it to stay."""

LARGEST = 32 * 1024
"""Bytes of a record that it is made of, at most: a dictionary is smaller, and longer ones take it little."""

LEVEL = 3
"""Of compression. Level 6 takes three times the time for a twentieth of the bytes."""

_BYTES = 8192
# A dictionary's statistics come to some hundred bytes.
_WHOLE_BYTES = _BYTES + 4096

_TOKENS = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|-?\d[\d.eE+-]*')
# Letters with a few digits among them; not an address, nor an id.
_NAME = re.compile(rb"[A-Za-z_]+(?:\d{1,2}[A-Za-z_]+)*\d{0,2}")
_LONGEST_NAME = 64


class Sample(NamedTuple):
    """A record that a dictionary may be made of.

    Attributes:
        raw: Its JSON text. White space stays as it is.
        person: Whom it is about; None where that is not known, and then nothing that it says stays.
    """

    raw: bytes | memoryview
    person: str | None = None


def shapes(records: Sequence[Sample]) -> list[bytes]:
    """JSON texts without what they say: of texts and numbers is left what many persons have, and of names usual ones.

    Args:
        records: Valid JSON.
    """
    counts: Counter[bytes] = Counter()
    persons: defaultdict[bytes, defaultdict[bytes, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record in records:
        names = set()
        name = b""
        for match in _TOKENS.finditer(record.raw):
            text, colon = match.groups()
            if colon:
                name = text
                if _is_name(name):
                    names.add(name)
            elif record.person is not None:
                persons[name][match[0] if text is None else text].add(record.person)
        counts.update(names)
    usual = {name for name, count in counts.items() if 2 * count >= len(records)}
    kept = {name: _shared(persons[name]) for name in usual}

    def shape(record: bytes) -> bytes:
        name = b""

        def emptied(match: re.Match[bytes]) -> bytes:
            nonlocal name
            text, colon = match.groups()
            if colon:
                name = text
                return match[0] if name in usual else b'""' + colon
            left = kept.get(name, {}).get(match[0] if text is None else text, b"")
            return left or b"0" if text is None else b'"%b"' % left

        return _TOKENS.sub(emptied, record)

    return [shape(bytes(record.raw)) for record in records]


def dictionary(records: Sequence[Sample]) -> bytes:
    """A dictionary of zstd for records like these: their usual shapes, and how often which byte and length occurs.

    Args:
        records: JSON texts, at least :data:`FEWEST`.
    """
    content = b""
    made = shapes(records)
    for shape, _ in Counter(made).most_common():
        if len(shape) + len(content) <= _BYTES:
            content = shape + content  # what stands last costs least to refer to
    content = content or made[0][:_BYTES]
    raws = [bytes(record.raw) for record in records]
    return zstd.finalize_dict(zstd.ZstdDict(content, is_raw=True), raws, _WHOLE_BYTES, LEVEL).dict_content


def _shared(values: Mapping[bytes, set[str]]) -> dict[bytes, bytes]:
    """What may stay of each value: the beginning and the ending that enough persons' values have, never by both all.

    Args:
        values: Of one field, each with the persons that have it.
    """
    backwards = {value[::-1]: of for value, of in values.items()}
    begins, ends = _beginnings(values), _beginnings(backwards)

    def left(value: bytes) -> bytes:
        begin, end = begins[value], ends[value[::-1]]
        return value[:begin] + (value[len(value) - end :] if begin + end < len(value) else b"")

    return {value: left(value) for value in values}


def _beginnings(values: Mapping[bytes, set[str]]) -> dict[bytes, int]:
    """How long the beginning of each value is that enough persons' values have."""
    found = {}
    groups: list[tuple[list[bytes], int]] = [(list(values), 0)]
    while groups:
        group, length = groups.pop()
        if len(set().union(*(values[value] for value in group))) < PERSONS:
            found.update(dict.fromkeys(group, length))
            continue
        first, last = min(group), max(group)
        while length < len(first) and first[length] == last[length]:
            length += 1
        further = defaultdict(list)
        for value in group:
            further[value[length : length + 1]].append(value)
        for ended in further.pop(b"", ()):
            found[ended] = length
        groups += [(some, length) for some in further.values()]
    return found


def texts(made: bytes) -> bytes:
    """All parts of a dictionary between quotation marks, as a JSON array.

    Args:
        made: By :func:`dictionary`. It begins with statistics, in which any byte may be a quotation mark: which marks
            open a text and which end one is not known.
    """
    return json.dumps(made.decode(errors="replace").split('"')).encode()


def _is_name(text: bytes) -> bool:
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None
